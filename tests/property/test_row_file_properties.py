"""Rows that are written are read back: from Parquet and JSONL as they were, from CSV up to what
docs/datasets.md names, in the order of their index, and from any number of files.
"""

import csv
import io
from typing import Any

import orjson
import pyarrow.parquet as pq
from hypothesis import given
from hypothesis import strategies as st

from runtime.contract.keys import exports_prefix
from runtime.domain.jobs.delivery import OutputFormat
from runtime.domain.jobs.record import clean_text
from runtime.domain.outputs.fitting import fitter
from runtime.domain.outputs.types import ListOf, Scalar, Struct, Type
from runtime.export.columns import arrow_schema
from runtime.export.row_files import RowPlan, open_rows
from tests.fixtures.memory_objects import MemoryObjects
from tests.fixtures.row_values import decoded, from_csv

texts = st.text(st.characters() | st.sampled_from("\x00\n\r\t\x85\u2028\"',=+-@"), max_size=12).map(
    clean_text
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=4,
)
SCALARS: list[tuple[Type, st.SearchStrategy[Any]]] = [
    (Scalar.STRING, texts),
    (Scalar.INT64, st.integers(-(2**63), 2**63 - 1)),
    (Scalar.FLOAT64, st.floats(allow_nan=False, allow_infinity=False)),
    (Scalar.BOOL, st.booleans()),
    (Scalar.JSON, json_values),
]
Columns = dict[str, Type]
Rows = list[tuple[int, str, list[Any]]]


@st.composite
def kinds(draw: st.DrawFn, depth: int = 2) -> tuple[Type, st.SearchStrategy[Any]]:
    """A type, and its values: null everywhere, and structs that lack names."""
    form = draw(st.sampled_from(["scalar", "list", "struct"])) if depth else "scalar"
    if form == "list":
        kind, values = draw(kinds(depth - 1))
        return ListOf(kind), st.lists(values, max_size=3) | st.none()
    if form == "struct":
        names = draw(st.lists(st.sampled_from("abc"), min_size=1, max_size=3, unique=True))
        inner = {name: draw(kinds(depth - 1)) for name in names}
        kind = Struct(tuple((name, kind) for name, (kind, _) in inner.items()))
        optional = {name: values for name, (_, values) in inner.items()}
        return kind, st.fixed_dictionaries({}, optional=optional) | st.none()
    kind, values = draw(st.sampled_from(SCALARS))
    return kind, values | st.none()


@st.composite
def tables(draw: st.DrawFn) -> tuple[Columns, Rows, int]:
    """A columns, rows of two splits by ascending index, and how many indices there are."""
    drawn = draw(st.lists(kinds(), min_size=1, max_size=3))
    columns: Columns = {f"c{number}": kind for number, (kind, _) in enumerate(drawn)}
    size = draw(st.integers(1, 20))
    indices = sorted(draw(st.sets(st.integers(0, size - 1))))
    rows = [
        (
            index,
            draw(st.sampled_from(["train", "test"])),
            [fitter(kind)(draw(values)) for kind, values in drawn],
        )
        for index in indices
    ]
    return columns, rows, size


def written(
    columns: Columns, rows: Rows, *, size: int, files: int
) -> tuple[MemoryObjects, dict[str, int]]:
    objects = MemoryObjects()
    plan = RowPlan(
        exports=exports_prefix("j"),
        folder="data",
        columns=columns,
        files={"train": files, "test": 1},
        records=size,
        formats=frozenset({OutputFormat.JSONL, OutputFormat.CSV}),
    )
    with open_rows(objects, plan) as into:
        for index, split, values in rows:
            into.write(split, [(index, values)])
    return objects, into.counts


def wanted(rows: Rows, split: str) -> list[Any]:
    """The rows of a split."""
    return [values for _, each, values in rows if each == split]


@given(tables(), st.integers(1, 4))
def test_rows_round_trip(case: tuple[Columns, Rows, int], files: int) -> None:
    columns, rows, size = case
    objects, counts = written(columns, rows, size=size, files=files)
    for split, count in (("train", files), ("test", 1)):
        expected = wanted(rows, split)
        assert counts[split] == len(expected)
        prefix = f"jobs/j/exports/data/{split}"
        names = [stat.key for stat in objects.list(f"{prefix}-")]
        assert len(names) == (count if expected else 0)
        found: list[list[Any]] = []
        for name in names:
            table = pq.read_table(io.BytesIO(objects.get(name)))
            assert table.schema.equals(arrow_schema(columns))
            found += [
                [decoded(row[name], kind) for name, kind in columns.items()]
                for row in table.to_pylist()
            ]
        assert found == expected
        if not expected:
            continue
        lines = objects.get(f"jobs/j/exports/data-jsonl/{split}.jsonl").splitlines()
        assert [list(orjson.loads(line).values()) for line in lines] == expected
        text = objects.get(f"jobs/j/exports/data-csv/{split}.csv").decode()
        head, *cells = csv.reader(io.StringIO(text, newline=""))
        assert head == list(columns)
        assert [
            [from_csv(cell, kind) for cell, kind in zip(row, columns.values(), strict=True)]
            for row in cells
        ] == [["" if value is None else value for value in row] for row in expected]


def test_what_an_earlier_export_left_goes() -> None:
    columns: Columns = {"a": Scalar.INT64}
    rows = [(index, "test" if index % 2 else "train", [index]) for index in range(4)]
    objects, _ = written(columns, rows, size=4, files=3)
    plan = RowPlan(
        exports=exports_prefix("j"), folder="data", columns=columns, files={"train": 1}, records=4
    )
    with open_rows(objects, plan) as into:
        into.write("train", [(0, [0])])
    assert [stat.key for stat in objects.list("jobs/j/exports/data/")] == [
        "jobs/j/exports/data/train-00000-of-00001.parquet"
    ]
