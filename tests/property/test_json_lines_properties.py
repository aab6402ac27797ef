"""JSON lines are read by a quick reader and, row by row, by the one of all formats: whatever the
bytes are, both give the same rows and ids, or the same words (S6.2).
"""

import io
import re
from collections.abc import Callable

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.domain.errors import SeedError
from runtime.domain.jobs.record import RECORD_FIELDS
from runtime.domain.seeds.seeds import lacks
from runtime.files import json_lines
from runtime.files.disk import temporary_file
from runtime.files.reading import load_rows, read_rows
from runtime.files.rows import RowWriter, SeedRows

NAME = "seeds.jsonl"
LINES = [
    b'{"id": "a", "b": {"c": 1}}',
    b'{"id": "a", "b": {"c": null}, "t": "\xe2\x80\xa8 \xc3\xa9"}',
    b'{"b": {"c": [true, 1.50, -0.0, 1e300]}, "id": 7}',
    b' {"id": "row-1", "b": {"c": 18446744073709551615}}\r',
    b'{"id": "x", "b": {"c": 18446744073709551616}}',
    b'{"id": "x", "b": {"c": "12345678901234567890123"}, "id": "y"}',
    orjson.dumps(
        {**dict.fromkeys(RECORD_FIELDS, "x"), "generation_result": '{"s": {"output": 1}}'}
    ),
    b'{"b": 1}',
    b"{}",
    b"[1]",
    b"null",
    b'{"a": NaN}',
    b'{"a": 1} x',
    b'{"a": "',
    b'{"t": "' + b"z" * 300 + b'", "b": {"c": ' + b"[" * 150 + b"]" * 150 + b"}}",
    b'{"b": {"c": ' + b"[" * 205 + b"]" * 205 + b"}}",
    b"",
    b" \r",
    b"\xc2\xa0",
    b"\xef\xbb\xbf",
    b'{"a": "\xff"}',
    b"\xe2\x82",
]

bodies = st.builds(
    lambda mark, lines, end: mark + b"\n".join(lines) + end,
    st.sampled_from([b"", b"\xef\xbb\xbf"]),
    st.lists(st.sampled_from(LINES[:8] * 3 + LINES), max_size=8),
    st.sampled_from([b"", b"\n", b"\n\n", b"\r\n"]),
)
needs = st.sampled_from([[], ["id"], ["b.c"], ["id", "b.c", "t"], ["generation_result.s.output"]])


def row_by_row(body: bytes, requirements: list[str]) -> SeedRows:
    """What `load_rows` says of other formats, for the words of JSON lines."""
    writer, first, more = RowWriter(), "", -1
    for number, found in enumerate(read_rows(io.BytesIO(body), NAME), start=1):
        if found.row is None:
            raise SeedError(f"{NAME}, line {found.line}: {found.problem}")
        for _, message in lacks(found, requirements):
            first, more = first or f"{NAME}, record {number}: {message}", more + 1
        writer.add(found.row)
    if first:
        raise SeedError(f"{first} ({more} more like this)" if more else first)
    return writer.rows()


def outcome(read: Callable[[], SeedRows]) -> object:
    """Rows, ids and warnings, or the words of the refusal."""
    try:
        rows = read()
    except SeedError as error:
        return str(error)
    found = list(rows), [rows.seed_id(each) for each in range(len(rows))], rows.warnings
    assert [list(row) for row in rows[:]] == [list(row) for row in found[0]]
    rows.close()
    return found


def in_place(body: bytes, requirements: list[str]) -> SeedRows:
    with temporary_file() as file:  # closed before the rows are read
        file.write(body)
        file.seek(0)
        return load_rows(file, NAME, requirements=requirements)


@settings(deadline=None, max_examples=400)
@given(bodies, needs, st.integers(1, 40))
def test_both_readers_give_the_same_rows_or_the_same_words(
    body: bytes, requirements: list[str], chunk: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_lines, "CHUNK_BYTES", chunk)
        expected = outcome(lambda: row_by_row(body, requirements))
        quick = outcome(lambda: load_rows(io.BytesIO(body), NAME, requirements=requirements))
        assert outcome(lambda: in_place(body, requirements)) == quick
    if isinstance(expected, str) and expected.endswith("not UTF-8 text"):
        # The other one looks for damage ahead of the line before it.
        assert isinstance(quick, str)
        assert line_in(quick) <= line_in(expected)
    else:
        assert quick == expected


def line_in(told: str) -> int:
    found = re.search(r"line (\d+)", told)
    assert found is not None
    return int(found[1])
