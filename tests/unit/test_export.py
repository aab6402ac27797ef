"""The export: right keys and bytes, distinct and counted records, nothing half-published."""

import csv
import io
import logging
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

import orjson
import pyarrow.parquet as pq
import pytest

from runtime.aws.objects import S3Objects
from runtime.contract.keys import FAILURE_PARTS, batch_key, failures_key
from runtime.domain.errors import ExportError, StorageFullError, StorageUnavailableError
from runtime.domain.jobs.delivery import OutputFormat, PartitionStrategy
from runtime.domain.jobs.job import Job, JobStatus
from runtime.domain.jobs.record import RECORD_FIELDS, Failure, Record
from runtime.domain.ports import ObjectStat, ObjectStore
from runtime.domain.templates.template import TemplateRef
from runtime.export import formats as export_formats
from runtime.export.batches import Batches
from runtime.export.exporter import Exporter, ExportResult
from runtime.export.formats import ExportRecord
from runtime.files.reading import load_rows
from runtime.local.objects import DirectoryObjects
from tests.fixtures.aws import BUCKET
from tests.fixtures.job_configs import job_config
from tests.fixtures.memory_objects import MemoryObjects

START = datetime(2025, 1, 1, 12, tzinfo=UTC)
JSONL, PARQUET, CSV = OutputFormat.JSONL, OutputFormat.PARQUET, OutputFormat.CSV
JSONL_KEY, PARQUET_KEY, CSV_KEY = (
    f"jobs/j1/exports/dataset.{extension}" for extension in ("jsonl", "parquet", "csv")
)


class FaultyObjects(MemoryObjects):
    """Fails to list `unlistable`, to read `unreadable`, or to write to the keys in `full`."""

    def __init__(self) -> None:
        super().__init__()
        self.unlistable: set[str] = set()
        self.unreadable: set[str] = set()
        self.full: set[str] = set()
        self.opened: list[str] = []

    def list(self, prefix: str) -> Iterator[ObjectStat]:
        if prefix in self.unlistable:
            raise StorageUnavailableError("listing is down: try again")
        return super().list(prefix)

    def get(self, key: str, *, version: str | None = None) -> bytes:
        if key in self.unreadable:
            raise StorageUnavailableError("reading is down: try again")
        return super().get(key, version=version)

    @contextmanager
    def open_writer(self, key: str, *, content_type: str) -> Iterator[BinaryIO]:
        self.opened.append(key)
        with super().open_writer(key, content_type=content_type) as stream:
            yield stream
            if key in self.full:
                raise StorageFullError("the disk is full: free some space")


def a_job(
    *formats: OutputFormat,
    num_records: int = 10,
    partition: PartitionStrategy = PartitionStrategy.NONE,
) -> Job:
    return Job(
        job_id="j1",
        user_id="u1",
        status=JobStatus.RUNNING,
        config=job_config(
            template=TemplateRef(template_id="t", version=1),
            seed_data_path="seed-data/u1/s.json",
            seed_version=None,
            num_records=num_records,
            output_formats=formats or (JSONL,),
            partition_strategy=partition,
        ),
        budget_limit=None,
        created_at=START,
        updated_at=START,
    )


def a_record(index: int, text: str = "hello", *, at: datetime = START, seed: str = "s") -> Record:
    return Record(
        job_id="j1",
        index=index,
        timestamp=at,
        seed_data_id=seed,
        generation_result={"answer": {"output": text, "model": "m", "stop_reason": "end_turn"}},
    )


def a_failure(index: int) -> Failure:
    return Failure(
        job_id="j1", index=index, seed_data_id="s", step="a", kind="k", message="m", attempts=2
    )


@pytest.fixture
def objects() -> FaultyObjects:
    return FaultyObjects()


def save(objects: MemoryObjects, *batches: Sequence[Record]) -> None:
    for number, records in enumerate(batches, start=1):
        Batches(objects).save_batch("j1", number, [record.line() for record in records])


def export(objects: MemoryObjects, job: Job, expected: int | None = None) -> ExportResult:
    return Exporter(objects).export_data(job, expected=expected)


