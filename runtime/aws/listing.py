"""Lists that users page through, newest first: an index with `created_at` as its sort key.

A position is `{created_at}/{id}` of the last item that was looked at. It names a place and not an
item, so it holds when the item is deleted meanwhile; whose list it is comes from the caller.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from runtime.aws.table import Item, Table
from runtime.domain.errors import InputError
from runtime.domain.pages import Page

MAX_EXAMINED: Final = 1000
"""Items that one page looks at when few of them are wanted."""

_FILTERED_PAGE: Final = 100
"""Items read at a time when some of them are not wanted."""

_POSITION: Final = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z)/([\x20-\x7e]{1,255})", re.ASCII
)

ItemT = TypeVar("ItemT")


@dataclass(frozen=True, kw_only=True, slots=True)
class NewestFirst:
    """An index of a table. `partition` is its key attribute, `identity` the table's; `fixed` holds
    what else belongs to a key of the table.
    """

    table: Table
    index: str
    partition: str
    identity: str
    fixed: Item

    def page(
        self,
        value: str,
        *,
        limit: int,
        after: str | None,
        parse: Callable[[Item], ItemT],
        wanted: Callable[[Item], bool] | None = None,
    ) -> Page[ItemT]:
        """Items whose partition key is `value`. Raises `InputError` for a strange `after`."""
        items = self.table.query(
            self.partition,
            value,
            index=self.index,
            newest_first=True,
            # One more than asked for tells whether there is a next page.
            page_size=limit + 1 if wanted is None else max(limit + 1, _FILTERED_PAGE),
            after=None if after is None else self._start(value, after),
        )
        found: list[ItemT] = []
        position = ""
        for examined, item in enumerate(items):
            if len(found) == limit or examined == MAX_EXAMINED:
                return Page(items=tuple(found), next=position)
            position = f"{item['created_at']}/{item[self.identity]}"
            if wanted is None or wanted(item):
                found.append(parse(item))
        return Page(items=tuple(found))

    def _start(self, value: str, after: str) -> dict[str, Any]:
        match = _POSITION.fullmatch(after)
        if match is None:
            raise unknown_position()
        created_at, identity = match.groups()
        return {
            self.partition: value,
            "created_at": created_at,
            self.identity: identity,
            **self.fixed,
        }


def unknown_position() -> InputError:
    """What an `after` is that no page gave."""
    return InputError("no page of this list begins there: take the position from the page before")
