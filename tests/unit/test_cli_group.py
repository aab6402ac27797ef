"""The command loads of its parts what is to run, and shows transfers to a terminal only."""

import subprocess
import sys
from pathlib import Path

import pytest

from runtime.cli import group
from runtime.cli.main import run
from runtime.cli.terminal import TerminalObserver
from tests.fixtures.command import REPOSITORY, environment

_SHOW_MODULES = """
import sys
from runtime.cli.main import run
code = run(sys.argv[1:])
print(code, *(name for name in sys.modules if name.startswith("runtime.")), file=sys.stderr)
"""


def modules_of(*arguments: str) -> tuple[int, set[str]]:
    """The exit code of a command, and the modules of ours that it has imported."""
    done = subprocess.run(
        [sys.executable, "-c", _SHOW_MODULES, *arguments],
        env=environment(),
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    code, *names = done.stderr.splitlines()[-1].split()
    return int(code), set(names)


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["wat"], []])
def test_help_and_errors_load_no_command(arguments: list[str]) -> None:
    _, names = modules_of(*arguments)
    assert "runtime.cli.group" in names
    rooms = {name.split(".")[1] for name in names}
    assert rooms == {"cli", "contract", "domain"}
    assert not {name for name in names if name.startswith("runtime.cli.commands.")}


def test_a_command_loads_no_other(tmp_path: Path) -> None:
    code, names = modules_of("login", "--local", "--data", str(tmp_path))
    assert code == 2
    assert {name for name in names if name.startswith("runtime.cli.commands.")} == {
        "runtime.cli.commands.login"
    }


def test_a_command_that_is_misspelled_is_guessed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["wach"]) == 2
    error = "error: No such command 'wach'. Did you mean 'watch'? (see --help)\n"
    assert capsys.readouterr().err == error


@pytest.mark.parametrize("name", group.COMMANDS)
def test_every_command_has_options_of_its_own(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([name, "--help"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"Usage: seedwright {name} [OPTIONS]")
    assert "Example: seedwright " in shown


@pytest.mark.parametrize(("is_terminal", "json"), [(True, False), (True, True), (False, False)])
def test_a_terminal_shows_a_transfer_and_nothing_else_does(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    is_terminal: bool,
    json: bool,
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal)
    with TerminalObserver(json=json).transfer("seeds [1].csv", 1000) as on_bytes:
        on_bytes(600)
        on_bytes(400)
    said = capsys.readouterr()
    assert said.out == ""
    assert ("seeds [1].csv" in said.err) == (is_terminal and not json)


_SHOW_ALLOCATOR = """
import os, sys
from runtime.cli.main import main
try:
    main()
finally:
    print(os.environ["ARROW_DEFAULT_MEMORY_POOL"], file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("own", "there"),
    [({}, "system"), ({"ARROW_DEFAULT_MEMORY_POOL": "jemalloc"}, "jemalloc")],
)
def test_an_export_of_a_command_gives_memory_back(own: dict[str, str], there: str) -> None:
    """Unless the user has chosen Arrow's allocator."""
    done = subprocess.run(
        [sys.executable, "-c", _SHOW_ALLOCATOR, "--version"],
        env={**environment(), **own},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr.split() == [there]
