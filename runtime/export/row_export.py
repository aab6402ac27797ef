"""Rows from the pass that writes the dataset: made, put in order, judged, split, and written.

    records ─▶ rows (many at once) ─▶ in index order ─▶ review ─▶ split ─▶ files, published last

Rows wait for their turn, and not records: they are smaller, and made of texts that the garbage
collector need not look at. What gives no row is counted with its column and reason, and the first
ones are named.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import orjson

from runtime.contract.keys import ROWS_FOLDER, exports_prefix, rows_result_key
from runtime.domain.errors import NotFoundError, StorageError
from runtime.domain.jobs.delivery import OutputFormat
from runtime.domain.jobs.indices import IndexSet
from runtime.domain.outputs.split import TRAIN, Split
from runtime.domain.outputs.types import Type, parse_type, type_document
from runtime.domain.ports import ObjectStore
from runtime.domain.wording import counted, plural
from runtime.export.formats import ExportRecord
from runtime.export.missing import Missing, Problem
from runtime.export.ordering import IndexOrder
from runtime.export.review import Review
from runtime.export.row_files import RowFiles, RowPlan, Values, file_count, open_rows
from runtime.export.splits import chooser

WRITTEN_AT_ONCE: Final = 64

Made = tuple[int, Values]
"""The index of a record, and its row."""
WriteSome = Callable[[Sequence[ExportRecord]], None]
"""Takes some of the records, as they come."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RowSource:
    """What the rows of a job are. `make` gives the rows of records, in their order, and tells of
    those that give none; `value_of` is what the split's `by` leads to for a record's index.
    """

    job_id: str
    folder: str
    shape: str
    made_of: str
    """Tells one shape and split from another."""
    columns: Mapping[str, Type]
    make: Callable[[Sequence[Mapping[str, Any]], Callable[[Problem], None]], Iterator[Made]]
    records: int
    """Indices that the job has, or a piece of it from `first` on."""
    first: int = 0
    exports: str = ""
    """The prefix below which the rows go: by default the job's exports."""
    generated: int = 0
    """Records that the job counts."""
    random_seed: int = 0
    split: Split | None = None
    value_of: Callable[[int], Any] = lambda _index: None
    without_value: tuple[str, ...] = ()
    """Seed fields of rows at which no seed has a value."""
    formats: frozenset[OutputFormat] = frozenset()
    """Besides Parquet."""
    byte_order_mark: bool = False
    review: Review | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class RowResult:
    """What was written of one shape. `files` are names below the dataset's folder."""

    folder: str
    shape: str
    made_of: str
    columns: Mapping[str, Type]
    counts: Mapping[str, int]
    """Rows by split; splits without one are left out."""
    empty: tuple[str, ...] = ()
    """Splits that got no row."""
    files: tuple[str, ...] = ()
    without_row: int = 0
    """Records that give none."""
    problems: tuple[str, ...] = ()
    """Why, of the first of them."""
    dropped: int = 0
    edited: int = 0
    """By a review."""
    unknown: int = 0
    """Ids in the review that the dataset doesn't have."""
    generated: int = 0
    """Records that the job counted then: with more of them, the rows are not current."""
    without_value: tuple[str, ...] = ()
    """Seed fields at which no seed has a value."""

    @property
    def configuration(self) -> str:
        """What loaders call these rows."""
        return "default" if self.folder == ROWS_FOLDER else self.folder

    @property
    def rows(self) -> int:
        """In all splits."""
        return sum(self.counts.values())

    @property
    def records(self) -> int:
        """That were read: each has a row, gives none or was left out."""
        return self.rows + self.without_row + self.dropped

    @property
    def lost(self) -> int:
        """Records that the job counts and that could not be read when the rows were made."""
        return max(0, self.generated - self.records)

    def notes(self) -> Iterator[str]:
        """What a reader of the dataset should know, a sentence each."""
        if self.lost:
            yield (
                f"{counted(self.lost, 'record')} of {self.generated} could not be read: a file that"
                " they were saved in is damaged or gone."
            )
        for path in self.without_value:
            yield f"No seed has a value at {path}: what rows take from there is null."
        if self.without_row:
            yield f"{counted(self.without_row, 'record')} gave no row: {'; '.join(self.problems)}."
        for name in self.empty:
            yield f"The split {name} got no row and is left out."
        if self.dropped or self.edited:
            yield f"A review left out {counted(self.dropped, 'row')} and changed {self.edited}."
        if self.unknown:
            ids = f"{counted(self.unknown, 'id')} of the review {plural(self.unknown, 'is', 'are')}"
            yield f"{ids} not in the dataset."

    def document(self) -> dict[str, Any]:
        """As JSON has it; inverse of `parse_result`."""
        return {
            "folder": self.folder,
            "shape": self.shape,
            "made_of": self.made_of,
            "columns": [[name, type_document(kind)] for name, kind in self.columns.items()],
            "counts": dict(self.counts),
            "empty": list(self.empty),
            "files": list(self.files),
            "without_row": self.without_row,
            "problems": list(self.problems),
            "dropped": self.dropped,
            "edited": self.edited,
            "unknown": self.unknown,
            "generated": self.generated,
            "without_value": list(self.without_value),
        }


