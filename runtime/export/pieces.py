"""What a shard exports by itself: its piece of the dataset, which its job's own work joins.

    jobs/{job_id}/pieces/shard-0003/{maker}/exports/…        files of its records and rows
                                            /statistics.json  what a report counts of them
                                            /manifest.json    written last, and once

`maker` is of one claim, so that what two owners make never mixes; of several the latest counts. A
piece counts as long as it is made of the batches that are there, and of what rows are made of now.
Everything of it is gone with the job, and as soon as it is joined.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from runtime.contract.keys import FAILURE_PARTS, pieces_prefix
from runtime.domain.errors import ExportError, NotFoundError
from runtime.domain.jobs.delivery import OutputFormat, PartitionStrategy
from runtime.domain.jobs.job import Job
from runtime.domain.jobs.sharding import ranges_of
from runtime.domain.ports import ObjectStore
from runtime.export.batches import Batches, StoredBatches
from runtime.export.distinct import DistinctRecords, absent_indices
from runtime.export.exporter import Exporter
from runtime.export.formats import ExportRecord
from runtime.export.missing import Missing, parse_missing
from runtime.export.report.writing import Report
from runtime.export.row_export import RowExport, RowResult, parse_result

JSON: Final = "application/json"
_MANIFEST, _STATISTICS, _EXPORTS = "manifest.json", "statistics.json", "exports/"


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """A manifest. `prefix` is where everything of the piece is."""

    prefix: str
    shard: int
    made_of: str
    """Tells rows and formats from others; the caller's."""
    batches: str
    """`StoredBatches.digest` of what it was made of."""
    records: int
    duplicates: int
    gaps: tuple[tuple[int, int], ...]
    """Indices of the shard without a record, from one to below another."""
    whole: bool
    """Whether its batches are its records, byte for byte."""
    files: Mapping[str, int]
    """Sizes in bytes by name, below the exports."""
    rows: RowResult | None
    """None where records are the dataset's only shape."""
    missing: Missing
    """What gave no row."""
    has_statistics: bool

    @property
    def exports(self) -> str:
        """The prefix of its files."""
        return self.prefix + _EXPORTS

    @property
    def statistics_key(self) -> str:
        """Of what a report counts; there only with `has_statistics`."""
        return self.prefix + _STATISTICS

    def document(self) -> dict[str, Any]:
        """As JSON has it; inverse of `_parse`."""
        return {
            "shard": self.shard,
            "made_of": self.made_of,
            "batches": self.batches,
            "records": self.records,
            "duplicates": self.duplicates,
            "gaps": self.gaps,
            "whole": self.whole,
            "files": self.files,
            "rows": self.rows and self.rows.document(),
            "missing": self.missing.document(),
            "has_statistics": self.has_statistics,
        }


def _parse(prefix: str, document: Mapping[str, Any]) -> Piece:
    rows = document["rows"]
    return Piece(
        prefix=prefix,
        shard=int(document["shard"]),
        made_of=str(document["made_of"]),
        batches=str(document["batches"]),
        records=int(document["records"]),
        duplicates=int(document["duplicates"]),
        gaps=tuple((int(start), int(stop)) for start, stop in document["gaps"]),
        whole=bool(document["whole"]),
        files={str(name): int(size) for name, size in document["files"].items()},
        rows=None if rows is None else parse_result(rows),
        missing=parse_missing(document["missing"]),
        has_statistics=bool(document["has_statistics"]),
    )


def indices_of(job: Job, shard: int) -> range | None:
    """The indices of a shard where it may export them by itself. They have to be one range, as
    those of a job that has grown aren't: its rows are in the order of all indices. Files of days
    are not joined either, and which records checks leave in a dataset is chosen among all of them.
    """
    sharding, delivery = job.config.sharding, job.config.delivery
    if sharding is None or delivery.partition_strategy is PartitionStrategy.TIMESTAMP:
        return None
    if job.config.has_checks:
        return None
    ranges = ranges_of(sharding, shard)
    return ranges[0] if len(ranges) == 1 else None


