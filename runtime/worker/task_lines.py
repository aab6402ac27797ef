"""What a task leaves behind: its record, and the tries of it that checks have rejected."""

from datetime import datetime

from runtime.domain.checks.check import RejectedTry
from runtime.domain.jobs.record import Record
from runtime.engine.record_task import RecordTask


def record_of(task: RecordTask, now: datetime) -> Record:
    """The record of a finished task."""
    return Record(
        job_id=task.job_id,
        index=task.index,
        timestamp=now,
        seed_data_id=task.seed_id,
        generation_result=task.results,
        attempt=task.attempt,
        verdicts=task.verdicts if task.plan.template.checks else None,
    )


def rejected_of(task: RecordTask, rejected: RejectedTry, now: datetime) -> Record:
    """One of its rejected tries, as a line says it."""
    return Record(
        job_id=task.job_id,
        index=task.index,
        timestamp=now,
        seed_data_id=task.seed_id,
        generation_result=rejected.results,
        attempt=rejected.attempt,
        verdicts=rejected.verdicts,
        rejected_by=rejected.rejected_by,
    )
