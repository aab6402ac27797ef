"""The worker beside a local API: a process of its own, so that a model that crashes takes nobody
with it, and the API answers while it computes.

    python -m runtime.server.worker    (started by `seedwright serve`, with a `WorkerOrder`)

It says one line on standard output when it can work, or why it can't. A line on its standard input
means that there is work. It ends on SIGTERM, or when its parent is gone: the pipe to its standard
input closes with the parent, however that ends. What is unfinished then goes on with the next
worker.
"""

import logging
import os
import signal
import sys
import threading
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Final

import orjson

from runtime.bootstrap import (
    LocalEngine,
    local_engine,
    process_owner,
)
from runtime.contract.exit_codes import ExitCode
from runtime.datasets.engine_parts import log_to, process_settings
from runtime.domain.errors import SeedwrightError
from runtime.logs import event
from runtime.models.registry import Backend
from runtime.worker.settings import WorkerSettings
from runtime.worker.worker import Worker

READY: Final = "ready"
POLL_SECONDS: Final = 5.0
"""How soon work is seen without a notice. Of a new job it is notified at once."""

_log = logging.getLogger("runtime.server.worker")


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerOrder:
    """What a worker is started with."""

    storage: str
    log: str
    backend: str
    base_url: str | None = None
    concurrency: int | None = None
    prices: str | None = None

    def arguments(self) -> list[str]:
        """The command line of the worker's process."""
        order = orjson.dumps(asdict(self)).decode()
        return [sys.executable, "-m", "runtime.server.worker", order]


def main(arguments: list[str]) -> int:
    """Work until asked to stop. The exit code."""
    order = WorkerOrder(**orjson.loads(arguments[0]))
    # A signal that comes too early waits for its handler.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    with log_to(Path(order.log)):
        try:
            engine, settings = _open(order)
        except SeedwrightError as error:
            _say(f"{error}")
            return ExitCode.BAD_CONFIGURATION
        with closing(engine):
            try:
                return LocalWorker(engine, settings).run()
            except SeedwrightError as error:
                # The end of the process gives the work back at once, and the next one starts clean.
                event(_log, logging.ERROR, "worker stopped", error=error.code, detail=str(error))
                return ExitCode.INTERRUPTED


def _open(order: WorkerOrder) -> tuple[LocalEngine, WorkerSettings]:
    backend = Backend(order.backend, order.base_url)
    models = backend.open(order.concurrency)
    prices = backend.prices(Path(order.prices) if order.prices else None)
    engine = local_engine(
        Path(order.storage), models=models.client, provider=backend.name, prices=prices
    )
    return engine, process_settings(models)


class LocalWorker:
    """Takes one job after the other from the queue of a folder."""

    def __init__(self, engine: LocalEngine, settings: WorkerSettings) -> None:
        self._stopping = False
        self._notified = threading.Event()
        self._worker = Worker(
            engine.ports,
            owner=process_owner(),
            settings=settings,
        )

    def run(self) -> int:
        """Work until it is asked to stop, or the parent is gone. The exit code."""
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        threading.Thread(target=self._listen, name="listen", daemon=True).start()
        try:
            self._worker.template_engine.start()  # its process is there when work comes
            _say(READY)
            return self._loop()
        finally:
            self._worker.close()

    def _loop(self) -> int:
        while not self._stopping:
            # Cleared before looking: a notice that comes while it looks makes it look again.
            self._notified.clear()
            self._worker.run()
            self._notified.wait(POLL_SECONDS)
        return ExitCode.INTERRUPTED

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:
        self._worker.handle_shutdown(signum, frame)
        self._stopping = True
        self._notified.set()

    def _listen(self) -> None:
        """Hear of work until the end of standard input, which is the end of the parent."""
        with suppress(OSError):
            while os.read(0, 1024):
                self._notified.set()
        event(_log, logging.INFO, "parent is gone")
        os.kill(os.getpid(), signal.SIGTERM)


def _say(line: str) -> None:
    with suppress(OSError):
        print(" ".join(line.split()), flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
