"""Bundles of functions: what goes in, what stays out, and the hash that names them.

Wheels come from a folder that the test fills, so no index is asked. `make bundles` makes the real
ones.
"""

import base64
import hashlib
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from cdk_app import bundling
from cdk_app.bundling import BUNDLES, LAMBDA_PLATFORM, SDK_SERVICES, Bundler, Target
from cdk_app.source import FUNCTION_SOURCES, ROOT, WORKER_SOURCES, digest, source_files
from runtime.contract.routes import FUNCTIONS

HERE = "{}.{}".format(*sys.version_info)
THIS_MACHINE = Target(python_version=HERE, platform=None)


def write_wheel(folder: Path, name: str, files: dict[str, str]) -> str:
    """A wheel with these files; the line of a pinned list for it."""
    info = f"{name}-1.0.dist-info"
    contents = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    rows = [
        f"{path},sha256="
        + base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        + f",{len(text.encode())}"
        for path, text in contents.items()
    ]
    contents[f"{info}/RECORD"] = "\n".join([*rows, f"{info}/RECORD,,"]) + "\n"
    wheel = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in contents.items():
            archive.writestr(zipfile.ZipInfo(path), text)
    return f"{name}==1.0 --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}"


@pytest.fixture
def requirements(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A pinned list of some packages that lie in a folder, the only place that is asked."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    lines = [
        write_wheel(
            wheels,
            "botocore",
            {
                "botocore/__init__.py": "VALUE = 1\n",
                "botocore/data/endpoints.json": "{}",
                "botocore/data/dynamodb/service.json": "{}",
                "botocore/data/ec2/service.json": "{}",
            },
        ),
        write_wheel(
            wheels,
            "pyarrow",
            {
                "pyarrow/__init__.py": "",
                "pyarrow/libarrow.so.2600": "kept",
                "pyarrow/libarrow_flight.so.2600": "x",
                "pyarrow/tests/test_a.py": "",
            },
        ),
        write_wheel(
            wheels,
            "aws_lambda_powertools",
            {
                "aws_lambda_powertools/utilities/__init__.py": "",
                "aws_lambda_powertools/utilities/parser/__init__.py": "",
                "aws_lambda_powertools/utilities/typing/__init__.py": "",
            },
        ),
    ]
    listed = tmp_path / "list.txt"
    listed.write_text("\n".join(lines) + "\n")
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.setenv("UV_FIND_LINKS", str(wheels))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    return str(listed)


def make(folder: Path, requirements: str, target: Target = THIS_MACHINE) -> Path:
    folder.mkdir()
    cache = folder.parent / f"{folder.name}-cache"
    Bundler(requirements=requirements, target=target).bundle(folder, cache=cache)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_bundle_holds_packages_and_what_handlers_import(
    tmp_path: Path, requirements: str
) -> None:
    found = contents(make(tmp_path / "bundle", requirements))

    assert "botocore/__init__.py" in found
    assert "runtime/lambdas/health.py" in found
    assert "runtime/domain/models/prices.json" in found
    sources = {path.as_posix() for path in source_files(FUNCTION_SOURCES)}
    assert sources <= found.keys()
    assert not [path for path in found if path.startswith(("runtime/cli", "runtime/local"))]
    assert "runtime/worker/Dockerfile" not in found


def test_what_no_handler_uses_is_left_out(tmp_path: Path, requirements: str) -> None:
    found = contents(make(tmp_path / "bundle", requirements))

    assert "botocore/data/dynamodb/service.json" in found
    assert "botocore/data/endpoints.json" in found
    assert "pyarrow/libarrow.so.2600" in found
    assert "aws_lambda_powertools/utilities/__init__.py" in found
    assert "aws_lambda_powertools/utilities/typing/__init__.py" in found
    assert "botocore-1.0.dist-info/METADATA" in found
    for path in (
        "botocore/data/ec2/service.json",
        "pyarrow/libarrow_flight.so.2600",
        "pyarrow/tests/test_a.py",
        "aws_lambda_powertools/utilities/parser/__init__.py",
        "botocore-1.0.dist-info/RECORD",
        "botocore-1.0.dist-info/INSTALLER",
    ):
        assert path not in found


def test_everything_is_compiled_for_the_place_where_it_runs(
    tmp_path: Path, requirements: str
) -> None:
    found = contents(make(tmp_path / "bundle", requirements))

    sources = [path for path in found if path.endswith(".py")]
    tag = sys.implementation.cache_tag
    for path in sources:
        folder, _, name = path.rpartition("/")
        compiled = found[f"{folder}/__pycache__/{name.removesuffix('.py')}.{tag}.pyc"]
        # Bit 0: checked by hash; bit 1, check the source, is off.
        assert int.from_bytes(compiled[4:8], "little") == 0b01, path
        assert f"/var/task/{path}".encode() in compiled, path
        assert str(tmp_path).encode() not in compiled, path


def test_two_bundles_are_equal_to_the_byte(tmp_path: Path, requirements: str) -> None:
    first = contents(make(tmp_path / "first", requirements))
    (tmp_path / "elsewhere").mkdir()
    second = contents(make(tmp_path / "elsewhere" / "second", requirements))

    assert first == second


