"""What the state machine of a sharded job does next, judged from the tables alone.

    event ─▶ job over, or a later execution at work? ─▶ end
             shards all ended? ─▶ own work queued ─▶ export
             shards queued? ─▶ no worker free for this user? ─▶ wait
                               nothing came of some rounds? ─▶ given up
                               ─▶ generate
             only running ones ─▶ wait: they end, or the sweeper finds them dead

What an answer holds is the whole state of the machine and comes back with the next question: ids
and numbers, and nothing of the users'. Whoever asks twice gets the same answer or a later one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from runtime.contract.executions import MAX_ROUNDS, Step, launch_number
from runtime.domain.errors import NotFoundError, WorkersLostError
from runtime.domain.jobs.job import ENDED, Job, JobError, JobStatus
from runtime.domain.service_ports import ApiPorts, WorkItem
from runtime.service.launching import NO_WORKER, workers_for
from runtime.service.observability import count, logger
from runtime.service.shards import advance

Answer = dict[str, Any]
"""The state of the machine after a question."""

RUNNING_SECONDS: Final = 30
"""Before shards that somebody works on are looked at again."""
BUSY_SECONDS: Final = 60
"""Before a user whose workers are all at work is asked for again."""
IDLE_ROUNDS: Final = 3
"""Rounds in a row whose workers finished nothing at all: in each of them many have tried."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Round:
    """What the machine knows. `done` and `claims` are what there was of all shards together when
    the last round of generating began (-1: there was none), and `idle` counts those for nothing.
    """

    job_id: str
    execution: int
    round: int = 0
    done: int = 0
    claims: int = -1
    idle: int = 0

    @classmethod
    def of(cls, event: Mapping[str, Any]) -> "Round":
        """From an event of the machine. Raises `KeyError`, `ValueError` for any other."""
        known = {name: event[name] for name in ("round", "done", "claims", "idle") if name in event}
        return cls(
            job_id=str(event["job_id"]),
            execution=int(event["execution"]),
            **{name: int(value) for name, value in known.items()},
        )

    def answer(self, step: Step, **more: Any) -> Answer:
        """The state of the machine after this."""
        return {
            "job_id": self.job_id,
            "execution": self.execution,
            "round": self.round,
            "done": self.done,
            "claims": self.claims,
            "idle": self.idle,
            "next": str(step),
            **more,
        }


def next_step(ports: ApiPorts, event: Mapping[str, Any]) -> Answer:
    """Answer the state machine."""
    asked = Round.of(event)
    now = replace(asked, round=asked.round + 1)
    try:
        job = ports.jobs.get_job(now.job_id)
    except NotFoundError:
        return now.answer(Step.END)
    if job.status in ENDED or now.round > MAX_ROUNDS:
        # The sweeper withdraws what an ended job leaves, and begins the next execution of others.
        return now.answer(Step.END)
    own, *shards = _work_of(ports, job)
    if own.launches > now.execution:
        return now.answer(Step.END)  # a later execution has taken over
    if own.status is JobStatus.QUEUED:
        return _export(now, job)
    if own.status in ENDED:  # its job is about to end, or about to go on
        return now.answer(Step.WAIT, seconds=RUNNING_SECONDS)
    return _generate(ports, now, job, shards)


def _work_of(ports: ApiPorts, job: Job) -> Sequence[WorkItem]:
    """The job's own work and its shards, once what they ask for is done."""
    ports.jobs.refresh_progress(job.job_id)
    advance(ports.queue, job)
    return ports.work.work_of(job.job_id)


def _generate(ports: ApiPorts, now: Round, job: Job, shards: Sequence[WorkItem]) -> Answer:
    queued = [item for item in shards if item.status is JobStatus.QUEUED]
    claims = sum(item.attempt for item in shards)
    if now.claims >= 0:
        _tell(ports, job, no_worker=bool(queued) and claims == now.claims)
    if not queued:
        return now.answer(Step.WAIT, seconds=RUNNING_SECONDS)
    workers = workers_for(ports, [job], job.user_id)[job.job_id]
    if workers == 0:
        return now.answer(Step.WAIT, seconds=BUSY_SECONDS)
    now = _began(now, done=_done(job, shards), claims=claims)
    if now.idle >= IDLE_ROUNDS:
        _give_up(ports, job, queued)
        return replace(now, idle=0).answer(Step.WAIT, seconds=1)
    logger.info(
        "round begun",
        extra={"job_id": job.job_id, "round": now.round, "shards": len(queued), "workers": workers},
    )
    count("RoundsBegun")
    return now.answer(
        Step.GENERATE,
        shards=[item.shard for item in queued],
        concurrency=workers,
        number=launch_number(now.execution, now.round),
        on_demand=job.config.machines.allow_on_demand,
    )


def _done(job: Job, shards: Sequence[WorkItem]) -> int:
    """What grows whenever workers get anywhere: indices and tries that have ended, and shards. (A
    further round begins with fewer of these, and many more tries than there were.)
    """
    ended = sum(item.status in ENDED for item in shards)
    return job.progress.ended + job.progress.checks.tries + ended


def _began(now: Round, *, done: int, claims: int) -> Round:
    """The machine's state with one more round begun. The one before was for nothing if workers took
    shards and finished none of it; one that found no machines is none of theirs.
    """
    idle = now.idle + (0 <= now.claims < claims) if done == now.done else 0
    return replace(now, done=done, claims=claims, idle=idle)


def _export(now: Round, job: Job) -> Answer:
    return now.answer(
        Step.EXPORT,
        number=launch_number(now.execution, now.round),
        on_demand=job.config.machines.allow_on_demand,
    )


def _tell(ports: ApiPorts, job: Job, *, no_worker: bool) -> None:
    """Let the user know whether a worker came."""
    error = NO_WORKER if no_worker else None
    if error != job.launch_error:
        ports.job_catalog.set_launch_error(job.job_id, error)


def _give_up(ports: ApiPorts, job: Job, items: Sequence[WorkItem]) -> None:
    """End shards that worker after worker has left as they were. The job's own work ends the job
    with this error when the others have ended; what they have made is kept.
    """
    error = WorkersLostError(
        f"no worker could finish a record of {len(items)} shards, in {IDLE_ROUNDS} rounds with many"
        " tries each: out of memory, perhaps. Use smaller seeds or prompts, and resume the job to"
        " try again"
    )
    logger.error("shards given up", extra={"job_id": job.job_id, "shards": len(items)})
    for item in items:
        ports.work.withdraw(
            item.work_id,
            JobStatus.FAILED,
            error=JobError(message=str(error), code=error.code),
            run=job.run,
        )
