"""A review of rows by a person: what it may say, what it changes, and what is refused where."""

import csv
import io
from pathlib import Path
from typing import Any

import orjson
import pytest

from runtime.domain.errors import InputError
from runtime.domain.outputs.types import ListOf, Scalar, Struct, Type
from runtime.export.formats import inert
from runtime.export.review import form_writer, read_review

COLUMNS: dict[str, Type] = {
    "answer": Scalar.STRING,
    "score": Scalar.INT64,
    "tags": ListOf(Scalar.STRING),
    "source": Struct((("title", Scalar.STRING),)),
}
NAMES = tuple(COLUMNS)


def review_of(folder: Path, *lines: object) -> Any:
    path = folder / "review.jsonl"
    path.write_bytes(b"\n".join(orjson.dumps(line) for line in lines))
    return read_review(path.name, path.read_bytes(), COLUMNS)


def test_rows_stay_go_or_change(tmp_path: Path) -> None:
    review = review_of(
        tmp_path,
        {"id": "j-0", "keep": False, "note": "off topic"},
        {"id": "j-1", "edit": {"answer": "better", "tags": ["a"]}},
        {"id": "j-2", "keep": None, "edit": None},
        {"id": "j-99", "keep": True},
    )
    row = ["old", 1, [], {"title": "t"}]
    assert [review.apply(f"j-{index}", NAMES, row) for index in range(4)] == [
        None,
        ["better", 1, ["a"], {"title": "t"}],
        row,
        row,
    ]
    applied = review.applied
    assert (applied.kept, applied.dropped, applied.edited, applied.unknown) == (3, 1, 1, 1)


@pytest.mark.parametrize("as_csv", [True, False])
def test_the_form_is_read_back_when_it_was_filled_in(tmp_path: Path, *, as_csv: bool) -> None:
    head, line = form_writer(NAMES, as_csv=as_csv, inert=inert)
    rows = [["=1+1", 1, ["x"], None], ["b\n,", None, None, {"title": "é"}]]
    body = head + b"".join(line(f"j-{index}", row) for index, row in enumerate(rows))
    path = tmp_path / ("form.csv" if as_csv else "form.jsonl")
    path.write_bytes(body)
    review = read_review(path.name, path.read_bytes(), COLUMNS)
    assert [review.apply(f"j-{index}", NAMES, row) for index, row in enumerate(rows)] == rows
    if as_csv:
        cells = list(csv.reader(io.StringIO(body.decode(), newline="")))
        cells[1][1], cells[2][2] = "no", '{"score": 5}'
        buffer = io.StringIO(newline="")
        csv.writer(buffer).writerows(cells)
        path.write_bytes(b"\xef\xbb\xbf" + buffer.getvalue().encode())  # as a spreadsheet saves it
        review = read_review(path.name, path.read_bytes(), COLUMNS)
        assert review.apply("j-0", NAMES, rows[0]) is None
        assert review.apply("j-1", NAMES, rows[1]) == ["b\n,", 5, None, {"title": "é"}]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ({"keep": True}, "line 1: give the id of the row"),
        ({"id": "j-0", "keep": "perhaps"}, "line 1: keep is yes, no or empty, not perhaps"),
        ({"id": "j-0", "keep": 1}, "line 1: keep is true, false or null"),
        ({"id": "j-0", "edit": ["a"]}, "line 1: edit gives columns and their new values"),
        ({"id": "j-0", "edit": {"reply": "x"}}, "there is no column reply: use answer, score"),
        ({"id": "j-0", "edit": {"score": "5"}}, "column score has the type int64: it is a text"),
        ({"id": "j-0", "edit": {"score": True}}, "column score has the type int64"),
        ({"id": "j-0", "edit": {"tags": [1]}}, "column tags has the type list<string>"),
        ({"id": "j-0", "edit": {"source": "x"}}, "source has the type struct<title: string>"),
        ({"id": "j-0", "edit": "{"}, "edit is a JSON object such as"),
        (["j-0"], "a JSON object with id, keep, edit, note"),
    ],
)
def test_what_can_not_be_meant_is_refused(tmp_path: Path, line: object, problem: str) -> None:
    with pytest.raises(InputError) as caught:
        review_of(tmp_path, line)
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_row_is_judged_once(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"line 2: j-0 was judged before"):
        review_of(tmp_path, {"id": "j-0"}, {"id": "j-0"})


@pytest.mark.parametrize(
    ("body", "problem"),
    [(b"keep,edit\r\nno,\r\n", "names the columns"), (b"id\r\n\xff\r\n", "not UTF-8")],
)
def test_a_csv_that_is_none(tmp_path: Path, body: bytes, problem: str) -> None:
    path = tmp_path / "review.csv"
    path.write_bytes(body)
    with pytest.raises(InputError, match=problem):
        read_review(path.name, path.read_bytes(), COLUMNS)