def test_a_handler_runs_from_its_bundle_alone(tmp_path: Path, requirements: str) -> None:
    folder = make(tmp_path / "bundle", requirements)
    program = (
        f"import sys; sys.path = [{str(folder)!r}]\n"
        "import botocore, runtime.contract.routes as routes\n"
        "assert botocore.VALUE == 1\n"
        "assert botocore.__cached__.startswith(sys.path[0])\n"
        "print(len(routes.FUNCTIONS))"
    )
    # The standard library is left out of the path, but what these modules need is loaded already.
    program = "import dataclasses, typing, collections.abc\n" + program

    done = subprocess.run(
        [sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == str(len(FUNCTIONS))


def test_a_package_that_is_not_what_was_pinned_stops_the_bundle(
    tmp_path: Path, requirements: str
) -> None:
    listed = Path(requirements)
    listed.write_text(re.sub(r"sha256:\w{8}", "sha256:00000000", listed.read_text()))

    with pytest.raises(RuntimeError, match="can't be installed"):
        make(tmp_path / "bundle", requirements)


def test_packages_are_kept_between_bundles(
    tmp_path: Path, requirements: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundler = Bundler(requirements=requirements, target=THIS_MACHINE)
    first, second, cache = tmp_path / "first", tmp_path / "second", tmp_path / "cache"
    first.mkdir()
    second.mkdir()
    bundler.bundle(first, cache=cache)
    monkeypatch.setenv("UV_FIND_LINKS", os.devnull)  # nothing can be installed any more

    bundler.bundle(second, cache=cache)

    assert contents(first) == contents(second)


def test_without_the_right_python_it_says_so_and_goes_on(
    tmp_path: Path,
    requirements: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(bundling, "_interpreters", lambda _: iter(()))

    found = contents(make(tmp_path / "bundle", requirements))

    assert not [path for path in found if path.endswith(".pyc")]
    assert f"uv python install {HERE}" in capsys.readouterr().err


# ── hash ───────────────────────────────────────────────────────────────────────────────────────


def test_the_hash_changes_with_all_that_makes_a_bundle(
    tmp_path: Path, requirements: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hash_of(target: Target = THIS_MACHINE) -> str:
        return Bundler(requirements=requirements, target=target).hash

    before = hash_of()
    assert hash_of() == before
    assert hash_of(Target(python_version=HERE, platform=LAMBDA_PLATFORM)) != before
    with monkeypatch.context() as patch:
        patch.setattr(bundling, "_interpreters", lambda _: iter(()))
        assert hash_of() != before
    with monkeypatch.context() as patch:
        patch.setitem(bundling._USED_FOLDERS, "botocore/data", frozenset({"s3"}))
        assert hash_of() != before
    Path(requirements).write_text(Path(requirements).read_text() + "# another list\n")
    assert hash_of() != before
    assert tmp_path.exists()


def test_a_digest_is_over_names_and_contents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cdk_app.source.ROOT", tmp_path)
    (tmp_path / "a.py").write_text("1")
    first = digest(["a.py"])
    (tmp_path / "a.py").write_text("2")
    second = digest(["a.py"])
    (tmp_path / "a.py").rename(tmp_path / "b.py")

    assert len({first, second, digest(["b.py"]), digest(["b.py"], "setting")}) == 4


# ── lists ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("requirements_file", [*BUNDLES.values(), "requirements/worker.txt"])
def test_a_shipped_list_is_the_same_for_every_python(requirements_file: str) -> None:
    """No line depends on a marker, so nothing can be missing where the build runs elsewhere."""
    text = (ROOT / requirements_file).read_text()

    assert "--hash=sha256:" in text
    assert not re.findall(r"^\S+==\S+ ;.*$", text, re.MULTILINE)


def test_the_bundles_are_those_of_the_route_table() -> None:
    assert set(BUNDLES) == {function.bundle for function in FUNCTIONS}
    lists = {name: (ROOT / path).read_text() for name, path in BUNDLES.items()}
    assert "pyarrow==" in lists["data"]
    assert "pyarrow==" not in lists["core"]


def test_the_sdk_knows_every_service_that_the_runtime_calls() -> None:
    text = (ROOT / "runtime/sdk.py").read_text()

    called = set(re.findall(r"_create\(\s*\"([\w-]+)\"", text))
    assert called
    assert called <= SDK_SERVICES


def test_sources_exist() -> None:
    for source in (*FUNCTION_SOURCES, *WORKER_SOURCES):
        assert (ROOT / source).exists(), source


def test_the_function_runtime_and_the_image_are_one_python() -> None:
    from cdk_app.config import DEV  # noqa: PLC0415

    dockerfile = (ROOT / "runtime/worker/Dockerfile").read_text()
    assert f"python:{DEV.python_version}-slim" in dockerfile
    assert f"--python-version {DEV.python_version}" in dockerfile


@pytest.mark.parametrize("sources", [FUNCTION_SOURCES, WORKER_SOURCES], ids=["functions", "worker"])
def test_what_is_deployed_has_every_module_of_ours_that_it_imports(
    sources: tuple[str, ...],
) -> None:
    """Also those that are imported inside functions, and by programs that are started by name."""
    files = set(source_files(sources))
    imported = {
        name
        for file in files
        if file.suffix == ".py"
        for name in re.findall(
            r"^\s*(?:from|import) (runtime[\w.]*)", (ROOT / file).read_text(), re.MULTILINE
        )
    }

    def is_there(module: str) -> bool:
        path = Path(*module.split("."))
        return path.with_suffix(".py") in files or path / "__init__.py" in files

    assert len(imported) > 50
    # `bootstrap` wires a laptop, too, and imports its adapters where it does.
    missing = {name for name in imported if not is_there(name)}
    assert sorted(name for name in missing if not name.startswith("runtime.local")) == []
