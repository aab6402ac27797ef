"""Loads the seeds that a job pinned; which of them a record has, and what types they give rows."""

from collections.abc import Iterable, Sequence
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


@dataclass(frozen=True, kw_only=True, slots=True)
class DrawnSeed:
    """The seed of a record, and the entropy of what is drawn while its texts are rendered."""

    row: Row
    entropy: int


class DrawnSeeds:
    """The seed of every record of a job, by its index, as it was drawn when it was generated. With
    `batch_of` k record i has the seeds of the draws from k·i to before k·(i+1), as one row,
    `{"seeds": […]}`; what chance decides besides is draw i's.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        *,
        job_id: str,
        draws: Draws,
        batch_of: int | None = None,
    ) -> None:
        self._rows = rows
        self._count = len(rows)
        self._job_id = job_id
        self._draws = draws
        self._batch_of = batch_of

    def __call__(self, index: int) -> DrawnSeed:
        entropy = self.draw(index).filter_entropy
        return DrawnSeed(row=self.row(self.positions(index)), entropy=entropy)

    def draw(self, index: int) -> Draw:
        """The draw of a record; of a batch its `row` has no meaning."""
        return draw(self._job_id, index, rows=self._count, draws=self._draws)

    def positions(self, index: int) -> tuple[int, ...]:
        """Which seeds of the file a record has, from 0."""
        size = self._batch_of or 1
        return tuple(self.draw(each).row for each in range(size * index, size * (index + 1)))

    def row(self, positions: Sequence[int]) -> Row:
        """What the texts of a record with these seeds see."""
        return as_seen([self._rows[each] for each in positions], self._batch_of)


def as_seen(rows: Sequence[Row], batch_of: int | None) -> Row:
    """What the texts of a record see of its seeds: of a batch all in one list, else the only one.
    Of a batch whose seeds are fewer, they come again.
    """
    if batch_of is None:
        return rows[0]
    return {"seeds": [rows[each % len(rows)] for each in range(batch_of)]}


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
