"""What the task of a worker is called by whoever started it, and by the worker itself.

    {job_id}/{number}               the job's launch of that number
    {job_id}/shard-{shard}/{number}

ECS stores it as `startedBy` and reports it when the task has stopped; the worker reads it from
`WORKER_OWNER` and puts it into its claims. Tasks of a sharded job are started by its state machine,
whose own name ECS stores: they are known by their variables.
"""

import re
from dataclasses import dataclass
from typing import Final

# ECS takes up to 128 letters, digits, hyphens, underscores and slashes.
_NAME: Final = re.compile(
    r"(?P<job_id>[A-Za-z0-9_-]{1,64})(?:/shard-(?P<shard>[0-9]{1,9}))?/(?P<number>[0-9]{1,9})"
)


STARTED_BY_MACHINE: Final = "AWS Step Functions"
"""`startedBy` of the tasks of every state machine."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskName:
    """Which launch of which work a task is."""

    job_id: str
    number: int
    shard: int | None = None

    def __str__(self) -> str:
        shard = "" if self.shard is None else f"shard-{self.shard}/"
        return f"{self.job_id}/{shard}{self.number}"


def parse_task_name(text: str) -> TaskName | None:
    """Inverse of `str`; None for a task that is no worker of ours."""
    match = _NAME.fullmatch(text)
    if match is None:
        return None
    shard = match["shard"]
    return TaskName(
        job_id=match["job_id"],
        number=int(match["number"]),
        shard=None if shard is None else int(shard),
    )
