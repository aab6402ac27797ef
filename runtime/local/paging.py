"""Places in ordered lists, as text that a caller hands back unread.

Lists are ordered by the moment of creation, and by id where two moments are the same.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final, TypeVar

from runtime.domain.errors import InputError
from runtime.domain.pages import Page

ItemT = TypeVar("ItemT")
RowT = TypeVar("RowT")

_WRONG: Final = "after: take it from `next` of the page before, unchanged"

_LARGEST_INTEGER: Final = 2**63 - 1
"""Of SQLite."""

NEWEST: Final = ("9", "")
"""Before every place of a list that begins with the newest: greater than any stored moment."""


def place_of(created_at: str, item_id: str) -> str:
    """The place behind an item. It holds when the item is gone."""
    return f"{created_at}/{item_id}"


def parse_place(after: str | None) -> tuple[str, str]:
    """Moment and id that the next page begins behind. Raises `InputError`."""
    if after is None:
        return NEWEST
    created_at, _, item_id = after.partition("/")
    try:
        exact = datetime.fromisoformat(created_at).isoformat() == created_at
    except ValueError as exc:
        raise InputError(_WRONG) from exc
    if not (exact and item_id):
        raise InputError(_WRONG)
    return created_at, item_id


def parse_number(after: str | None) -> int | None:
    """The version that the next page begins behind. Raises `InputError`."""
    if after is None:
        return None
    try:
        number = int(after)
    except ValueError as exc:
        raise InputError(_WRONG) from exc
    if not (str(number) == after and 0 < number <= _LARGEST_INTEGER):
        raise InputError(_WRONG)
    return number


def page_of(
    rows: Sequence[RowT], limit: int, *, item: Callable[[RowT], ItemT], place: Callable[[RowT], str]
) -> Page[ItemT]:
    """A page of at most `limit` items from one row more, if there is one: then there's a next."""
    shown = rows[:limit]
    return Page(items=tuple(map(item, shown)), next=place(shown[-1]) if len(rows) > limit else None)
