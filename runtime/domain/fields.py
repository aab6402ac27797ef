"""What a field of a document that a user wrote may hold. Template and price file ask the same."""

import re
from collections.abc import Callable, Collection, Mapping
from itertools import islice
from typing import Final

from runtime.domain.hints import hint_for

Refuse = Callable[[str, str], None]
"""Takes a place in a document and what is wrong there."""

MAX_OUTPUT_TOKENS: Final = 200_000
"""Of one reply, whatever its model."""
MAX_NAME_CHARACTERS: Final = 200

_ID: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_MOST_UNKNOWN: Final = 20
"""Fields of one mapping that are named: looking for what was meant takes time."""
ID_PROBLEM: Final = "use a letter, then up to 63 letters, digits or _"


def is_id(value: str) -> bool:
    """Whether a text can be the id of a step or of a check, a part of paths."""
    return _ID.fullmatch(value) is not None


def is_text(value: object, *, empty: bool = False, limit: int | None = None) -> bool:
    """Whether it is a text, of at most `limit` characters, and of more than white space unless it
    may be `empty`.
    """
    return (
        isinstance(value, str)
        and (empty or bool(value.strip()))
        and (limit is None or len(value) <= limit)
    )


def is_number(value: object, *, low: float, high: float | None = None, whole: bool = False) -> bool:
    """Whether it is a number in the range, its ends included."""
    kinds = int if whole else (int, float)
    # A bool is an int to Python, and NaN compares false with everything.
    return (
        not isinstance(value, bool)
        and isinstance(value, kinds)
        and low <= value
        and (high is None or value <= high)
    )


def text_field(
    place: str,
    document: Mapping[object, object],
    refuse: Refuse,
    name: str,
    *,
    required: bool = False,
    empty: bool = False,
    limit: int | None = None,
) -> str | None:
    """The text of a field; None: there is none, or it was refused."""
    value = document.get(name)
    if value is None and not required:
        return None
    if not isinstance(value, str) or not is_text(value, empty=empty, limit=limit):
        kind = "a text" if empty else "a text that is not empty"
        most = "" if limit is None else f" of at most {limit} characters"
        problem = "is missing: give it" if name not in document else "must be"
        refuse(place, f"{name} {problem} {kind}{most}")
        return None
    return value


def number_field(
    place: str,
    document: Mapping[object, object],
    refuse: Refuse,
    name: str,
    low: float,
    high: float,
    *,
    whole: bool = False,
) -> float | None:
    """The number of a field, from `low` to `high`; None as above."""
    value = document.get(name)
    if value is None:
        return None
    if not isinstance(value, (int, float)) or not is_number(value, low=low, high=high, whole=whole):
        kind = "a whole number" if whole else "a number"
        refuse(place, f"{name} must be {kind} from {low} to {high}")
        return None
    return value if whole else float(value)


def refuse_unknown(
    place: str, document: Mapping[object, object], refuse: Refuse, known: Collection[str]
) -> None:
    """Refuse the fields that are not known, with what was meant."""
    for name in islice((each for each in document if each not in known), _MOST_UNKNOWN):
        shown = str(name)[:MAX_NAME_CHARACTERS]
        refuse(place, f'unknown field "{shown}"{hint_for(shown, known)}')


def is_within(value: object, levels: int) -> bool:
    """Whether lists and objects in a JSON value are nested at most `levels` deep."""
    if isinstance(value, dict):
        return levels > 0 and all(is_within(each, levels - 1) for each in value.values())
    if isinstance(value, list):
        return levels > 0 and all(is_within(each, levels - 1) for each in value)
    return True
