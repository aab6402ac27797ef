"""Whole runs of the command against a double of Bedrock: again, changed, with more budget."""

import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq
import pytest

from runtime.bootstrap import SystemClock
from runtime.domain.jobs.job import JobStatus, work_id_of
from runtime.local.storage import open_storage
from tests.fixtures.bedrock_double import BedrockDouble
from tests.fixtures.command import (
    TWO_STEPS,
    billed_nano,
    environment,
    generate_arguments,
    run,
    start,
    write_inputs,
)

RECORDS = 20


@pytest.fixture
def double() -> Iterator[BedrockDouble]:
    with BedrockDouble() as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_inputs(tmp_path)
    return tmp_path


def records_in(folder: Path) -> list[dict[str, Any]]:
    return lines_of(folder / "out" / "dataset.jsonl")


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def test_a_run_says_what_it_does_and_where_the_dataset_is(
    folder: Path, double: BedrockDouble
) -> None:
    arguments = generate_arguments(RECORDS, "--max-failures", "25%")
    done = run(arguments, cwd=folder, env=environment(double.url))

    assert done.returncode == 0, done.stderr
    estimate, *details = done.stderr.splitlines()
    assert estimate.startswith("estimate: likely $0.0000613, at most $0.00049 with amazon.nova")
    progress = [line for line in details if not line.startswith("  ")]
    assert progress[0].startswith("0/20 records · 0.0 records/s")
    assert progress[-1].startswith("20/20 records · ")
    assert " tokens · $" in progress[-1]
    assert progress[-1].endswith(" of $1.00 · 0 failed")
    listed = "out/dataset.jsonl\nout/dataset.parquet\nout/report.html\n20 of 20 records, 0 failed"
    assert listed in done.stdout
    assert "rows: columns · train 20 · out/data/\n" in done.stdout
    assert "rows = load_dataset('out')\n" in done.stdout
    assert sorted(record["index"] for record in records_in(folder)) == list(range(RECORDS))
    assert pq.read_table(folder / "out" / "dataset.parquet").num_rows == RECORDS
    assert (double.calls, double.stats()["paid_twice"]) == (RECORDS, 0)


def test_the_same_command_again_generates_nothing_and_keeps_the_dataset(
    folder: Path, double: BedrockDouble
) -> None:
    env = environment(double.url)
    run(generate_arguments(RECORDS), cwd=folder, env=env)
    before = (folder / "out" / "dataset.jsonl").read_bytes()

    again = run(generate_arguments(RECORDS), cwd=folder, env=env)

    assert again.returncode == 0, again.stderr
    assert "out was complete before: nothing was generated" in again.stdout
    assert again.stderr == ""
    assert (folder / "out" / "dataset.jsonl").read_bytes() == before
    assert double.calls == RECORDS


def test_another_format_is_exported_without_a_call(folder: Path, double: BedrockDouble) -> None:
    env = environment(double.url)
    run(generate_arguments(RECORDS, "--format", "jsonl"), cwd=folder, env=env)

    done = run(generate_arguments(RECORDS, "--format", "csv"), cwd=folder, env=env)

    assert done.returncode == 0, done.stderr
    assert "out/dataset.csv\n" in done.stdout
    assert len((folder / "out" / "dataset.csv").read_text().splitlines()) == RECORDS + 1
    assert double.calls == RECORDS


def test_another_dataset_is_refused_and_what_differs_is_named(
    folder: Path, double: BedrockDouble
) -> None:
    env = environment(double.url)
    run(generate_arguments(2), cwd=folder, env=env)
    calls = double.calls
    (folder / "seeds.jsonl").write_text('{"topic": "rain"}\n')

    more = run(generate_arguments(3), cwd=folder, env=env)
    write_inputs(folder, TWO_STEPS)
    other = run(generate_arguments(2, "--random-seed", "1"), cwd=folder, env=env)

    assert (more.returncode, other.returncode, double.calls) == (2, 2, calls)
    assert "out holds another dataset (different seeds)" in more.stderr
    assert "(different template, --random-seed)" in other.stderr


def test_a_used_up_budget_stops_and_a_larger_one_goes_on(
    folder: Path, double: BedrockDouble
) -> None:
    env = environment(double.url)
    small = generate_arguments(RECORDS, "--budget", "0.0001", "--format", "jsonl,csv", "--json")

    stopped = run(small, cwd=folder, env=env)
    document = orjson.loads(stopped.stdout)
    partial = len(records_in(folder))
    told = run(generate_arguments(RECORDS, "--budget", "0.0001"), cwd=folder, env=env)
    calls = double.calls
    done = run(generate_arguments(RECORDS, "--format", "jsonl"), cwd=folder, env=env)

    assert (stopped.returncode, told.returncode) == (3, 3)
    assert document["status"] == "BUDGET_EXCEEDED"
    assert Decimal(document["cost_usd"]) <= Decimal("0.0001")
    assert 0 < document["records"] == partial < RECORDS
    assert "the budget of $0.0001 is used up" in told.stderr
    assert "run the same command with a larger --budget" in told.stderr
    assert calls == partial
    assert done.returncode == 0, done.stderr
    assert len(records_in(folder)) == RECORDS
    # The format of the first command is not left behind with a part of the records.
    assert len((folder / "out" / "dataset.csv").read_text().splitlines()) == RECORDS + 1
    assert (double.calls, double.stats()["paid_twice"]) == (RECORDS, 0)


