"""What can be tuned about a worker."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerSettings:
    """Durations are seconds; counts are records or calls.

    `lease_seconds` is how long an observer waits for a heartbeat before work counts as abandoned;
    a worker that can't renew stops itself one heartbeat before that.
    """

    checkpoint_interval: int = 50
    flush_seconds: float = 30.0
    concurrency: int = 64
    limits: Mapping[str, int] = field(default_factory=dict)
    """Most calls at a time of a provider's models, where that is less than `concurrency`."""
    heartbeat_seconds: float = 15.0
    lease_seconds: float = 60.0
    piece_bytes: int = 8 * 1024 * 1024
    """Of stored records that a shard exports by itself: a dataset of less is written faster by one
    task than it is joined, and has fewer files.
    """
    drain_seconds: float = 90.0
    """How long calls in flight may finish after a stop; `ALARM_SECONDS` comes after it."""
    frees_renderer: bool = False
    """Whether the render process ends with the generation, where rows need no more of it: for a
    process that has one job only."""
