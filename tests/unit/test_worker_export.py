"""S10: what a finished job leaves in the bucket, as its user downloads it.

Here whole jobs run, over emulated S3. `tests/unit/test_export.py` holds the exporter itself to the
details: buffers, row groups, many days, duplicates, damaged lines, streams that break.
"""

import csv
import io
import json
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import orjson
import pyarrow.parquet as pq
import pytest

from runtime.contract import keys
from runtime.contract.exit_codes import ExitCode
from runtime.domain.jobs.delivery import OutputFormat, PartitionStrategy
from runtime.domain.jobs.job import Job, JobStatus
from runtime.export.exporter import Exporter
from runtime.export.formats import ExportRecord
from tests.fixtures.aws import BUCKET
from tests.fixtures.session_faults import Document
from tests.fixtures.worker_world import WorkerWorld, indices, make_template, step, two_steps

JSONL, PARQUET, CSV = OutputFormat.JSONL, OutputFormat.PARQUET, OutputFormat.CSV
HOSTILE = '=HYPERLINK("http://x","a")\r\n, \'b\' \u2028 \u0000 \U0001f600 +1'

ExportOne = Callable[[Exporter, Job, list[ExportRecord]], tuple[str, ...]]
EXPORT_ONE: dict[OutputFormat, ExportOne] = {
    JSONL: Exporter.export_jsonl,
    PARQUET: Exporter.export_parquet,
    CSV: Exporter.export_csv,
}


@pytest.fixture(autouse=True)
def _keep_logs(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.INFO, logger="runtime"):
        yield


def run_job(world: WorkerWorld, *formats: OutputFormat, **job: Any) -> str:
    """A job of these formats, run to its end; its id."""
    job_id = world.create_job(output_formats=formats, **job)
    assert world.run() is ExitCode.DONE
    assert world.job(job_id).status is JobStatus.COMPLETED
    return job_id


def exports(world: WorkerWorld, job_id: str) -> list[str]:
    """Names of everything that was exported."""
    prefix = f"jobs/{job_id}/exports/"
    return [key.removeprefix(prefix) for key in world.object_keys(prefix)]


def content_type(world: WorkerWorld, key: str) -> str:
    return world.aws.s3.head_object(Bucket=BUCKET, Key=key)["ContentType"]


def rows_of_csv(world: WorkerWorld, job_id: str) -> list[list[str]]:
    text = world.object(keys.export_key(job_id, "csv")).decode()
    return list(csv.reader(io.StringIO(text, newline="")))


def rows_of_parquet(world: WorkerWorld, job_id: str) -> list[dict[str, Any]]:
    body = world.object(keys.export_key(job_id, "parquet"))
    return pq.read_table(io.BytesIO(body)).to_pylist()


def by_index(records: list[Document]) -> list[Document]:
    return sorted(records, key=lambda record: record["index"])


def logged(caplog: pytest.LogCaptureFixture, message: str) -> list[int]:
    """The levels with which the message was logged."""
    return [record.levelno for record in caplog.records if record.getMessage() == message]


def test_s10_1_jsonl_is_one_document_a_line_under_its_key(world: WorkerWorld) -> None:
    job_id = run_job(world, JSONL, template=two_steps(), num_records=7)

    assert exports(world, job_id) == ["dataset.jsonl"]
    key = f"jobs/{job_id}/exports/dataset.jsonl"
    assert content_type(world, key) == "application/x-ndjson"
    body = world.object(key)
    assert body.endswith(b"\n")
    documents = [json.loads(line) for line in body.decode().split("\n")[:-1]]
    assert sorted(indices(documents)) == list(range(7))
    assert by_index(documents) == by_index(world.records(job_id))
    assert all(set(document["generation_result"]) == {"review", "answer"} for document in documents)


