"""What a user is told about a seed file that can't be used (S6.2, S1.9), and how values arrive."""

import io
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from runtime.domain.errors import SeedError
from runtime.domain.jobs.job import MAX_RECORDS
from runtime.domain.seeds import readers as seed_readers
from runtime.domain.seeds import seeds as seed_data
from runtime.domain.seeds.seeds import (
    MAX_SEED_BYTES,
    Missing,
    Row,
    missing_paths,
    parse_seeds,
    read_seeds,
    seed_id,
)


def parquet_of(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def error_of(body: bytes | str, name: str) -> str:
    with pytest.raises(SeedError) as caught:
        parse_seeds(body if isinstance(body, bytes) else body.encode(), name)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "body", "message"),
    [
        ("a.json", '[{"a": 1},\n {"a": }]', "a.json, line 2, column 8: not valid JSON: "),
        ("a.json", '{"a": 1}', "a.json: expected an array of objects, or one object a line in "),
        ("a.json", '[{"a": 1}, 2]', "a.json, record 2: expected an object"),
        ("a.json", "", "a.json: there are no seeds in it"),
        ("a.json", "\ufeff \n", "a.json: there are no seeds in it"),
        ("a.json", "[]", "a.json: there are no seeds in it"),
        ("a.json", '[{"a": 1},\n {"b": 2} {"c": 3}]', "a.json, line 2, column 11: not valid JSON"),
        ("a.json", '[{"a": 1},\n]', "a.json, line 2, column 1: not valid JSON: "),
        ("a.json", '[{"a": 1}]\n]', "a.json, line 2, column 1: not valid JSON: expected nothing"),
        ("a.json", '[{"a": 1}', "a.json, line 1, column 10: not valid JSON: expected a comma"),
        ("a.json", '[{"a": 1}, "b', "a.json, line 1, column "),
        ("a.json", '[{"a": 1},\n 2, 3]', "a.json, record 2: expected an object"),
        ("a.json", '[{"a": 1}, tru]', "a.json, line 1, column "),
        ("a.json", '[{"a": NaN}]', "a.json, line 1, column 8: not valid JSON: "),
        ("a.json", '{"a": \n1', "a.json, line 2, column 2: not valid JSON: "),
        ("a.json", "text", "a.json, line 1, column "),
        ("a.json", "7", "a.json: expected an array of objects, or one object a line in .jsonl"),
        ("a.json", b'[{"a": "\xff"}]', "a.json, line 1, column 9: not UTF-8 text"),
        ("a.json", b'[{"a": 1}, {"b"\n: \xe2\x82', "a.json, line 2, column 3: not UTF-8 text"),
        ("a.jsonl", '{"a": 1}\n\n{"a"', "a.jsonl, line 3, column 5: not valid JSON: "),
        ("a.jsonl", '{"a": 1}\r\n[1]', "a.jsonl, line 2: expected an object"),
        ("a.jsonl", '{"a": NaN}', "a.jsonl, line 1, column 7: not valid JSON: "),
        ("a.jsonl", '{"a": 1e999}', "a.jsonl, line 1, column 7: not valid JSON: "),
        ("a.jsonl", "\n\r\n", "a.jsonl: there are no seeds in it"),
        ("a.csv", "a,b\n1,2\n3\n", "a.csv, line 3: 1 cells where the header has 2"),
        ("a.csv", "a,b\n1,2,3\n", "a.csv, line 2: 3 cells where the header has 2"),
        ("a.csv", 'a,b\n"x\ny",2\n"1\n2\n3"\n', "a.csv, line 4: 1 cells where the header has 2"),
        ("a.csv", 'a\n1\n"x\n2\n3\n', "a.csv, line 3, column 1: not a valid CSV row: "),
        ("a.csv", 'a\n1\n"x"y\n', "a.csv, line 3, column 1: not a valid CSV row: "),
        ("a.csv", "a, \n1,2\n", "a.csv, line 1: column 2 of the header has no name"),
        ("a.csv", "a,b,a\n1,2,3\n", "a.csv, line 1: the header names 'a' twice"),
        ("a.csv", "\n\na,a\n", "a.csv, line 3: the header names 'a' twice"),
        ("a.csv", "a,b\n", "a.csv: there are no seeds in it"),
        ("a.csv", "", "a.csv: there are no seeds in it"),
        ("a.csv", b"a\nM\xfcller\n", "a.csv, line 2, column 2: not UTF-8 text"),
        ("a.csv", "a\n1\n".encode("utf-16"), "a.csv, line 1, column 1: not UTF-8 text"),
        ("a.parquet", b"PAR1 no PAR1", "a.parquet: not a Parquet file of texts, numbers, times "),
        ("a.parquet", b"", "a.parquet: not a Parquet file of texts, numbers, times and lists"),
        ("a.txt", "a", "a.txt: seeds are .json, .jsonl, .csv or .parquet files"),
        ("seeds", "a", "seeds: seeds are .json, .jsonl, .csv or .parquet files"),
    ],
)
def test_messages(name: str, body: bytes | str, message: str) -> None:
    told = error_of(body, name)
    assert told.startswith(message)
    assert "\n" not in told


