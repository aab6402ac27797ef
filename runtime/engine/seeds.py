"""Loads the seeds that a job pinned; which of them a record has, and what types they give rows."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from runtime.domain.errors import NotFoundError, SeedError
from runtime.domain.jobs.sampling import Draw, Draws, draw
from runtime.domain.outputs.seed_types import SeedTypes
from runtime.domain.outputs.shape import Output
from runtime.domain.outputs.types import Type
from runtime.domain.ports import ObjectStore
from runtime.domain.seeds.seeds import Row
from runtime.files.reading import load_rows
from runtime.files.rows import SeedRows


class Seeds:
    """Seed files of the object store."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects

    def load_seed_data(
        self,
        key: str,
        *,
        version: str | None,
        requirements: Sequence[str],
        on_bytes: Callable[[int], object] = lambda _count: None,
        on_row: Callable[[Row], object] | None = None,
    ) -> SeedRows:
        """All seeds under `key`, on this machine's disk. `on_bytes` and `on_row` hear of what was
        read, as `load_rows` says. Raises `SeedError`: no such object (or version), not valid, or a
        required path is missing; and what the two raise.
        """
        try:
            with self._objects.open_version(key, version=version) as stream:
                return load_rows(
                    stream,
                    PurePosixPath(key).name,
                    requirements=requirements,
                    on_bytes=on_bytes,
                    on_row=on_row,
                )
        except NotFoundError as exc:
            raise SeedError(f"seed data not found: {key}") from exc


@dataclass(frozen=True, kw_only=True, slots=True)
class DrawnSeed:
    """The seed of a record, and the entropy of what is drawn while its texts are rendered."""

    row: Row
    entropy: int


class DrawnSeeds:
    """The seed of every record of a job, by its index, as it was drawn when it was generated."""

    def __init__(self, rows: Sequence[Row], *, job_id: str, draws: Draws) -> None:
        self._rows = rows
        self._count = len(rows)
        self._job_id = job_id
        self._draws = draws

    def __call__(self, index: int) -> DrawnSeed:
        drawn = self._draw(index)
        return DrawnSeed(row=self._rows[drawn.row], entropy=drawn.filter_entropy)

    def position(self, index: int) -> int:
        """Which seed of the file it is, from 0."""
        return self._draw(index).row

    def _draw(self, index: int) -> Draw:
        return draw(self._job_id, index, rows=self._count, draws=self._draws)


def seed_types(rows: Iterable[Row], output: Output) -> dict[str, Type]:
    """The types of the seed fields that go into rows, from all seeds of the pinned file: the same
    whenever they are asked for. Reads no seed where no field goes into rows.
    """
    paths = output.seed_paths()
    types = SeedTypes(paths)
    if paths:
        for row in rows:
            types.add(row)
    return types.found()
