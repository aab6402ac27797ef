"""Rows that are made in the order in which records come, and written in that of their index."""

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import pyarrow.parquet as pq
import pytest

from runtime.domain.jobs.delivery import OutputFormat
from runtime.domain.outputs.types import Scalar
from runtime.export import row_files
from runtime.export.formats import ExportRecord
from runtime.export.missing import Problem
from runtime.export.row_export import RowExport, RowSource
from tests.fixtures.memory_objects import MemoryObjects
from tests.fixtures.reports import a_line


@dataclass(frozen=True, kw_only=True, slots=True)
class Unfit:
    index: int
    column: str
    message: str


def make(
    records: Sequence[Mapping[str, Any]], report: Callable[[Problem], None]
) -> Iterator[tuple[int, Sequence[Any]]]:
    """The output of the step; a text that begins with "bad" gives no row."""
    for record in records:
        index, text = record["index"], record["generation_result"]["ask"]["output"]
        if text.startswith("bad"):
            report(Unfit(index=index, column="text", message=text))
        else:
            yield index, (text,)


def export(texts: Mapping[int, str]) -> tuple[MemoryObjects, RowExport]:
    """Records that come in this order."""
    objects = MemoryObjects()
    source = RowSource(
        job_id="j1",
        folder="data",
        shape="columns",
        made_of="",
        columns={"text": Scalar.STRING},
        make=make,
        records=max(texts) + 1,
        formats=frozenset({OutputFormat.JSONL}),
    )
    rows = RowExport(objects, source)
    with rows.opened(stored_bytes=1) as write:
        write([ExportRecord.parse(a_line(index, {"ask": each})) for index, each in texts.items()])
    return objects, rows


def test_what_gives_no_row_is_named_in_the_order_of_its_index() -> None:
    late = {index: f"bad {index}" for index in range(30, 10, -1)}
    objects, rows = export({9: "i", **late, 3: "bad 3", 0: "a", 7: "bad 30", 1: "b"})

    assert rows.result is not None
    assert rows.result.without_row == 22
    assert rows.result.problems[:4] == (
        "text: bad 3",
        "text: bad 30 (2 times)",
        "text: bad 11",
        "text: bad 12",
    )
    assert len(rows.result.problems) == 10
    keys = [stat.key for stat in objects.list("jobs/j1/exports/")]
    lines = objects.get(next(key for key in keys if key.endswith(".jsonl"))).splitlines()
    assert [orjson.loads(line)["text"] for line in lines] == ["a", "b", "i"]


def test_row_groups_end_where_they_are_full_however_many_rows_come_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(row_files, "ROW_GROUP_ROWS", 50)
    monkeypatch.setattr(row_files, "ROW_GROUP_BYTES", 400)
    # The first 90 rows are of one byte each, the others of 100.
    objects, _ = export({index: "x" * (1 if index < 90 else 100) for index in range(150)})

    body = objects.get("jobs/j1/exports/data/train-00000-of-00001.parquet")
    found = pq.ParquetFile(io.BytesIO(body)).metadata
    sizes = [found.row_group(number).num_rows for number in range(found.num_row_groups)]
    assert sizes == [50, 44, *[4] * 14]