def test_a_file_is_refused_by_its_size_before_it_is_read() -> None:
    told = error_of(bytes(MAX_SEED_BYTES + 1), "a.json")
    assert told == f"a.json: {MAX_SEED_BYTES + 1} bytes; the limit is {MAX_SEED_BYTES}"


def test_json_nested_without_end_is_an_error() -> None:
    assert "not valid JSON" in error_of("[" * 100_000, "a.json")
    assert "not valid JSON" in error_of('[{"a":' * 100_000, "a.json")


def test_a_row_is_no_larger_than_a_prompt_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a line or a bracket never ends, reading does."""
    monkeypatch.setattr(seed_readers, "_CHUNK_BYTES", 1000)
    monkeypatch.setattr(seed_readers, "MAX_ROW_CHARACTERS", 5000)
    for name, body in (
        ("a.jsonl", '{"a": 1}\n{"a": "' + "x" * 9000),
        ("a.json", '[{"a": 1},\n{"a": "' + "x" * 9000),
        ("a.json", '[{"a": 1},\n' + '{"a":' * 900 + "1" * 9000),
        ("a.json", '[{"a": 1},\n' + "7" * 9000),
        ("a.csv", 'a,b\n1,"' + "x" * 9000),
    ):
        told = error_of(body, name)
        assert "line 2, column 1: a row has more than 5000 characters" in told


def test_a_file_has_no_more_seeds_than_a_job_has_records(monkeypatch: pytest.MonkeyPatch) -> None:
    assert seed_data.MAX_SEEDS == MAX_RECORDS
    monkeypatch.setattr(seed_data, "MAX_SEEDS", 3)
    assert len(parse_seeds(b"a\n1\n2\n3\n", "a.csv")) == 3
    assert error_of("a\n1\n2\n3\n4\n", "a.csv") == "a.csv: more than 3 seeds, which is the limit"


def test_a_row_group_that_unpacks_to_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    """A column of one value takes next to no room in a file, and all of it in memory."""
    monkeypatch.setattr(seed_readers, "_MAX_VALUES", 99)
    body = parquet_of(pa.table({"a": pa.array([7] * 100)}))
    assert "a row group has more than 99 values" in error_of(body, "a.parquet")
    monkeypatch.setattr(seed_readers, "_MAX_VALUES", 100)
    assert len(parse_seeds(body, "a.parquet")) == 100


def test_parquet_is_read_in_batches() -> None:
    table = pa.table({"n": list(range(1000))})
    sink = io.BytesIO()
    pq.write_table(table, sink, row_group_size=300)
    assert [row["n"] for row in parse_seeds(sink.getvalue(), "a.parquet")] == list(range(1000))


def test_rows_before_damage_are_still_given() -> None:
    found = read_seeds(io.BytesIO(b'{"a": 1}\n{"a": 2}\n{"a": '), "a.jsonl")
    assert [next(found).row, next(found).row] == [{"a": 1}, {"a": 2}]
    with pytest.raises(SeedError, match="line 3, column"):
        next(found)


def test_a_wide_header_is_checked_in_one_pass() -> None:
    """Looking back from each of many columns would take minutes."""
    header = ",".join(map(str, range(200_000)))
    assert error_of(f"{header},7\n", "a.csv").endswith("the header names '7' twice")


def test_csv_cells_are_texts_and_may_hold_line_ends() -> None:
    body = 'id,text\r\n\r\n7,"one\r\ntwo\u2028, ""three"""\r\n'.encode()
    assert parse_seeds(body, "a.csv") == [{"id": "7", "text": 'one\r\ntwo\u2028, "three"'}]


def test_old_line_ends_are_line_ends_in_csv() -> None:
    assert parse_seeds(b"a,b\r1,2\r", "a.csv") == [{"a": "1", "b": "2"}]


def test_a_line_separator_inside_a_json_string_ends_no_line() -> None:
    assert parse_seeds('{"a": "x\u2028y\x85z"}'.encode(), "a.jsonl") == [{"a": "x\u2028y\x85z"}]


