"""Keeps a local worker running: starts its process, notifies it of work, starts it again when it
dies, and lets it finish what is on its way at the end.
"""

import logging
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from runtime.domain.errors import ConfigurationError
from runtime.logs import event
from runtime.server.worker import READY, WorkerOrder

DRAIN_SECONDS: Final = 110.0
"""After SIGTERM a worker needs at most `worker.ALARM_SECONDS`."""

FIRST_PAUSE_SECONDS: Final = 0.5
LONGEST_PAUSE_SECONDS: Final = 30.0
STEADY_SECONDS: Final = 60.0
"""A worker that lived that long is able to start."""

_log = logging.getLogger(__name__)


class WorkerProcess:
    """One worker, and its successors. `on_restart` gets the exit code of one that died."""

    def __init__(self, order: WorkerOrder, on_restart: Callable[[int], object]) -> None:
        self._order = order
        self._on_restart = on_restart
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._process = self._start()
        self._keeper = threading.Thread(target=self._keep, name="worker keeper", daemon=True)

    def wait_until_ready(self) -> None:
        """Wait until it can work. Raises `ConfigurationError` with its reason if it can't."""
        line = self._first_line(self._process)
        if line != READY:
            self._process.wait()
            raise ConfigurationError(line or "the worker could not be started: see the log")
        self._keeper.start()

    def notify(self) -> None:
        """There is work. Never fails: it looks by itself, too."""
        with self._lock, suppress(OSError, ValueError):
            if self._process.stdin is not None:
                self._process.stdin.write("\n")
                self._process.stdin.flush()

    def stop(self) -> None:
        """Let it finish the calls on their way, save, and end. A second call changes nothing."""
        self._stopping.set()
        with self._lock:
            process = self._process
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(DRAIN_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._close(process)

    def kill(self) -> None:
        """End it at once. Its work goes on at the next start."""
        self._stopping.set()
        self._process.kill()

    def _start(self) -> "subprocess.Popen[str]":
        return subprocess.Popen(  # noqa: S603 - this program
            self._order.arguments(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            process_group=0,  # a Ctrl-C on the terminal is for this process, which drains
        )

    def _keep(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while True:
            began = time.monotonic()
            code = self._process.wait()
            if self._stopping.is_set():
                return
            if time.monotonic() - began > STEADY_SECONDS:
                pause = FIRST_PAUSE_SECONDS
            event(_log, logging.ERROR, "worker died", exit_code=code)
            self._on_restart(code)
            if self._stopping.wait(pause):
                return
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            with self._lock:
                if self._stopping.is_set():
                    return
                self._close(self._process)
                self._process = self._start()
            self._first_line(self._process)

    @staticmethod
    def _first_line(process: "subprocess.Popen[str]") -> str:
        return process.stdout.readline().strip() if process.stdout is not None else ""

    @staticmethod
    def _close(process: "subprocess.Popen[str]") -> None:
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()
