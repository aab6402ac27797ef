"""Statuses of a job, which the alarms of its infrastructure count by. What follows what is in
`runtime.domain.jobs.job`.
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
