"""A word for who has mistyped a name."""

from collections.abc import Iterable
from difflib import get_close_matches
from heapq import nsmallest
from typing import Final

_LONGEST: Final = 64
"""Characters that are compared: the time grows with their square, and strangers write the names."""
_MOST: Final = 100
"""Names that are compared: those whose length is the closest, as that of what was meant is."""


def hint_for(name: str, allowed: Iterable[str], *, within: str = "") -> str:
    """What the user may have meant, as the end of a message; empty when nothing is close. `within`
    is what is written before each of these names.
    """
    likely = nsmallest(_MOST, sorted(allowed), key=lambda each: abs(len(each) - len(name)))
    named: dict[str, str] = {}
    for each in sorted(likely):
        named.setdefault(each[:_LONGEST], each)
    close = get_close_matches(name[:_LONGEST], named, n=1)
    return f', did you mean "{within}{named[close[0]]}"?' if close else ""
