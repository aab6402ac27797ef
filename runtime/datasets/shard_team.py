"""The worker processes of a dataset in shards, seen from the process that was asked for it.

They have one queue and one account, in the folder's SQLite file. Here they are started, replaced
when they die, and stopped; what they have done is read from the queue, never from how they ended.
"""

import logging
import signal
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from runtime.contract.exit_codes import ExitCode
from runtime.datasets.shard_worker import ShardOrder
from runtime.domain.errors import ConfigurationError, WorkersLostError
from runtime.domain.jobs.job import ENDED, Job, JobStatus, Progress
from runtime.domain.ports import Ports
from runtime.logs import event
from runtime.service.shards import advance

LOOK_SECONDS: Final = 0.2
DRAIN_SECONDS: Final = 110.0
"""After SIGTERM a worker needs at most `worker.ALARM_SECONDS`."""

MAX_LOSSES: Final = 5
"""Workers that may die in a row without a record saved."""

_log = logging.getLogger(__name__)


class ShardTeam:
    """`workers` processes. `stop` may be called from any thread or signal handler, and again."""

    def __init__(self, order: ShardOrder, workers: int, ports: Ports) -> None:
        self._order = order
        self._ports = ports
        self._workers = workers
        self._processes: list[subprocess.Popen[str]] = []
        self._stopping = threading.Event()
        self._say: Callable[[str], None] = lambda _: None

    def stop(self) -> None:
        """Begin nothing new: the workers finish the calls on their way, save, and end."""
        self._stopping.set()

    def run(
        self, on_progress: Callable[[Progress], None], say: Callable[[str], None] = lambda _: None
    ) -> bool:
        """Work until all shards have ended; False if it was stopped before. `say` is told of each
        worker that has died, in one line. Raises `ConfigurationError` with a worker's reason,
        `WorkersLostError`, `StorageError`.
        """
        self._say = say
        try:
            return self._run(on_progress)
        finally:
            self._end()

    def _run(self, on_progress: Callable[[Progress], None]) -> bool:
        shown, losses = None, 0
        while True:
            job = self._ports.jobs.get_job(self._order.job_id)
            if job.progress != shown:
                on_progress(job.progress)
                if shown is not None and _saved(job.progress) > _saved(shown):
                    losses = 0
                shown = job.progress
            if job.status in ENDED or advance(self._ports.queue, job).ended:
                return True
            if self._stopping.is_set():
                return False
            losses += self._replace_dead(job)
            if losses > MAX_LOSSES:
                raise WorkersLostError(
                    f"workers died {losses} times in a row without saving a record: out of memory,"
                    f" perhaps; look at {self._order.log}. Everything generated is kept"
                )
            self._stopping.wait(LOOK_SECONDS)

    def _replace_dead(self, job: Job) -> int:
        """Keep as many at work as there are shards to take; how many had died."""
        lost = 0
        for process in [each for each in self._processes if each.poll() is not None]:
            self._processes.remove(process)
            reason = _said(process)
            if process.returncode == ExitCode.BAD_CONFIGURATION:
                raise ConfigurationError(reason or "a worker could not be started: see the log")
            if process.returncode != ExitCode.DONE:
                event(_log, logging.ERROR, "worker died", exit_code=process.returncode)
                self._say(f"a worker {_end_of(process.returncode)}: another one goes on")
                lost += 1
        sharding = job.config.sharding
        states = self._ports.queue.shards_of(job.job_id, sharding.count if sharding else 0)
        open_shards = sum(each.status in {JobStatus.QUEUED, JobStatus.RUNNING} for each in states)
        while len(self._processes) < min(self._workers, open_shards):
            self._processes.append(self._start())
        return lost

    def _start(self) -> "subprocess.Popen[str]":
        return subprocess.Popen(  # noqa: S603 - this program
            self._order.arguments(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            process_group=0,  # a Ctrl-C on the terminal is for this process, which passes it on
        )

    def _end(self) -> None:
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            try:
                process.wait(DRAIN_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            _said(process)


def _end_of(code: int) -> str:
    """How a process ended that should not have, for people; a negative code is a signal's."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"


def _saved(progress: Progress) -> int:
    return progress.ended + progress.checks.tries


def _said(process: "subprocess.Popen[str]") -> str:
    """What a process that has ended had to say; its pipes are closed."""
    line = process.stdout.readline().strip() if process.stdout is not None else ""
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with suppress(OSError):
                stream.close()
    return line
