"""The pieces of all shards become one dataset, without a look at its rows.

    Parquet of rows     copied by the store under the names of the whole, number by number
    text                one file after the other, in one header
    dataset.jsonl       the batches themselves, one after the other
    dataset.parquet     row group by row group
    counts, report      added up; failures listed as by every export

What is published is what one task would have written: rows and records are the same in the same
order. Only where one Parquet file ends and the next begins follows from the shards.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, BinaryIO, Final

from runtime.contract.keys import (
    FAILURE_PARTS,
    JSON_LINES,
    ROWS_FOLDER,
    export_name,
    exports_prefix,
    row_file_name,
    split_of_rows,
)
from runtime.domain.errors import ExportError, StorageError
from runtime.domain.jobs.delivery import OutputFormat
from runtime.domain.jobs.indices import IndexSet
from runtime.domain.jobs.job import Job
from runtime.domain.jobs.record import RECORD_FIELDS
from runtime.export.batches import Batches
from runtime.export.exporter import Exporter
from runtime.export.formats import csv_head
from runtime.export.missing import Missing
from runtime.export.pieces import Piece, Pieces, indices_of
from runtime.export.report.writing import Report
from runtime.export.row_export import RowResult
from runtime.export.row_files import remove_others
from runtime.files.disk import disk_errors, temporary_file

_COPIED_BYTES: Final = 1024 * 1024
_CSV: Final = "text/csv; charset=utf-8"
_PARQUET: Final = "application/octet-stream"


@dataclass(frozen=True, kw_only=True, slots=True)
class Joining:
    """Joins `pieces`, one of each shard, in the order of shards. `progress` and `may_write` as of
    an export.
    """

    exporter: Exporter
    pieces_of: Pieces
    job: Job
    pieces: Sequence[Piece]
    progress: Callable[[int], None]
    may_write: Callable[[], bool]

    @property
    def records(self) -> int:
        """In all pieces."""
        return sum(piece.records for piece in self.pieces)

    @property
    def fit(self) -> bool:
        """Whether they are of one dataset: rows of the same columns, and records at all."""
        found = [(each.made_of, list(each.columns.items())) for each in self._row_results()]
        return self.records > 0 and all(each == found[0] for each in found)

    def run(self) -> RowResult | None:
        """Publish the dataset, its failures and its report; what rows it has. Raises
        `ExportError`, and what `progress` raises: then nothing is published.
        """
        objects, exports = self.pieces_of.objects, exports_prefix(self.job.job_id)
        report = Report(objects, self.job.job_id)
        try:
            with ExitStack() as publishing:
                texts = _Texts(self, publishing)
                done = 0
                for piece in self.pieces:
                    self._report_on(piece, report)
                    texts.add(piece)
                    done += piece.records
                    self.progress(done)
            parquet = self._copy_parquet()
            rows = self._row_result((*parquet, *texts.rows))
            if rows is not None:
                remove_others(
                    objects, exports, rows.folder, [exports + name for name in rows.files]
                )
            self._write_failures()
        except (StorageError, OSError) as exc:
            raise ExportError(f"the dataset could not be written: {exc}") from exc
        if self.may_write():
            report.write(self.job)
        return rows

    def _row_results(self) -> list[RowResult]:
        return [piece.rows for piece in self.pieces if piece.rows is not None]

    def _report_on(self, piece: Piece, report: Report) -> None:
        if piece.has_statistics:
            report.merge(self.pieces_of.objects.get(piece.statistics_key))
            return
        for record in self.pieces_of.records(self.job, piece.shard):
            report.add(record)

    def _copy_parquet(self) -> list[str]:
        """Names of the copies. Names of pieces are in the order of their rows, split by split."""
        of_split: dict[str, list[str]] = {}
        for piece in self.pieces:
            for name in sorted(piece.files):
                split = split_of_rows(name)
                if split is not None and name.endswith(".parquet"):
                    of_split.setdefault(split, []).append(piece.exports + name)
        copied = []
        for split, keys in of_split.items():
            for number, key in enumerate(keys):
                name = f"{ROWS_FOLDER}/{row_file_name(split, number, len(keys))}"
                self.pieces_of.objects.copy(key, exports_prefix(self.job.job_id) + name)
                copied.append(name)
        return copied

    def _row_result(self, files: Sequence[str]) -> RowResult | None:
        found = self._row_results()
        if not found:
            return None
        missing = Missing()
        for piece in self.pieces:
            missing.merge(piece.missing)
        splits = dict.fromkeys(chain.from_iterable((*each.counts, *each.empty) for each in found))
        counts = {name: sum(each.counts.get(name, 0) for each in found) for name in splits}
        return replace(
            found[0],
            counts={name: count for name, count in counts.items() if count},
            empty=tuple(name for name, count in counts.items() if not count),
            files=tuple(sorted(files)),
            without_row=missing.count,
            problems=missing.texts(),
            generated=self.job.progress.records_generated,
        )

    def _write_failures(self) -> None:
        parts = Batches(self.pieces_of.objects, FAILURE_PARTS).load_all_batches(self.job.job_id)
        if parts.error is not None:
            raise parts.error
        records = IndexSet(self.job.config.num_records)
        for piece in self.pieces:
            gaps = chain(piece.gaps, [(-1, -1)])
            indices = indices_of(self.job, piece.shard) or range(0)
            start = indices.start
            for gap, stop in gaps:
                for index in range(start, indices.stop if gap < 0 else gap):
                    records.add(index)
                start = stop
        self.exporter.write_failures(self.job, parts, records)


class _Texts:
    """What is joined by writing one thing after the other. Everything that is opened is published
    when the block of `publishing` ends well.
    """

    def __init__(self, joining: Joining, publishing: ExitStack) -> None:
        self._joining = joining
        self._publishing = publishing
        self._objects = joining.pieces_of.objects
        self._delivery = joining.job.config.delivery
        self._streams: dict[str, BinaryIO] = {}
        self._table: Callable[[Any], None] | None = None

    @property
    def rows(self) -> list[str]:
        """The files of rows among them."""
        return [name for name in self._streams if split_of_rows(name) is not None]

    def add(self, piece: Piece) -> None:
        """Write what a piece has, after those before it."""
        if OutputFormat.JSONL in self._delivery.output_formats and piece.records:
            self._add_lines(piece)
        for name in sorted(piece.files):
            if name == export_name("parquet"):
                self._add_table(piece.exports + name)
            elif name.endswith(".csv"):
                self._add_text(piece, name, _CSV, head=self._head(piece, name))
            elif name.endswith(".jsonl"):
                self._add_text(piece, name, JSON_LINES, head=b"")

    def _stream(self, name: str, content_type: str) -> BinaryIO:
        key = exports_prefix(self._joining.job.job_id) + name
        opened = self._objects.open_writer(key, content_type=content_type)
        stream = self._streams[name] = self._publishing.enter_context(opened)
        return stream

    def _add_lines(self, piece: Piece) -> None:
        name = export_name("jsonl")
        stream = self._streams.get(name) or self._stream(name, JSON_LINES)
        pieces, job = self._joining.pieces_of, self._joining.job
        if piece.whole:
            for key in pieces.batches(job, piece.shard).keys:
                stream.write(self._objects.get(key))
            return
        for record in pieces.records(job, piece.shard):
            stream.write(record.line + b"\n")

    def _head(self, piece: Piece, name: str) -> bytes:
        rows = piece.rows
        names = RECORD_FIELDS if name == export_name("csv") or rows is None else rows.columns
        return csv_head(names, byte_order_mark=self._delivery.byte_order_mark)

    def _add_text(self, piece: Piece, name: str, content_type: str, *, head: bytes) -> None:
        known = self._streams.get(name)
        stream = known or self._stream(name, content_type)
        with self._objects.open_reader(piece.exports + name) as text:
            if known is not None and text.read(len(head)) != head:
                raise ExportError(f"{name} of a shard begins in another way: run the export again")
            shutil.copyfileobj(text, stream, _COPIED_BYTES)

    def _add_table(self, key: str) -> None:
        import pyarrow as pa  # noqa: PLC0415 - as in formats.py
        from pyarrow import parquet  # noqa: PLC0415

        with temporary_file("records") as file, self._objects.open_reader(key) as stored:
            with disk_errors("write", "records"):
                shutil.copyfileobj(stored, file, _COPIED_BYTES)
                file.seek(0)
            try:
                table = parquet.ParquetFile(file)
                write = self._table or self._open_table(table.schema_arrow)
                for number in range(table.num_row_groups):
                    write(table.read_row_group(number))
            except pa.ArrowException as exc:
                raise ExportError("the records of a shard can't be read as Parquet") from exc

    def _open_table(self, schema: Any) -> Callable[[Any], None]:
        stream = self._stream(export_name("parquet"), _PARQUET)
        write = self._table = self._publishing.enter_context(_parquet(stream, schema))
        return write


@contextmanager
def _parquet(stream: BinaryIO, schema: Any) -> Iterator[Callable[[Any], None]]:
    from pyarrow import parquet  # noqa: PLC0415 - as above

    with parquet.ParquetWriter(stream, schema, compression="zstd") as file:
        yield file.write_table
