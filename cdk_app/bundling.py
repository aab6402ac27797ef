"""The code of the Lambda functions: wheels for ARM64, the runtime, compiled. Needs no Docker.

    requirements/lambda*.txt ── uv: wheels only, hashes checked ──▶ packages ─┐
                                                            (what no handler  ├─▶ compiled ─▶ asset
    runtime/ ─────────────────────────────────────────────── uses is left out)┘

docs/adr/0011 says why the SDK is part of a bundle, and what is compiled when.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from platform import machine
from tempfile import TemporaryDirectory
from typing import Final

import jsii

from cdk_app.config import StageConfig
from cdk_app.source import FUNCTION_SOURCES, ROOT, digest, source_files

from aws_cdk import AssetHashType, BundlingOptions, DockerImage, ILocalBundling
from aws_cdk import aws_lambda as lambda_

BUNDLES: Final = {
    "core": "requirements/lambda.txt",
    "templates": "requirements/lambda-templates.txt",
    "data": "requirements/lambda-data.txt",
}
"""By `Function.bundle` of the route table: the pinned list of a bundle."""

LAMBDA_PLATFORM: Final = "aarch64-manylinux_2_28"
"""Amazon Linux 2023, below every Lambda Python from 3.12 on, has glibc 2.34."""

SDK_SERVICES: Final = frozenset(
    {
        "bedrock-runtime",
        "dynamodb",
        "ecs",
        "events",
        "s3",
        "sso",
        "sso-oidc",
        "stepfunctions",
        "sts",
    }
)
"""The services whose descriptions stay in botocore; those of the other 400 are 27 MB. `sso` and
`sts` belong to the search for credentials."""

_USED_FOLDERS: Final = {
    "botocore/data": SDK_SERVICES,
    # The logger searches events with the first; the other has types only.
    "aws_lambda_powertools/utilities": frozenset({"jmespath_utils", "typing"}),
}
"""Where a package has one folder for each of many uses: those that stay."""

_UNUSED: Final = (
    "*.dist-info/RECORD",
    "*.dist-info/INSTALLER",
    "*.dist-info/REQUESTED",
    "*.dist-info/uv_cache.json",
    "*.dist-info/sboms",
    "bin",
    "boto3/data",
    "boto3/examples",
    "aws_lambda_powertools/event_handler/openapi/swagger_ui",
    "pyarrow/include",
    "pyarrow/src",
    "pyarrow/tests",
    "pyarrow/includes",
    "pyarrow/libarrow_flight*",
    "pyarrow/libarrow_python_flight*",
    "pyarrow/_flight*",
    "pyarrow/libarrow_s3*",
    "pyarrow/_s3fs*",
    "pyarrow/libarrow_python*.so",  # a second and a third copy of the same library
    "pyarrow/libarrow_python*.so.*.*",
)
"""Left out of a bundle: what packages carry for other uses, and what differs between two installs
of the same files."""

CACHE: Final = ROOT / "build" / "lambda-packages"

_RECIPE: Final = "2"
"""Part of the hash: raise it when what this module does to a bundle changes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """Which Python a bundle is for. `platform` is uv's name; None is the machine that bundles."""

    python_version: str
    platform: str | None

    @property
    def interpreter(self) -> str | None:
        """A Python of this version on this machine, which alone can compile for it."""
        return next(_interpreters(self.python_version), None)


def target_of(stage: StageConfig) -> Target:
    """Lambda on ARM64; or this machine, for an emulator that runs functions as processes on it."""
    if stage.bundle_for == "this-machine":
        return Target(python_version="{}.{}".format(*sys.version_info), platform=None)
    return Target(python_version=stage.python_version, platform=LAMBDA_PLATFORM)


def function_code(bundle: str, target: Target) -> lambda_.Code:
    """The code of `bundle`, bundled when it is synthesized. Each call gives a `Code` of its own, as
    every stack needs one; their asset is the same.
    """
    requirements = BUNDLES[bundle]
    bundler = Bundler(requirements=requirements, target=target)
    return lambda_.Code.from_asset(
        str(ROOT / "runtime"),
        asset_hash=bundler.hash,
        asset_hash_type=AssetHashType.CUSTOM,
        bundling=BundlingOptions(image=DockerImage.from_registry("unused"), local=bundler),
    )


