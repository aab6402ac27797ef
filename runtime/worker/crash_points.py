"""Named places where a worker may die. Tests stop it there; production passes straight through."""

from collections.abc import Callable
from typing import Final

CRASH_POINTS: Final = (
    "after_claim",
    "after_recover",
    "after_reserve",
    "after_call",
    "after_rejected_put",
    "after_failures_put",
    "before_batch_put",
    "after_batch_put",
    "between_checkpoint_writes",
    "after_checkpoint",
    "before_export",
    "mid_export",  # all records are written, nothing is published; more often in a long export
    "before_status",
    "between_status_writes",
)
"""In the order in which a job first comes by; of what is not there nothing is saved."""

SHARD_CRASH_POINTS: Final = (
    "mid_piece",  # as `mid_export`, while a shard exports by itself
    "after_piece",  # that is there, and the shard has not ended
)
"""More of those of a shard, before its status."""

CrashPoint = Callable[[str], None]


def pass_through(_name: str) -> None:
    """What production does at a crash point: nothing."""