@dataclass(frozen=True, slots=True)
class Pieces:
    """The pieces of jobs in a store."""

    objects: ObjectStore

    def batches(self, job: Job, shard: int) -> StoredBatches:
        """What a shard has saved. Raises `ExportError` where it can't be listed."""
        return _listed(Batches(self.objects), job, shard)

    def records(
        self,
        job: Job,
        shard: int,
        *,
        expected: int | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> DistinctRecords:
        """The records of a shard, each once. Raises `ExportError`."""
        return DistinctRecords(
            self.batches(job, shard),
            job.config.num_records,
            expected=expected,
            progress=progress,
        )

    def write(
        self,
        exporter: Exporter,
        job: Job,
        shard: int,
        *,
        maker: str,
        made_of: str,
        rows: Callable[[str], RowExport | None],
        expected: int | None,
        progress: Callable[[int], None],
    ) -> Piece:
        """Make the piece of a shard. `rows` is given the prefix of its exports. Raises
        `ExportError`, `StorageError`, and what `progress` raises: then there is no piece.
        """
        indices = indices_of(job, shard)
        if indices is None:
            raise ExportError("the indices of the shard are not one range")
        prefix = f"{pieces_prefix(job.job_id, shard)}{maker}/"
        self._clear_before(job, shard, maker)
        stored = self.batches(job, shard)
        records = DistinctRecords(
            stored, job.config.num_records, expected=expected, progress=progress
        )
        parts = _listed(Batches(self.objects, FAILURE_PARTS), job, shard)
        absent = absent_indices(parts, job.config.num_records, expected, within=indices)
        report, row_export = Report(self.objects, job.job_id), rows(prefix + _EXPORTS)
        written = 0

        def observe(record: ExportRecord) -> None:
            nonlocal written
            written += len(record.line) + 1
            report.add(record)

        formats = set(job.config.delivery.output_formats) - {OutputFormat.JSONL}
        opened = [] if row_export is None else [row_export]
        exporter.write(
            job,
            records,
            sorted(formats),
            exports=prefix + _EXPORTS,
            rows=[each.opened(stored_bytes=stored.size, absent=absent) for each in opened],
            observe=observe,
        )
        gaps = tuple(_gaps(indices, records))
        if len(indices) - sum(stop - start for start, stop in gaps) != len(records.seen):
            raise ExportError("the batches of the shard hold records of other shards")
        statistics = report.document()
        if statistics is not None:
            self.objects.put(prefix + _STATISTICS, statistics, content_type=JSON)
        found = self.objects.list(prefix + _EXPORTS)
        piece = Piece(
            prefix=prefix,
            shard=shard,
            made_of=made_of,
            batches=stored.digest,
            records=len(records.seen),
            duplicates=records.duplicates,
            gaps=gaps,
            whole=written == stored.size,
            files={stat.key.removeprefix(prefix + _EXPORTS): stat.size for stat in found},
            rows=None if row_export is None else row_export.result,
            missing=Missing() if row_export is None else row_export.missing,
            has_statistics=statistics is not None,
        )
        body = orjson.dumps(piece.document())
        self.objects.put(prefix + _MANIFEST, body, content_type=JSON)
        return piece

    def find(self, job: Job, *, made_of: str) -> dict[int, Piece]:
        """By shard, the latest piece that counts. Raises `ExportError`, `StorageError`."""
        sizes = {stat.key: stat.size for stat in self.objects.list(pieces_prefix(job.job_id))}
        found: dict[int, Piece] = {}
        for key in sorted(sizes):  # of a shard, the latest last
            piece = self._read(key) if key.endswith(f"/{_MANIFEST}") else None
            if piece is None or piece.made_of != made_of:
                continue
            if not key.startswith(pieces_prefix(job.job_id, piece.shard)):
                continue
            files = {piece.exports + name: size for name, size in piece.files.items()}
            has_all = files.items() <= sizes.items()
            if has_all and piece.batches == self.batches(job, piece.shard).digest:
                found[piece.shard] = piece
        return found

    def clear(self, job_id: str) -> None:
        """Remove every piece of a job. Raises `StorageError`."""
        self.objects.delete([stat.key for stat in self.objects.list(pieces_prefix(job_id))])

    def _clear_before(self, job: Job, shard: int, maker: str) -> None:
        """Remove what earlier makers have left, and never what a later one makes."""
        prefix = pieces_prefix(job.job_id, shard)
        earlier = [
            stat.key
            for stat in self.objects.list(prefix)
            if stat.key.removeprefix(prefix).partition("/")[0] < maker
        ]
        self.objects.delete(earlier)

    def _read(self, key: str) -> Piece | None:
        try:
            piece = _parse(key.removesuffix(_MANIFEST), orjson.loads(self.objects.get(key)))
        except (NotFoundError, ValueError, KeyError, TypeError, AttributeError):
            return None  # damaged, or removed just now: its shard has none
        return piece


def _listed(batches: Batches, job: Job, shard: int) -> StoredBatches:
    stored = batches.load_all_batches(job.job_id, shard=shard)
    if stored.error is not None:
        raise ExportError(f"the batches could not be listed: {stored.error}") from stored.error
    return stored


def _gaps(indices: range, records: DistinctRecords) -> Iterator[tuple[int, int]]:
    start: int | None = None
    for index in indices:
        if index not in records.seen:
            start = index if start is None else start
        elif start is not None:
            yield start, index
            start = None
    if start is not None:
        yield start, indices.stop
