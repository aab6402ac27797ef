"""One seed of each item of a list, and seeds that equal an earlier one left out.

{"id": "a", "topics": ["sea", {"name": "tea"}]}  ─ topics ─▶  {"id": "a/1", "source_id": "a",
                                                               "item": "sea"}
                                                              {"id": "a/2", "source_id": "a",
                                                               "name": "tea"}
"""

from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import Any, Final

import orjson

from runtime.domain.errors import InputError, SeedError
from runtime.domain.seeds.seeds import Row, seed_id, value_at
from runtime.domain.wording import counted

STEPS: Final = "steps"
_OUTPUTS: Final = "generation_result"
_NOTHING: Final = object()
_NAMES: Final = ("id", "source_id", "item_id")
"""What tells equal seeds apart."""
_DIGEST_BYTES: Final = 16


def check_path(path: str) -> str:
    """A path to a list: names between dots. Raises `InputError`."""
    if not all(part.strip() for part in path.split(".")):
        raise InputError(
            f"--explode {path!r} is no path: give the name of a field, author.books, or "
            "steps.topics.output"
        )
    return path


class Explosion:
    """Makes seeds of the items at a path, and counts what gave none."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._sources = 0
        self._items = 0
        self._empty = 0
        self._others = 0

    def of(self, row: Row, position: int) -> Iterator[Row]:
        """The seeds of a row, which is at `position` of all rows, from 0."""
        self._sources += 1
        found = _found(row, self._path)
        if not isinstance(found, list):
            self._others += 1
            return
        self._empty += not found
        source = seed_id(row, position)
        for number, item in enumerate(found, start=1):
            self._items += 1
            yield _seed(item, f"{source}/{number}", source)

    def check(self) -> None:
        """Raises `SeedError` where there was no item at all."""
        if not self._items:
            raise SeedError(
                f"--explode {self._path}: there are no items: {self._without() or 'no seeds'}; "
                "name a field with a list, or steps.<id>.output of a dataset's records"
            )

    def notices(self) -> Iterator[str]:
        """How many seeds there are of how many, and what gave none."""
        made = f"{counted(self._items, 'seed')} from {self._sources}"
        rest = self._without()
        yield f"--explode {self._path}: {made}" + (f"; {rest}" if rest else "")

    def _without(self) -> str:
        parts = {"with an empty list": self._empty, "without a list there": self._others}
        return ", ".join(f"{count} {what}" for what, count in parts.items() if count)


def _found(row: Row, path: str) -> Any:
    first, _, rest = path.partition(".")
    outputs = row.get(_OUTPUTS)
    if first == STEPS and rest and isinstance(outputs, Mapping):
        return value_at(outputs, rest, _NOTHING)
    return value_at(row, path, _NOTHING)


def _seed(item: object, name: str, source: str) -> Row:
    called = {"id": name, "source_id": source}
    if not isinstance(item, Mapping):
        return {**called, "item": item}
    own = {"item_id": item["id"]} if "id" in item else {}
    return {**called, **item, **own, **called}


class Repeated:
    """Knows seeds that equal an earlier one, but for what they are called."""

    def __init__(self) -> None:
        self._seen: set[bytes] = set()
        self._count = 0

    def has(self, row: Row) -> bool:
        """Whether an earlier seed is equal; it is known from now on."""
        content = {name: value for name, value in row.items() if name not in _NAMES}
        text = orjson.dumps(content, option=orjson.OPT_SORT_KEYS)
        digest = blake2b(text, digest_size=_DIGEST_BYTES).digest()
        found = digest in self._seen
        self._seen.add(digest)
        self._count += found
        return found

    def notices(self) -> Iterator[str]:
        """How many were left out."""
        if self._count:
            equal = "seed that equals" if self._count == 1 else "seeds that equal"
            yield f"--unique: left out {self._count} {equal} an earlier one"