def parse_result(document: Mapping[str, Any]) -> RowResult:
    """Inverse of `RowResult.document`. Raises `ValueError` and `KeyError` on damage."""
    return RowResult(
        folder=str(document["folder"]),
        shape=str(document["shape"]),
        made_of=str(document["made_of"]),
        columns={str(name): parse_type(kind) for name, kind in document["columns"]},
        counts={str(name): int(count) for name, count in document["counts"].items()},
        empty=tuple(map(str, document["empty"])),
        files=tuple(map(str, document["files"])),
        without_row=int(document["without_row"]),
        problems=tuple(map(str, document["problems"])),
        dropped=int(document["dropped"]),
        edited=int(document["edited"]),
        unknown=int(document["unknown"]),
        generated=int(document.get("generated", 0)),
        without_value=tuple(map(str, document.get("without_value", ()))),
    )


class RowExport:
    """Writes the rows of one shape. `opened` is one of the writers of an export, and `result` what
    it wrote once the block has ended well.
    """

    def __init__(self, objects: ObjectStore, source: RowSource) -> None:
        self._objects = objects
        self._source = source
        self._names = tuple(source.columns)
        self._choose = chooser(source.split, random_seed=source.random_seed)
        self._by_value = source.split is not None and source.split.by is not None
        self._exports = source.exports or exports_prefix(source.job_id)
        self.missing = Missing()
        self.result: RowResult | None = None

    @contextmanager
    def opened(self, *, stored_bytes: int, absent: IndexSet | None = None) -> Iterator[WriteSome]:
        """`stored_bytes` are those of the job's batches, `absent` indices that have no record.
        Raises `StorageError`, `ExportError`, and what `make` raises.
        """
        plan = self._plan(stored_bytes)
        with open_rows(self._objects, plan) as files:
            waiting: list[Made] = []

            def take(made: list[tuple[int, Values | None]]) -> None:
                waiting.extend([(index, row) for index, row in made if row is not None])
                if len(waiting) >= WRITTEN_AT_ONCE:
                    self._write(waiting, files)
                    waiting.clear()

            order: IndexOrder[Values | None] = IndexOrder(
                take,
                line_of=orjson.dumps,
                read=orjson.loads,
                absent=absent,
                first=self._source.first,
            )
            yield lambda records: self._make(records, order)
            order.finish()
            self._write(waiting, files)
        self.result = self._result(files)

    def _make(self, records: Sequence[ExportRecord], order: "IndexOrder[Values | None]") -> None:
        """The rows of some records go into their order, where nobody waits for what has none."""

        def missing(problem: Problem) -> None:
            self.missing.add(problem)
            order.add([(problem.index, None, 0)])

        made = list(self._source.make([record.document for record in records], missing))
        sizes = [len(record.line) for record in records]
        if len(made) < len(records):  # they come in the order of the records, without some
            of = {record.document["index"]: len(record.line) for record in records}
            sizes = [of[index] for index, _ in made]
        order.add([(index, row, size) for (index, row), size in zip(made, sizes, strict=True)])

    def _plan(self, stored_bytes: int) -> RowPlan:
        source = self._source
        shares = {} if source.split is None else source.split.shares
        files = {TRAIN: file_count(stored_bytes, 1 - sum(shares.values()))}
        files |= {name: file_count(stored_bytes, share) for name, share in shares.items()}
        return RowPlan(
            exports=self._exports,
            folder=source.folder,
            columns=source.columns,
            files=files,
            records=source.records,
            first=source.first,
            formats=source.formats,
            byte_order_mark=source.byte_order_mark,
        )

    def _write(self, made: Sequence[Made], files: RowFiles) -> None:
        if self._source.review is not None:
            made = list(self._judged(made, self._source.review))
        if self._source.split is None:
            files.write(TRAIN, made)
            return
        splits: dict[str, list[Made]] = {}
        for index, row in made:
            value = self._source.value_of(index) if self._by_value else None
            splits.setdefault(self._choose(index, value), []).append((index, row))
        for split, rows in splits.items():
            files.write(split, rows)

    def _judged(self, made: Sequence[Made], review: Review) -> Iterator[Made]:
        for index, row in made:
            judged = review.apply(f"{self._source.job_id}-{index}", self._names, row)
            if judged is not None:
                yield index, judged

    def _result(self, files: RowFiles) -> RowResult:
        source = self._source
        applied = None if source.review is None else source.review.applied
        return RowResult(
            folder=source.folder,
            shape=source.shape,
            made_of=source.made_of,
            columns=source.columns,
            counts={name: count for name, count in files.counts.items() if count},
            empty=tuple(name for name, count in files.counts.items() if not count),
            files=tuple(sorted(key.removeprefix(self._exports) for key in files.keys)),
            without_row=self.missing.count,
            problems=self.missing.texts(),
            dropped=0 if applied is None else applied.dropped,
            edited=0 if applied is None else applied.edited,
            unknown=0 if applied is None else applied.unknown,
            generated=source.generated,
            without_value=source.without_value,
        )


def load_results(objects: ObjectStore, job_id: str) -> tuple[RowResult, ...]:
    """Inverse of `save_results`; none where no rows were exported. Raises `StorageError`, also for
    a damaged note.
    """
    try:
        documents = orjson.loads(objects.get(rows_result_key(job_id)))
        return tuple(parse_result(each) for each in documents)
    except NotFoundError:
        return ()
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise StorageError("what is noted of the rows is damaged: export them again") from exc


def save_results(objects: ObjectStore, job_id: str, results: Sequence[RowResult]) -> None:
    """Note what rows there are, for whoever shows them. Raises `StorageError`."""
    body = orjson.dumps([each.document() for each in results])
    objects.put(rows_result_key(job_id), body, content_type="application/json")
