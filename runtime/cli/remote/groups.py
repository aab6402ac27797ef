"""Groups of commands, such as `seedwright templates …`."""

import typer

from runtime.contract.exit_codes import EXIT_BAD_INPUT


def make_group(help_text: str, *, example: str) -> typer.Typer:
    """A group that shows its help when no command is given."""
    group = typer.Typer(
        rich_markup_mode=None, help=help_text, epilog=f"Example: seedwright {example}"
    )

    @group.callback(invoke_without_command=True)
    def show_help(context: typer.Context) -> int:
        if context.invoked_subcommand is None:
            print(context.get_help())
        return EXIT_BAD_INPUT

    return group