def test_s10_2_parquet_is_binary_typed_and_readable(world: WorkerWorld) -> None:
    job_id = run_job(world, PARQUET, num_records=7)

    key = f"jobs/{job_id}/exports/dataset.parquet"
    assert exports(world, job_id) == ["dataset.parquet"]
    assert content_type(world, key) == "application/octet-stream"
    rows = by_index(rows_of_parquet(world, job_id))
    for row, record in zip(rows, by_index(world.records(job_id)), strict=True):
        assert row["timestamp"] == datetime.fromisoformat(record["timestamp"])
        assert row["timestamp"].tzinfo is not None
        kept = ("id", "job_id", "index", "seed_data_id")
        assert [row[name] for name in kept] == [record[name] for name in kept]


def test_s10_3_csv_has_a_header_and_round_trips(world: WorkerWorld) -> None:
    job_id = run_job(world, CSV, num_records=7)

    assert exports(world, job_id) == ["dataset.csv"]
    assert content_type(world, f"jobs/{job_id}/exports/dataset.csv").startswith("text/csv")
    header, *rows = rows_of_csv(world, job_id)
    assert header == ["id", "job_id", "index", "timestamp", "seed_data_id", "generation_result"]
    records = by_index(world.records(job_id))
    for row, record in zip(sorted(rows, key=lambda row: int(row[2])), records, strict=True):
        assert row[:5] == [str(record[name]) for name in header[:5]]
        assert orjson.loads(row[5]) == record["generation_result"]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_s10_3_a_cell_that_begins_like_a_formula_is_text(world: WorkerWorld, start: str) -> None:
    seed_id = f"{start}1+1"
    job_id = run_job(world, CSV, JSONL, num_records=1, seeds=[{"id": seed_id, "product": "lamp"}])

    assert world.dataset(job_id)[0]["seed_data_id"] == seed_id
    assert rows_of_csv(world, job_id)[1][4] == f"'{seed_id}"


def test_s10_4_a_list_of_formats_exports_each_with_the_same_records(world: WorkerWorld) -> None:
    job_id = run_job(world, JSONL, PARQUET, CSV, num_records=7)

    assert exports(world, job_id) == ["dataset.csv", "dataset.jsonl", "dataset.parquet"]
    found = [
        indices(world.dataset(job_id)),
        indices(rows_of_parquet(world, job_id)),
        [int(row[2]) for row in rows_of_csv(world, job_id)[1:]],
    ]
    assert found[0] == found[1] == found[2]
    assert sorted(found[0]) == list(range(7))


@pytest.mark.parametrize("chosen", list(OutputFormat))
def test_s10_4_the_worker_can_export_one_format_alone(
    world: WorkerWorld, chosen: OutputFormat
) -> None:
    job_id = run_job(world, JSONL, num_records=3)
    world.aws.s3.delete_object(Bucket=BUCKET, Key=keys.export_key(job_id, "jsonl"))
    (batch,) = world.object_keys(keys.batches_prefix(job_id))
    records = [ExportRecord.parse(line) for line in world.object(batch).splitlines()]

    exported = EXPORT_ONE[chosen](world.worker().exporter, world.job(job_id), records)

    assert exported == (keys.export_key(job_id, chosen.lower()),)
    assert exports(world, job_id) == [f"dataset.{chosen.lower()}"]
    read: dict[OutputFormat, Callable[[], list[int]]] = {
        JSONL: lambda: indices(world.dataset(job_id)),
        PARQUET: lambda: indices(rows_of_parquet(world, job_id)),
        CSV: lambda: [int(row[2]) for row in rows_of_csv(world, job_id)[1:]],
    }
    assert sorted(read[chosen]()) == [0, 1, 2]


