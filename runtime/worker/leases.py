"""Finds work whose owner is gone. Recovery only makes it claimable again; it never executes it.

No wall clocks are compared. A lease is judged by its own beat: unchanged for a whole lease by the
observer's monotonic clock, and still unchanged when the conditional write happens. Where the store
can prove that an owner is dead, nobody has to wait.
"""

import random
from collections.abc import Callable, Iterable

from runtime.domain.ports import Clock, Lease, WorkQueue
from runtime.worker.settings import WorkerSettings

_LOOKS_PER_LEASE = 12


def recover_abandoned(
    queue: WorkQueue,
    clock: Clock,
    settings: WorkerSettings,
    *,
    work_id: str | None,
    rng: random.Random,
    pause: Callable[[float], bool],
) -> bool:
    """Make abandoned work claimable; whether there was any.

    With a `work_id` only that item counts. `pause(seconds)` sleeps and returns True when the
    caller should give up. Owners that show a sign of life end the wait early.
    """
    watched = _running(queue, work_id)
    # Observers that start together don't take over together.
    patience = settings.lease_seconds + rng.random() * settings.heartbeat_seconds
    since = clock.monotonic()
    while watched:
        dead = [lease for lease in watched.values() if lease.abandoned]
        if dead:
            return _recover_all(queue, dead)
        left = patience - (clock.monotonic() - since)
        if left <= 0:
            return _recover_all(queue, watched.values())
        if pause(min(left, settings.lease_seconds / _LOOKS_PER_LEASE)):
            return False
        now = _running(queue, work_id)
        watched = {
            name: now[name]
            for name, before in watched.items()
            if name in now and _is_quiet(before, now[name])
        }
    return False


def _is_quiet(before: Lease, now: Lease) -> bool:
    """Whether the owner gave no sign of life. It may have been found dead meanwhile."""
    return (before.fence, before.beat) == (now.fence, now.beat)


def _recover_all(queue: WorkQueue, leases: Iterable[Lease]) -> bool:
    return sum(queue.recover(lease) for lease in leases) > 0


def _running(queue: WorkQueue, work_id: str | None) -> dict[str, Lease]:
    return {lease.work_id: lease for lease in queue.leases() if work_id in (None, lease.work_id)}
