"""Ctrl-C and polite kills of a command that generates: the only place where it handles signals."""

import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from time import monotonic
from types import FrameType
from typing import Final

from runtime.contract.exit_codes import EXIT_INTERRUPTED
from runtime.datasets.background import STOPPING
from runtime.datasets.stop import StopRequest
from runtime.logs import event
from runtime.worker.worker import ALARM_SECONDS

_SAME_SIGNAL_SECONDS: Final = 0.3
"""Launchers pass on a Ctrl-C that the terminal has sent to the whole group already."""

_SHOW_CURSOR: Final = b"\x1b[?25h"

_log = logging.getLogger(__name__)


@contextmanager
def stopped_by_signals(stop: StopRequest, notice: Callable[[str], None]) -> Iterator[None]:
    """Ctrl-C and polite kills drain; a second one leaves at once, which loses only the calls in
    flight. A signal that is ignored, as under nohup, stays ignored. An alarm is the last resort
    against a drain that hangs.
    """
    first: float | None = None

    def handle(signum: int, _frame: FrameType | None) -> None:
        nonlocal first
        now = monotonic()
        if first is not None:
            if now - first < _SAME_SIGNAL_SECONDS:
                return
            _leave("Stopped at once. Finished records are saved. To go on, run the same command.")
        first = now
        notice(STOPPING)
        signal.signal(signal.SIGALRM, lambda _signum, _frame: os._exit(EXIT_INTERRUPTED))
        signal.alarm(ALARM_SECONDS)
        stop.request()
        event(_log, logging.INFO, "shutdown requested", signal=signum)

    asked = [
        each
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(each) is not signal.SIG_IGN
    ]
    previous = {each: signal.signal(each, handle) for each in asked}
    try:
        yield
    finally:
        for each, handler in previous.items():
            signal.signal(each, handler)
        signal.alarm(0)


def _leave(text: str) -> None:
    """End the process, and leave a terminal as it should be."""
    with suppress(OSError):  # the terminal is gone
        os.write(2, f"\n{text}\n".encode() + (_SHOW_CURSOR if sys.stderr.isatty() else b""))
    os._exit(EXIT_INTERRUPTED)
