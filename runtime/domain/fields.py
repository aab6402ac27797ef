"""What a field of a document that a user wrote may hold. Template and price file ask the same."""

from collections.abc import Callable

Refuse = Callable[[str, str], None]
"""Takes a place in a document and what is wrong there."""


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


def is_within(value: object, levels: int) -> bool:
    """Whether lists and objects in a JSON value are nested at most `levels` deep."""
    if isinstance(value, dict):
        return levels > 0 and all(is_within(each, levels - 1) for each in value.values())
    if isinstance(value, list):
        return levels > 0 and all(is_within(each, levels - 1) for each in value)
    return True
