"""How a job's records are shared among workers: each shard has a part of every round.

    created with 2000   shard 0: 0…999      shard 1: 1000…1999
    grown to 3000       shard 0: 2000…2499  shard 1: 2500…2999 besides

A round is what the job was created with, or has grown by; its parts are contiguous and differ by
one at most. What a record is depends on its index and never on shards. A job whose template has
checks gets a round whenever too few records of those before are accepted: `checks/rounds.py`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from runtime.contract.executions import MAX_SHARDS as MAX_SHARDS  # noqa: PLC0414 for whoever shards


@dataclass(frozen=True, kw_only=True, slots=True)
class Sharding:
    """`count` shards (2 to `MAX_SHARDS`); `ends` are the numbers of records after each round."""

    count: int
    ends: tuple[int, ...]

    def grown_to(self, num_records: int) -> "Sharding":
        """With one more round, if there are more records."""
        if num_records <= self.ends[-1]:
            return self
        return replace(self, ends=(*self.ends, num_records))

    def grown_by_request(self, num_records: int, *, checked: bool) -> "Sharding":
        """For a job that is to have more records. Where these are `checked` there may be enough of
        them already: a round is opened once that is known.
        """
        return self if checked else self.grown_to(num_records)

    def document(self) -> dict[str, Any]:
        """As tables hold it; inverse of `parse_sharding`."""
        return {"count": self.count, "ends": list(self.ends)}


def sharding_for(num_records: int, shards: int | None) -> Sharding | None:
    """A new job of `num_records` in `shards`, each of which has a record at least; None where one
    piece is left, or was asked for.
    """
    count = min(shards or 1, num_records, MAX_SHARDS)
    return None if count < 2 else Sharding(count=count, ends=(num_records,))  # noqa: PLR2004


def parse_sharding(document: Mapping[str, Any] | None) -> Sharding | None:
    """Numbers may be Decimal. Raises `KeyError` or `ValueError` on damage."""
    if document is None:
        return None
    count, ends = int(document["count"]), tuple(map(int, document["ends"]))
    rising = all(one < next_ for one, next_ in zip((0, *ends), ends, strict=False))
    if not 2 <= count <= MAX_SHARDS or not ends or not rising:  # noqa: PLR2004
        raise ValueError("not the shards of a job")
    return Sharding(count=count, ends=ends)


def ranges_of(sharding: Sharding, shard: int) -> tuple[range, ...]:
    """The indices of one shard, ascending: one range a round, which may be empty."""
    if not 0 <= shard < sharding.count:
        raise ValueError(f"there is no shard {shard} of {sharding.count}")
    count = sharding.count
    return tuple(
        range(start + (end - start) * shard // count, start + (end - start) * (shard + 1) // count)
        for start, end in zip((0, *sharding.ends), sharding.ends, strict=False)
    )


def size_of(ranges: Sequence[range]) -> int:
    """How many indices they have."""
    return sum(map(len, ranges))
