"""Seed files: whatever the bytes are, they give rows or one kind of error; written rows come back.

Requirements S6.2 and S1.9.
"""

import csv
import io
from collections.abc import Iterator

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from runtime.domain.errors import SeedError
from runtime.domain.seeds import readers as seed_readers
from runtime.domain.seeds.seeds import FORMATS, Row, seed_id
from tests.fixtures.seed_files import Missing, missing_paths, parse_seeds

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8") | st.sampled_from("\u2028\x85\r\n\ufeff"), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=5,
)
rows = st.lists(st.dictionaries(st.text(max_size=4), values, max_size=3), min_size=1, max_size=4)
marks = st.sampled_from([b"", b"\xef\xbb\xbf"])
line_ends = st.sampled_from([b"\n", b"\r\n"])

PIECES = [bytes([each]) for each in b'{}[]",:a1\n\r\\\x00 \xff'] + [b"\xef\xbb\xbf", b"null"]
hostile = st.binary(max_size=60) | st.lists(st.sampled_from(PIECES), max_size=25).map(b"".join)


@settings(deadline=None, max_examples=300)
@given(hostile, st.sampled_from([kind for kind in FORMATS if kind != "parquet"]))
def test_arbitrary_text_gives_rows_or_an_error_with_its_place(body: bytes, kind: str) -> None:
    try:
        parsed = parse_seeds(body, f"seeds.{kind}")
    except SeedError as error:
        message = str(error)
        assert message.startswith(f"seeds.{kind}")
        assert message.isprintable()
        return
    assert parsed
    assert all(isinstance(row, dict) for row in parsed)


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_a_damaged_parquet_file_gives_rows_or_an_error(data: st.DataObject) -> None:
    body = bytearray(PARQUET)
    for _ in range(data.draw(st.integers(0, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        parsed = parse_seeds(bytes(body[: data.draw(st.integers(0, len(body)))]), "s.parquet")
    except SeedError:
        return
    assert parsed


def parquet_of(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


PARQUET = parquet_of(pa.table({"id": [1, 2], "name": ["a", "b"], "tags": [["x"], []]}))


@settings(deadline=None)
@given(rows, marks)
def test_json_comes_back(rows: list[Row], mark: bytes) -> None:
    assert parse_seeds(mark + orjson.dumps(rows), "s.json") == rows
    assert parse_seeds(mark + orjson.dumps(rows, option=orjson.OPT_INDENT_2), "s.JSON") == rows


@settings(deadline=None)
@given(rows, marks, line_ends, st.booleans())
def test_jsonl_comes_back(
    rows: list[Row],
    mark: bytes,
    end: bytes,
    blank_lines: bool,  # noqa: FBT001 - drawn
) -> None:
    ends = end * 2 if blank_lines else end
    body = mark + ends.join(orjson.dumps(row) for row in rows) + ends
    assert parse_seeds(body, "s.jsonl") == rows
    assert parse_seeds(body.rstrip(b"\r\n"), "s.ndjson") == rows


cells = st.text(
    st.characters(codec="utf-8", exclude_characters="\x00") | st.sampled_from('\n",\u2028'),
    max_size=8,
)
headers = st.lists(cells.filter(str.strip), min_size=1, max_size=4, unique=True)


@settings(deadline=None)
@given(headers, marks, st.sampled_from(["\n", "\r\n"]), st.data())
def test_csv_comes_back(header: list[str], mark: bytes, end: str, data: st.DataObject) -> None:
    assume(not header[0].startswith("\ufeff"))
    table = data.draw(
        st.lists(
            st.lists(cells, min_size=len(header), max_size=len(header)), min_size=1, max_size=4
        )
    )
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerows([header, *table])
    assert parse_seeds(mark + text.getvalue().encode(), "s.csv") == [
        dict(zip(header, row, strict=True)) for row in table
    ]


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(-(2**63), 2**63 - 1), st.text(max_size=5)), min_size=1))
def test_parquet_comes_back(pairs: list[tuple[int, str]]) -> None:
    written = [{"n": number, "t": text} for number, text in pairs]
    assert parse_seeds(parquet_of(pa.Table.from_pylist(written)), "s.parquet") == written


@given(st.integers(1, 30), st.integers(0, 20), st.sampled_from([b"\n", b"\r\n"]))
def test_a_json_error_is_at_its_line_and_column(line: int, column: int, end: bytes) -> None:
    """S1.9. Columns count characters, as editors do."""
    good = '{"ключ": "😀\u2028"}'.encode()
    bad = b" " * column + b"x"
    expected = f"line {line}, column {column + 1}: not valid JSON"
    with pytest.raises(SeedError, match=expected):
        parse_seeds(end.join([*[good] * (line - 1), bad]), "s.jsonl")
    if line > 1:
        with pytest.raises(SeedError, match=expected):
            parse_seeds(end.join([b"["] + [good + b","] * (line - 2) + [bad]), "s.json")


@given(marks, st.integers(0, 5), st.integers(0, 5))
def test_bytes_that_are_not_utf8_are_at_their_line_and_column(
    mark: bytes, lines: int, characters: int
) -> None:
    body = mark + "é\n".encode() * lines + "é".encode() * characters + b"\xff\n"
    with pytest.raises(
        SeedError, match=rf"line {lines + 1}, column {characters + 1}: not UTF-8 text$"
    ):
        parse_seeds(body, "s.csv")


paths = st.lists(st.text("ab.", min_size=1, max_size=4), max_size=4)
nested = st.recursive(
    st.none() | st.just(""),
    lambda inner: st.dictionaries(st.sampled_from("ab"), inner),
    max_leaves=6,
)


@given(st.lists(st.dictionaries(st.sampled_from("ab"), nested), max_size=4), paths)
def test_missing_paths_are_those_that_lead_nowhere(rows: list[Row], required: list[str]) -> None:
    def leads_somewhere(row: Row, path: str) -> bool:
        head, _, tail = path.partition(".")
        if head not in row:
            return False
        if "." not in path:
            return True
        return isinstance(row[head], dict) and leads_somewhere(row[head], tail)

    assert list(missing_paths(rows, required)) == [
        Missing(number, path)
        for number, row in enumerate(rows, start=1)
        for path in required
        if not leads_somewhere(row, path)
    ]


@given(values, st.integers(0, 10**9))
def test_a_seed_has_its_own_id_or_its_row(own: object, position: int) -> None:
    name = seed_id({"id": own}, position)
    if isinstance(own, str) and own:
        assert name == own
    elif isinstance(own, int) and not isinstance(own, bool):
        assert name == str(own)
    else:
        assert name == seed_id({}, position) == f"row-{position + 1}"


def outcome(body: bytes, name: str) -> list[Row] | str:
    """The rows of a file, or what is told about it."""
    try:
        return parse_seeds(body, name)
    except SeedError as error:
        return str(error)


@given(
    hostile | rows.map(orjson.dumps) | rows.map(lambda each: b"\n".join(map(orjson.dumps, each))),
    st.sampled_from(["s.json", "s.jsonl", "s.csv"]),
    st.integers(1, 9),
)
def test_rows_and_places_do_not_depend_on_how_a_file_arrives(
    body: bytes, name: str, chunk: int
) -> None:
    """Characters, line ends, strings and escapes are cut anywhere."""
    whole = outcome(body, name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seed_readers, "_CHUNK_BYTES", chunk)
        assert outcome(body, name) == whole


json_pieces = st.sampled_from([*'{}[]",:a1 \n\\', '"a"', '{"a":1}', "null", "1e5", "é", "tru"])


@given(st.lists(json_pieces, max_size=12).map("".join), st.integers(1, 5))
def test_an_array_is_judged_as_the_json_parser_judges_the_whole(text: str, chunk: int) -> None:
    """The reader cuts a file into values; no cut makes bad JSON good, or good JSON bad."""
    body = f"[{text}]".encode()
    try:
        expected = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        expected = error
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seed_readers, "_CHUNK_BYTES", chunk)
        found = list(read_or_error(body))
    if isinstance(expected, orjson.JSONDecodeError):
        assert isinstance(found[-1], SeedError), found
        assert "not valid JSON" in str(found[-1])
    else:
        assert [getattr(each, "row", each) for each in found] == [
            value if isinstance(value, dict) else None for value in expected
        ]


def read_or_error(body: bytes) -> Iterator[object]:
    """The rows of an array and, where reading ends in one, the error."""
    try:
        yield from seed_readers.read_json(io.BytesIO(body), "s.json")
    except SeedError as error:
        yield error
