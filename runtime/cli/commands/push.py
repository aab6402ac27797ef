"""`seedwright push`: a dataset of this machine to the Hugging Face Hub."""

import sys
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Final

import typer

from runtime.cli.options import JsonOption
from runtime.cli.output import print_json, print_line, say
from runtime.cli.terminal import TerminalObserver
from runtime.client.transfer import size_text
from runtime.contract.exit_codes import EXIT_INTERRUPTED
from runtime.datasets.pushing import push_dataset
from runtime.domain.wording import counted
from runtime.hub.observer import OnBytes, Pushed
from runtime.hub.selection import Selection
from runtime.hub.target import Target

EXAMPLE: Final = "Example: seedwright push datasets/reviews ada/reviews"
_MAX_SHOWN: Final = 20


def push(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the dataset.")],
    repo: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="Its name on the Hub.")],
    *,
    public: Annotated[
        bool, typer.Option("--public", help="Everybody may read it. [only you, or your group]")
    ] = False,
    revision: Annotated[
        str | None, typer.Option(metavar="BRANCH", help="Branch to push to. [main]")
    ] = None,
    message: Annotated[str | None, typer.Option(help="Message of the commit.")] = None,
    endpoint: Annotated[
        str | None, typer.Option(help="URL of the Hub. [HF_ENDPOINT, or https://huggingface.co]")
    ] = None,
    json: JsonOption = False,
) -> int:
    """Push a dataset to the Hugging Face Hub.

    The card, the rows and the report go there, and nothing else of the folder. The token is
    HF_TOKEN, or the one that `hf auth login` stored. The same command goes on where a push was
    cut, and replaces what has changed.
    """
    try:
        pushed = push_dataset(
            folder,
            repo,
            _Terminal(json=json),
            private=not public,
            revision=revision,
            message=message,
            endpoint=endpoint,
        )
    except KeyboardInterrupt:
        say("Stopped. The same command goes on: what has arrived is not sent a second time.")
        return EXIT_INTERRUPTED
    _report(pushed, json=json)
    return 0


class _Terminal(TerminalObserver):
    """Says what goes where, then shows one bar after the other."""

    def planned(self, selection: Selection, target: Target) -> None:
        count = len(selection.files)
        self.notice(f"{counted(count, 'file')}, {size_text(selection.size)}, to {target.url}")
        for each in selection.files[:_MAX_SHOWN]:
            self.notice(f"  {each.name}  {size_text(each.size)}")
        if count > _MAX_SHOWN:
            self.notice(f"  … and {count - _MAX_SHOWN} more")
        if selection.left_out:
            self.notice(f"  not pushed: {_listed(selection.left_out)}")

    def unchanged(self, size: int) -> None:
        if size:
            self.notice(f"{size_text(size)} of it are there already")

    def transfer(self, name: str, size: int | None) -> AbstractContextManager[OnBytes]:
        if not sys.stderr.isatty():  # no bar: a log gets a line
            self.notice(f"sending {name}")
        return super().transfer(name, size)


def _listed(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _MAX_SHOWN} more" if len(names) > _MAX_SHOWN else ""
    return f"{', '.join(names[:_MAX_SHOWN])}{more}"


def _report(pushed: Pushed, *, json: bool) -> None:
    if json:
        print_json(asdict(pushed))
        return
    for each in pushed.files:
        print_line(f"{'sent' if each.sent else 'unchanged':9}  {each.name}  {size_text(each.size)}")
    for name in pushed.removed:
        print_line(f"removed    {name}")
    print_line(f"{pushed.url} ({'private' if pushed.private else 'public'})")
