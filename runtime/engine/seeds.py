"""Loads the seeds that a job pinned."""

from collections.abc import Sequence
from pathlib import PurePosixPath

from runtime.domain.errors import NotFoundError, SeedError
from runtime.domain.ports import ObjectStore
from runtime.files.reading import load_rows
from runtime.files.rows import SeedRows


class Seeds:
    """Seed files of the object store."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects

    def load_seed_data(
        self, key: str, *, version: str | None, requirements: Sequence[str]
    ) -> SeedRows:
        """All seeds under `key`, on this machine's disk. Raises `SeedError`: no such object (or
        version), not valid, or a required path is missing.
        """
        try:
            with self._objects.open_version(key, version=version) as stream:
                return load_rows(stream, PurePosixPath(key).name, requirements=requirements)
        except NotFoundError as exc:
            raise SeedError(f"seed data not found: {key}") from exc
