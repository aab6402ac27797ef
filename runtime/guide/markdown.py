"""Pages of Markdown: cut into sections by their headings, with links that a reader of text can
follow.
"""

import re
from collections.abc import Callable, Iterator
from typing import Final

HEAD: Final = ""
"""The name of what stands before a page's first section."""

_FENCE: Final = re.compile(r"^ {0,3}(```|~~~)")
_HEADING: Final = re.compile(r"^(#{1,3}) (.+)$")
_LINK: Final = re.compile(r"(`+)(?:.*?[^`])\1(?!`)|(?<!!)\[((?:[^\[\]`]|`[^`]*`)+)\]\(([^)\s]+)\)")


def sections(page: str) -> dict[str, str]:
    """The sections of a page by their headings of the second and third level, in its order, each
    with its heading. What stands before the first is `HEAD`, without the page's title.
    """
    found = {HEAD: ""}
    here = HEAD
    for line, code in _lines(page):
        heading = None if code else _HEADING.match(line)
        if heading is not None and heading[1] == "#":
            continue
        if heading is not None:
            here = heading[2]
            found.setdefault(here, "")
        found[here] += line
    return {title: text.strip("\n") + "\n" for title, text in found.items()}


def anchor_of(heading: str) -> str:
    """What a link to a heading ends with."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def without_links(text: str, name: Callable[[str], str | None]) -> str:
    """The text with each link to another file replaced by its words and, in parentheses, by what
    `name` says of its target. Links to the web stay.
    """

    def words(found: re.Match[str]) -> str:
        label, target = found[2], found[3]
        if target is None or ":" in target:
            return found[0]
        named = name(target)
        return label if named is None or named.lower() == label.lower() else f"{label} ({named})"

    return "".join(line if code else _LINK.sub(words, line) for line, code in _lines(text))


def _lines(text: str) -> Iterator[tuple[str, bool]]:
    """Each line, and whether it belongs to a block of code."""
    inside = False
    for line in text.splitlines(keepends=True):
        fence = _FENCE.match(line) is not None
        yield line, inside or fence
        if fence:
            inside = not inside
