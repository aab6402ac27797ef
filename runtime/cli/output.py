"""What commands print: one JSON document, plain tables, words beside the result, questions."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from runtime.domain.errors import InputError


def print_json(document: Any) -> None:
    """One document on one line."""
    print(orjson.dumps(document).decode())


def print_table(rows: Sequence[Mapping[str, object]], columns: Sequence[str]) -> None:
    """Lines that can be searched and copied from; numbers are aligned to the right."""
    shown = [{name: plain(row.get(name)) for name in columns} for row in rows]
    widths = {name: max([len(name), *(len(row[name]) for row in shown)]) for name in columns}
    right = {
        name for name in columns if rows and all(isinstance(row.get(name), int) for row in rows)
    }

    def line(cells: Mapping[str, str]) -> str:
        return "  ".join(
            cells[name].rjust(widths[name]) if name in right else cells[name].ljust(widths[name])
            for name in columns
        ).rstrip()

    print(line({name: name.replace("_", " ") for name in columns}))
    for row in shown:
        print(line(row))


def plain(value: object) -> str:
    """One cell on one line. What a user or a model wrote must not steer the terminal."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else orjson.dumps(value, default=str).decode()
    return "".join(char if char.isprintable() else " " for char in text)


def printable(text: str) -> str:
    """Text of several lines, from a user or a model: nothing in it steers the terminal."""
    return "\n".join(plain(line) for line in text.split("\n"))


def say(text: str) -> None:
    """A word to people, beside the result: on standard error."""
    sys.stdout.flush()
    print(text, file=sys.stderr, flush=True)


def confirm(question: str, *, yes: bool) -> bool:
    """Whether to go on. Raises `InputError` when there is nobody to ask."""
    if yes:
        return True
    if not sys.stdin.isatty():
        raise InputError(f"{question.rstrip('?')}: use --yes to confirm")
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}
