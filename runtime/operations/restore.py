"""Restores what was deleted or overwritten by mistake: `python -m runtime.operations.restore`.

    objects BUCKET PREFIX --at TIME        objects as they were then
    begin TABLE RESTORED --at TIME         a table as it was then, under a new name
    items TABLE RESTORED [--key KEY]       its items back into the table in use

`objects` and `items` only say what they would do unless there is `--apply`; all three can be
repeated. docs/runbook.md has the order, and the rights that each needs.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from runtime import sdk
from runtime.domain.errors import InputError, SeedwrightError
from runtime.operations.restore_items import Outcome as ItemOutcome
from runtime.operations.restore_items import Result as ItemResult
from runtime.operations.restore_items import TableRestore
from runtime.operations.restore_objects import ObjectRestore
from runtime.operations.restore_objects import Outcome as ObjectOutcome
from runtime.operations.restore_objects import Result as ObjectResult

_QUIET: Final = {ObjectOutcome.SAME, ItemOutcome.SAME}
"""What is counted and not listed."""

_NOT_RESTORED: Final = {
    ObjectOutcome.TOO_LARGE,
    ObjectOutcome.FAILED,
    ItemOutcome.CHANGED_MEANWHILE,
}


class Progress:
    """Prints what was done, and counts it."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self.is_complete = True
        """Whether nothing that should be restored was left."""

    def note(self, result: ObjectResult | ItemResult) -> None:
        """One object or item."""
        self._counts[result.outcome] += 1
        if result.outcome in _NOT_RESTORED:
            self.is_complete = False
        if result.outcome not in _QUIET:
            detail = result.detail if isinstance(result, ObjectResult) else ""
            print(f"{result.outcome}: {result.key}{detail and f' ({detail})'}")

    def summary(self, *, apply: bool) -> str:
        """One line."""
        counts = ", ".join(f"{number} {name}" for name, number in sorted(self._counts.items()))
        done = "done" if apply else "nothing was changed; to do it, add --apply"
        return f"{counts or 'nothing found'}: {done}"


def main(arguments: Sequence[str] | None = None) -> int:
    """0: done, or shown; 1: something was left or can't be restored; 2: a wrong argument."""
    options = _parser().parse_args(arguments)
    progress = Progress()
    try:
        if options.action == "objects":
            restore = ObjectRestore(
                client=sdk.create_s3_client(), bucket=options.bucket, at=options.at
            )
            restore.run(options.prefix, apply=options.apply, report=progress.note)
        else:
            table = TableRestore(
                client=sdk.create_dynamodb_client(), table=options.table, restored=options.restored
            )
            if options.action == "begin":
                print(f"restoring into {options.restored}: it takes minutes, or hours for much")
                table.begin(options.at)
                print(f"{options.restored} can be read; delete it when you are done")
                return 0
            table.copy(
                options.key, replace=options.replace, apply=options.apply, report=progress.note
            )
    except SeedwrightError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(progress.summary(apply=options.apply))
    return 0 if progress.is_complete else 1


def past_time(text: str) -> datetime:
    """A time with its zone, in the past. Raises `InputError`."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError as exc:
        raise InputError(f"{text!r} is not a time such as 2026-11-23T12:00:00Z") from exc
    if at.tzinfo is None:
        raise InputError(f"{text} has no time zone: write {text}Z for UTC")
    if at > datetime.now(UTC):
        raise InputError(f"{text} is in the future")
    return at


def _time_argument(text: str) -> datetime:
    try:
        return past_time(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m runtime.operations.restore",
        description="Restores data of a deployment that was deleted or overwritten by mistake."
        " docs/runbook.md, Restoring, has the order and the rights.",
        epilog="Example: python -m runtime.operations.restore objects BUCKET jobs/JOB/"
        " --at 2026-11-23T12:00:00Z, and again with --apply.",
    )
    actions = parser.add_subparsers(dest="action", required=True)
    objects = actions.add_parser("objects", help="objects as they were at a time")
    objects.add_argument("bucket", help="its name: resources of the stack seedwright-dev-stateful")
    objects.add_argument("prefix", help="such as jobs/ID/ or seed-data/USER/")
    begin = actions.add_parser("begin", help="a table as it was at a time, under a new name")
    items = actions.add_parser("items", help="items of a restored table back into the table")
    for each in (objects, begin):
        each.add_argument("--at", required=True, type=_time_argument, help="2026-11-23T12:00:00Z")
    for each in (begin, items):
        each.add_argument("table", help="the one in use, a resource of the same stack")
        each.add_argument("restored", help="the name of the restored table")
    items.add_argument("--key", default="", help="a job's or template's id; by default all")
    items.add_argument(
        "--replace", action="store_true", help="items that differ, too, not only missing ones"
    )
    for each in (objects, items):
        each.add_argument("--apply", action="store_true", help="do it; otherwise it is only shown")
    return parser


if __name__ == "__main__":
    sys.exit(main())
