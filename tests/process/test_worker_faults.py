"""Workers that are killed, stopped, cut off or told to go, as processes with real signals.

Every test ends with the same promises: each index once (N1), little paid twice (N2), and a ledger
between the bill and the limit (N3).
"""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final

import psutil
import pytest

from runtime.contract.exit_codes import ExitCode
from runtime.domain.jobs.job import JobStatus
from runtime.domain.money.amounts import parse_usd
from runtime.domain.ports import Lease
from tests.fixtures.worker_world import wait_until
from tests.process.worker_processes import (
    Cloud,
    Servers,
    WorkerProcess,
    empty_cloud,
    road_to,
    servers,
)

CONCURRENCY: Final = 4
INTERVAL: Final = 10
"""Records in a batch."""
TUNING: Final = {
    "WORKER_CONCURRENCY": str(CONCURRENCY),
    "CHECKPOINT_INTERVAL": str(INTERVAL),
    "HEARTBEAT_SECONDS": "1",
}
SHORT: Final = {**TUNING, "LEASE_SECONDS": "3"}
LONG: Final = {**TUNING, "LEASE_SECONDS": "20"}
"""For tests in which nobody may lose a lease, however busy the machine is."""
LATENCY_MS: Final = 40
QUIET_SECONDS: Final = 1.0
"""So long without a call that nothing is being dispatched: a call takes `LATENCY_MS`."""


@pytest.fixture(scope="module")
def running() -> Iterator[Servers]:
    with servers(latency_ms=LATENCY_MS) as both:
        yield both


@pytest.fixture
def cloud(running: Servers) -> Iterator[Cloud]:
    with empty_cloud(running) as cloud:
        yield cloud


def wait_for_calls(cloud: Cloud, worker: WorkerProcess, calls: int) -> None:
    wait_until(lambda: cloud.stats()["received"] >= calls or not worker.running)
    assert worker.running


def check_ledger(cloud: Cloud, job_id: str) -> None:
    """The bill comes first: it only grows, and it is covered when it grows (N3)."""
    billed = cloud.billed_nano()
    account = cloud.account(job_id)
    assert billed <= account.committed_nano <= account.limit_nano


def check_completed(cloud: Cloud, job_id: str, *, num_records: int) -> None:
    """Each index once, in the dataset and in the counters (N1), and nothing held any more."""
    assert cloud.dataset(job_id) == list(range(num_records))
    job = cloud.job(job_id)
    assert job.status is JobStatus.COMPLETED
    assert job.progress.records_generated == num_records
    stats = cloud.stats()
    assert stats["paid"] == num_records + stats["paid_twice"]
    check_ledger(cloud, job_id)
    account = cloud.account(job_id)
    assert account.committed_nano == account.spent_nano


def test_a_killed_worker_s_job_is_finished_by_another(cloud: Cloud) -> None:
    """N1, N2, N3."""
    cloud.create_job("killed", num_records=120)
    killed = cloud.start(**SHORT)
    wait_for_calls(cloud, killed, 45)
    children = psutil.Process(killed.process.pid).children()

    killed.signal(signal.SIGKILL)
    assert killed.end() == -signal.SIGKILL
    check_ledger(cloud, "killed")
    assert cloud.job("killed").status is JobStatus.RUNNING
    code, log = cloud.run(**SHORT)

    assert code == ExitCode.DONE
    assert [line["message"] for line in log] == ["job claimed", "job ended"]
    assert log[0]["fence"] == 2
    check_completed(cloud, "killed", num_records=120)
    assert cloud.saved("killed") == list(range(120))
    assert 0 < cloud.stats()["paid_twice"] <= CONCURRENCY + INTERVAL
    assert children
    assert not any(child.is_running() for child in children)


@pytest.mark.parametrize("moment", ["its successor works", "its successor is done"])
def test_a_worker_that_was_stopped_wakes_up_when(cloud: Cloud, moment: str) -> None:
    """N1, N3: it ends by itself, and nothing of its work counts twice."""
    cloud.create_job("paused", num_records=160)
    zombie = cloud.start(**SHORT)
    wait_for_calls(cloud, zombie, 45)

    zombie.signal(signal.SIGSTOP)
    successor = cloud.start(**SHORT)
    if moment == "its successor works":
        wait_until(lambda: "job claimed" in successor.messages())
    else:
        assert successor.end() == ExitCode.DONE
        check_completed(cloud, "paused", num_records=160)
    zombie.signal(signal.SIGCONT)

    assert zombie.end() == ExitCode.INTERRUPTED
    assert "job left to its new owner" in zombie.messages()
    assert successor.end() == ExitCode.DONE
    check_completed(cloud, "paused", num_records=160)


