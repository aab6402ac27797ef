"""Progress on terminals of any width, in notebooks, and for programs that didn't ask for it."""

import io
import re
import sys
import types
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from runtime.domain.checks.totals import CheckTotals
from runtime.domain.jobs.activity import Activity, WaitReason
from runtime.domain.jobs.job import Progress
from runtime.progress.bar import LiveBar, flowed
from runtime.progress.displays import (
    Bar,
    Notices,
    Plain,
    Silent,
    make_display,
    make_library_display,
)
from runtime.progress.meter import Goal, Meter
from runtime.progress.notebook import Notebook, in_notebook
from tests.fixtures.clock import ManualClock


@pytest.fixture
def meter(clock: ManualClock) -> Meter:
    meter = Meter(Goal(records=100_000, budget_nano=250_000_000_000), clock.monotonic)
    meter.update(Progress())
    clock.advance(3600)
    meter.update(
        Progress(
            records_generated=44_990,
            failed_records=10,
            tokens_used=12_345_678,
            cost_nano=123_456_000_000,
        )
    )
    return meter


def test_where_records_are_checked_it_goes_by_those_that_are_accepted(clock: ManualClock) -> None:
    meter = Meter(Goal(records=100, budget_nano=250_000_000_000), clock.monotonic)
    meter.update(Progress())
    clock.advance(60)
    checks = CheckTotals(
        tries=120, rejected=10, rejected_by={"short": 50, "good": 5}, left_out={"fresh": 8}
    )
    counted = Progress(records_generated=58, failed_records=7, cost_nano=10**9, checks=checks)
    meter.update(counted)
    meter.activity = Activity()
    count, left, rate, failed, *_ = meter.figures()
    assert (count, left, failed) == ("50/100 records", "1:00 left", "7 failed")
    assert rate == "0.8 records/s"
    assert (meter.generated_now, meter.snapshot().records) == (50, 50)
    assert meter.now() == (
        "42% of 120 tries accepted",
        "rejected: short 50, good 5",
        "expected $2.00",
    )
    meter.update(replace(counted, records_generated=200))
    assert (meter.done, meter.seconds_left) == (100, 0)


FIGURES = (
    "45000/100000 records",
    "1:13:20 left",
    "12.5 records/s",
    "10 failed",
    "$123.46 of $250.00",
    "12345678 tokens",
)


def drawn(meter: Meter, width: int, notice: str = "") -> list[str]:
    """The lines on a terminal of this width, as they stand at the end."""
    console = Console(file=io.StringIO(), force_terminal=True, width=width, color_system=None)
    bar = LiveBar(meter, console)
    bar.start()
    bar.notice = notice
    bar.refresh()
    bar.stop()
    file: Any = console.file
    last = file.getvalue().split("\x1b[2K")[-1]
    return [line.rstrip() for line in re.sub(r"\x1b\[[?0-9;]*\w", "", last).splitlines()]


def test_on_a_wide_terminal_figures_stand_beside_the_bar(meter: Meter) -> None:
    first, second = drawn(meter, 100)

    assert first == f"{'━' * 10}╸{' ' * 14}45000/100000 records · 12.5 records/s · 1:13:20 left"
    assert second.strip() == "12345678 tokens · $123.46 of $250.00 · 10 failed"


@pytest.mark.parametrize("width", [30, 50, 70])
def test_on_a_narrow_terminal_nothing_is_cut_off_and_the_important_comes_first(
    meter: Meter, width: int
) -> None:
    """F3."""
    bar, *lines = drawn(meter, width)

    assert "━" in bar
    assert tuple(" · ".join(lines).split(" · ")) == FIGURES
    assert max(map(len, lines)) <= width


def test_figures_flow_into_as_few_lines_as_they_need() -> None:
    assert flowed(["aaa", "bb", "c"], 8) == ["aaa · bb", "c"]
    assert flowed(["aaa", "bb", "c"], 7) == ["aaa", "bb · c"]
    assert flowed(["aaaaaaaaa", "b"], 5) == ["aaaaaaaaa", "b"]
    assert flowed([], 5) == []


def test_a_notice_is_part_of_the_bar_and_stays(meter: Meter) -> None:
    assert drawn(meter, 100, "Stopping: waiting.")[-1] == "Stopping: waiting."
    assert len(drawn(meter, 100)) == 2


def test_a_notice_is_given_to_the_bar_and_not_printed_beside_it(
    meter: Meter, capfd: pytest.CaptureFixture[str]
) -> None:
    with Bar(meter) as bar:
        bar.notice("Stopping: waiting.")

    assert bar._live.notice == "Stopping: waiting."
    assert capfd.readouterr().err.count("Stopping") == 1


class Stream(io.StringIO):
    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


def test_who_looks_decides_what_is_shown(meter: Meter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Stream(terminal=True))
    assert type(make_display(meter, json=False)) is Bar
    assert type(make_display(meter, json=True)) is Notices
    assert type(make_library_display(meter)) is Bar
    monkeypatch.setattr(sys, "stderr", Stream(terminal=False))
    assert type(make_display(meter, json=False)) is Plain
    assert type(make_library_display(meter)) is Silent
    monkeypatch.setattr(sys, "stderr", None)  # as in a program without a console
    assert type(make_library_display(meter)) is Silent


