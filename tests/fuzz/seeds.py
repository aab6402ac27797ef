"""Seed files of all formats: rows that are what the file says, or a refusal of one line."""

import csv
import io
import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any, Final

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow.json import read_json

from runtime.domain.errors import SeedError
from runtime.domain.seeds.readers import MAX_ROW_CHARACTERS
from runtime.files import parquet
from runtime.files.reading import load_rows
from tests.fuzz import words
from tests.fuzz.case import Case, demand, one_line, same

UNPACKED_BYTES: Final = 24 * 1024 * 1024
"""In place of half a gigabyte, which takes seconds to be read up to."""
MOST_LEVELS: Final = 100
"""Depth up to which a reader has no excuse."""
_NAMES: Final = ("a.csv", "a.json", "a.jsonl", "a.parquet")
_INTEGERS: Final = range(-(2**63), 2**64)
_PARQUET_SHARE: Final = 0.02
"""A Parquet file takes a process, and with that the time of a hundred others."""


class Seeds:
    """Reads through what commands, workers and the API use."""

    name = "seeds"

    def __init__(self) -> None:
        parquet.MAX_UNPACKED_BYTES = UNPACKED_BYTES  # type: ignore[misc]

    def close(self) -> None:
        pass

    # ── making ─────────────────────────────────────────────────────────────────────────────────

    def make(self, rng: Random) -> Case:
        """A file. `rows` is how many it has as long as its checksum is `sum`."""
        if rng.random() < _PARQUET_SHARE:
            body, rows = _parquet_file(rng)
            text, checksum = body.decode("latin-1"), _checksum(body, rows)
            return {"name": "a.parquet", "body": text, "rows": rows, "sum": checksum}
        suffix, make = rng.choice((("csv", _csv), ("json", _json), ("jsonl", _jsonl)))
        text = make(rng).encode(errors="surrogatepass").decode("latin-1")
        if rng.random() < 0.3:
            text = words.change_text(rng, text)
        if rng.random() < 0.05:
            text = rng.choice(("\xef\xbb\xbf", "\xff\xfe", "\0")) + text
        return {"name": f"a.{suffix}", "body": text, "rows": None, "sum": 0}

    # ── checking ───────────────────────────────────────────────────────────────────────────────

    def check(self, case: Case) -> str:
        """Read a file, and compare with a simple reading of it."""
        name = case["name"] if case["name"] in _NAMES else "a.jsonl"
        body = str(case["body"]).encode("latin-1", errors="replace")
        suffix = name.rpartition(".")[2]
        expected = _expected(suffix, body)
        whole = suffix == "parquet" and case["sum"] == _checksum(body, case["rows"])
        known = case["rows"] if whole else None
        try:
            rows = load_rows(io.BytesIO(body), name)
        except SeedError as error:
            one_line(str(error))
            demand(expected is None or not _is_ordinary(expected), f"refused: {error}")
            demand(known is None, f"refused: {error}")
            return f"{suffix} refused"
        try:
            _check_rows(rows, expected, suffix)
            demand(known in {None, len(rows)}, "rows are missing")
        finally:
            rows.close()
        return f"{suffix} read"


def _checksum(body: bytes, rows: object) -> int:
    return zlib.crc32(b"%s/%d" % (str(rows).encode(), zlib.crc32(body)))


def _check_rows(rows: Any, expected: list[Any] | None, suffix: str) -> None:
    if suffix != "parquet":
        demand(expected is not None, "read, and it isn't valid")
        demand(same(list(rows), expected), "read as something else than it says")
        return
    total = 0
    for row in rows:
        size = len(orjson.dumps(row))
        demand(size <= MAX_ROW_CHARACTERS, f"a row of {size} bytes")
        total += size
    demand(total <= UNPACKED_BYTES, f"rows of {total} bytes")


# ── what a file says ───────────────────────────────────────────────────────────────────────────


def _expected(suffix: str, body: bytes) -> list[Any] | None:
    """The rows by Python's own readers; None if there are none or the file is damaged."""
    if suffix == "parquet":
        return None
    try:
        text = body.decode("utf-8-sig")
        match suffix:
            case "json":
                rows = _loads(text)
            case "jsonl":
                rows = [_loads(line) for line in text.split("\n") if line.strip()]
            case _:
                rows = _csv_rows(text)
    except (ValueError, RecursionError, csv.Error):
        return None
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        return None
    return rows


def _loads(text: str) -> Any:
    return json.loads(text, parse_constant=_refuse)


def _refuse(word: str) -> None:
    raise ValueError(word)


def _csv_rows(text: str) -> list[Any]:
    usual = csv.field_size_limit(MAX_ROW_CHARACTERS)
    try:
        read = csv.reader(io.StringIO(text, newline=""), strict=True)
        header, *rows = [cells for cells in read if cells]  # blank lines are no rows
    finally:
        csv.field_size_limit(usual)
    index = next((number for number, column in enumerate(header) if column), 0)
    names = header[index:]
    if len(set(names)) < len(names) or not all(name.strip() for name in names):
        raise ValueError
    if any(len(row) != len(header) for row in rows):
        raise ValueError
    return [dict(zip(names, row[index:], strict=True)) for row in rows]


def _is_ordinary(value: Any, levels: int = MOST_LEVELS) -> bool:
    """Whether a reader has to take it: numbers and texts that it can keep, and not too much."""
    if isinstance(value, str):
        return len(value) < MAX_ROW_CHARACTERS // 8 and not any(
            "\ud800" <= each <= "\udfff" for each in value
        )
    if isinstance(value, float):
        return value not in {float("inf"), float("-inf")}
    if isinstance(value, int):
        return value in _INTEGERS
    if isinstance(value, dict):
        return levels > 0 and all(
            _is_ordinary(name) and _is_ordinary(each, levels - 1) for name, each in value.items()
        )
    if isinstance(value, list):
        return levels > 0 and all(_is_ordinary(each, levels - 1) for each in value)
    return True


