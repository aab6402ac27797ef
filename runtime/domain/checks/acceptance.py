"""How many tries a job may take until it has its records; for templates with checks."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from runtime.domain.options import option

TRIES_A_RECORD: Final = 10
"""Tries for each record that is asked for, unless `max_candidates` says another number."""
MAX_CANDIDATES: Final = 10_000_000
NONE_ACCEPTED_TRIES: Final = 200
"""So many tries of which no record has passed end a job: its checks can hardly be passed."""


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
        most=10,
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

    def candidates(self, num_records: int) -> int:
        """The most tries of a job that is to have so many records."""
        return self.max_candidates or min(TRIES_A_RECORD * num_records, MAX_CANDIDATES)
