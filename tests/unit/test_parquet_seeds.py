"""Parquet seeds: what becomes of each type, what is left out, and files that are traps.

Rows D2, D4, E2 and E3. Everything here goes through the process that reads such files.
"""

import io
import os
import signal
import subprocess
import sys
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from runtime.domain.errors import SeedError
from runtime.files import parquet
from runtime.files.parquet import read_parquet
from runtime.files.reading import load_rows
from tests.fixtures.seed_files import parse_seeds

DAMAGED = sorted((Path(__file__).parents[1] / "fixtures" / "damaged").glob("*.parquet"))
MOMENT = datetime(2026, 11, 23, 12, 30, 1, 123456, tzinfo=UTC)
NANOSECONDS = int(MOMENT.timestamp()) * 10**9 + 123_456_789


def parquet_of(table: pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def one(kind: Any, value: Any) -> Any:
    """A value of a type as a seed has it."""
    table = pa.table({"a": pa.array([value, None], kind), "b": [1, 2]})
    first, second = parse_seeds(parquet_of(table), "a.parquet")
    assert second == {"a": None, "b": 2}
    return first["a"]


@pytest.mark.parametrize(
    ("kind", "value", "seed"),
    [
        (pa.timestamp("ns", "UTC"), NANOSECONDS, "2026-11-23T12:30:01.123456789+00:00"),
        (pa.timestamp("ns"), NANOSECONDS, "2026-11-23T12:30:01.123456789"),
        (pa.timestamp("ns"), NANOSECONDS - 789, "2026-11-23T12:30:01.123456"),
        (pa.timestamp("ns"), -1, "1969-12-31T23:59:59.999999999"),
        (pa.timestamp("us", "Europe/Berlin"), MOMENT, "2026-11-23T13:30:01.123456+01:00"),
        (pa.timestamp("us", "+05:30"), MOMENT, "2026-11-23T18:00:01.123456+05:30"),
        (pa.timestamp("ms"), MOMENT.replace(tzinfo=None), "2026-11-23T12:30:01.123000"),
        (pa.time64("ns"), 45_001_000_000_001, "12:30:01.000000001"),
        (pa.time64("us"), time(12, 30, 1, 500_000), "12:30:01.500000"),
        (pa.time32("s"), time(12, 30), "12:30:00"),
        (pa.duration("ns"), 1_000_000_007, "0:00:01.000000007"),
        (pa.duration("ms"), timedelta(days=1, milliseconds=5), "1 day, 0:00:00.005000"),
        (pa.date32(), date(2026, 11, 23), "2026-11-23"),
        (pa.date64(), date(2026, 11, 23), "2026-11-23"),
        (pa.decimal128(38, 9), Decimal("1.50"), "1.500000000"),
        (pa.decimal256(60, 2), Decimal("-1.50"), "-1.50"),
        (pa.uint64(), 2**64 - 1, 2**64 - 1),
        (pa.float16(), 1.5, 1.5),
        (pa.float32(), float("inf"), None),
        (pa.large_string(), "ö", "ö"),
        (pa.string_view(), "a longer text than fits", "a longer text than fits"),
        (pa.dictionary(pa.int32(), pa.string()), "x", "x"),
        (pa.dictionary(pa.int8(), pa.large_string()), "x", "x"),
        (pa.list_(pa.list_(pa.int64())), [[1], [], None], [[1], [], None]),
        (pa.large_list(pa.timestamp("ns")), [NANOSECONDS], ["2026-11-23T12:30:01.123456789"]),
        (pa.list_(pa.float32(), 2), [1.0, 2.0], [1.0, 2.0]),
        (pa.map_(pa.string(), pa.int64()), [("k", 1), ("l", None)], {"k": 1, "l": None}),
        (pa.map_(pa.int64(), pa.date32()), [(7, date(2026, 1, 2))], {"7": "2026-01-02"}),
        (
            pa.list_(pa.struct([("d", pa.decimal128(3, 1))])),
            [{"d": Decimal("1.5")}],
            [{"d": "1.5"}],
        ),
        (pa.uuid(), UUID(int=5).bytes, str(UUID(int=5))),
        (pa.json_(), '{"a": 1}', '{"a": 1}'),
        (pa.null(), None, None),
    ],
    ids=lambda value: str(value) if isinstance(value, pa.DataType) else "",
)
def test_d2_each_type_has_one_form(kind: Any, value: Any, seed: Any) -> None:
    assert one(kind, value) == seed


def test_d2_columns_that_no_prompt_reads_may_be_of_any_type() -> None:
    """A data set of images with captions, as hubs have them."""
    image = pa.array([{"bytes": b"\x89PNG", "path": "a.png"}] * 2)
    table = pa.table(
        {
            "image": image,
            "thumb": pa.array([b"\xff\xd8"] * 2, pa.large_binary()),
            "key": pa.array([b"12345678"] * 2, pa.binary(8)),
            "crops": pa.array([[b"a"], []], pa.list_(pa.binary())),
            "boxes": pa.array([[{"at": 1, "mask": b"m"}], None]),
            "by_name": pa.array([[("x", b"y")], []], pa.map_(pa.string(), pa.binary())),
            "caption": ["a cat", "a dog"],
        }
    )
    body = parquet_of(table)
    rows = load_rows(io.BytesIO(body), "a.parquet", requirements=["caption", "image.path", "boxes"])
    assert list(rows) == [
        {"image": {"path": "a.png"}, "boxes": [{"at": 1}], "caption": "a cat"},
        {"image": {"path": "a.png"}, "boxes": None, "caption": "a dog"},
    ]
    for path, unread, kind in (
        ("image.bytes", "image.bytes", "binary"),
        ("thumb", "thumb", "large_binary"),
        ("key.a", "key", "fixed_size_binary[8]"),
        ("crops", "crops", "list<element: binary>"),
        ("by_name.x", "by_name", "map<string, binary ('by_name')>"),
    ):
        with pytest.raises(SeedError) as caught:
            load_rows(io.BytesIO(body), "a.parquet", requirements=["caption", path])
        assert f"the template needs {path!r}, and {unread!r} ({kind}) can't be read" in str(
            caught.value
        )


def test_d2_a_value_that_can_not_be_read_is_missing_in_its_row_alone() -> None:
    table = pa.table({"when": pa.array([0, 2**60], pa.timestamp("ms")), "b": [1, 2]})
    assert parse_seeds(parquet_of(table), "a.parquet") == [
        {"when": "1970-01-01T00:00:00", "b": 1},
        {"b": 2},
    ]
    with pytest.raises(SeedError, match=r"record 2: the template needs 'when', and 'when' \(time"):
        load_rows(io.BytesIO(parquet_of(table)), "a.parquet", requirements=["when"])


def test_d4_an_index_that_pandas_has_written_is_ignored() -> None:
    table = pa.table({"a": [1], "__index_level_0__": [7], "index": [8]})
    assert parse_seeds(parquet_of(table), "a.parquet") == [{"a": 1, "index": 8}]


def test_names_with_dots_and_names_that_come_twice() -> None:
    table = pa.table({"a.b": [1], "a": [{"b": 2, "c": b"x"}]})
    assert parse_seeds(parquet_of(table), "a.parquet") == [{"a.b": 1, "a": {"b": 2}}]
    twice = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    with pytest.raises(SeedError, match=r"a.parquet: the column 'a' stands there twice"):
        parse_seeds(parquet_of(twice), "a.parquet")


# ── traps ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("path", DAMAGED, ids=lambda path: path.stem)
def test_e2_a_damaged_file_is_refused_and_nobody_dies(path: Path) -> None:
    """pyarrow aborts over the first and misreads the second."""
    with pytest.raises(SeedError, match=r"damaged.*: (not|a damaged) a? ?Parquet file"):
        parse_seeds(path.read_bytes(), path.name)


def readers() -> list[psutil.Process]:
    """The processes that read Parquet now; other tests have left children of their own."""
    children = psutil.Process().children()
    return [each for each in children if "runtime.files.parquet_child" in each.cmdline()]


def test_e2_a_reader_that_is_killed_is_told_as_damage() -> None:
    rows = read_parquet(io.BytesIO(parquet_of(pa.table({"a": ["x" * 999] * 20_000}))), "a.parquet")
    next(rows)
    [child] = readers()
    os.kill(child.pid, signal.SIGKILL)
    with pytest.raises(SeedError, match=r"a.parquet: a damaged Parquet file, or one that needs"):
        list(rows)


def test_e2_a_reader_that_is_not_needed_any_more_is_gone() -> None:
    rows = read_parquet(io.BytesIO(parquet_of(pa.table({"a": list(range(100_000))}))), "a.parquet")
    next(rows)
    [child] = readers()
    rows.close()  # type: ignore[attr-defined]
    assert not psutil.pid_exists(child.pid)


def test_a_reader_that_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "SILENT_SECONDS", 0.001)
    with pytest.raises(SeedError, match="a damaged Parquet file"):
        parse_seeds(parquet_of(pa.table({"a": [1]})), "a.parquet")


