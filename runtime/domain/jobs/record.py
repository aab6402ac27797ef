"""A record and a failure, as the JSON lines that batches, failure lists and exports hold.

Record line:  {"id", "job_id", "index", "timestamp", "seed_data_id", "generation_result"}
    With checks besides: "try" (from 0), "checks" {check id: verdict}
Rejected line: as a record's with checks, and "rejected_by" the id of the check that did it
Failure line: {"id", "index", "seed_data_id", "step", "kind", "message", "attempts"}

`generation_result` maps step ids to {"output", "model", "stop_reason"} and, where the template
keeps them, "prompt" with "system" and "messages", and "reasoning". A `stop_reason` of max_tokens
says that the reply was cut. A step that the record did not take has null for all three, and
"skipped": true. `seed_data_id` is the seed's; of a batch the ids of all seeds, joined by
", ". `index` runs from 0 to num_records - 1, or is below the most tries where a template has
checks, and identifies a record in its job.

A verdict is {"passed": true, false, or null where nothing was decided}, and of a judge also
"scores" {name: {"reasoning", "score"}}, "model" and "stop_reason"; a record that a judge's sample
leaves out has "skipped": true. That of a balance has the "value" which it counts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson

RECORD_FIELDS: Final = (
    "id",
    "job_id",
    "index",
    "timestamp",
    "seed_data_id",
    "generation_result",
)
"""Columns of Parquet and CSV, in this order; `generation_result` is a JSON string there."""

CHECK_FIELDS: Final = ("try", "checks")
"""After those, of a template with checks; `checks` is a JSON string there, too."""


SKIPPED: Final[Mapping[str, object]] = {
    "output": None,
    "model": None,
    "stop_reason": None,
    "skipped": True,
}
"""The result of a step that a record did not take."""

UNKNOWN_KIND: Final = "unknown"

_INTEGERS: Final = frozenset({int})


def is_skipped(result: object) -> bool:
    """Whether it is the result of a step that the record did not take."""
    return isinstance(result, Mapping) and result.get("skipped") is True


def record_id(job_id: str, index: int) -> str:
    """The id of record `index` of a job."""
    return f"{job_id}-{index}"


def clean_text(text: str) -> str:
    """`text` as valid Unicode: lone surrogates, which no UTF-8 file can hold, become U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """One finished record."""

    job_id: str
    index: int
    timestamp: datetime
    seed_data_id: str
    generation_result: Mapping[str, Mapping[str, object]]
    attempt: int = 0
    verdicts: Mapping[str, Mapping[str, object]] | None = None
    """Of the template's checks by id; None: it has none."""
    rejected_by: str | None = None

    def document(self) -> dict[str, object]:
        """What its line says."""
        document: dict[str, object] = {
            "id": record_id(self.job_id, self.index),
            "job_id": self.job_id,
            "index": self.index,
            "timestamp": self.timestamp,
            "seed_data_id": self.seed_data_id,
            "generation_result": self.generation_result,
        }
        if self.verdicts is not None:
            document |= {"try": self.attempt, "checks": self.verdicts}
        if self.rejected_by is not None:
            document["rejected_by"] = self.rejected_by
        return document

    def line(self) -> bytes:
        """The record as one JSON line, without the newline."""
        return orjson.dumps(self.document(), option=orjson.OPT_UTC_Z)


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """One record that will not be generated, and why. Holds no prompt and no output."""

    job_id: str
    index: int
    seed_data_id: str
    step: str
    kind: str
    message: str
    attempts: int
    """Calls that were made."""
    attempt: int | None = None
    """The try that has failed, from 0; None: the template has no checks, so there is but one."""

    def line(self) -> bytes:
        """The failure as one JSON line, without the newline."""
        document: dict[str, object] = {
            "id": record_id(self.job_id, self.index),
            "index": self.index,
            "seed_data_id": self.seed_data_id,
            "step": self.step,
            "kind": self.kind,
            "message": self.message,
            "attempts": self.attempts,
        }
        if self.attempt is not None:
            document["try"] = self.attempt
        return orjson.dumps(document)


def kind_of(line: bytes) -> str:
    """The kind in a failure line; `UNKNOWN_KIND` where it says none. Raises `ValueError` if the
    line is damaged.
    """
    return failed_try_of(line)[0]


def failed_try_of(line: bytes) -> tuple[str, int | None]:
    """The kind in a failure line, as of `kind_of`, and the try that has failed; None where it says
    none. Raises `ValueError` if the line is damaged.
    """
    document = orjson.loads(line)
    said = document if isinstance(document, dict) else {}
    kind, attempt = said.get("kind"), said.get("try")
    return (
        kind if isinstance(kind, str) and kind else UNKNOWN_KIND,
        attempt if type(attempt) is int and attempt >= 0 else None,
    )


def parse_line(line: bytes) -> tuple[int, dict[str, Any]]:
    """The index in a record or failure line, and the whole of it. Raises `ValueError` on damage."""
    indices, documents = parse_lines((line,))
    return indices[0], documents[0]


def parse_lines(lines: Sequence[bytes]) -> tuple[list[int], list[dict[str, Any]]]:
    """As `parse_line`, of at least one line: many take less time together. Raises `ValueError` when
    one of them is damaged.
    """
    documents = list(map(orjson.loads, lines))
    try:
        indices = [document["index"] for document in documents]
    except (KeyError, TypeError) as exc:
        raise ValueError("a line without an index") from exc
    if not _INTEGERS.issuperset(map(type, indices)) or min(indices) < 0:
        raise ValueError("a line without a valid index")
    return indices, documents


def index_of(line: bytes) -> int:
    """The index in a record or failure line. Raises `ValueError` on damage."""
    return parse_line(line)[0]
