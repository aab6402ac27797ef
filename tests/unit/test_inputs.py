"""Templates and seeds from memory: the same as from files, or one line that says what is wrong."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from runtime.domain.errors import InputError, SeedError, TemplateError, TemplateNotFoundError
from runtime.domain.jobs.delivery import Delivery
from runtime.domain.jobs.sampling import Draws
from runtime.domain.options import options_given
from runtime.domain.seeds.seeds import Row
from runtime.inputs.options import check_concurrency, check_count
from runtime.inputs.seeds import read_seeds
from runtime.inputs.templates import read_for_api, read_template

ROWS: list[dict[str, Any]] = [
    {"topic": "ships", "size": 3, "share": 0.5},
    {"topic": "tea", "size": 7, "share": None},
]


def as_jsonl(rows: list[dict[str, Any]]) -> bytes:
    return b"".join(orjson.dumps(row) + b"\n" for row in rows)


@pytest.mark.parametrize(
    "source",
    [
        ROWS,
        tuple(MappingProxyType(row) for row in ROWS),
        (row for row in ROWS),
        pa.Table.from_pylist(ROWS),
        pa.RecordBatch.from_pylist(ROWS),
        pa.Table.from_pylist(ROWS).to_reader(),
        pd.DataFrame(ROWS),
    ],
    ids=["list", "tuple of proxies", "generator", "table", "batch", "reader", "frame"],
)
def test_seeds_from_memory_are_the_same_bytes_as_a_file(source: Any, tmp_path: Path) -> None:
    """So a dataset of theirs is the file's, and either goes on with the other's folder."""
    path = tmp_path / "seeds.jsonl"
    path.write_bytes(as_jsonl(ROWS))

    found, kept = read_seeds(source, ("topic",)), read_seeds(path, ("topic",))

    assert found == kept
    assert list(found.rows) == list(kept.rows) == ROWS
    with found.open() as copy:
        assert copy.read() == as_jsonl(ROWS)


def frame_of_times() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "day": [date(2026, 1, 2), None],
            "at": [pd.Timestamp("2026-01-02T03:04:05.000006", tz="UTC"), pd.NaT],
            "naive": [pd.Timestamp("2026-01-02T03:04:05"), pd.Timestamp("2026-01-02")],
            "price": [Decimal("1.50"), None],
            "text": ["a", np.nan],
            "words": [["x", "y"], ["z"]],
        }
    )


def test_times_and_missing_values_are_as_the_parquet_reader_gives_them(tmp_path: Path) -> None:
    frame = frame_of_times()
    path = tmp_path / "seeds.parquet"
    pq.write_table(pa.Table.from_pandas(frame), path)

    rows = list(read_seeds(frame, ()).rows)

    assert rows == list(read_seeds(path, ()).rows)
    assert rows == list(read_seeds(pa.Table.from_pandas(frame), ()).rows)
    assert rows[0]["at"] == "2026-01-02T03:04:05.000006+00:00"
    assert {**rows[1], "words": 0} == {
        "day": None,
        "at": None,
        "naive": "2026-01-02T00:00:00",
        "price": None,
        "text": None,
        "words": 0,
    }


def test_numpy_values_and_pandas_own_missing_ones_are_plain() -> None:
    row = {
        "whole": np.int64(3),
        "half": np.float32(0.5),
        "nothing": np.float64("nan"),
        "yes": np.True_,
        "text": np.str_("x"),
        "list": np.array([1, 2]),
        "na": pd.NA,
        "nat": pd.NaT,
        "nested": MappingProxyType({"at": datetime(2026, 1, 2, tzinfo=UTC)}),
    }

    assert list(read_seeds([row], ()).rows) == [
        {
            "whole": 3,
            "half": 0.5,
            "nothing": None,
            "yes": True,
            "text": "x",
            "list": [1, 2],
            "na": None,
            "nat": None,
            "nested": {"at": "2026-01-02T00:00:00+00:00"},
        }
    ]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (7, "not int"),
        ({"topic": "x"}, "not dict"),
        (b"topic", "not bytes"),
        ([], "seeds: there are none"),
        (pd.DataFrame(), "seeds: there are none"),
        ([{"topic": 1}, ["x"]], "seeds, record 2: expected a mapping, got list"),
        ([{"topic": b"x"}], "seeds, record 1: only texts, numbers"),
        ([{"topic": {1}}], "seeds, record 1: only texts, numbers"),
        ([{"topic": 2**70}], "seeds, record 1: only texts, numbers"),
        ([{1: "x"}], "seeds, record 1: only texts, numbers"),
        (pd.DataFrame([["x"]]), "seeds: the column 0 needs a text as its name"),
        (pd.DataFrame([["x", "y"]], columns=["a", "a"]), "seeds: 2 columns are named 'a'"),
        (pa.table([[1], [2]], names=["a", "a"]), "seeds: 2 columns are named 'a'"),
        (
            [{"topic": 1}, {"tpic": 1}, {}],
            "seeds, record 2: the template needs 'topic', which this seed lacks (1 more",
        ),
    ],
    ids=lambda value: str(value)[:30] if isinstance(value, str) else "",
)
def test_seeds_that_can_not_be_used_are_refused(source: Any, expected: str) -> None:
    with pytest.raises(SeedError) as caught:
        read_seeds(source, ("topic",))

    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


TEMPLATE: Row = {"name": "facts", "steps": [{"id": "fact", "prompt": "About {{ topic }}."}]}
INCLUDING: Row = {"name": "facts", "steps": [{"id": "fact", "prompt": "{% include 'rules' %}"}]}


def test_a_template_from_memory_is_the_same_as_its_file(tmp_path: Path) -> None:
    path = tmp_path / "template.json"
    path.write_bytes(orjson.dumps(TEMPLATE))

    assert read_template(TEMPLATE) == read_template(path) == read_template(str(path))
    assert read_template(MappingProxyType(TEMPLATE)).name == "facts"


def test_a_template_from_memory_has_its_fragments_with_it_or_leaves_them_to_the_api() -> None:
    with_fragment = read_template({**INCLUDING, "fragments": {"rules": "Be brief."}})

    assert with_fragment.fragments == {"rules": "Be brief."}
    with pytest.raises(TemplateNotFoundError, match="put it into the template's fragments"):
        read_template(INCLUDING)
    assert read_for_api(INCLUDING).includes == ("rules",)


@pytest.mark.parametrize(
    ("check", "expected"),
    [
        (lambda: read_template(7), "a template is a path or a mapping"),  # type: ignore[arg-type]
        (lambda: check_count(2.0), "-n is 2.0"),
        (lambda: check_count(True), "-n is True"),
        (lambda: check_concurrency(1025), "1 to 1024 calls"),
        (lambda: check_concurrency("4"), "1 to 1024 calls"),
        (
            lambda: options_given(Draws(), seed_strategy="shuffled"),
            "use shuffle, ordered, random, sequential",
        ),
        (lambda: options_given(Delivery(), output_formats="jsonl,xml"), "format 'xml' is unknown"),
    ],
)
def test_options_from_python_are_checked_too(check: Callable[[], object], expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        check()


def test_a_template_that_is_wrong_says_where() -> None:
    with pytest.raises(TemplateError, match="promt"):
        read_template({"name": "x", "steps": [{"id": "a", "promt": "b"}]})
