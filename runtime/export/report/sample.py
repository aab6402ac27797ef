"""A keyed sample: which records are in it follows from the job and the index alone, so the same
dataset has the same sample, in whatever order its records were finished.
"""

from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b
from heapq import heappush, heapreplace
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")


def draw_of(job_id: str, index: int) -> int:
    """The number that a record drew, 64 bits: the smallest ones are the sample."""
    key = f"{job_id}/{index}".encode()
    return int.from_bytes(blake2b(key, digest_size=8, person=b"report").digest(), "big")


class KeyedSample(Generic[Item]):
    """At most `size` items, those with the smallest draws."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._heap: list[tuple[int, int, Item]] = []
        self.offered = 0

    def __len__(self) -> int:
        return len(self._heap)

    def takes(self, draw: int) -> bool:
        """Whether an item with this draw would be in it now: what is not need not be made."""
        self.offered += 1
        return len(self._heap) < self._size or -draw > self._heap[0][0]

    def add(self, draw: int, item: Item) -> None:
        """Put in what it takes; the largest draw leaves a full sample."""
        # `offered` differs from item to item, so that items are never compared.
        entry = (-draw, self.offered, item)
        if len(self._heap) < self._size:
            heappush(self._heap, entry)
        else:
            heapreplace(self._heap, entry)

    def document(self) -> list[tuple[int, Item]]:
        """Draws and items, for `merge`."""
        return [(-draw, item) for draw, _, item in self._heap]

    def merge(self, document: Iterable[tuple[int, Any]], read: Callable[[Any], Item]) -> None:
        """Add another sample's, whose items are read where they are taken."""
        for draw, item in document:
            if self.takes(draw):
                self.add(draw, read(item))

    def __iter__(self) -> Iterator[Item]:
        """By draw, the smallest first."""
        return (item for _, _, item in sorted(self._heap, key=lambda entry: -entry[0]))
