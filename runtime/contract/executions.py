"""Executions of the state machine that works on a sharded job: what they are called, what they are
given, and what the function that judges each round answers.

    {job_id}-{salt}-{number}        the job's execution of that number

Payloads are pointers: ids and numbers, and nothing that a user wrote.
"""

import hashlib
from enum import StrEnum
from typing import Final

MAX_SHARDS: Final = 90
"""Of a job: with the job, its own work item and the accounts of its month they are one transaction,
and so is the largest Map."""

MAX_ROUNDS: Final = 500
"""Judgements of one execution. Each writes some twenty events of at most 25 000; a job that is not
done by then goes on in the next execution."""

MAX_EXECUTIONS: Final = 9_999
RETRY_NUMBERS: Final = 50
"""Launches of one shard in one round, on Spot and at the full price each, at most."""

SHARD_BATCH: Final = 600
"""Finished records in a batch of a shard, if they come within half a minute, as many as a worker
with 64 calls of three seconds makes in that time: a job of a million has 1 700 batches then, and
not 20 000. A machine that dies without a word costs the calls since."""

MAP_LABEL: Final = "Shards"
"""Of the Distributed Map: a part of the names of its children."""

_SALT_CHARACTERS: Final = 8


class Step(StrEnum):
    """What the state machine does next."""

    GENERATE = "generate"
    """One task a shard, side by side."""
    EXPORT = "export"
    """One task for the work item of the job itself, which exports and ends it."""
    WAIT = "wait"
    END = "end"


def execution_name(job_id: str, created_at: str, number: int) -> str:
    """By this name Step Functions recognises an execution that it has heard of, for 90 days.

    A job that was deleted may come again under its id, and counts its executions from 1: the time
    keeps it from meeting those of the old one. At most 80 characters, of those that its log takes.
    """
    salt = hashlib.sha256(f"{job_id} {created_at}".encode()).hexdigest()[:_SALT_CHARACTERS]
    return f"{job_id}-{salt}-{number}"


def launch_number(execution: int, round_: int) -> int:
    """The first number of the tasks that a round starts; each retry of a task adds one to it, and
    one at the full price `RETRY_NUMBERS`. No other task of the shard has the same.
    """
    return (execution * (MAX_ROUNDS + 1) + round_) * 2 * RETRY_NUMBERS
