"""The house's floor plan: who may import whom, read from the source.

Every import counts, also those for type checkers and those inside functions. import-linter holds
the layers too; it knows nothing of circles inside a room, nor of a room that no layer names.
"""

import ast
import tomllib
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
PACKAGES: Final = [
    name for name in ("cdk_app", "runtime", "seedwright") if (ROOT / name / "__init__.py").is_file()
]
SILENT: Final = ("client", "datasets", "doctor", "engine", "export", "inputs", "service")
"""Rooms that print nothing and look at no terminal: what they report goes to an observer."""

Graph = dict[str, set[str]]


@cache
def modules() -> dict[str, Path]:
    """Every module by its name; a package has the name of its folder."""
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(modules()[module].read_text(encoding="utf-8"))


def imported(module: str) -> Iterator[str]:
    """Dotted names that a module imports, with those that turn out to be no modules."""
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} has a relative import"
            assert node.module is not None
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in modules() else node.module


@cache
def graph() -> Graph:
    """Which modules of ours each module imports."""
    return {
        module: {name for name in imported(module) if name in modules() and name != module}
        for module in modules()
    }


@cache
def layers(number: int) -> list[list[str]]:
    """The rooms of a layers contract, the top layer first: of the whole, or of the domain."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = project["tool"]["importlinter"]["contracts"]
    found = [each["layers"] for each in contracts if each["type"] == "layers"][number]
    return [[room.strip() for room in layer.split("|")] for layer in found]


HOUSE, DOMAIN = 0, 1


def room_of(module: str, number: int) -> str | None:
    """The room of a contract that a module is in."""
    rooms = [room for layer in layers(number) for room in layer]
    return next((room for room in rooms if f"{module}.".startswith(f"{room}.")), None)


def floor_of(room: str, number: int) -> int:
    """0 is the top."""
    return next(index for index, layer in enumerate(layers(number)) if room in layer)


def between_rooms(number: int) -> Iterator[tuple[str, str, str]]:
    """Imports from one room into another: the rooms, and the modules for people."""
    for module, others in graph().items():
        source = room_of(module, number)
        for other in others:
            target = room_of(other, number)
            if source and target and source != target:
                yield source, target, f"{module} imports {other}"


def circle_in(edges: Graph) -> list[str]:
    """One circle, empty if there is none."""
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as error:
        circle: list[str] = error.args[1]
        return circle
    return []


def test_no_modules_import_each_other() -> None:
    assert circle_in(graph()) == []


@pytest.mark.parametrize("number", [HOUSE, DOMAIN])
def test_no_rooms_import_each_other(number: int) -> None:
    edges: Graph = {}
    for source, target, _ in between_rooms(number):
        edges.setdefault(source, set()).add(target)
    assert edges, "the rooms import nothing: the contract names others than there are"
    assert circle_in(edges) == []


@pytest.mark.parametrize("number", [HOUSE, DOMAIN])
def test_imports_go_down(number: int) -> None:
    """Rooms of one layer don't know each other."""
    wrong = [
        told
        for source, target, told in between_rooms(number)
        if floor_of(source, number) >= floor_of(target, number)
    ]
    assert wrong == []


@pytest.mark.parametrize(("number", "house"), [(HOUSE, "runtime"), (DOMAIN, "runtime.domain")])
def test_every_module_is_in_a_room(number: int, house: str) -> None:
    homeless = [
        name
        for name, path in modules().items()
        if name.startswith(f"{house}.") and path.name != "__init__.py"
        if room_of(name, number) is None
    ]
    assert homeless == []


@pytest.mark.parametrize("number", [HOUSE, DOMAIN])
def test_every_room_exists(number: int) -> None:
    assert [room for layer in layers(number) for room in layer if room not in modules()] == []


def test_the_public_face_is_above_everything() -> None:
    if "seedwright" in PACKAGES:
        assert layers(HOUSE)[0] == ["seedwright"]


def packages() -> list[str]:
    return [name for name, path in modules().items() if path.name == "__init__.py"]


@pytest.mark.parametrize("package", packages())
def test_a_package_says_what_lives_in_it_and_what_it_may_import(package: str) -> None:
    text = ast.get_docstring(tree(package))
    assert text is not None
    assert len(text.splitlines()) >= 2


# ── what prints nothing ────────────────────────────────────────────────────────────────────────


def silent_modules() -> list[str]:
    prefixes = tuple(f"runtime.{room}." for room in SILENT)
    return [name for name in modules() if f"{name}.".startswith(prefixes)]


def talk(module: str) -> Iterator[str]:
    """Everything by which a module talks to a terminal."""
    if any(name.split(".")[0] == "rich" for name in imported(module)):
        yield "imports rich"
    for node in ast.walk(tree(module)):
        match node:
            case ast.Call(func=ast.Name(id="print" | "input" as name)):
                yield f"line {node.lineno}: {name}()"
            case ast.Attribute(value=ast.Name(id="sys"), attr="stdin" | "stdout" | "stderr"):
                yield f"line {node.lineno}: sys.{node.attr}"
            case ast.ImportFrom(module="sys", names=names):
                streams = {"stdin", "stdout", "stderr"}
                yield from (f"line {node.lineno}" for each in names if each.name in streams)
            case ast.Attribute(attr="isatty"):
                yield f"line {node.lineno}: isatty"


@pytest.mark.parametrize("module", silent_modules())
def test_a_library_room_is_silent(module: str) -> None:
    assert list(talk(module)) == []