def test_of_two_workers_on_one_job_one_works_and_the_other_leaves(cloud: Cloud) -> None:
    """N1, S7.1: a sign of life of the owner is enough to leave."""
    cloud.create_job("single", num_records=160)
    cloud.faults([{"delay_ms": 60}])  # the job outlasts several heartbeats
    both = [cloud.start(**LONG), cloud.start(**LONG)]

    wait_until(lambda: not all(worker.running for worker in both))

    idle, busy = sorted(both, key=lambda worker: worker.running)
    assert busy.running
    assert idle.end() == ExitCode.DONE
    assert idle.messages() == []
    assert busy.end() == ExitCode.DONE
    assert busy.messages() == ["job claimed", "job ended"]
    check_completed(cloud, "single", num_records=160)
    assert cloud.stats()["paid_twice"] == 0


def test_three_workers_claim_each_of_six_jobs_once(cloud: Cloud) -> None:
    """S7.1."""
    jobs = [f"job-{number}" for number in range(6)]
    for job_id in jobs:
        cloud.create_job(job_id, num_records=20)

    workers = [cloud.start(**LONG) for _ in range(3)]

    assert [worker.end() for worker in workers] == [ExitCode.DONE] * 3
    lines = [line for worker in workers for line in worker.log()]
    claimed = [line["job_id"] for line in lines if line["message"] == "job claimed"]
    assert sorted(claimed) == jobs
    for job_id in jobs:
        assert cloud.job(job_id).status is JobStatus.COMPLETED
        assert cloud.dataset(job_id) == list(range(20))
    assert cloud.stats()["paid"] == 120
    assert cloud.stats()["paid_twice"] == 0


def test_a_cancelled_job_stops_within_a_heartbeat(cloud: Cloud) -> None:
    """N9, and what was paid for is saved."""
    cloud.create_job("cancelled", num_records=2000)
    worker = cloud.start(**LONG)
    wait_for_calls(cloud, worker, 40)

    cloud.storage.jobs.set_status("cancelled", JobStatus.CANCELLED, fence=None)
    cancelled_at = time.time()

    assert worker.end() == ExitCode.DONE
    stats = cloud.stats()
    assert (stats["last_call"] or 0) - cancelled_at <= 1 + 1  # a heartbeat and a busy machine
    assert 40 <= stats["paid"] < 2000
    assert cloud.saved("cancelled") == list(range(stats["paid"]))
    assert cloud.job("cancelled").status is JobStatus.CANCELLED
    assert cloud.storage.queue.leases() == []
    check_ledger(cloud, "cancelled")


# ── AWS is away ────────────────────────────────────────────────────────────────────────────────


def nothing_is_dispatched(cloud: Cloud) -> bool:
    stats = cloud.stats()
    quiet = time.time() - (stats["last_call"] or time.time())
    return stats["in_flight"] == 0 and quiet > QUIET_SECONDS


def test_while_aws_does_not_answer_only_covered_calls_are_paid_and_work_goes_on(
    cloud: Cloud,
) -> None:
    """N1, N2, N3."""
    cloud.create_job("waiting", num_records=120)
    with road_to(cloud.aws_url) as (url, road):
        worker = cloud.start(**LONG, AWS_ENDPOINT_URL=url)
        wait_for_calls(cloud, worker, 45)

        road.send_signal(signal.SIGSTOP)
        wait_until(lambda: nothing_is_dispatched(cloud))
        check_ledger(cloud, "waiting")
        assert cloud.stats()["paid"] < 120
        road.send_signal(signal.SIGCONT)

        assert worker.end() == ExitCode.DONE
    check_completed(cloud, "waiting", num_records=120)
    assert cloud.stats()["paid_twice"] == 0


@pytest.mark.parametrize("gone_for", ["a while", "good"])
def test_a_worker_that_can_not_renew_its_lease_leaves_its_job_when_aws_is_gone_for(
    cloud: Cloud, gone_for: str
) -> None:
    """N1, N2, N3."""
    cloud.create_job("cut-off", num_records=120)
    with road_to(cloud.aws_url) as (url, road):
        worker = cloud.start(**SHORT, AWS_ENDPOINT_URL=url)
        wait_for_calls(cloud, worker, 45)

        road.send_signal(signal.SIGSTOP if gone_for == "a while" else signal.SIGKILL)
        wait_until(lambda: "lease not renewed in time" in worker.messages())
        wait_until(lambda: nothing_is_dispatched(cloud))
        check_ledger(cloud, "cut-off")
        assert cloud.stats()["paid"] < 120
        if gone_for == "a while":
            road.send_signal(signal.SIGCONT)

        assert worker.end() == ExitCode.INTERRUPTED
    assert cloud.job("cut-off").status is JobStatus.RUNNING

    assert cloud.run(**SHORT)[0] == ExitCode.DONE
    check_completed(cloud, "cut-off", num_records=120)


# ── how a job ends, and a worker that is told to go ────────────────────────────────────────────


