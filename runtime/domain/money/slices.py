"""How a sharded job's budget is handed out: how large the next slice is, and what comes back.

    job's account ──▶ slice of a shard     a share of what is left, so slices shrink near the end
          ▲                 │
          └─────────────────┘              what no worker holds, when the shard ends or another
                                           shard finds the account empty

What is free in a slice is certainly not being spent, so anybody may take it back at any time: its
own worker then finds less than it knew of and asks again. A hold is never taken: it may be spent.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from runtime.domain.errors import ConflictError
from runtime.domain.money.accounts import BudgetStore, Slice

SHARE: Final = 2
"""A slice is this part of an even share of what is left: a shard that is slow or dies keeps less
from the others, and a slice is still worth thousands of calls in all but the last rounds.
"""


def next_growth(*, needed_nano: int, wanted_nano: int, left_nano: int, shards: int) -> int:
    """By how much a slice grows that needs `needed_nano`: less than that only where less is left.
    `wanted_nano` is what all calls that may be in flight need at worst, so that the job's account
    is asked at most once in as many calls until hardly anything is left.
    """
    share = left_nano // (SHARE * max(shards, 1))
    return min(max(needed_nano, wanted_nano, share), left_nano)


def takings(slices: Mapping[str, Slice], needed_nano: int | None) -> Sequence[tuple[str, int]]:
    """What to take out of which slice until `needed_nano` are there, the fullest first; None: all
    that is free.
    """
    taken: list[tuple[str, int]] = []
    by_room = sorted(slices.items(), key=lambda each: (-each[1].free_nano, each[0]))
    for work_id, found in by_room:
        nano = found.free_nano
        if needed_nano is not None:
            nano = min(nano, needed_nano)
            needed_nano -= nano
        if nano > 0:
            taken.append((work_id, nano))
    return taken


@dataclass(frozen=True, kw_only=True, slots=True)
class Returned:
    """What came back to the job's account out of its slices, and what they are since."""

    nano: int
    slices: Mapping[str, Slice]


def take_back(
    store: BudgetStore,
    job_id: str,
    shards: Iterable[int],
    *,
    needed_nano: int | None = None,
    sparing: str | None = None,
) -> Returned:
    """Let what is free in slices return to the job's account: `needed_nano`, or all. `sparing` is
    the work id of a slice that is left alone. A slice that changes meanwhile is left to its worker.
    Safe at any time and when repeated.
    """
    slices = dict(store.get_slices(job_id, shards))
    others = {work_id: each for work_id, each in slices.items() if work_id != sparing}
    returned = 0
    for work_id, nano in takings(others, needed_nano):
        found = others[work_id]
        try:
            slices[work_id] = store.resize_slice(
                job_id, work_id, expected=found, limit_nano=found.limit_nano - nano
            )
        except ConflictError:
            continue
        returned += nano
    return Returned(nano=returned, slices=slices)


def spent_of(spent_nano: int, slices: Iterable[Slice]) -> int:
    """What a job has spent: out of its own account and out of all slices."""
    return spent_nano + sum(each.spent_nano for each in slices)