def bomb(rows: int, characters: int) -> bytes:
    """One text, which stands in the file once."""
    texts = pa.DictionaryArray.from_arrays([0] * rows, ["x" * characters])
    return parquet_of(pa.table({"a": texts}), compression="zstd", store_schema=False)


def test_e3_bytes_are_bounded_as_well_as_values(tmp_path: Path) -> None:
    """Some hundred bytes that unpack to 800 MiB: refused, in bounded memory of both processes."""
    file = tmp_path / "bomb.parquet"
    file.write_bytes(bomb(200, 4 * 2**20 - 100))
    assert file.stat().st_size < 100_000
    script = (
        "import re, resource, sys; from pathlib import Path;"
        "from runtime.inputs.seeds import read_seeds\n"
        "from runtime.domain.errors import SeedError\n"
        "try: read_seeds(Path(sys.argv[1]), ())\n"
        "except SeedError as error: print(error)\n"
        # The other figure of this process counts what was there before the program began.
        "status = Path('/proc/self/status').read_text()\n"
        "print(re.search(r'VmHWM:\\s+([0-9]+)', status)[1])\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script, str(file)], capture_output=True, text=True, check=True
    )
    message, own, childs = ended.stdout.splitlines()
    assert message.startswith("bomb.parquet: it ")
    assert int(own) < 200_000
    assert int(childs) < 800_000


def test_e3_all_rows_together_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    body = bomb(300, 2**20)
    monkeypatch.setattr(parquet, "MAX_UNPACKED_BYTES", 200 * 2**20)
    told = r"a.parquet: it unpacks to more than 209715200 bytes: write several files"
    with pytest.raises(SeedError, match=told):
        parse_seeds(body, "a.parquet")


def test_e3_one_value_that_no_prompt_could_hold() -> None:
    with pytest.raises(SeedError, match="a row has more than 4194304 bytes"):
        parse_seeds(bomb(2, 5 * 2**20), "a.parquet")


def test_e3_values_that_unpack_to_more_than_the_reader_may_hold() -> None:
    with pytest.raises(SeedError, match="needs too much memory"):
        parse_seeds(bomb(60, 50 * 2**20), "a.parquet")