def two_days(world: WorkerWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Midnight passes after every other look at the clock."""
    days = iter(range(10**6))

    def now() -> datetime:
        return datetime(2025, 1, 1 + next(days) % 2, 23, 59, tzinfo=UTC)

    monkeypatch.setattr(world.clock, "now", now)


def test_s10_5_partitions_are_one_object_a_day(
    world: WorkerWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = world.create_job(num_records=7, partition_strategy=PartitionStrategy.TIMESTAMP)
    two_days(world, monkeypatch)

    assert world.run() is ExitCode.DONE

    days = ["date=2025-01-01/records.jsonl", "date=2025-01-02/records.jsonl"]
    assert exports(world, job_id) == days
    found: list[int] = []
    for day in days:
        body = world.object(f"jobs/{job_id}/exports/{day}")
        records = [orjson.loads(line) for line in body.splitlines()]
        assert {f"date={record['timestamp'][:10]}" for record in records} == {day[:15]}
        found += indices(records)
    assert sorted(found) == list(range(7))


@pytest.mark.parametrize("chosen", [PARQUET, CSV])
def test_s10_6_other_formats_are_one_file_and_a_warning(
    world: WorkerWorld,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    chosen: OutputFormat,
) -> None:
    job_id = world.create_job(
        num_records=7, output_formats=(chosen,), partition_strategy=PartitionStrategy.TIMESTAMP
    )
    two_days(world, monkeypatch)

    assert world.run() is ExitCode.DONE

    assert exports(world, job_id) == [f"dataset.{chosen.lower()}"]
    assert logged(caplog, "only JSONL is partitioned, writing one file") == [logging.WARNING]


def test_failures_of_an_earlier_export_go_when_there_are_none_any_more(world: WorkerWorld) -> None:
    job_id = world.create_job()
    key = keys.failures_key(job_id)
    world.aws.s3.put_object(Bucket=BUCKET, Key=key, Body=b"{}\n")
    assert world.run() is ExitCode.DONE
    assert world.object_keys(key) == []


def test_s10_7_no_records_are_a_warning_and_no_write(
    world: WorkerWorld, caplog: pytest.LogCaptureFixture
) -> None:
    world.double.faults([{"effect": "ValidationException"}])
    job_id = world.create_job(num_records=3, output_formats=tuple(OutputFormat))

    assert world.run() is ExitCode.JOB_FAILED

    assert logged(caplog, "no records to export") == [logging.WARNING]
    assert exports(world, job_id) == []
    assert "every record failed" in (world.job(job_id).error_message or "")
    assert sorted(indices(world.failures(job_id))) == [0, 1, 2]

    empty = world.job(world.create_job(output_formats=tuple(OutputFormat)))
    exporter = world.worker().exporter
    caplog.clear()
    before = len(world.calls)
    assert exporter.export_data(empty, expected=None).keys == {}
    assert [export(exporter, empty, []) for export in EXPORT_ONE.values()] == [()] * 3
    assert logged(caplog, "no records to export") == [logging.WARNING] * 4
    assert {call.operation for call in world.calls[before:]} == {"ListObjectsV2"}


def test_s10_8_nested_results_are_json_text_in_parquet_and_csv(world: WorkerWorld) -> None:
    nested = {"list": [1, {"deep": None}], "text": HOSTILE}
    world.double.faults([{"text": json.dumps(nested)}])
    template = make_template(step(output_schema={"type": "object"}))
    job_id = run_job(world, JSONL, PARQUET, CSV, template=template, num_records=2)

    (first, second) = by_index(world.dataset(job_id))
    result = first["generation_result"]["review"]["output"]
    assert result["list"] == nested["list"]
    assert result["text"] == HOSTILE
    cells = [row["generation_result"] for row in by_index(rows_of_parquet(world, job_id))]
    assert all(isinstance(cell, str) for cell in cells)
    expected = [first["generation_result"], second["generation_result"]]
    assert [json.loads(cell) for cell in cells] == expected
    rows = sorted(rows_of_csv(world, job_id)[1:], key=lambda row: int(row[2]))
    assert [json.loads(row[5]) for row in rows] == expected


def test_a_report_is_written_beside_the_exports(world: WorkerWorld) -> None:
    """With the counters of the end, also where the budget was the end."""
    job_id = run_job(world, JSONL, PARQUET, num_records=6)
    ended = world.create_job(num_records=40, budget="0.0002")
    assert world.run() is ExitCode.BUDGET_EXCEEDED

    for each in (job_id, ended):
        key = keys.report_key(each)
        assert content_type(world, key) == "text/html; charset=utf-8"
        page, job = world.object(key).decode(), world.job(each)
        assert f"<dd>{job.progress.records_generated}<small>of {job.config.num_records}" in page
        assert 0 < job.progress.records_generated == len(world.dataset(each))
        assert f"<dt>Tokens</dt><dd>{job.progress.tokens_used:,}<small>" in page