# ── files ──────────────────────────────────────────────────────────────────────────────────────


def _row(rng: Random) -> Any:
    if rng.random() < 0.01:
        levels = rng.choice((99, 199, 200, 254, 255, 900))
        return json.loads('{"a":' * levels + "1" + "}" * levels)
    if rng.random() < 0.95:
        return {words.name(rng): words.value(rng) for _ in range(1 + words.short(rng))}
    return words.value(rng)


def _dumped(rng: Random, value: Any) -> str:
    text = json.dumps(value, ensure_ascii=rng.random() < 0.5)
    if rng.random() < 0.05:
        text = text.replace("1", rng.choice(("NaN", "-Infinity", "1e999", "01", "9" * 30)), 1)
    return words.nested(rng, text) if rng.random() < 0.01 else text


def _json(rng: Random) -> str:
    rows = [_dumped(rng, _row(rng)) for _ in range(words.short(rng))]
    separator = rng.choice((",", ",\n", " , ", ",,")) if rng.random() < 0.2 else ","
    return f"[{separator.join(rows)}]" if rng.random() < 0.95 else _dumped(rng, _row(rng))


def _jsonl(rng: Random) -> str:
    end = rng.choice(("\n", "\n", "\r\n", "\n\n"))
    return end.join(_dumped(rng, _row(rng)) for _ in range(words.short(rng)))


def _csv(rng: Random) -> str:
    width = 1 + words.short(rng)
    names = [words.name(rng) or "c" for _ in range(width)]
    if rng.random() < 0.8:
        names = [f"{name.strip() or 'c'}{number}" for number, name in enumerate(names)]
    rows = [[_cell(rng) for _ in range(width)] for _ in range(words.short(rng))]
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator=rng.choice(("\n", "\r\n")))
    writer.writerows([names, *rows])
    return out.getvalue()


def _cell(rng: Random) -> str:
    long = rng.random() < 0.01
    return "x" * rng.choice((131_071, 131_073, 500_000)) if long else words.text(rng)


# ── Parquet ────────────────────────────────────────────────────────────────────────────────────


def _parquet_file(rng: Random) -> tuple[bytes, int | None]:
    if rng.random() < 0.25:
        return _bomb(rng), None
    body, rows = _ordinary(rng)
    return (body, rows) if rng.random() < 0.15 else (_damaged(rng, body), None)


def _written(table: Any, **options: Any) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out, **options)
    return out.getvalue()


def _column(values: Sequence[Any]) -> Any:
    """As `pa.array`, which would import pandas: that takes seconds."""
    lines = b"\n".join(json.dumps({"v": each}).encode() for each in values)
    return read_json(io.BytesIO(lines)).column("v").combine_chunks()


def _ordinary(rng: Random) -> tuple[bytes, int]:
    rows = rng.choice((1, 2, 20))
    numbers, texts = _column([1, 2] * rows), _column(["a", "bb"] * rows)
    columns: Mapping[str, Any] = {
        "s": texts,
        "i": numbers,
        "f": _column([1.5, None] * rows),
        "l": _column([[1, 2], None] * rows),
        "st": _column([{"a": 1, "b": "x"}] * 2 * rows),
        "m": pa.MapArray.from_arrays(
            _column(list(range(2 * rows + 1))).cast("int32"), texts, texts
        ),
        "t": numbers.cast(pa.timestamp(rng.choice(("ns", "us", "ms")))),
        "c": texts.dictionary_encode(),
    }
    names = rng.sample(list(columns), k=rng.randrange(1, len(columns) + 1))
    body = _written(
        pa.Table.from_arrays([columns[name] for name in names], names=names),
        compression=rng.choice(("none", "none", "snappy", "zstd")),
        store_schema=rng.random() < 0.5,
        data_page_version=rng.choice(("1.0", "2.0")),
    )
    return body, 2 * rows


def _bomb(rng: Random) -> bytes:
    """A few bytes that unpack to many."""
    rows, characters = rng.choice(((40, 2**20), (1, 9 * 2**20), (100, 2**19), (2**15, 900)))
    text = pa.StringArray.from_buffers(
        1,
        pa.py_buffer(b"\0" * 4 + characters.to_bytes(4, "little")),
        pa.py_buffer(b"x" * characters),
    )
    texts = pa.DictionaryArray.from_arrays(_column([0] * rows).cast("int32"), text)
    table = pa.Table.from_arrays([texts], names=["a"])
    return _written(table, compression="zstd", store_schema=False)


def _damaged(rng: Random, body: bytes) -> bytes:
    """Small numbers of the description at the end say what follows: those are changed."""
    new = bytearray(body)
    start = max(len(new) - 8 - int.from_bytes(body[-8:-4], "little"), 0)
    length = len(new) - start
    end = start + (length // 6 if rng.random() < 0.6 else length)
    small = [at for at in range(start, end) if new[at] <= 8] or [0]
    for _ in range(rng.choice((1, 1, 2, 3))):
        if rng.random() < 0.8:
            new[rng.choice(small)] = rng.choice((0, 1, 2, 3, 4, 6, 8))
        else:
            new[rng.randrange(len(new))] = rng.randrange(256)
    return bytes(new[: rng.randrange(len(new))]) if rng.random() < 0.05 else bytes(new)


def open_kind(_folder: Path) -> Seeds:
    """The kind."""
    return Seeds()
