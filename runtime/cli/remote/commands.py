"""All commands that serve an API or talk to one."""

import typer

from runtime.cli.remote import account, jobs, seeds, serve, templates


def register(app: typer.Typer) -> None:
    """Add them to the app, in the order of its help."""
    for module in (serve, account, jobs, templates, seeds):
        module.register(app)