def test_a_budget_that_runs_out_ends_with_code_2_and_a_dataset(cloud: Cloud) -> None:
    """S8.3, N3."""
    budget = "0.0005"
    cloud.create_job("expensive", num_records=200, budget=budget)

    code, _ = cloud.run(**LONG)

    assert code == ExitCode.BUDGET_EXCEEDED
    job = cloud.job("expensive")
    assert job.status is JobStatus.BUDGET_EXCEEDED
    assert "budget of $0.0005" in (job.error_message or "")
    stats = cloud.stats()
    assert 10 < stats["paid"] < 200
    assert len(cloud.dataset("expensive")) == stats["paid"]
    assert cloud.billed_nano() == cloud.account("expensive").committed_nano <= parse_usd(budget)


def test_a_job_that_fails_ends_with_code_1_and_says_why(cloud: Cloud) -> None:
    """S5.5."""
    cloud.create_job("refused", num_records=60)
    cloud.faults([{"effect": "AccessDeniedException", "prompt": "refused item 30."}])

    code, _ = cloud.run(**LONG)

    assert code == ExitCode.JOB_FAILED
    job = cloud.job("refused")
    assert job.status is JobStatus.FAILED
    assert "access" in (job.error_message or "")
    paid = cloud.stats()["paid"]
    assert 30 <= paid <= 30 + CONCURRENCY
    assert len(cloud.saved("refused")) == job.progress.records_generated == paid
    check_ledger(cloud, "refused")


def test_a_second_sigterm_is_harmless(cloud: Cloud) -> None:
    """S4.1, S4.5, S4.6, N2."""
    cloud.create_job("told-twice", num_records=40)
    cloud.faults([{"delay_ms": 500}])
    worker = cloud.start(**LONG)
    wait_for_calls(cloud, worker, 6)

    worker.signal(signal.SIGTERM)
    wait_until(lambda: "shutdown requested" in worker.messages())
    worker.signal(signal.SIGTERM)

    assert worker.end() == ExitCode.INTERRUPTED
    assert worker.messages() == ["job claimed", "shutdown requested"]
    assert cloud.job("told-twice").status is JobStatus.QUEUED
    assert len(cloud.saved("told-twice")) == cloud.stats()["paid"] < 40
    cloud.faults([])
    assert cloud.run(**LONG)[0] == ExitCode.DONE
    check_completed(cloud, "told-twice", num_records=40)
    assert cloud.stats()["paid_twice"] == 0


def test_a_sigterm_before_a_claim_leaves_no_trace(cloud: Cloud) -> None:
    """S4.5: it watches the lease of somebody else, who shows no sign of life."""
    before = held_by_somebody_else(cloud, "untouched")
    worker = cloud.start(**LONG)
    wait_until(lambda: catches_sigterm(worker.process.pid) or not worker.running)

    worker.signal(signal.SIGTERM)

    check_untouched(cloud, worker, before)


def test_a_sigterm_while_it_starts_is_not_lost(cloud: Cloud, tmp_path: Path) -> None:
    """S4.5: a signal without a handler kills, and as the first process of a container is lost."""
    before = held_by_somebody_else(cloud, "untouched")
    prices = tmp_path / "prices.json"
    os.mkfifo(prices)
    worker = cloud.start(**LONG, SEEDWRIGHT_PRICES=str(prices))
    with open_for(worker, prices) as start:  # now the worker reads, and waits for us
        worker.signal(signal.SIGTERM)
        start.write(b"{}")

    check_untouched(cloud, worker, before)


def held_by_somebody_else(cloud: Cloud, job_id: str) -> Lease:
    cloud.create_job(job_id, num_records=5)
    assert cloud.storage.queue.claim(job_id, "somebody else") is not None
    (lease,) = cloud.storage.queue.leases()
    return lease


def check_untouched(cloud: Cloud, worker: WorkerProcess, lease: Lease) -> None:
    assert worker.end() == ExitCode.INTERRUPTED
    assert worker.messages() == ["shutdown requested"]
    assert list(cloud.storage.queue.leases()) == [lease]
    assert cloud.job(lease.job_id).status is JobStatus.QUEUED
    assert cloud.stats()["received"] == 0


def open_for(reader: WorkerProcess, fifo: Path) -> BinaryIO:
    """The other end of `fifo`, once the worker has opened its own."""
    while reader.running:
        with suppress(OSError):  # nobody reads yet
            return os.fdopen(os.open(fifo, os.O_WRONLY | os.O_NONBLOCK), "wb")
        time.sleep(0.005)
    raise AssertionError("the worker has not opened the file")


def catches_sigterm(pid: int) -> bool:
    """Whether the process has a handler, as the kernel tells."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    (caught,) = (line.split()[1] for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught, 16) & 1 << (signal.SIGTERM - 1))
