"""How many indices a sharded job whose template has checks tries next, once all it has tried have
ended with too few records.

    accepted of ended ─▶ the rate ─▶ so many more that the missing ones are among them, most likely

Every number is one of the whole job: how many shards it has plays no part.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_DEVIATIONS: Final = 2
"""Standard deviations of what a round brings by which it is larger than on average needed: one in
40 falls short then."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Tried:
    """What has come of the rounds so far, whose `ends` are as in `sharding.Sharding`. All indices
    below the last end have ended. `tries` counts all of theirs, and `accepted` the records that the
    dataset takes.
    """

    ends: Sequence[int]
    accepted: int
    tries: int


def first_round(wanted: int, *, attempts: int, candidates: int) -> int:
    """Indices that a job begins with: as many as are wanted, unless all their tries could be more
    than it may take.
    """
    return max(1, min(wanted, candidates // attempts))


def next_round(tried: Tried, *, wanted: int, attempts: int, candidates: int) -> int | None:
    """Where the next round ends; None: nothing is missing, or the tries are used up. No index is
    opened whose `attempts` could go beyond the `candidates`, the most tries.
    """
    missing, end = wanted - tried.accepted, tried.ends[-1]
    if missing <= 0:
        return None
    left = min((candidates - tried.tries) // attempts, candidates - end)
    new = min(max(_needed(tried, missing), _least(tried.ends)), left)
    return end + new if new > 0 else None


def _needed(tried: Tried, missing: int) -> int:
    """If records go on to be accepted as they were: of m / p indices m are, on average, with a
    deviation of sqrt(m (1 - p)); that many indices more are 1 / p times as many. Without any that
    was accepted nothing is known: as many as in the last round.
    """
    end = tried.ends[-1]
    if not tried.accepted:
        before = tried.ends[-2] if len(tried.ends) > 1 else 0
        return end - before
    rate = min(tried.accepted / end, 1.0)
    return math.ceil((missing + _DEVIATIONS * math.sqrt(missing * (1 - rate))) / rate)


def _least(ends: Sequence[int]) -> int:
    """What runs dry, since all that can be said was said, is accepted at an ever lower rate than it
    was: each round is twice as large as the last at least, from one on, so that there are few.
    """
    return 1 << (len(ends) - 1)