def test_json_is_one_document_and_nothing_else(folder: Path, double: BedrockDouble) -> None:
    done = run(generate_arguments(3, "--json"), cwd=folder, env=environment(double.url))

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 1
    document = orjson.loads(done.stdout)
    assert document["status"] == "COMPLETED"
    assert (document["records"], document["failed"], document["requested"]) == (3, 0, 3)
    assert document["files"] == ["out/dataset.jsonl", "out/dataset.parquet"]
    assert 0 < Decimal(document["cost_usd"]) < Decimal(document["budget_usd"]) == 1


def test_a_second_process_on_the_folder_is_refused_at_once(
    folder: Path, double: BedrockDouble
) -> None:
    double.faults([{"effect": "timeout"}])
    env = environment(double.url)
    with start(generate_arguments(3), cwd=folder, env=env) as first:
        try:
            wait_for_call(double)
            second = run(generate_arguments(3), cwd=folder, env=env, timeout=20)
        finally:
            first.kill()
    double.faults([])
    third = run(generate_arguments(3), cwd=folder, env=env)

    assert (second.returncode, second.stdout) == (2, "")
    assert second.stderr == (
        "error: another process is generating into out: wait for it or stop it\n"
    )
    assert third.returncode == 0, third.stderr


def wait_for_call(double: BedrockDouble) -> None:
    deadline = time.monotonic() + 30
    while double.calls == 0:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_failed_records_are_listed_and_explained(folder: Path, double: BedrockDouble) -> None:
    double.faults([{"effect": "ValidationException", "every": 4}])

    arguments = generate_arguments(RECORDS, "--max-failures", "25%")
    done = run(arguments, cwd=folder, env=environment(double.url))

    assert done.returncode == 0, done.stderr
    assert "15 of 20 records, 5 failed" in done.stdout
    assert "why records failed: out/failures.jsonl" in done.stderr
    failures = lines_of(folder / "out" / "failures.jsonl")
    assert len(failures) == 5
    assert {failure["kind"] for failure in failures} == {"rejected"}


def test_when_every_record_failed_trying_again_is_not_the_advice(
    folder: Path, double: BedrockDouble
) -> None:
    double.faults([{"effect": "ValidationException"}])

    failed = run(generate_arguments(3), cwd=folder, env=environment(double.url))

    assert failed.returncode == 1
    assert "error: every record failed: see failures.jsonl" in failed.stderr
    assert "choose another --out" in failed.stderr
    assert (folder / "out" / "failures.jsonl").exists()


@pytest.mark.parametrize("status", [JobStatus.FAILED, JobStatus.QUEUED, JobStatus.RUNNING])
@pytest.mark.parametrize("work", ["ended", "queued"])
def test_a_kill_between_the_two_tables_is_repaired(
    folder: Path, double: BedrockDouble, status: JobStatus, work: str
) -> None:
    """Whatever pair of states a kill leaves in jobs and queue, the command goes on."""
    env = environment(double.url)
    double.faults([{"effect": "AccessDeniedException"}])
    job_id = orjson.loads(run(generate_arguments(2, "--json"), cwd=folder, env=env).stdout)[
        "job_id"
    ]
    storage = open_storage(folder / "out" / ".seedwright", clock=SystemClock())
    if work == "queued":
        storage.queue.enqueue(work_id_of(job_id))
    for step in (JobStatus.QUEUED, JobStatus.RUNNING):
        if storage.jobs.get_job(job_id).status is not status:
            storage.jobs.set_status(job_id, step, fence=None)
    storage.close()
    double.faults([])

    done = run(generate_arguments(2), cwd=folder, env=env)

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("template", ["one", "two"])
def test_the_true_cost_lies_within_the_estimate(
    folder: Path, double: BedrockDouble, template: str
) -> None:
    if template == "two":
        write_inputs(folder, TWO_STEPS)
    env = environment(double.url)
    estimate = ["estimate", "template.yaml", "--seeds", "seeds.jsonl", "-n", str(RECORDS), "--json"]

    figures = orjson.loads(run(estimate, cwd=folder, env=env).stdout)
    done = orjson.loads(run(generate_arguments(RECORDS, "--json"), cwd=folder, env=env).stdout)

    low, likely, high = (
        Decimal(figures[f"{each}_usd"]) for each in ("lowest", "likely", "highest")
    )
    assert low <= likely <= high
    assert low <= Decimal(done["cost_usd"]) <= high
    assert int(Decimal(done["cost_usd"]).scaleb(9)) == billed_nano(double)
