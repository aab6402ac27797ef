"""Tries that a check has rejected, as their lines say: which one of which index, and by what."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from runtime.domain.jobs.checkpoint import Partial
from runtime.domain.jobs.record import parse_line
from runtime.export.batches import Batch
from runtime.worker.outcomes import Outcomes

UNKNOWN_CHECK: Final = "unknown"
"""The check in a line that names none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rejection:
    """One rejected try, without what it said."""

    index: int
    attempt: int
    check: str


def rejection_of(line: bytes) -> Rejection:
    """What a line of rejected tries says. Raises `ValueError` on damage."""
    index, document = parse_line(line)
    attempt, check = document.get("try"), document.get("rejected_by")
    if not isinstance(attempt, int) or isinstance(attempt, bool) or attempt < 0:
        raise ValueError("a rejected try without its number")
    return Rejection(
        index=index,
        attempt=attempt,
        check=check if isinstance(check, str) and check else UNKNOWN_CHECK,
    )


def rejections_in(part: Batch, size: int) -> Iterator[Rejection]:
    """Every rejected try of an index below `size`; a damaged line says nothing."""
    for line in part.lines:
        try:
            found = rejection_of(line)
        except ValueError:
            continue
        if found.index < size:
            yield found


def begin_next_try(outcomes: Outcomes, partials: dict[int, Partial], index: int) -> None:
    """Whoever opens the index goes on behind the tries of it that were rejected: paid work of those
    is done with. An index that is finished has nothing to go on with.
    """
    if index in outcomes.finished:
        partials.pop(index, None)
        return
    attempt, partial = outcomes.attempt(index), partials.get(index)
    if attempt and (partial is None or partial.attempt < attempt):
        partials[index] = Partial(steps={}, attempt=attempt)
