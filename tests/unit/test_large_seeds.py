"""Seeds of gigabytes: read with progress, given up when the worker has to stop, and refused where
there is no room for them.
"""

import io
import os
import tracemalloc
from pathlib import Path

import orjson
import pytest

from runtime.contract.exit_codes import ExitCode
from runtime.domain.errors import LeaseLostError, StorageError
from runtime.domain.jobs.activity import Activity
from runtime.domain.jobs.job import JobStatus
from runtime.files import json_lines
from runtime.files.reading import load_rows
from runtime.progress.meter import Goal, Meter
from runtime.worker.control import Control, StopReason
from runtime.worker.seed_reading import READING_SEEDS, ReadingStoppedError, SeedReading
from runtime.worker.settings import WorkerSettings
from tests.fixtures.clock import ManualClock
from tests.fixtures.worker_world import WorkerWorld

BODY = b"".join(orjson.dumps({"id": number}) + b"\n" for number in range(100))


def reading(control: Control, clock: ManualClock, shown: list[Activity]) -> SeedReading:
    return SeedReading(
        "job-1",
        control=control,
        clock=clock,
        settings=WorkerSettings(heartbeat_seconds=3.0),
        on_activity=shown.append,
    )


def test_while_seeds_are_read_it_is_shown_every_second_and_logged_with_every_heartbeat(
    clock: ManualClock, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_lines, "CHUNK_BYTES", len(BODY) // 4)
    shown: list[Activity] = []
    said = reading(Control(), clock, shown)

    def on_bytes(count: int) -> None:
        clock.advance(1.0)
        said(count)

    with caplog.at_level("INFO", logger="runtime"):
        load_rows(io.BytesIO(BODY), "a.jsonl", on_bytes=on_bytes)
    quarter = len(BODY) // 4
    assert [each.bytes_read for each in shown][:4] == [
        quarter,
        2 * quarter,
        3 * quarter,
        4 * quarter,
    ]
    assert [each.getMessage() for each in caplog.records] == [READING_SEEDS]
    meter = Meter(Goal(records=5, budget_nano=1), clock.monotonic)
    meter.activity = Activity(bytes_read=1_234_567_890)
    assert meter.now() == ("reading seeds, 1234 MB",)


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv"])
def test_every_byte_is_counted(name: str) -> None:
    body = {"a.json": b"[" + b",".join(BODY.splitlines()) + b"]", "a.csv": b"id\n1\n2\n"}
    counted: list[int] = []
    load_rows(io.BytesIO(body.get(name, BODY)), name, on_bytes=counted.append)
    assert sum(counted) == len(body.get(name, BODY))


def test_a_reading_ends_when_the_worker_has_to_stop(clock: ManualClock) -> None:
    control = Control()
    said = reading(control, clock, [])
    control.stop(StopReason.CANCELLED)
    said(1)
    clock.advance(1.0)
    with pytest.raises(ReadingStoppedError) as caught:
        load_rows(io.BytesIO(BODY), "a.jsonl", on_bytes=said)
    assert caught.value.reason is StopReason.CANCELLED
    control.stop(StopReason.LEASE_LOST)
    with pytest.raises(LeaseLostError):
        said(1)


def test_a_worker_that_is_stopped_while_it_reads_hands_the_job_back(
    world: WorkerWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last seed is no seed: whoever read to the end would fail the job."""
    monkeypatch.setattr(json_lines, "CHUNK_BYTES", 50)
    job_id = world.create_job(num_records=20)
    key = world.ports.jobs.get_job(job_id).config.seed_data_path
    assert key is not None
    job = world.job(job_id)
    body = world.object(key)
    version = world.put_object(key, body + b"7\n")
    assert job.config.seed_version != version
    bad = world.create_job(num_records=3, seed_data_path=key, seed_version=version)

    def stop(_call: object) -> bool:
        world.stop()
        world.clock.hasten(10**6)  # a reading of some milliseconds takes an hour
        return False

    fault = world.fail("s3", "GetObject", match=lambda call: call.get("Key") == key and stop(call))
    assert world.run(bad) is ExitCode.INTERRUPTED
    assert world.job(bad).status is JobStatus.QUEUED
    assert not world.double.calls
    fault.times = 0
    assert world.run(bad) is ExitCode.JOB_FAILED
    assert not world.double.calls


def test_a_disk_without_room_is_told_before_anything_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with path.open("wb") as file:
        os.truncate(file.fileno(), 8 * 2**40)  # sparse: it takes no room itself
    with path.open("rb") as file, pytest.raises(StorageError, match="seeds need 8796093 MB on"):
        load_rows(file, path.name)


def test_many_small_rows_are_read_in_the_memory_of_a_few() -> None:
    """What orjson gives is 4 KiB a row, however small the row is."""
    rows = 20_000
    body = b"number\n" + b"\n".join(b"%d" % number for number in range(rows))
    load_rows(io.BytesIO(b"number\n1"), "warm.csv").close()
    tracemalloc.start()
    try:
        found = load_rows(io.BytesIO(body), "seeds.csv")
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [len(found), found[rows - 1]] == [rows, {"number": str(rows - 1)}]
    assert most < 8 * 2**20
