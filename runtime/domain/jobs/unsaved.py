"""Work of a job that its counters don't have yet: on a laptop it is in the worker's journal, and
stays there after a kill until the job goes on.
"""

from dataclasses import dataclass
from typing import Final

from runtime.domain.money.amounts import usd
from runtime.domain.wording import counted


@dataclass(frozen=True, kw_only=True, slots=True)
class Unsaved:
    """How much of it there is beside what the counters say."""

    records: int = 0
    """Finished, and in no batch."""
    failed: int = 0
    tokens: int = 0
    cost_nano: int = 0
    """The most that was spent since the job's cost was written; after a kill a job that goes on
    counts all of it.
    """

    def __bool__(self) -> bool:
        return self != NOTHING_UNSAVED

    @property
    def text(self) -> str:
        """What there is, for people: `3 finished records, 120 tokens, at most $0.001200`."""
        return ", ".join(
            part
            for part, is_there in (
                (counted(self.records, "finished record"), self.records),
                (counted(self.failed, "failed record"), self.failed),
                (counted(self.tokens, "token"), self.tokens),
                (f"at most {usd(self.cost_nano)}", self.cost_nano),
            )
            if is_there
        )


NOTHING_UNSAVED: Final = Unsaved()
