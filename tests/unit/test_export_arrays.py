"""Arrays for Parquet, made without what `pyarrow.array` imports."""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from runtime.domain.outputs.types import ListOf, Scalar, Struct, Type
from runtime.export.arrays import array_of, timestamps

POINT = Struct((("x", Scalar.INT64), ("tags", ListOf(Scalar.STRING))))


@pytest.mark.parametrize(
    ("kind", "arrow", "values"),
    [
        (Scalar.STRING, pa.string(), ["", "ä\0𝄞", None, "x" * 300]),
        (Scalar.STRING, pa.string(), []),
        (Scalar.STRING, pa.string(), [None]),
        (Scalar.INT64, pa.int64(), [-(2**63), None, 0, 2**63 - 1]),
        (Scalar.FLOAT64, pa.float64(), [1, -0.0, None, 1e308]),
        (Scalar.BOOL, pa.bool_(), [True, False, None, True, True, False, True, False, True]),
        (Scalar.JSON, pa.json_(), ['{"a": [1]}', None, "null"]),
        (ListOf(Scalar.BOOL), pa.list_(pa.bool_()), [[], None, [True, None], [False] * 9]),
        (
            ListOf(POINT),
            pa.list_(pa.struct([("x", pa.int64()), ("tags", pa.list_(pa.string()))])),
            [[{"x": 1, "tags": ["a", None]}, None], [], [{"x": None, "tags": None}], None],
        ),
    ],
)
def test_an_array_holds_the_values_and_their_nulls(
    kind: Type, arrow: pa.DataType, values: list[Any]
) -> None:
    array = array_of(values, kind)
    array.validate(full=True)
    assert array.type == arrow
    assert array.to_pylist() == values


def test_a_name_that_a_struct_lacks_is_null() -> None:
    assert array_of([{"x": 1}], POINT).to_pylist() == [{"x": 1, "tags": None}]


def test_times_are_exact_to_the_microsecond() -> None:
    times = [
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(2026, 11, 28, 12, 0, 0, 1, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    ]
    array = timestamps(times)
    array.validate(full=True)
    assert array.type == pa.timestamp("us", tz="UTC")
    assert array.cast(pa.int64()).to_pylist() == [
        -62_135_596_800_000_000,
        -1,
        1_795_867_200_000_001,
        253_402_300_799_999_999,
    ]


SCRIPT = """
import sys
from runtime.domain.jobs.delivery import OutputFormat
from runtime.domain.outputs.types import ListOf, Scalar
from runtime.export.formats import ExportRecord, open_parquet
from runtime.export.row_files import RowPlan, open_rows
from runtime.local.objects import DirectoryObjects
from pathlib import Path

objects = DirectoryObjects(Path(sys.argv[1]))
columns = {"text": Scalar.STRING, "any": ListOf(Scalar.JSON)}
plan = RowPlan(
    exports="jobs/j/exports/", folder="data", columns=columns, files={"train": 1}, records=1
)
with open_rows(objects, plan) as files:
    files.write("train", [(0, ["a", [{"b": 1}]])])
line = (
    b'{"id":"r","job_id":"j","index":0,"timestamp":"2026-11-28T00:00:00+00:00",'
    b'"seed_data_id":"s","generation_result":{}}'
)
with open_parquet(objects, "jobs/j/exports/dataset.parquet") as write:
    write(ExportRecord.parse(line))
print("pyarrow" in sys.modules, "pandas" in sys.modules)
"""


def test_an_export_imports_no_pandas(tmp_path: Path) -> None:
    printed = subprocess.check_output([sys.executable, "-c", SCRIPT, str(tmp_path)], text=True)
    assert printed.split() == ["True", "False"]
