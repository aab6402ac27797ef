"""Shards export side by side: each its piece when it has generated everything, and the job's own
work joins them. Where a piece is missing or stale it makes that first; where pieces don't add up it
exports as if there were none.
"""

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import orjson

from runtime.domain.errors import ExportError, NotFoundError, StorageError
from runtime.domain.jobs.job import Job
from runtime.domain.outputs.shape import Shape
from runtime.domain.ports import Claim
from runtime.domain.templates.template import Template
from runtime.export.configurations import RowChoice
from runtime.export.joining import Joining
from runtime.export.pieces import Piece, Pieces, indices_of
from runtime.export.row_export import RowExport, RowResult
from runtime.logs import event
from runtime.worker.exporting import JobExport, code_version, rows_digest

PIECE_FORMAT: Final = 1
"""To be raised with every change of what pieces are: those of before are made anew then."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ShardExports:
    """Makes and joins pieces. A shard with less than `least_bytes` of records makes none."""

    export: JobExport
    least_bytes: int

    @property
    def _pieces(self) -> Pieces:
        return Pieces(self.export.ports.objects)

    def make(
        self,
        job: Job,
        template: Template,
        claim: Claim,
        *,
        expected: int,
        progress: Callable[[int], None],
    ) -> Piece | None:
        """The piece of a shard that has nothing left to generate, `expected` records; None where it
        is left to the job's own work. Raises what an export raises.
        """
        shard = claim.shard
        if shard is None or indices_of(job, shard) is None or job.export is not None:
            return None
        if self._pieces.batches(job, shard).size < self.least_bytes:
            return None
        maker = f"{claim.fence:010d}"
        return self._write(job, template, shard, maker, expected=expected, progress=progress)

    def join(
        self,
        job: Job,
        template: Template,
        claim: Claim,
        *,
        expected: int | None,
        progress: Callable[[int], None],
        may_write: Callable[[], bool],
    ) -> tuple[RowResult, ...] | None:
        """The dataset of the pieces that there are, and of those that are lacking; None where there
        are none, or they don't add up. Raises what an export raises.
        """
        sharding = job.config.sharding
        if sharding is None or indices_of(job, 0) is None or job.export is not None:
            return None
        found = self._pieces.find(job, made_of=self._made_of(job, template))
        if not found:
            return None
        try:
            for shard in range(sharding.count):
                if shard not in found:
                    found[shard] = self._write(
                        job,
                        template,
                        shard,
                        # After those of all shards, whose names are numbers.
                        f"job-{claim.fence:010d}",
                        expected=None,
                        progress=lambda _records: progress(0),
                    )
            joining = Joining(
                exporter=self.export.exporter,
                pieces_of=self._pieces,
                job=job,
                pieces=[found[shard] for shard in range(sharding.count)],
                progress=progress,
                may_write=may_write,
            )
            if joining.fit and expected in {None, joining.records}:
                rows = joining.run()
                return () if rows is None else (rows,)
            error = "they_differ"
        except (ExportError, NotFoundError) as exc:
            error = exc.code
        event(_log, logging.WARNING, "pieces not joined", job_id=job.job_id, error=error)
        if may_write():  # where the disk is full they take the room of what comes now
            self.clear(job)
        return None

    def clear(self, job: Job) -> None:
        """Remove all pieces of a job, which is exported now. What can't be removed goes with the
        job, and counts no more once there are other records.
        """
        if job.config.sharding is None:
            return
        try:
            self._pieces.clear(job.job_id)
        except StorageError as error:
            event(_log, logging.WARNING, "pieces not removed", job_id=job.job_id, error=error.code)

    def _write(
        self,
        job: Job,
        template: Template,
        shard: int,
        maker: str,
        *,
        expected: int | None,
        progress: Callable[[int], None],
    ) -> Piece:
        indices = indices_of(job, shard) or range(0)
        with self.export.row_source(job, template, RowChoice()) as source:

            def rows(exports: str) -> RowExport | None:
                if source is None:
                    return None
                own = replace(source, first=indices.start, records=len(indices), exports=exports)
                return RowExport(self.export.ports.objects, own)

            return self._pieces.write(
                self.export.exporter,
                job,
                shard,
                maker=maker,
                made_of=self._made_of(job, template),
                rows=rows,
                expected=expected,
                progress=progress,
            )

    def _made_of(self, job: Job, template: Template) -> str:
        delivery, sharding = job.config.delivery, job.config.sharding
        document = [
            PIECE_FORMAT,
            code_version(),
            "" if template.output.shape is Shape.RECORDS else rows_digest(template),
            sorted(delivery.output_formats),
            delivery.byte_order_mark,
            sharding and sharding.document(),
        ]
        return hashlib.sha256(orjson.dumps(document)).hexdigest()
