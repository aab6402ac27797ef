"""A word for who has mistyped a name."""

from collections.abc import Iterable
from difflib import get_close_matches


def hint_for(name: str, allowed: Iterable[str], *, within: str = "") -> str:
    """What the user may have meant, as the end of a message; empty when nothing is close. `within`
    is what is written before each of these names.
    """
    close = get_close_matches(name, sorted(allowed), n=1)
    return f', did you mean "{within}{close[0]}"?' if close else ""