class Handle:
    """What IPython gives back for a display that can be changed."""

    def __init__(self) -> None:
        self.shown: list[dict[str, str]] = []

    def update(self, bundle: dict[str, str], *, raw: bool) -> None:
        assert raw
        self.shown.append(bundle)


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Handle:
    """A module in the place of IPython, inside a kernel."""
    handle = Handle()

    def display(bundle: dict[str, str], *, raw: bool, display_id: bool) -> Handle:
        assert display_id
        handle.update(bundle, raw=raw)
        return handle

    ipython: Any = types.ModuleType("IPython")
    ipython.get_ipython = lambda: types.SimpleNamespace(kernel=object())
    ipython.display = types.SimpleNamespace(display=display)
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    return handle


def test_in_a_notebook_one_line_is_rewritten(
    meter: Meter, kernel: Handle, clock: ManualClock
) -> None:
    display = make_library_display(meter)
    assert type(display) is Notebook
    with display:
        for records in range(44_991, 45_002):
            clock.advance(0.1)
            display.update(Progress(records_generated=records))
        display.notice("Stopping: <waiting>.")

    assert [bundle["text/plain"].split(" ")[0] for bundle in kernel.shown] == [
        "45000/100000",  # at the start
        "44991/100000",
        "44994/100000",
        "44997/100000",
        "45000/100000",
        "45001/100000",
        "45001/100000",  # at the end
    ]
    last = kernel.shown[-1]
    assert last["text/plain"].splitlines()[1] == "Stopping: <waiting>."
    assert last["text/html"].startswith('<progress value="0.4500" max="1"></progress> 45001/')
    assert last["text/html"].endswith("<br>Stopping: &lt;waiting&gt;.")


def test_ipython_in_a_terminal_is_no_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert not in_notebook()
    ipython: Any = types.ModuleType("IPython")
    ipython.get_ipython = object
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    assert not in_notebook()
    ipython.get_ipython = lambda: None
    assert not in_notebook()


def test_a_frontend_that_is_gone_does_not_end_the_job(meter: Meter, kernel: Handle) -> None:
    del kernel

    def gone(*_: object, **__: object) -> None:
        raise ConnectionError

    with Notebook(meter, gone) as display:
        display.update(Progress(records_generated=7))

    assert meter.done == 7


# ── what goes on (F2, F4) ──────────────────────────────────────────────────────────────────────


def said(meter: Meter, **activity: Any) -> tuple[str, ...]:
    meter.activity = Activity(**activity)
    return meter.now()


def test_f2_what_is_waited_for_is_said(meter: Meter, clock: ManualClock) -> None:
    """Seconds until the next call, and how long there was no answer."""
    meter.update(Progress(tokens_used=1))
    now = clock.monotonic()
    assert meter.now() == ()
    assert said(meter) == ()
    assert said(meter, in_flight=1, last_reply=now) == ("1 call in flight",)
    assert said(meter, reason=WaitReason.LOADING) == ("loading the model, then its first answer",)
    later = {"reason": WaitReason.THROTTLED, "waiting_until": now + 3.2}
    assert said(meter, **later) == ("throttled, next call in 4 s",)
    assert said(meter, **later, in_flight=2, last_reply=now - 75) == (
        "throttled, next call in 4 s",
        "2 calls in flight, no answer for 1:15",
    )
    clock.advance(4)
    assert meter.now()[0] == "throttled"  # it is being made


def test_f2_it_stands_below_the_figures_as_long_as_it_goes_on(
    meter: Meter, kernel: Handle, clock: ManualClock
) -> None:
    meter.update(Progress(tokens_used=1))
    meter.activity = Activity(in_flight=2, last_reply=clock.monotonic() - 60)
    words = "2 calls in flight, no answer for 1:00"
    assert drawn(meter, 100)[2] == words
    assert drawn(meter, 40)[-1] == words
    stream = io.StringIO()
    with Plain(meter, stream) as plain, Notebook(meter) as notebook:
        plain.refresh()  # too soon
        clock.advance(5)
        plain.refresh()
        notebook.refresh()
        meter.activity = None
    lines = stream.getvalue().splitlines()
    assert [line.endswith("no answer for 1:05") for line in lines] == [False, True, False]
    assert lines[0].endswith(f" failed · {words}")
    assert kernel.shown[1]["text/plain"].endswith("no answer for 1:05")
    assert kernel.shown[-1]["text/plain"].endswith(" tokens")


def test_f4_what_all_will_cost_is_told_by_what_the_first_have_cost(meter: Meter) -> None:
    meter.activity = Activity()
    assert meter.now() == ("expected $274.35",)
    for done, expected in ((19, ()), (20, ("expected $500.00",)), (100_000, ())):
        meter.update(Progress(records_generated=done - 5, failed_records=5, cost_nano=10**8))
        assert meter.now() == expected
    meter.update(Progress(records_generated=50))  # a model that costs nothing
    assert meter.now() == ()
