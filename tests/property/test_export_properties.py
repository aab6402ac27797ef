"""Whatever the batches hold, every format exports the same distinct records, or none does."""

import csv
import io
from datetime import UTC, datetime

import orjson
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.domain.errors import ExportError
from runtime.domain.jobs.delivery import OutputFormat
from runtime.domain.jobs.job import Job, JobStatus
from runtime.domain.jobs.record import Record, clean_text
from runtime.domain.templates.template import TemplateRef
from runtime.export.batches import Batches
from runtime.export.exporter import Exporter
from tests.fixtures.job_configs import job_config
from tests.fixtures.memory_objects import MemoryObjects

SIZE = 12
JOB = Job(
    job_id="j1",
    user_id="u1",
    status=JobStatus.RUNNING,
    config=job_config(
        template=TemplateRef(template_id="t", version=1),
        seed_data_path="s.json",
        seed_version=None,
        num_records=SIZE,
        output_formats=tuple(OutputFormat),
    ),
    budget_limit=None,
    created_at=datetime(2025, 1, 1, tzinfo=UTC),
    updated_at=datetime(2025, 1, 1, tzinfo=UTC),
)

hostile = st.text(
    st.characters() | st.sampled_from("\x00\n\r\t\x85\u2028\ud800\udfff\"',=+-@"), max_size=20
).map(clean_text)
records = st.builds(
    Record,
    job_id=st.just("j1"),
    index=st.integers(0, SIZE + 1),
    timestamp=st.datetimes(
        datetime(1970, 1, 2),  # noqa: DTZ001 - Hypothesis wants naive bounds
        datetime(2100, 1, 1),  # noqa: DTZ001 - the same
        timezones=st.just(UTC),
    ),
    seed_data_id=hostile,
    generation_result=st.dictionaries(
        hostile, st.dictionaries(hostile, hostile | st.none() | st.floats(), max_size=2), max_size=2
    ),
)


@given(st.lists(st.lists(records, max_size=6), max_size=5))
def test_all_formats_hold_the_same_distinct_records(batches: list[list[Record]]) -> None:
    objects = MemoryObjects()
    first: dict[int, Record] = {}
    for number, batch in enumerate(batches, start=1):
        Batches(objects).save_batch("j1", number, [record.line() for record in batch])
        for record in batch:
            if record.index < SIZE:
                first.setdefault(record.index, record)

    result = Exporter(objects).export_data(JOB, expected=len(first))

    assert result.records == len(first)
    if not first:
        assert not any("/exports/" in key for key in objects.bodies)
        return
    body = objects.bodies["jobs/j1/exports/dataset.jsonl"]
    assert body == b"".join(record.line() + b"\n" for record in first.values())
    documents = [orjson.loads(record.line()) for record in first.values()]
    rows = pq.read_table(io.BytesIO(objects.bodies["jobs/j1/exports/dataset.parquet"])).to_pylist()
    cells = list(
        csv.reader(io.StringIO(objects.bodies["jobs/j1/exports/dataset.csv"].decode(), newline=""))
    )[1:]
    for document, record, row, line in zip(documents, first.values(), rows, cells, strict=True):
        seed = document["seed_data_id"]
        inert = f"'{seed}" if seed[:1] in set("=+-@\t\r") else seed
        result_json = orjson.dumps(document["generation_result"]).decode()
        assert row == document | {
            "timestamp": record.timestamp,
            "generation_result": result_json,
        }
        assert line == [
            document["id"],
            "j1",
            str(record.index),
            document["timestamp"],
            inert,
            result_json,
        ]


@given(st.lists(st.binary(max_size=40) | records.map(Record.line), max_size=8))
def test_arbitrary_bytes_in_a_batch_never_crash(lines: list[bytes]) -> None:
    objects = MemoryObjects()
    objects.put("jobs/j1/outputs/batch-0001.jsonl", b"\n".join(lines), content_type="x")
    objects.put("jobs/j1/failures/part-0001.jsonl", b"\n".join(lines), content_type="x")

    result = Exporter(objects).export_data(JOB, expected=None)

    with pytest.raises(ExportError):
        Exporter(objects).export_data(JOB, expected=result.records + 1)
    if result.records:
        exported = objects.bodies["jobs/j1/exports/dataset.jsonl"].split(b"\n")[:-1]
        assert len({orjson.loads(line)["index"] for line in exported}) == result.records
