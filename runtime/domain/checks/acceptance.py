"""How many tries a job may take until it has its records; for templates with checks."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, Self

from runtime.domain.checks.rounds import first_round
from runtime.domain.errors import InputError
from runtime.domain.options import option

TRIES_A_RECORD: Final = 10
"""Tries for each record that is asked for, unless `max_candidates` says another number."""
MAX_CANDIDATES: Final = 10_000_000
NONE_ACCEPTED_TRIES: Final = 200
"""So many tries of which no record has passed end a job: its checks can hardly be passed."""


MOST_ATTEMPTS: Final = 10
"""Tries of one record that may be asked for."""


class OnExhausted(StrEnum):
    """What becomes of a job that has used up its tries with too few records."""

    PARTIAL = "partial"
    FAIL = "fail"


@dataclass(frozen=True, kw_only=True, slots=True)
class Acceptance:
    """Tries of a job whose template has checks; nothing of it has an effect on any other."""

    attempts: int = option(
        2,
        help="Tries of one record that checks reject, each with another draw.",
        least=1,
        most=MOST_ATTEMPTS,
        identifies=True,
        late=True,
    )
    max_candidates: int | None = option(
        None,
        help="The most tries in all, accepted or not; 10 for each record unless given.",
        least=1,
        most=MAX_CANDIDATES,
        late=True,
    )
    on_exhausted: OnExhausted = option(
        OnExhausted.PARTIAL,
        help="partial: a job that has used up its tries completes with the records it has."
        " fail: it fails; its records are kept and can be exported.",
        late=True,
    )

    def pinned(self, num_records: int, *, has_checks: bool) -> Self:
        """As a new job of so many records keeps it: with the most tries, if its template has
        checks. Raises `InputError` for tries of a template without any, or too few.
        """
        if not has_checks:
            if self != type(self)():
                raise InputError(
                    "attempts, max_candidates and on_exhausted are of templates with checks, and"
                    " this one has none: leave them out, or give it `checks`"
                )
            return self
        if self.max_candidates is not None and self.max_candidates < num_records:
            raise InputError(
                f"max_candidates: {self.max_candidates} tries can't give {num_records} records:"
                f" give {num_records} or more, or leave it out for {candidates(num_records)}"
            )
        return replace(self, max_candidates=self.max_candidates or candidates(num_records))

    def first_round(self, num_records: int) -> int:
        """How many indices a new job in shards begins with."""
        if self.max_candidates is None:
            return num_records
        return first_round(num_records, attempts=self.attempts, candidates=self.max_candidates)


def candidates(num_records: int) -> int:
    """The most tries of a job that is to have so many records, unless it was said."""
    return min(TRIES_A_RECORD * num_records, MAX_CANDIDATES)


def grown_candidates(
    most: int | None, *, before: int, num_records: int, asked: int | None = None
) -> int | None:
    """The most tries of a job of `before` records that is to have `num_records`: as many as `asked`
    for, or more in proportion where nobody had asked for a number; never fewer than records. None
    stays None: its template has no checks. Raises `InputError` for less than it has, or none.
    """
    if asked is not None:
        if most is None:
            raise InputError("max_candidates: the job's template has no checks: leave it out")
        if asked < most:
            raise InputError(f"max_candidates: the job has {most} already: it is only raised")
        most = asked
    elif most is not None and most == candidates(before):
        most = candidates(num_records)
    return most and max(most, num_records)
