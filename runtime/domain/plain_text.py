"""Foreign text as text that only says something: what a user, a model, a file or a server wrote
must not steer the terminal that shows it.

A terminal acts on control characters (ESC begins a command), and shows what stands between bidi
overrides in another order than it has. Each of them becomes a space, so nothing is hidden by it.
"""

import unicodedata
from typing import Final

_JOINERS: Final = frozenset("\u200c\u200d")
"""Of the format characters those that words of several scripts, and emoji, can't do without."""

_UNKNOWN: Final = frozenset({"Cn", "Co"})
"""Not assigned in this version of Unicode, or private: shown as a box, and never obeyed."""


def plain_line(text: str) -> str:
    """One line: line breaks become spaces too."""
    return text if text.isprintable() else "".join(map(_plain, text))


def plain_lines(text: str) -> str:
    """Text of several lines: line feeds and tabs stay."""
    return "\n".join(
        "\t".join(plain_line(cell) for cell in line.removesuffix("\r").split("\t"))
        for line in text.split("\n")
    )


def _plain(character: str) -> str:
    if character.isprintable() or character in _JOINERS:
        return character
    return character if unicodedata.category(character) in _UNKNOWN else " "
