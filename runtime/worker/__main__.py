"""The process of a worker: `python -m runtime.worker`.

Reads its environment, takes the signals, works, and says how it ended by its exit code.
"""

import logging
import os
import signal
import sys
from collections.abc import Mapping
from typing import Final

from runtime.bootstrap import aws_ports, process_owner
from runtime.contract import environment as names
from runtime.contract.executions import MAX_SHARDS
from runtime.contract.exit_codes import ExitCode
from runtime.domain.errors import ConfigurationError, InputError, SeedwrightError
from runtime.domain.jobs.job import work_id_of
from runtime.logs import configure, event
from runtime.models.stage_servers import calls_at_a_time
from runtime.worker.settings import WorkerSettings
from runtime.worker.worker import Worker

_log = logging.getLogger("runtime.worker")  # `__main__` would not reach the handler of `configure`

_STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


def settings_of(environment: Mapping[str, str]) -> WorkerSettings:
    """Tuning from the environment. Raises `ConfigurationError` that names the variable, and
    `PriceError` for prices of the stage's servers.
    """
    defaults = WorkerSettings()
    settings = WorkerSettings(
        checkpoint_interval=_number(
            environment, names.CHECKPOINT_INTERVAL, defaults.checkpoint_interval
        ),
        concurrency=_number(environment, names.WORKER_CONCURRENCY, defaults.concurrency),
        limits=calls_at_a_time(environment),
        heartbeat_seconds=_number(
            environment, names.HEARTBEAT_SECONDS, int(defaults.heartbeat_seconds)
        ),
        lease_seconds=_number(environment, names.LEASE_SECONDS, int(defaults.lease_seconds)),
    )
    if settings.lease_seconds <= 2 * settings.heartbeat_seconds:
        raise ConfigurationError(
            f"{names.LEASE_SECONDS} must be more than twice {names.HEARTBEAT_SECONDS}"
        )
    return settings


def _number(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name, str(default))
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 100_000):  # noqa: PLR2004 - a sane bound
        raise ConfigurationError(f"{name} must be a whole number from 1 to 100000")
    return int(text)


def work_id_from(environment: Mapping[str, str]) -> str | None:
    """The work item that the environment asks for, a job's own or one of its shards; None to take
    any from the queue. Raises `ConfigurationError` that names the variable.
    """
    job_id, shard = environment.get(names.JOB_ID), environment.get(names.SHARD)
    if not shard:
        return work_id_of(job_id) if job_id else None
    if not job_id:
        raise ConfigurationError(f"{names.SHARD} is given without {names.JOB_ID}")
    if not (shard.isascii() and shard.isdigit() and int(shard) < MAX_SHARDS):
        raise ConfigurationError(f"{names.SHARD} must be a whole number from 0 to {MAX_SHARDS - 1}")
    return work_id_of(job_id, int(shard))


def main() -> int:
    """Run one worker process."""
    # A signal that comes too early waits for its handler. Without one it would kill, or be lost:
    # the kernel gives the first process of a container only the signals it handles.
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
    configure(sys.stdout)
    try:
        settings = settings_of(os.environ)
        work_id = work_id_from(os.environ)
        ports = aws_ports(os.environ, concurrency=settings.concurrency)
    except (ConfigurationError, InputError) as error:
        event(_log, logging.ERROR, "not started", error=str(error))
        return ExitCode.BAD_CONFIGURATION
    worker = Worker(ports, owner=process_owner(), settings=settings)
    for number in _STOP_SIGNALS:
        signal.signal(number, worker.handle_shutdown)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS)
    try:
        return worker.run(work_id)
    except SeedwrightError as error:
        # The lease runs out by itself: whatever is unfinished becomes claimable again.
        event(_log, logging.ERROR, "worker stopped", error=error.code, detail=str(error))
        return ExitCode.INTERRUPTED
    finally:
        worker.close()


if __name__ == "__main__":
    sys.exit(main())
