"""Why a worker stops: the strongest reason wins, whoever tells it and whenever."""

import itertools
import sys
from collections.abc import Iterable
from types import FrameType
from typing import Any

import pytest

from runtime.worker.control import Control, StopReason


def test_there_is_no_reason_at_first() -> None:
    assert Control().reason is None


@pytest.mark.parametrize(
    "reasons",
    [each for size in (1, 2, 3) for each in itertools.product(StopReason, repeat=size)],
)
def test_the_strongest_reason_stays(reasons: Iterable[StopReason]) -> None:
    control = Control()
    told = []
    for reason in reasons:
        told.append(reason)
        control.stop(reason)
        assert control.reason is max(told)


def test_every_stop_wakes_the_owner() -> None:
    control, woken = Control(), []
    control.stop(StopReason.SHUTDOWN)
    control.on_stop(lambda: woken.append(control.reason))
    control.stop(StopReason.CANCELLED)
    control.stop(StopReason.SHUTDOWN)
    assert woken == [StopReason.CANCELLED, StopReason.CANCELLED]
    control.on_stop(None)
    control.stop(StopReason.LEASE_LOST)
    assert len(woken) == 2


def stop_interrupted_at(line: int, control: Control) -> bool:
    """`stop(SHUTDOWN)`, interrupted before its `line`-th line by `stop(LEASE_LOST)`, as a signal
    handler or the heartbeat thread would. Whether there was such a line.
    """
    lines = itertools.count(1)
    reached = False

    def trace(frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal reached
        if frame.f_code is not Control.stop.__code__:
            return None
        if event == "line" and next(lines) == line:
            reached = True
            sys.settrace(None)
            control.stop(StopReason.LEASE_LOST)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        control.stop(StopReason.SHUTDOWN)
    finally:
        sys.settrace(before)
    return reached


def test_a_stop_inside_a_stop_is_never_forgotten() -> None:
    for line in itertools.count(1):
        control = Control()
        if not stop_interrupted_at(line, control):
            assert line > 2
            return
        assert control.reason is StopReason.LEASE_LOST