def test_parquet_values_arrive_as_json_has_them() -> None:
    """Prompts are rendered from JSON: there is one text for a time or a decimal."""
    moment = datetime(2026, 11, 23, 12, 30, 1, tzinfo=UTC)
    table = pa.table(
        {
            "micro": pa.array([moment], pa.timestamp("us", tz="UTC")),
            "nano": pa.array([moment], pa.timestamp("ns", tz="UTC")),
            "naive": pa.array([moment.replace(tzinfo=None)], pa.timestamp("s")),
            "day": pa.array([date(2026, 11, 23)]),
            "clock": pa.array([time(12, 30)]),
            "wait": pa.array([timedelta(minutes=90)]),
            "price": pa.array([Decimal("1.50")], pa.decimal128(10, 2)),
            "nested": pa.array([{"a": [{"b": Decimal("0.1")}], "c": None}]),
            "kind": pa.array(["x"]).dictionary_encode(),
            "ratio": pa.array([float("nan")]),
        }
    )
    [row] = parse_seeds(parquet_of(table), "a.parquet")
    assert row == {
        "micro": "2026-11-23T12:30:01+00:00",
        "nano": "2026-11-23T12:30:01+00:00",
        "naive": "2026-11-23T12:30:01",
        "day": "2026-11-23",
        "clock": "12:30:00",
        "wait": "1:30:00",
        "price": "1.50",
        "nested": {"a": [{"b": "0.1"}], "c": None},
        "kind": "x",
        "ratio": None,
    }
    assert orjson.loads(orjson.dumps(row)) == row


@pytest.mark.parametrize(
    "column",
    [
        pa.array([b"\x00\xff"], pa.binary()),
        pa.array([2**60], pa.timestamp("ms")),
        pa.array([2**31 - 1], pa.date32()),
    ],
    ids=["bytes", "a time after all times", "a day after all days"],
)
def test_parquet_values_that_json_has_not_are_refused(column: "pa.Array[Any]") -> None:
    told = error_of(parquet_of(pa.table({"a": column})), "a.parquet")
    assert told == "a.parquet: not a Parquet file of texts, numbers, times and lists"


@pytest.mark.parametrize(
    ("own", "name"),
    [
        ("a-7", "a-7"),
        (7, "7"),
        (0, "0"),
        (-1, "-1"),
        ("", "row-3"),
        (None, "row-3"),
        (True, "row-3"),
        (1.0, "row-3"),
        (["a"], "row-3"),
    ],
)
def test_a_seed_is_named_by_its_own_id_or_by_its_row(own: object, name: str) -> None:
    assert seed_id({"id": own}, 2) == name


def test_a_missing_path_is_told_with_its_row() -> None:
    rows: list[Row] = [{"a": {"b": ""}}, {"a": {"b": None}}, {"a": "b"}, {"a": {}}, {"a.b": 1}]
    assert list(missing_paths(rows, ["a.b", "a"])) == [
        Missing(3, "a.b"),
        Missing(4, "a.b"),
        Missing(5, "a.b"),
        Missing(5, "a"),
    ]


ROWS = [{"id": "a", "n": [1, {"x": None}]}, {"é": "\u2028"}]


@pytest.mark.parametrize("body", [orjson.dumps(ROWS), b"\xef\xbb\xbf" + orjson.dumps(ROWS)])
def test_json_in_memory_is_read_at_once_and_the_same(
    body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    streamed = [found.row for found in read_seeds(io.BytesIO(body), "a.json")]
    monkeypatch.setattr(seed_data, "read_seeds", None)  # is not needed for it
    assert parse_seeds(body, "a.json") == streamed == ROWS


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'[{"a": 1},\n {"a": }]', "a.json, line 2, column 8: not valid JSON"),
        (b'[{"a": 1}, 7]', "a.json, record 2: expected an object"),
        (b'{"a": 1}', "a.json: expected an array of objects"),
        (b"[]", "a.json: there are no seeds in it"),
        (b'[{"a": "\xff"}]', "a.json, line 1, column 9: not UTF-8 text"),
        (b'[{"a": 1}] x', "expected nothing after the array"),
        (b'[{"a": ' + b"[" * 1100 + b"]" * 1100 + b"}]", "nested deeper than 1000 levels"),
    ],
)
def test_json_that_is_no_list_of_seeds_is_refused_with_its_place(body: bytes, told: str) -> None:
    assert told in error_of(body, "a.json")


def test_many_seeds_of_json_are_still_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seed_data, "MAX_SEEDS", 1)
    assert "more than 1 seeds" in error_of(orjson.dumps(ROWS), "a.json")
