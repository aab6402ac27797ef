"""What commands print: lines, texts, one JSON document, plain tables, words beside the result,
questions.

Nothing else in the command prints, which ruff holds: whatever a user, a model or a server wrote
goes through here, and becomes plain text.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from runtime.domain.errors import InputError
from runtime.domain.plain_text import plain_line, plain_lines


def print_line(text: object) -> None:
    """One line, whatever is in it."""
    print(plain_line(str(text)))


def print_text(text: str) -> None:
    """Text of several lines."""
    print(plain_lines(text))


def print_titled(title: str, text: str) -> None:
    """A text of several lines below its title, after an empty line."""
    print_line("")
    print_line(f"── {title} ──")
    print_text(text)


def print_exactly(text: str) -> None:
    """A document that is stored as it is where standard output is a file or a pipe. A terminal
    gets plain text.
    """
    print(plain_lines(text) if sys.stdout.isatty() else text)


def print_json(document: Any) -> None:
    """One document on one line. What a terminal would act on is escaped, which means the same."""
    text = orjson.dumps(document).decode()
    print(text if text.isprintable() else "".join(map(_escaped, text)))


def _escaped(character: str) -> str:
    """A character of JSON; outside of strings there is none that has to be escaped."""
    if character.isprintable():
        return character
    units = character.encode("utf-16-be")
    pairs = (units[start : start + 2] for start in range(0, len(units), 2))
    return "".join(f"\\u{pair.hex()}" for pair in pairs)


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

    print_line(line({name: name.replace("_", " ") for name in columns}))
    for row in shown:
        print_line(line(row))


def plain(value: object) -> str:
    """One cell on one line."""
    if value is None:
        return ""
    return plain_line(
        value if isinstance(value, str) else orjson.dumps(value, default=str).decode()
    )


def say(text: str) -> None:
    """A word to people, beside the result: on standard error."""
    sys.stdout.flush()
    print(plain_line(text), file=sys.stderr, flush=True)


def confirm(question: str, *, yes: bool) -> bool:
    """Whether to go on. Raises `InputError` when there is nobody to ask."""
    if yes:
        return True
    if not sys.stdin.isatty():
        raise InputError(f"{question.rstrip('?')}: use --yes to confirm")
    ask(f"{question} [y/N] ")
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def ask(question: str) -> None:
    """A question whose answer is typed behind it."""
    print(plain_line(question), end="", file=sys.stderr, flush=True)