def exported(objects: MemoryObjects) -> set[str]:
    return {key for key in objects.bodies if "/exports/" in key}


def read_jsonl(body: bytes) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in body.split(b"\n")[:-1]]


def read_csv(body: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(body.decode(), newline="")))


def read_parquet(body: bytes) -> list[dict[str, Any]]:
    return pq.read_table(io.BytesIO(body)).to_pylist()


def test_jsonl_is_one_document_a_line_under_the_right_key(objects: FaultyObjects) -> None:
    """S10.1"""
    records = [a_record(0), a_record(1, "two\nlines"), a_record(2)]
    save(objects, records[:2], records[2:])

    result = export(objects, a_job(), expected=3)

    assert result == ExportResult(
        keys={JSONL: (JSONL_KEY,)}, records=3, failures=0, duplicates_dropped=0
    )
    assert objects.bodies[JSONL_KEY] == b"".join(record.line() + b"\n" for record in records)
    assert objects.content_types[JSONL_KEY] == "application/x-ndjson"


def test_parquet_has_typed_columns_and_its_content_type(objects: FaultyObjects) -> None:
    """S10.2, S10.8"""
    save(objects, [a_record(0), a_record(1, at=START + timedelta(microseconds=7))])

    export(objects, a_job(PARQUET), expected=2)

    assert objects.content_types[PARQUET_KEY] == "application/octet-stream"
    file = pq.ParquetFile(io.BytesIO(objects.bodies[PARQUET_KEY]))
    assert tuple(file.schema_arrow.names) == RECORD_FIELDS
    assert str(file.schema_arrow.field("index").type) == "int64"
    assert str(file.schema_arrow.field("timestamp").type) == "timestamp[us, tz=UTC]"
    assert file.metadata.row_group(0).column(0).compression == "ZSTD"
    rows = read_parquet(objects.bodies[PARQUET_KEY])
    assert [row["index"] for row in rows] == [0, 1]
    assert rows[1]["timestamp"] == START + timedelta(microseconds=7)
    assert orjson.loads(rows[0]["generation_result"]) == a_record(0).generation_result


def test_row_groups_are_bounded_by_rows_and_by_bytes(
    objects: FaultyObjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_formats, "ROW_GROUP_ROWS", 3)
    monkeypatch.setattr(export_formats, "ROW_GROUP_BYTES", 1000)
    save(objects, [*map(a_record, range(4)), a_record(4, "x" * 1000), a_record(5)])

    export(objects, a_job(PARQUET), expected=6)

    metadata = pq.ParquetFile(io.BytesIO(objects.bodies[PARQUET_KEY])).metadata
    assert [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)] == [3, 2, 1]


def test_csv_has_a_header_and_round_trips(objects: FaultyObjects) -> None:
    """S10.3, S10.8"""
    text = 'a "quoted", cell;\r\nwith\tlines\rand ünïcode \x85 \u2028 \x00'
    save(objects, [a_record(0, text, seed=text), a_record(1)])

    export(objects, a_job(CSV), expected=2)

    body = objects.bodies[CSV_KEY]
    assert body.startswith(b"id,job_id,index,timestamp,seed_data_id,generation_result\r\n")
    rows = read_csv(body)
    assert [row["index"] for row in rows] == ["0", "1"]
    assert rows[0]["timestamp"] == "2025-01-01T12:00:00Z"
    assert rows[0]["seed_data_id"] == text
    assert orjson.loads(rows[0]["generation_result"])["answer"]["output"] == text


