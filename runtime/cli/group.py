"""The commands by name. A command's module is imported when it is to run, and not for the help of
the others: help and errors are quick.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from runtime.cli.output import print_text
from runtime.contract.exit_codes import EXIT_BAD_INPUT

COMMANDS: Final[Mapping[str, tuple[str, str]]] = {
    "generate": ("runtime.cli.commands.generate", "Generate a dataset."),
    "demo": (
        "runtime.cli.commands.demo",
        "Generate product reviews with the embedded model.",
    ),
    "guide": (
        "runtime.cli.commands.guide",
        "Print how templates are written: fields, models, examples, as Markdown.",
    ),
    "validate": ("runtime.cli.commands.validate", "Check a template."),
    "estimate": (
        "runtime.cli.commands.estimate",
        "Say what a dataset would cost before a cent is spent.",
    ),
    "report": (
        "runtime.cli.commands.report",
        "Say what a dataset looks like, and write its report.html.",
    ),
    "export": (
        "runtime.cli.commands.export",
        "Make rows again from what a dataset or an ended job has, without a call.",
    ),
    "review": (
        "runtime.cli.commands.review",
        "Write a form to judge rows in: keep, edit, note. `export --review` applies it.",
    ),
    "push": ("runtime.cli.commands.push", "Push a dataset to the Hugging Face Hub."),
    "models": (
        "runtime.cli.commands.models",
        "List models with prices, tiers and the last day they can be used.",
    ),
    "serve": (
        "runtime.cli.commands.serve",
        "Serve the API on this machine, with a worker beside it.",
    ),
    "doctor": (
        "runtime.cli.commands.doctor",
        "Look at an AWS account before and after a deployment, with calls that only read.",
    ),
    "login": ("runtime.cli.commands.login", "Sign in to an API."),
    "logout": (
        "runtime.cli.commands.logout",
        "Forget the tokens of a profile and make them worthless.",
    ),
    "submit": ("runtime.cli.commands.submit", "Let the API generate a dataset."),
    "status": (
        "runtime.cli.commands.status",
        "Show how far a job is, and what it has cost.",
    ),
    "watch": ("runtime.cli.commands.watch", "Follow a job to its end."),
    "jobs": ("runtime.cli.commands.jobs", "List your jobs, newest first."),
    "cancel": ("runtime.cli.commands.cancel", "Stop a job."),
    "resume": (
        "runtime.cli.commands.resume",
        "Go on with a dataset or a job: after a stop, with a larger budget, with more records.",
    ),
    "delete": (
        "runtime.cli.commands.delete",
        "Delete a job that has ended, with its dataset.",
    ),
    "download": ("runtime.cli.commands.download", "Download a dataset."),
    "templates": (
        "runtime.cli.commands.templates",
        "Templates at the API: create, change, look at, share.",
    ),
    "seeds": (
        "runtime.cli.commands.seeds",
        "Seed files at the API: upload, list, validate, delete.",
    ),
}
"""The module of each command, and its line in the help, in the order of the help.

A module has a function of the command's name and an `EXAMPLE`, or the `app` of a group. A test
holds the lines to what the commands say of themselves.
"""


class CommandGroup(TyperGroup):
    """Knows of every command its name and its line, and loads the one that is to run."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands.update(
            {name: TyperCommand(name, help=line) for name, (_, line) in COMMANDS.items()}
        )

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, _, rest = super().resolve_command(ctx, args)
        return name, None if name is None else load_command(name), rest


def load_command(name: str) -> TyperCommand | TyperGroup:
    """A command, or group of commands, with all its options. Raises `KeyError` for no command."""
    module = import_module(COMMANDS[name][0])
    app = getattr(module, "app", None)
    if app is None:
        app = typer.Typer(add_completion=False, rich_markup_mode=None)
        app.command(name, epilog=module.EXAMPLE)(getattr(module, name))
    command = get_command(app)
    assert isinstance(command, TyperCommand | TyperGroup)  # noqa: S101 - narrows what Typer gives
    return command


def group_app(help_text: str, *, example: str) -> typer.Typer:
    """The app of a group, such as `seedwright templates …`. Without a command it shows its help."""
    group = typer.Typer(
        add_completion=False,
        rich_markup_mode=None,
        help=help_text,
        epilog=f"Example: seedwright {example}",
    )

    @group.callback(invoke_without_command=True)
    def show_help(context: typer.Context) -> int:
        if context.invoked_subcommand is None:
            print_text(context.get_help())
        return EXIT_BAD_INPUT

    return group
