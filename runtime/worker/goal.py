"""When a worker has enough: which indices it opens, and how many tries each may take.

    without checks, or a shard    every index there is, with all its tries
    with checks, in one piece     indices in ascending order, about as many at a time as will give
                                  the records that are missing, until there are enough or the tries
                                  are used up

Whatever was opened is brought to its end: the dataset has the accepted records of lowest index, and
those must not depend on which of them ended first.
"""

import math
from collections.abc import Collection, Mapping
from typing import Protocol

from runtime.worker.outcomes import Outcomes


class Tried(Protocol):
    """An open index. It may take `most_tries`, of which `attempt` are behind it."""

    @property
    def index(self) -> int: ...
    @property
    def attempt(self) -> int: ...
    @property
    def most_tries(self) -> int: ...


class Forecast(Protocol):
    """What checks of the dataset are likely to leave out of the records there are. Without such
    checks it is nothing: see `NothingLeftOut`.
    """

    @property
    def left_out(self) -> Mapping[str, int]:
        """By check."""
        ...

    def passed(self, index: int, document: Mapping[str, object]) -> None:
        """A record has passed the checks of records; `document` is its line."""
        ...

    def confirm(self) -> None:
        """Decide in the order of the indices, from what is stored: that is no forecast any more.
        Everything has to be saved. Raises `ExportError`, `StorageError`.
        """
        ...


class Goal:
    """Every index, with so many `attempts`."""

    def __init__(self, *, attempts: int) -> None:
        self._attempts = attempts

    def wants(self, *, under_way: int) -> bool:  # noqa: ARG002 - of others it matters
        """Whether one more index is to be opened while so many are."""
        return True

    def tries_for(
        self,
        index: int,  # noqa: ARG002 - as above
        attempt: int,
        others: Collection[Tried],  # noqa: ARG002 - as above
    ) -> int:
        """How many tries an index may take that has had `attempt`, beside `others` that are open.
        Below its last one it may be left open: see `Prompts.close_rejected`.
        """
        return self._attempts - attempt

    def passed(self, index: int, document: Mapping[str, object]) -> None:
        """A record has passed the checks of records; `document` is its line."""

    @property
    def left_out(self) -> Mapping[str, int]:
        """Records that checks of the dataset are likely to leave out, by check."""
        return {}

    @property
    def must_confirm(self) -> bool:
        """Whether, with nothing open, only a look at what is stored tells if there are enough."""
        return False

    def confirm(self) -> None:
        """Have that look. Raises `ExportError`, `StorageError`."""


class AcceptedRecords(Goal):
    """So many `wanted` records, in `most_tries` at most."""

    def __init__(
        self,
        outcomes: Outcomes,
        *,
        wanted: int,
        most_tries: int,
        forecast: Forecast | None = None,
    ) -> None:
        super().__init__(attempts=outcomes.attempts)
        self._outcomes = outcomes
        self._wanted = wanted
        self._most_tries = most_tries
        self._forecast = forecast
        self._confirmed_at: int | None = None
        """How many indices had ended when the records were chosen last."""

    @property
    def accepted(self) -> int:
        """Records that the dataset has: exactly once they are chosen, else a forecast."""
        passed = self._outcomes.generated - sum(self.left_out.values())
        return min(max(passed, 0), self._wanted)

    def wants(self, *, under_way: int) -> bool:
        missing = self._wanted - self.accepted
        if missing <= 0:
            return False
        # What is tried again tells nothing yet. One more of each, so that nothing seems certain, or
        # out of reach, after a few.
        ended = self._outcomes.ended - len(self._outcomes.postponed)
        rate = (self.accepted + 1) / (ended + 1)
        return under_way < math.ceil(missing / min(rate, 1.0))

    def tries_for(self, index: int, attempt: int, others: Collection[Tried]) -> int:
        left, own = self._most_tries - self._outcomes.tries, self._attempts - attempt
        if left >= self._attempts * len(others) + own:
            return own
        room = left - sum(map(self._reserved, others))
        return max(min(own, room + self._counted(index, attempt, attempt + room)), 0)

    def passed(self, index: int, document: Mapping[str, object]) -> None:
        if self._forecast is not None:
            self._forecast.passed(index, document)

    @property
    def left_out(self) -> Mapping[str, int]:
        return {} if self._forecast is None else self._forecast.left_out

    @property
    def must_confirm(self) -> bool:
        return self._forecast is not None and self._confirmed_at != self._outcomes.ended

    def confirm(self) -> None:
        if self._forecast is not None:
            self._forecast.confirm()
            self._confirmed_at = self._outcomes.ended

    def _reserved(self, task: Tried) -> int:
        """Tries that an open index may still add, the present one included."""
        last = task.most_tries - 1
        return task.most_tries - task.attempt - self._counted(task.index, task.attempt, last)

    def _counted(self, index: int, first: int, last: int) -> bool:
        """Whether one of its tries from `first` to `last` is counted already: the service failed
        it, and it is made once more.
        """
        failed = self._outcomes.postponed.get(index)
        return failed is not None and first <= failed.attempt <= last