def test_csv_rows_survive_the_buffer_between_them(
    objects: FaultyObjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S10.3"""
    monkeypatch.setattr(export_formats, "CSV_BUFFER_CHARACTERS", 300)
    texts = ["x" * 1000, "", "y" * 400, *"abcdef"]
    save(objects, [a_record(index, text) for index, text in enumerate(texts)])

    export(objects, a_job(CSV), expected=9)

    rows = read_csv(objects.bodies[CSV_KEY])
    results = [orjson.loads(row["generation_result"]) for row in rows]
    assert [result["answer"]["output"] for result in results] == texts


def test_csv_leaves_as_it_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory does not grow with the dataset."""
    monkeypatch.setattr(export_formats, "CSV_BUFFER_CHARACTERS", 300)
    objects = MemoryObjects()
    with objects.open_writer(CSV_KEY, content_type="text/csv") as stream:
        monkeypatch.setattr(objects, "open_writer", lambda *_, **__: nullcontext(stream))
        with export_formats.open_csv(objects, CSV_KEY) as write:
            for index, sent in ((0, 1), (1, 2)):
                write(ExportRecord.parse(a_record(index, "x" * 1000).line()))
                assert stream.tell() > 1000 * sent


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_formula_leading_cells_are_neutralised_in_csv_only(
    objects: FaultyObjects, start: str
) -> None:
    """S10.3"""
    cell = f"{start}HYPERLINK(1)"
    save(objects, [a_record(0, seed=cell), a_record(1, seed="a=b")])

    export(objects, a_job(CSV, JSONL, PARQUET), expected=2)

    assert [r["seed_data_id"] for r in read_csv(objects.bodies[CSV_KEY])] == [f"'{cell}", "a=b"]
    assert read_jsonl(objects.bodies[JSONL_KEY])[0]["seed_data_id"] == cell
    assert read_parquet(objects.bodies[PARQUET_KEY])[0]["seed_data_id"] == cell


def test_every_format_of_the_list_is_written_once(objects: FaultyObjects) -> None:
    """S10.4"""
    save(objects, [a_record(0), a_record(1)])

    result = export(objects, a_job(CSV, JSONL, PARQUET, JSONL), expected=2)

    assert result.keys == {JSONL: (JSONL_KEY,), PARQUET: (PARQUET_KEY,), CSV: (CSV_KEY,)}
    assert sorted(objects.opened) == sorted([JSONL_KEY, PARQUET_KEY, CSV_KEY])
    assert exported(objects) == set(objects.opened)
    ids = ["j1-0", "j1-1"]
    assert [row["id"] for row in read_jsonl(objects.bodies[JSONL_KEY])] == ids
    assert [row["id"] for row in read_parquet(objects.bodies[PARQUET_KEY])] == ids
    assert [row["id"] for row in read_csv(objects.bodies[CSV_KEY])] == ids


def test_one_format_can_be_written_alone(objects: FaultyObjects) -> None:
    records = [ExportRecord.parse(a_record(i).line()) for i in range(3)]
    job, exporter = a_job(), Exporter(objects)

    assert exporter.export_jsonl(job, iter(records)) == (JSONL_KEY,)
    assert exporter.export_parquet(job, iter(records)) == (PARQUET_KEY,)
    assert exporter.export_csv(job, iter(records)) == (CSV_KEY,)
    assert exporter.export_csv(job, []) == ()
    assert len(read_jsonl(objects.bodies[JSONL_KEY])) == 3
    assert len(read_parquet(objects.bodies[PARQUET_KEY])) == 3
    assert len(read_csv(objects.bodies[CSV_KEY])) == 3


def test_partitions_are_days_in_utc(objects: FaultyObjects) -> None:
    """S10.5"""
    late = datetime(2025, 1, 1, 23, 30, tzinfo=UTC)
    save(objects, [a_record(0, at=late), a_record(1, at=late + timedelta(hours=1)), a_record(2)])
    offset = a_record(3).line().replace(b"2025-01-01T12:00:00Z", b"2025-01-02T01:00:00+02:00")
    Batches(objects).save_batch("j1", 2, [offset])

    result = export(objects, a_job(partition=PartitionStrategy.TIMESTAMP), expected=4)

    first, second = (f"jobs/j1/exports/date=2025-01-0{d}/records.jsonl" for d in (1, 2))
    assert result.keys == {JSONL: (first, second)}
    assert exported(objects) == {first, second}
    assert [row["index"] for row in read_jsonl(objects.bodies[first])] == [0, 2, 3]
    assert [row["index"] for row in read_jsonl(objects.bodies[second])] == [1]


def test_more_days_than_may_be_open_take_more_passes(
    objects: FaultyObjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S10.5"""
    monkeypatch.setattr(export_formats, "MAX_OPEN_DAYS", 2)
    records = [a_record(i, at=START + timedelta(days=i % 5)) for i in range(20)]
    save(objects, records[:10], [*records[5:]])

    job = a_job(CSV, JSONL, num_records=20, partition=PartitionStrategy.TIMESTAMP)
    result = export(objects, job, expected=20)

    assert (result.records, result.duplicates_dropped) == (20, 5)
    assert len(result.keys[JSONL]) == 5
    for day, key in enumerate(result.keys[JSONL]):
        found = [row["index"] for row in read_jsonl(objects.bodies[key])]
        assert found == list(range(day, 20, 5))
    assert len(read_csv(objects.bodies[CSV_KEY])) == 20


def test_more_days_than_open_writers_need_records_that_can_be_repeated(
    objects: FaultyObjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_formats, "MAX_OPEN_DAYS", 1)
    lines = [a_record(i, at=START + timedelta(days=i)).line() for i in range(2)]
    job = a_job(partition=PartitionStrategy.TIMESTAMP)

    with pytest.raises(ExportError, match="only once"):
        Exporter(objects).export_jsonl(job, map(ExportRecord.parse, lines))


@pytest.mark.parametrize(("chosen", "key"), [(PARQUET, PARQUET_KEY), (CSV, CSV_KEY)])
def test_other_formats_are_not_partitioned(
    objects: FaultyObjects, chosen: OutputFormat, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    """S10.6"""
    save(objects, [a_record(0), a_record(1, at=START + timedelta(days=1))])

    export(objects, a_job(chosen, partition=PartitionStrategy.TIMESTAMP), expected=2)

    assert exported(objects) == {key}
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "only JSONL is partitioned" in caplog.text


@pytest.mark.parametrize("expected", [0, None])
def test_no_records_is_a_warning_and_no_write(
    objects: FaultyObjects, expected: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    """S10.7"""
    result = export(objects, a_job(JSONL, PARQUET, CSV), expected=expected)

    assert result == ExportResult(keys={}, records=0, failures=0, duplicates_dropped=0)
    assert objects.bodies == {}
    assert [record.getMessage() for record in caplog.records] == ["no records to export"]


def test_duplicates_are_dropped_and_the_first_one_counts(objects: FaultyObjects) -> None:
    save(objects, [a_record(0, "first"), a_record(1)], [a_record(0, "second"), a_record(2)])

    result = export(objects, a_job(), expected=3)

    assert (result.records, result.duplicates_dropped) == (3, 1)
    rows = read_jsonl(objects.bodies[JSONL_KEY])
    assert [row["index"] for row in rows] == [0, 1, 2]
    assert rows[0]["generation_result"]["answer"]["output"] == "first"


def test_an_index_outside_the_job_is_dropped_and_logged(
    objects: FaultyObjects, caplog: pytest.LogCaptureFixture
) -> None:
    save(objects, [a_record(9), a_record(10), a_record(2**63)])

    result = export(objects, a_job(num_records=10), expected=1)

    assert result.records == 1
    assert [record.getMessage() for record in caplog.records] == ["index out of range"] * 2


@pytest.mark.parametrize("expected", [0, 1, 3])
def test_a_wrong_count_publishes_nothing(objects: FaultyObjects, expected: int) -> None:
    """S6.7"""
    save(objects, [a_record(0), a_record(1), a_record(1)])
    before = dict(objects.bodies)

    with pytest.raises(ExportError, match=rf"2 distinct records but {expected} "):
        export(objects, a_job(JSONL, PARQUET, CSV), expected=expected)

    assert objects.bodies == before


def test_no_batches_where_records_were_counted_is_an_error(objects: FaultyObjects) -> None:
    """S6.7"""
    with pytest.raises(ExportError, match="0 distinct records but 5 "):
        export(objects, a_job(), expected=5)


@pytest.mark.parametrize("folder", ["outputs", "failures"])
@pytest.mark.parametrize("expected", [1, None])
def test_an_export_refuses_what_it_could_not_list(
    objects: FaultyObjects, folder: str, expected: int | None
) -> None:
    """S6.7"""
    save(objects, [a_record(0)])
    objects.unlistable = {f"jobs/j1/{folder}/"}

    with pytest.raises(ExportError) as caught:
        export(objects, a_job(), expected=expected)

    assert isinstance(caught.value.__cause__, StorageUnavailableError)
    assert exported(objects) == set()


def test_an_unreadable_batch_fails_the_export_and_the_retry_succeeds(
    objects: FaultyObjects,
) -> None:
    """S6.5"""
    save(objects, [a_record(0)], [a_record(1)])
    job = a_job(JSONL, PARQUET, CSV)
    objects.unreadable = {batch_key("j1", 2)}

    with pytest.raises(ExportError, match="reading is down") as caught:
        export(objects, job, expected=2)

    assert isinstance(caught.value.__cause__, StorageUnavailableError)
    assert exported(objects) == set()
    objects.unreadable.clear()
    assert export(objects, job, expected=2).records == 2


@pytest.mark.parametrize("key", [JSONL_KEY, PARQUET_KEY, CSV_KEY])
def test_an_object_that_cannot_be_written_keeps_the_batches(
    objects: FaultyObjects, key: str
) -> None:
    """S6.5"""
    save(objects, [a_record(0)])
    batches = dict(objects.bodies)
    objects.full = {key}

    with pytest.raises(ExportError, match="disk is full") as caught:
        export(objects, a_job(JSONL, PARQUET, CSV), expected=1)

    assert isinstance(caught.value.__cause__, StorageFullError)
    assert key not in objects.bodies
    assert batches.items() <= objects.bodies.items()


class BrokenStream(io.BytesIO):
    def write(self, _: object) -> int:
        raise OSError(5, "Input/output error")


@pytest.mark.parametrize("chosen", [JSONL, PARQUET, CSV])
def test_a_stream_that_breaks_is_an_export_error(chosen: OutputFormat) -> None:
    """S6.5"""

    class BrokenObjects(MemoryObjects):
        @contextmanager
        def open_writer(self, key: str, *, content_type: str) -> Iterator[BinaryIO]:
            del key, content_type
            yield BrokenStream()

    objects = BrokenObjects()
    save(objects, [a_record(0)])

    with pytest.raises(ExportError, match="could not be written"):
        export(objects, a_job(chosen), expected=1)


def test_what_the_progress_hook_raises_stops_the_export_as_it_is(objects: FaultyObjects) -> None:
    """S4.5: an interrupted export publishes nothing."""
    save(objects, [a_record(0)])

    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Exporter(objects).export_data(a_job(JSONL, PARQUET, CSV), expected=1, progress=interrupt)

    assert exported(objects) == set()


def test_progress_is_told_as_it_goes(objects: FaultyObjects) -> None:
    save(objects, [a_record(i) for i in range(4500)])
    told: list[int] = []

    Exporter(objects).export_data(a_job(num_records=4500), expected=4500, progress=told.append)

    assert told == [2000, 4000, 4500]


@pytest.mark.parametrize(
    "damage",
    [
        {"timestamp": "yesterday"},
        {"timestamp": 5},
        {"timestamp": "0001-01-01T00:00:00+05:00"},
        {"id": None},
        {"seed_data_id": ["x"]},
    ],
)
def test_a_line_that_is_no_record_is_logged_and_the_count_tells(
    objects: FaultyObjects, damage: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    document = orjson.loads(a_record(1).line()) | damage
    Batches(objects).save_batch("j1", 1, [a_record(0).line(), orjson.dumps(document)])

    assert export(objects, a_job(JSONL, PARQUET, CSV), expected=None).records == 1
    assert [record.getMessage() for record in caplog.records] == ["damaged record skipped"]
    with pytest.raises(ExportError):
        export(objects, a_job(), expected=2)


def test_missing_fields_and_results_too_deep_to_write_are_damage() -> None:
    document = orjson.loads(a_record(1).line())
    deep = b'{"index":1,"generation_result":' + b"[" * 300 + b"]" * 300 + b"}"
    for line in (
        *(orjson.dumps({k: v for k, v in document.items() if k != name}) for name in RECORD_FIELDS),
        deep.replace(b'"index"', b'"timestamp":"2025-01-01T00:00:00Z","index"'),
        b"[]",
        b"",
    ):
        with pytest.raises(ValueError):  # noqa: PT011 - any of them is damage
            ExportRecord.parse(line)


def test_a_timestamp_without_zone_is_taken_as_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    line = a_record(1).line().replace(b"12:00:00Z", b"12:00:00")
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        timestamp = ExportRecord.parse(line).timestamp
    time.tzset()

    assert timestamp == START


def test_a_megabyte_in_a_cell_survives_in_every_format(objects: FaultyObjects) -> None:
    text = '\x00\x85\u2028"\r\n,' * 120_000
    save(objects, [a_record(0, text)])

    export(objects, a_job(JSONL, PARQUET, CSV), expected=1)

    old = csv.field_size_limit(64 * 1024 * 1024)
    try:
        results = (
            read_jsonl(objects.bodies[JSONL_KEY])[0]["generation_result"],
            orjson.loads(read_csv(objects.bodies[CSV_KEY])[0]["generation_result"]),
            orjson.loads(read_parquet(objects.bodies[PARQUET_KEY])[0]["generation_result"]),
        )
    finally:
        csv.field_size_limit(old)
    assert all(result["answer"]["output"] == text for result in results)


def test_shards_are_exported_together(objects: FaultyObjects) -> None:
    for shard in range(3):
        Batches(objects).save_batch("j1", 1, [a_record(shard).line()], shard=shard)
        Batches(objects, FAILURE_PARTS).save_batch(
            "j1", 1, [a_failure(5 + shard).line()], shard=shard
        )

    result = export(objects, a_job(), expected=3)

    assert (result.records, result.failures) == (3, 3)


def test_failures_are_distinct_and_records_win(objects: FaultyObjects) -> None:
    save(objects, [a_record(0), a_record(1)])
    parts = Batches(objects, FAILURE_PARTS)
    parts.save_batch("j1", 1, [a_failure(1).line(), a_failure(2).line()])
    parts.save_batch("j1", 2, [a_failure(2).line(), a_failure(3).line(), a_failure(10).line()])

    result = export(objects, a_job(num_records=10), expected=2)

    assert result.failures == 2
    body = objects.bodies[failures_key("j1")]
    assert body == a_failure(2).line() + b"\n" + a_failure(3).line() + b"\n"
    assert objects.content_types[failures_key("j1")] == "application/x-ndjson"


def test_failures_are_listed_when_every_record_failed(objects: FaultyObjects) -> None:
    Batches(objects, FAILURE_PARTS).save_batch("j1", 1, [a_failure(0).line()])

    result = export(objects, a_job(), expected=0)

    assert (result.keys, result.failures) == ({}, 1)
    assert read_jsonl(objects.bodies[failures_key("j1")])[0]["step"] == "a"


def test_a_list_of_failures_that_no_longer_hold_is_removed(objects: FaultyObjects) -> None:
    Batches(objects, FAILURE_PARTS).save_batch("j1", 1, [a_failure(1).line()])
    save(objects, [a_record(0)])
    export(objects, a_job(), expected=1)
    assert failures_key("j1") in objects.bodies

    Batches(objects).save_batch("j1", 2, [a_record(1).line()])
    result = export(objects, a_job(), expected=2)

    assert result.failures == 0
    assert failures_key("j1") not in objects.bodies


def test_an_export_again_replaces_the_dataset(objects: FaultyObjects) -> None:
    job = a_job(JSONL, PARQUET, CSV)
    save(objects, [a_record(0)])
    export(objects, job, expected=1)
    Batches(objects).save_batch("j1", 2, [a_record(1).line()])

    export(objects, job, expected=2)

    assert len(read_jsonl(objects.bodies[JSONL_KEY])) == 2
    assert len(read_csv(objects.bodies[CSV_KEY])) == 2
    assert len(read_parquet(objects.bodies[PARQUET_KEY])) == 2


@pytest.fixture(params=["directory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ObjectStore]:
    if request.param == "directory":
        directory = DirectoryObjects(tmp_path)
        yield directory
        directory.close()
        return
    client = request.getfixturevalue("aws").s3
    yield S3Objects(client=client, bucket_name=BUCKET, part_bytes=5 * 2**20)
    assert "Uploads" not in client.list_multipart_uploads(Bucket=BUCKET)


def test_an_export_over_a_real_store(store: ObjectStore) -> None:
    """S10.1 to S10.4, S6.5, S6.7: with writers that send parts before the count is known."""
    text = random.Random(1).randbytes(500_000).hex()  # noqa: S311 - text that hardly compresses
    lines = [a_record(index, text).line() for index in range(12)]
    Batches(store).save_batch("j1", 1, lines[:7])
    Batches(store).save_batch("j1", 2, lines[6:])
    Batches(store, FAILURE_PARTS).save_batch("j1", 1, [a_failure(12).line()])
    job, exporter = a_job(JSONL, PARQUET, CSV, num_records=13), Exporter(store)

    with pytest.raises(ExportError):
        exporter.export_data(job, expected=13)
    assert list(store.list("jobs/j1/exports/")) == []

    result = exporter.export_data(job, expected=12)

    assert (result.records, result.failures, result.duplicates_dropped) == (12, 1, 1)
    assert store.get(JSONL_KEY) == b"".join(line + b"\n" for line in lines)
    ids = [f"j1-{index}" for index in range(12)]
    assert [row["id"] for row in read_parquet(store.get(PARQUET_KEY))] == ids
    assert store.get(CSV_KEY).count(b"\r\n") == 13
    assert store.get(failures_key("j1")) == a_failure(12).line() + b"\n"


def test_partitions_over_a_real_store(store: ObjectStore) -> None:
    """S10.5"""
    lines = [a_record(i, at=START + timedelta(days=i % 9)).line() for i in range(20)]
    Batches(store).save_batch("j1", 1, lines)

    job = a_job(num_records=20, partition=PartitionStrategy.TIMESTAMP)
    result = Exporter(store).export_data(job, expected=20)

    assert [stat.key for stat in store.list("jobs/j1/exports/")] == list(result.keys[JSONL])
    assert result.keys[JSONL][0] == "jobs/j1/exports/date=2025-01-01/records.jsonl"
    assert store.get(result.keys[JSONL][8]) == lines[8] + b"\n" + lines[17] + b"\n"


def test_pyarrow_is_imported_only_for_parquet() -> None:
    script = (
        "import sys, runtime.export.exporter; from tests.fixtures.memory_objects import *;"
        "from runtime.export.formats import open_csv, open_jsonl, open_parquet;"
        "o = MemoryObjects();"
        "[open(o, 'k').__enter__() for open in (open_csv, open_jsonl)];"
        "assert 'pyarrow' not in sys.modules;"
        "p = open_parquet(o, 'k'); p.__enter__();"
        "assert 'pyarrow' in sys.modules; p.__exit__(None, None, None)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).parents[2])


@pytest.mark.parametrize("output_format", [JSONL, PARQUET, CSV])
def test_d8_the_records_of_a_dataset_are_seeds_in_every_format(
    objects: FaultyObjects, output_format: OutputFormat
) -> None:
    save(objects, [a_record(0), a_record(1, seed="t")])
    export(objects, a_job(output_format), expected=2)
    [key] = exported(objects)
    rows = load_rows(
        io.BytesIO(objects.bodies[key]),
        f"dataset.{output_format.lower()}",
        requirements=["id", "seed_data_id", "generation_result.answer.output"],
    )
    assert [rows.seed_id(0), rows[1]["seed_data_id"]] == ["j1-0", "t"]
    assert rows[0]["generation_result"] == a_record(0).generation_result
