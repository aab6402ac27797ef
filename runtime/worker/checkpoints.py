"""Loading and saving checkpoints: first the version in a table, then the blob as an object.

The conditional write of the version is what excludes two workers that both believe they own the
job. Between the two writes a crash leaves a version that is one ahead of its blob: the older blob
is still true, and the batches written since are found and adopted when work goes on.
"""

import logging
from dataclasses import replace
from typing import Final

from runtime.contract.keys import checkpoint_key
from runtime.domain.errors import ConflictError, CorruptCheckpointError, NotFoundError
from runtime.domain.jobs.checkpoint import Checkpoint, decode, encode, merge
from runtime.domain.ports import (
    CheckpointVersion,
    CheckpointVersions,
    Claim,
    Clock,
    ObjectStore,
)
from runtime.logs import event
from runtime.worker.crash_points import CrashPoint, pass_through

_log = logging.getLogger(__name__)

MAX_ATTEMPTS: Final = 3
"""Saves that may meet a version conflict before it is raised (requirement S7.7)."""


class Checkpoints:
    """The checkpoint of one work item at a time."""

    def __init__(
        self,
        versions: CheckpointVersions,
        objects: ObjectStore,
        clock: Clock,
        crash_point: CrashPoint = pass_through,
    ) -> None:
        self._versions = versions
        self._objects = objects
        self._clock = clock
        self._crash_point = crash_point

    def load_checkpoint(self, claim: Claim) -> Checkpoint:
        """The stored checkpoint, or the default one when there is none or it is corrupt.

        A default with `stored_version > 0` means that a blob was lost: the batches know the rest.
        """
        stored = self._versions.get(claim.work_id)
        version = stored.version if stored else 0
        fresh = Checkpoint(job_id=claim.job_id, stored_version=version)
        try:
            blob = self._objects.get(checkpoint_key(claim.job_id, claim.shard))
            return replace(decode(blob), stored_version=version)
        except NotFoundError:
            return fresh
        except CorruptCheckpointError as error:
            event(_log, logging.ERROR, "checkpoint corrupt", job_id=claim.job_id, error=str(error))
            return fresh

    def save_checkpoint(self, claim: Claim, checkpoint: Checkpoint) -> Checkpoint:
        """Save as the next version; what was saved. Raises `LeaseLostError`, `ConflictError`
        after `MAX_ATTEMPTS`, and any storage error: a job that can't be saved stops paying.
        """
        for attempt in range(1, MAX_ATTEMPTS + 1):
            saved = replace(
                checkpoint,
                version=checkpoint.stored_version + 1,
                stored_version=checkpoint.stored_version + 1,
                updated_at=self._clock.now(),
            )
            try:
                self._versions.put(
                    claim.work_id,
                    CheckpointVersion(
                        version=saved.version,
                        records_generated=saved.records_generated,
                        fence=claim.fence,
                    ),
                )
            except ConflictError:
                event(_log, logging.WARNING, "checkpoint version conflict", job_id=claim.job_id)
                if attempt == MAX_ATTEMPTS:
                    raise
                checkpoint = merge(checkpoint, self.load_checkpoint(claim))
                continue
            self._crash_point("between_checkpoint_writes")
            self._objects.put(
                checkpoint_key(claim.job_id, claim.shard),
                encode(saved),
                content_type="application/json",
            )
            return saved
        raise AssertionError("unreachable")  # pragma: no cover
