"""The `seedwright` command: the way into it, and what its exit codes mean.

Exit codes: 0 done · 1 failed · 2 wrong input, nothing was started · 3 budget used up · 4 too many
records failed · 130 stopped.
"""

import gc
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from io import TextIOWrapper
from typing import Annotated, Final

import typer

from runtime.cli.group import CommandGroup
from runtime.cli.output import print_line, print_text, say
from runtime.contract.exit_codes import EXIT_BAD_INPUT, EXIT_BUDGET, EXIT_FAILED
from runtime.domain.errors import (
    BudgetExceededError,
    ConfigurationError,
    ConflictError,
    ForbiddenError,
    InputError,
    LimitError,
    MonthlyBudgetError,
    NotFoundError,
    SeedwrightError,
    UnauthenticatedError,
)

_REFUSALS: Final = (
    InputError,
    ConfigurationError,
    UnauthenticatedError,
    ForbiddenError,
    LimitError,
    MonthlyBudgetError,
    NotFoundError,
    ConflictError,
)
"""Nothing was started: by the command's own check, or by the API's."""

app = typer.Typer(
    cls=CommandGroup,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Synthetic datasets from prompt templates and seed data, within a hard budget.",
    epilog="Start with `seedwright demo`, which needs no account and no key.",
)


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    *,
    version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
) -> int:
    """Show the version, or the help when no command is given."""
    if version:
        from importlib.metadata import version as version_of  # noqa: PLC0415

        print_line(f"seedwright {version_of('seedwright')}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print_text(context.get_help())
    return EXIT_BAD_INPUT


def run(arguments: Sequence[str]) -> int:
    """Run a command; the exit code. Every expected failure is one line on standard error."""
    try:
        return int(app(arguments, prog_name="seedwright", standalone_mode=False) or 0)
    except typer.TyperException as error:
        return _fail(f"{error.format_message().rstrip('.')} (see --help)", error.exit_code)
    except typer.Abort:  # the end of standard input, where an answer was expected
        return _fail("stopped: nothing was answered", EXIT_BAD_INPUT)
    except SeedwrightError as error:
        return _fail(str(error), _code_of(error))
    except OSError as error:
        return _fail(f"{error.filename or 'disk'}: {error.strerror or error}", EXIT_FAILED)


def _code_of(error: SeedwrightError) -> int:
    if isinstance(error, _REFUSALS):
        return EXIT_BAD_INPUT
    return EXIT_BUDGET if isinstance(error, BudgetExceededError) else EXIT_FAILED


def _fail(message: str, code: int) -> int:
    say(f"error: {' '.join(message.split())}")
    return code


def main() -> None:
    """The entry point of the process."""
    # A tenth of the start-up time would go into looking at objects that all stay.
    gc.disable()
    # Arrow's other allocators keep three times of what an export uses. Only a process of our own
    # may choose, and only before it imports the library.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    _repair_streams()
    code = run(sys.argv[1:])
    try:
        sys.stdout.flush()
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.exit(code)


def _repair_streams() -> None:
    """Printing must never fail: descriptors that were closed would be given to other files, and a
    terminal may have fewer characters than we use.
    """
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            with suppress(OSError):
                while os.open(os.devnull, os.O_RDWR) < descriptor:
                    pass
            setattr(sys, name, open(descriptor, "r+", closefd=False))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