@jsii.implements(ILocalBundling)
class Bundler:
    """Makes one bundle. `hash` is known before: it is over all that decides what is in it."""

    def __init__(self, *, requirements: str, target: Target) -> None:
        self._requirements = requirements
        self._target = target
        self._interpreter = target.interpreter
        recipe = (
            _RECIPE,
            target.python_version,
            target.platform or f"{sys.platform}-{machine()}",
            "compiled" if self._interpreter else "as source",
            *(
                f"{parent}/{used}"
                for parent in _USED_FOLDERS
                for used in sorted(_USED_FOLDERS[parent])
            ),
            *_UNUSED,
        )
        listed = (ROOT / requirements).read_text(encoding="utf-8")
        self._packages_hash = digest((), listed, *recipe)
        self.hash = digest(FUNCTION_SOURCES, listed, *recipe)

    def try_bundle(self, output_dir: str, *_: object, **__: object) -> bool:
        """Called by the CDK, which has no way with Docker to fall back on: a failure raises."""
        self.bundle(Path(output_dir))
        return True

    def bundle(self, folder: Path, *, cache: Path = CACHE) -> None:
        """Fill the empty `folder`. Raises `RuntimeError` that says what to do.

        Packages change rarely and take longest, so they are kept, compiled, in `cache`.
        """
        packages = cache / self._packages_hash
        if not packages.exists():
            cache.mkdir(parents=True, exist_ok=True)
            with TemporaryDirectory(dir=cache) as temporary:
                made = Path(temporary) / "packages"
                self._install(made)
                _leave_out(made)
                self._compile(made)
                with suppress(OSError):  # somebody else was faster, with the same result
                    made.rename(packages)
        shutil.copytree(packages, folder, dirs_exist_ok=True)
        for file in source_files(FUNCTION_SOURCES):
            target = folder / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / file, target)
        self._compile(folder / "runtime", below="runtime")
        if self._interpreter is None:
            version = self._target.python_version
            sys.stderr.write(
                f"bundled without compiled files, so cold starts take longer: there is no Python"
                f" {version} here (`uv python install {version}` brings one)\n"
            )

    def _install(self, folder: Path) -> None:
        platform = self._target.platform
        _run(
            sys.executable,
            "-m",
            "uv",
            "pip",
            "install",
            "--quiet",
            "--no-config",
            "--no-deps",
            "--require-hashes",
            "--only-binary=:all:",
            "--link-mode=copy",
            f"--python-version={self._target.python_version}",
            *((f"--python-platform={platform}",) if platform else ()),
            f"--target={folder}",
            f"--requirement={ROOT / self._requirements}",
            failure="the packages of the functions can't be installed: is the package index"
            " reachable?",
        )

    def _compile(self, folder: Path, *, below: str = "") -> None:
        if self._interpreter is None:
            return
        _run(
            self._interpreter,
            "-m",
            "compileall",
            "-q",
            "-j0",
            "--invalidation-mode=unchecked-hash",  # Lambda's file times mean nothing
            "-s",
            str(folder),
            "-p",
            f"/var/task/{below}",
            str(folder),
            failure="the bundle can't be compiled",
        )


def _interpreters(version: str) -> Iterator[str]:
    candidates = [sys.executable, shutil.which(f"python{version}"), _managed(version)]
    probe = "import sys; print('{}.{}'.format(*sys.version_info))"
    for candidate in filter(None, candidates):
        # A name on the path may be a shim that only says that it is not installed.
        found = subprocess.run(
            [candidate, "-c", probe], capture_output=True, text=True, check=False
        )
        if found.returncode == 0 and found.stdout.strip() == version:
            yield candidate


def _managed(version: str) -> str | None:
    """A Python that uv has installed."""
    command = [sys.executable, "-m", "uv", "python", "find", "--managed-python"]
    found = subprocess.run(
        [*command, "--no-python-downloads", version], capture_output=True, text=True, check=False
    )
    return found.stdout.strip() or None


def _leave_out(folder: Path) -> None:
    for pattern in _UNUSED:
        for path in folder.glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for parent, used in _USED_FOLDERS.items():
        for part in folder.glob(f"{parent}/*/"):
            if part.name not in used:
                shutil.rmtree(part)


def _run(*command: str, failure: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{failure}\n{done.stdout}{done.stderr}")
