"""One of the worker processes of a dataset in shards.

    python -m runtime.datasets.shard_worker    (started by `shard_team.py`, with a `ShardOrder`)

It takes shards until none is left to take; as long as others are at work it stands by, since a
shard whose worker is killed is claimable at once. It ends on SIGTERM, or when its parent is gone:
the pipe to its standard input closes with the parent, however that ends.
"""

import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import orjson

from runtime.bootstrap import local_engine, process_owner
from runtime.contract.exit_codes import ExitCode
from runtime.datasets.engine_parts import log_to, process_settings
from runtime.domain.errors import SeedwrightError
from runtime.domain.jobs.job import ACTIVE, JobStatus, work_id_of
from runtime.domain.ports import Claim, Ports
from runtime.logs import event
from runtime.models.registry import Backend
from runtime.worker.settings import WorkerSettings
from runtime.worker.worker import Worker

STAND_BY_SECONDS: Final = 0.5
_log = logging.getLogger("runtime.datasets.shard_worker")


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardOrder:
    """What a worker is started with."""

    storage: str
    log: str
    job_id: str
    shards: int
    backend: str
    base_url: str | None
    providers: Sequence[str]
    """Of all models that the job calls."""
    concurrency: int

    def arguments(self) -> list[str]:
        """The command line of the worker's process."""
        order = orjson.dumps(asdict(self)).decode()
        return [sys.executable, "-m", "runtime.datasets.shard_worker", order]


def main(arguments: list[str]) -> int:
    """Work until nothing is left. The exit code."""
    order = ShardOrder(**orjson.loads(arguments[0]))
    # A signal that comes too early waits for its handler. Ctrl-C is the parent's to pass on.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with log_to(Path(order.log), job_id=order.job_id):
        try:
            backend = Backend(order.backend, order.base_url)
            models = backend.open(order.concurrency, providers=order.providers)
            # The job has pinned its prices already.
            engine = local_engine(
                Path(order.storage),
                models=models.client,
                provider=backend.name,
                prices=backend.prices(),
            )
        except SeedwrightError as error:
            with suppress(OSError):
                os.write(1, " ".join(str(error).split()).encode() + b"\n")  # for the parent
            return ExitCode.BAD_CONFIGURATION
        with closing(engine):
            try:
                return _work(engine.ports, order, process_settings(models))
            except SeedwrightError as error:
                # The end of the process gives the work back at once, and another one starts clean.
                event(_log, logging.ERROR, "worker stopped", error=error.code, detail=str(error))
                return ExitCode.INTERRUPTED


def _work(ports: Ports, order: ShardOrder, settings: WorkerSettings) -> int:
    stopped = threading.Event()
    worker = Worker(
        ports,
        owner=process_owner(),
        settings=settings,
    )

    def on_signal(signum: int, frame: object) -> None:
        del frame
        worker.handle_shutdown(signum, None)
        stopped.set()

    signal.signal(signal.SIGTERM, on_signal)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    threading.Thread(target=_outlive_no_parent, name="parent", daemon=True).start()
    try:
        while not stopped.is_set():
            claim = _next_shard(ports, order, worker.owner)
            if claim is not None:
                worker.process_job(claim)
            elif not _others_work(ports, order):
                return ExitCode.DONE
            else:
                stopped.wait(STAND_BY_SECONDS)
        return ExitCode.INTERRUPTED
    finally:
        worker.close()


def _next_shard(ports: Ports, order: ShardOrder, owner: str) -> Claim | None:
    """A shard that nobody works on. Never the job's own work, which is the parent's."""
    for lease in ports.queue.leases():
        if lease.abandoned and lease.work_id != work_id_of(order.job_id):
            ports.queue.recover(lease)
    for state in ports.queue.shards_of(order.job_id, order.shards):
        if state.status is JobStatus.QUEUED:
            claim = ports.queue.claim(work_id_of(order.job_id, state.shard), owner)
            if claim is not None:
                return claim
    return None


def _others_work(ports: Ports, order: ShardOrder) -> bool:
    states = ports.queue.shards_of(order.job_id, order.shards)
    return any(state.status in ACTIVE for state in states)


def _outlive_no_parent() -> None:
    with suppress(OSError):
        while os.read(0, 1024):
            pass
    event(_log, logging.INFO, "parent is gone")
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
