"""From prompt to call: which ready record may send its next one now."""

import itertools
from collections import deque

from runtime.domain.errors import ModelError
from runtime.domain.models.calls import ModelReply
from runtime.domain.models.retry import RULES
from runtime.engine.record_task import RecordTask
from runtime.worker.budget_guard import Reservation
from runtime.worker.run import Run
from runtime.worker.schema_calls import SchemaCalls
from runtime.worker.traffic import Traffic


class Dispatch:
    """The records that are `ready` to call, and the calls that are out. A call goes where threads,
    its model, its schema and the budget have room. Owned by the thread that generates.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._calls = itertools.count(1)
        most, limits = run.settings.concurrency, run.settings.limits
        self._traffic = {
            step.model: Traffic(min(most, limits.get(step.price.provider, most)))
            for step in run.plan.calls
        }
        self._schemas = SchemaCalls(run.plan)
        self.ready: deque[RecordTask] = deque()
        self.in_flight: dict[int, RecordTask] = {}
        self._shares = run.shares
        self.unjudged: list[RecordTask] = []
        """Records that a judge without budget left did not look at: they go on without it."""
        self.used_up: str | None = None
        """Why the job stops: a judge that decides has no budget left."""

    def send(self, *, room: int) -> int | None:
        """Send what may go while fewer than `room` calls are out. The worst case, in nano-USD, of a
        call that the budget has no room for, now that nothing is out that could still make some.
        """
        now = self._run.clock.monotonic()
        for _ in range(len(self.ready)):
            if len(self.in_flight) >= room:
                return None
            task = self.ready[0]
            traffic = self._traffic[task.step.model]
            if not traffic.has_room(now):
                if len(self._traffic) == 1:
                    return None
                self.ready.rotate(-1)  # another model may have room
                continue
            request = self._schemas.request(task)
            if request is None:
                self.ready.rotate(-1)  # so may another schema
                continue
            call = next(self._calls)
            worst_case = task.step.worst_case(request)
            if not self._shares.has_room(task.step.step.id, worst_case):
                self._hold_back(task, worst_case)
                continue
            reservation = self._run.guard.reserve(call, worst_case)
            if reservation is not Reservation.GRANTED:
                is_over = reservation is Reservation.EXHAUSTED and not self.in_flight
                # Calls in flight will settle below their worst case and make room.
                return worst_case if is_over else None
            self.ready.popleft()
            self._run.crash_point("after_reserve")
            task.calls += 1
            self.in_flight[call] = task
            self._shares.reserve(call, task.step.step.id, worst_case)
            traffic.in_flight += 1
            self._schemas.sent(call, task)
            self._run.pool.submit(call, request)
        return None

    def _hold_back(self, task: RecordTask, worst_case: int) -> None:
        """The judge that the first ready record is to ask has no room in its share."""
        judge = task.step
        if self._shares.may_get_room(judge.step.id):
            self.ready.rotate(-1)
        elif self._shares.decides(judge.step.id):
            self.ready.rotate(-1)
            self.used_up = self._shares.used_up(judge.step.id, worst_case)
        else:
            self.unjudged.append(self.ready.popleft())
            self._run.saver.tally.skipped(judge.step.id, judge.model)
            task.skip_judge()

    def came_back(self, call: int, result: ModelReply | ModelError) -> RecordTask:
        """The call has ended so. Whose it was."""
        task = self.in_flight.pop(call)
        traffic = self._traffic[task.step.model]
        traffic.in_flight -= 1
        self._schemas.came_back(call, task, result)
        self._shares.ended(call)
        if isinstance(result, ModelReply):
            traffic.answered(self._run.clock.monotonic())
        return task

    def failed(self, task: RecordTask, error: ModelError, *, jitter: float) -> None:
        """What the failure of a call says about its model. `jitter` is uniform in [0, 1)."""
        now = self._run.clock.monotonic()
        self._traffic[task.step.model].refused(
            task, RULES[error.kind], now, jitter=jitter, retry_after=error.retry_after
        )

    def withdraw(self) -> None:
        """Take back the calls that no thread has begun: they cost nothing."""
        for call in self._run.pool.withdraw():
            self._run.guard.release(call)
            self._shares.ended(call)
            del self.in_flight[call]

    def probes(self) -> list[float]:
        """When, in monotonic seconds, each model that is down may be asked whether it is back."""
        probes = (each.next_probe for each in self._traffic.values())
        return [probe for probe in probes if probe is not None]
