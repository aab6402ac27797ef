"""Part of a long list, and where it goes on."""

from dataclasses import dataclass
from typing import Generic, TypeVar

ItemT = TypeVar("ItemT")


@dataclass(frozen=True, kw_only=True, slots=True)
class Page(Generic[ItemT]):
    """Part of a list. `next` is where the following page begins: pass it as `after`; None: this
    was the last one. A page may hold fewer items than were asked for and still have a next one.
    """

    items: tuple[ItemT, ...]
    next: str | None = None
