"""Loads the seeds that a job pinned."""

from collections.abc import Sequence
from pathlib import PurePosixPath

from runtime.domain.errors import NotFoundError, SeedError
from runtime.domain.ports import ObjectStore
from runtime.domain.seeds.seeds import Row, check_paths, parse_seeds


class Seeds:
    """Seed files of the object store."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects

    def load_seed_data(
        self, key: str, *, version: str | None, requirements: Sequence[str]
    ) -> list[Row]:
        """All seeds under `key`. Raises `SeedError`: no such object (or version), not valid, or a
        required path is missing.
        """
        try:
            body = self._objects.get(key, version=version)
        except NotFoundError as exc:
            raise SeedError(f"seed data not found: {key}") from exc
        name = PurePosixPath(key).name
        rows = parse_seeds(body, name)
        check_paths(rows, requirements, name)
        return rows
