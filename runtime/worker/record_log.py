"""Log lines about one record: where it is in its template, and never what it holds."""

import logging
from typing import Any

from runtime.engine.record_task import RecordTask
from runtime.logs import event

_log = logging.getLogger(__name__)


def log_record(level: int, message: str, task: RecordTask, **fields: Any) -> None:
    """Log a constant `message` about the record of `task`."""
    step = None if task.finished else task.place
    event(_log, level, message, job_id=task.job_id, record=task.index, step=step, **fields)
