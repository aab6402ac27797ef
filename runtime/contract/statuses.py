"""Statuses of a job, which the alarms of its infrastructure count by, and of its work. What follows
what is in `runtime.domain.jobs.job`.
"""

from enum import StrEnum
from typing import Final


class JobStatus(StrEnum):
    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    BUDGET_EXCEEDED = "BUDGET_EXCEEDED"
    CANCELLED = "CANCELLED"
    DELETING = "DELETING"


ENDS: Final = (
    JobStatus.COMPLETED,
    JobStatus.FAILED,
    JobStatus.BUDGET_EXCEEDED,
    JobStatus.CANCELLED,
)
"""The statuses that a job can end with."""


class WaitingStatus(StrEnum):
    """What work can be and no job: nobody claims it before it is QUEUED."""

    WAITING = "WAITING"
    """The own work of a sharded job, as long as a shard may still generate."""


WorkStatus = JobStatus | WaitingStatus


def parse_work_status(text: str) -> WorkStatus:
    """Raises `ValueError` for any other text."""
    return WaitingStatus.WAITING if text == WaitingStatus.WAITING else JobStatus(text)
