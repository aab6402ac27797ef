"""A person's verdict on rows: a file of `{id, keep, edit, note}`, JSONL or CSV, and what it does.

    {"id": "…-17", "keep": false, "note": "off topic"}
    {"id": "…-18", "edit": {"answer": "Forty-two."}}

What the file doesn't name stays as it is; so does what has an empty `keep` and an empty `edit`.
"""

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from runtime.domain.errors import InputError
from runtime.domain.jobs.record import clean_text
from runtime.domain.outputs.fitting import UnfitError, fitter
from runtime.domain.outputs.types import Type, type_text
from runtime.domain.plain_text import plain_line

MAX_REVIEW_BYTES: Final = 256 * 1024 * 1024
FIELDS: Final = ("id", "keep", "edit", "note")

_YES: Final = frozenset({"yes", "y", "true", "1", "keep"})
_NO: Final = frozenset({"no", "n", "false", "0", "drop"})
_SHOWN: Final = 60


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """On one row: whether it stays, and columns with other values."""

    keep: bool = True
    edit: Mapping[str, Any]


@dataclass(kw_only=True, slots=True)
class Applied:
    """What a review did. `unknown` are ids that the dataset has no row for."""

    kept: int = 0
    dropped: int = 0
    edited: int = 0
    unknown: int = 0


class Review:
    """The verdicts of a file on the rows of one dataset."""

    def __init__(self, verdicts: Mapping[str, Verdict]) -> None:
        self._verdicts = verdicts
        self._met = 0
        self.applied = Applied(unknown=len(verdicts))

    def apply(self, record_id: str, names: Sequence[str], values: Sequence[Any]) -> Any:
        """The row as it was judged; None: it is left out."""
        verdict = self._verdicts.get(record_id)
        if verdict is None:
            self.applied.kept += 1
            return values
        self.applied.unknown -= 1
        if not verdict.keep:
            self.applied.dropped += 1
            return None
        self.applied.kept += 1
        if not verdict.edit:
            return values
        self.applied.edited += 1
        return [verdict.edit.get(name, value) for name, value in zip(names, values, strict=True)]


def read_review(name: str, body: bytes, columns: Mapping[str, Type]) -> Review:
    """The review in a file of this name: `.csv`, else JSON lines. Edits must fit the columns.

    Raises `InputError` that names the line.
    """
    if len(body) > MAX_REVIEW_BYTES:
        raise InputError(f"{name}: a review has at most {MAX_REVIEW_BYTES >> 20} MB")
    lines = _csv_lines if name.lower().endswith(".csv") else _json_lines
    verdicts: dict[str, Verdict] = {}
    for number, document in lines(name, body):
        place = f"{name}, line {number}"
        record_id = document.get("id")
        if not isinstance(record_id, str) or not record_id:
            raise InputError(f"{place}: give the id of the row")
        if record_id in verdicts:
            raise InputError(f"{place}: {_shown(record_id)} was judged before: keep one line")
        verdicts[record_id] = _verdict(place, document, columns)
    return Review(verdicts)


def _verdict(place: str, document: Mapping[str, Any], columns: Mapping[str, Type]) -> Verdict:
    keep = document.get("keep")
    if isinstance(keep, str):
        word = keep.strip().casefold()
        if word and word not in _YES | _NO:
            raise InputError(f"{place}: keep is yes, no or empty, not {_shown(keep)}")
        keep = word not in _NO
    elif keep is not None and not isinstance(keep, bool):
        raise InputError(f"{place}: keep is true, false or null")
    edit = document.get("edit")
    if isinstance(edit, str) and edit.strip():
        try:
            edit = orjson.loads(edit)
        except orjson.JSONDecodeError as exc:
            raise InputError(
                f'{place}: edit is a JSON object such as {{"column": "new text"}}: {exc}'
            ) from exc
    edit = edit or {}
    if not isinstance(edit, Mapping):
        raise InputError(f"{place}: edit gives columns and their new values")
    edited = {name: _edited(place, name, value, columns) for name, value in edit.items()}
    return Verdict(keep=keep is not False, edit=edited)


def _edited(place: str, name: str, value: Any, columns: Mapping[str, Type]) -> Any:
    if name not in columns:
        raise InputError(f"{place}: there is no column {_shown(name)}: use {', '.join(columns)}")
    try:
        return fitter(columns[name])(value)
    except UnfitError as exc:
        kind = type_text(columns[name])
        raise InputError(f"{place}: column {name} has the type {kind}: {exc}") from exc


def _json_lines(name: str, body: bytes) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(body.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            document = orjson.loads(line)
        except orjson.JSONDecodeError as exc:
            raise InputError(f"{name}, line {number}: not JSON ({exc})") from exc
        if not isinstance(document, dict):
            raise InputError(f"{name}, line {number}: a JSON object with id, keep, edit, note")
        yield number, document


def _csv_lines(name: str, body: bytes) -> Iterator[tuple[int, Mapping[str, Any]]]:
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise InputError(f"{name}: not UTF-8 (byte {exc.start}): save it as CSV UTF-8") from exc
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        head = next(rows, [])
        if "id" not in head:
            raise InputError(f"{name}: the first line names the columns: id, keep, edit, note")
        for row in rows:
            if row:
                yield rows.line_num, dict(zip(head, row, strict=False))
    except csv.Error as exc:
        raise InputError(f"{name}, line {rows.line_num}: not CSV ({exc})") from exc


def _shown(text: str) -> str:
    line = plain_line(clean_text(text))
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}…"


def form_writer(
    columns: Sequence[str], *, as_csv: bool, inert: Callable[[str], str]
) -> tuple[bytes, Callable[[str, Sequence[Any]], bytes]]:
    """The head of a file to fill in, and what makes a line of it of a row: its columns are there
    to be read, and only `keep`, `edit` and `note` are read back.
    """
    if not as_csv:
        return b"", lambda record_id, values: orjson.dumps(
            {
                "id": record_id,
                "keep": None,
                "edit": None,
                "note": None,
                "row": dict(zip(columns, values, strict=True)),
            },
            option=orjson.OPT_APPEND_NEWLINE,
        )

    def line(cells: Sequence[str]) -> bytes:
        buffer = io.StringIO(newline="")
        csv.writer(buffer).writerow(cells)
        return buffer.getvalue().encode()

    def cell(value: Any) -> str:
        if value is None:
            return ""
        return inert(value) if isinstance(value, str) else orjson.dumps(value).decode()

    head = line([*FIELDS, *(f"row.{name}" for name in columns)])
    return head, lambda record_id, values: line([record_id, "", "", "", *map(cell, values)])
