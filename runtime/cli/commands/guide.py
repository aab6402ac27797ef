"""`seedwright guide`: the reference for people and coding agents."""

from typing import Annotated, Final

import typer

from runtime.cli.output import print_line, print_text
from runtime.guide.guide import guide as guide_text
from runtime.guide.guide import topic_lines

EXAMPLE: Final = "Example: seedwright guide templates"


def guide(
    topic: Annotated[
        str | None, typer.Argument(help="One topic with all of it. [a shorter form of all]")
    ] = None,
    *,
    list_topics: Annotated[bool, typer.Option("--list", help="List the topics.")] = False,
) -> None:
    """Print how templates are written: fields, models, examples, as Markdown."""
    if list_topics:
        for line in topic_lines():
            print_line(line)
        return
    print_text(guide_text(topic).rstrip("\n"))
