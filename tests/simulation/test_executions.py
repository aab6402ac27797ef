"""The quick setting of the campaign of executions, and proof that it would see a broken promise."""

import logging
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from runtime.contract.tasks import TaskName
from runtime.domain.jobs.job import JobStatus
from runtime.domain.service_ports import WorkItem
from runtime.service import launching, recovery
from runtime.service.recovery import Counts
from tests.simulation.campaign import Outcome
from tests.simulation.executions import MachineSchedule, run_schedule

QUICK = range(14)
MANY = range(200)
"""More than a broken promise has ever taken to show."""


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def violations() -> Iterator[str]:
    return (each for each in map(run_schedule, MANY) if isinstance(each, str))


def test_no_schedule_of_executions_breaks_a_promise() -> None:
    """N1, N2, N3, and one worker a shard, whatever ends between two states or never begins."""
    ends: Counter[JobStatus] = Counter()
    broken, executions, rounds_begun = [], 0, 0
    for seed in QUICK:
        schedule = MachineSchedule(seed)
        try:
            ends[schedule.run().status] += 1
        except AssertionError as error:
            broken.append(f"seed {seed}: {error}")
        executions += len(schedule.machine.executions)
        rounds_begun += schedule.machine.rounds
    assert broken == []
    assert ends[JobStatus.COMPLETED] >= len(QUICK) // 3
    assert executions > 1.5 * len(QUICK)
    assert rounds_begun > 2 * len(QUICK)


def test_a_schedule_of_executions_repeats_itself() -> None:
    assert isinstance(run_schedule(7), Outcome)
    assert run_schedule(7) == run_schedule(7)


def test_a_second_execution_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launching, "_has_execution", lambda *_: False)
    assert any("goes on" in each for each in violations())


def test_a_sweeper_that_starts_workers_of_shards_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their execution does, and nobody else: a shard would have two."""

    def start(ports: Any, item: WorkItem) -> Counts:
        if item.shard is not None and item.status is JobStatus.QUEUED:
            ports.launcher.start(
                TaskName(job_id=item.job_id, number=1, shard=item.shard), by_machine=False
            )
        return {}

    monkeypatch.setattr(recovery, "start_or_withdraw", start)
    assert any("is alive" in each for each in violations())


def test_what_an_ended_job_leaves_behind_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a schedule that leaves something: few do, since workers end what they have claimed."""
    monkeypatch.setattr(recovery, "_withdraw", lambda *_: False)
    assert any("left behind" in str(run_schedule(seed)) for seed in (77, 80))
