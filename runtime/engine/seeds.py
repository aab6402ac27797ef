"""Loads the seeds that a job pinned; which of them a record has, and what types they give rows."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from runtime.domain.errors import NotFoundError, SeedError
from runtime.domain.jobs.config import JobConfig
from runtime.domain.jobs.drawing import RecordDraw, draw_record
from runtime.domain.jobs.sampling import Draws, draw
from runtime.domain.outputs.seed_types import SeedTypes
from runtime.domain.outputs.shape import Output
from runtime.domain.outputs.types import Type
from runtime.domain.ports import ObjectStore
from runtime.domain.samplers.samplers import NO_SAMPLERS, Samplers
from runtime.domain.seeds.seeds import Row
from runtime.files.reading import load_rows
from runtime.files.rows import SeedRows


class Seeds:
    """Seed files of the object store."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects

    def of_job(
        self,
        config: JobConfig,
        *,
        requirements: Sequence[str],
        on_bytes: Callable[[int], object] = lambda _count: None,
        on_row: Callable[[Row], object] | None = None,
    ) -> SeedRows | None:
        """The seeds that a job has pinned; None for one without seeds. Otherwise as
        `load_seed_data`.
        """
        if config.seed_data_path is None:
            return None
        return self.load_seed_data(
            config.seed_data_path,
            version=config.seed_version,
            requirements=requirements,
            on_bytes=on_bytes,
            on_row=on_row,
        )

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
    """The seed and the samples of a record, and the entropy of what is drawn while its texts are
    rendered.
    """

    row: Row
    entropy: int
    samples: Mapping[str, Any] = field(default_factory=dict)


class DrawnSeeds:
    """What every record of a job is made of, by its index: drawn as it was when it was generated.
    Without seeds (None) each record has an empty one. With `batch_of` k record i has the seeds of
    the draws from k·i to before k·(i+1), as one row, `{"seeds": […]}`; what chance decides besides
    is draw i's.
    """

    def __init__(
        self,
        rows: Sequence[Row] | None,
        *,
        samplers: Samplers = NO_SAMPLERS,
        job_id: str,
        draws: Draws,
        batch_of: int | None = None,
    ) -> None:
        self._rows = rows
        self._samplers = samplers
        self._job_id = job_id
        self._draws = draws
        self._batch_of = batch_of

    def __call__(self, index: int) -> DrawnSeed:
        drawn = self.draw(index)
        row = self.row(self.positions(index, drawn))
        return DrawnSeed(row=row, entropy=drawn.filter_entropy, samples=drawn.samples)

    def draw(self, index: int) -> RecordDraw:
        """Everything that chance decides about a record; of a batch its `row` has no meaning."""
        rows = None if self._rows is None else len(self._rows)
        return draw_record(self._samplers, self._job_id, index, rows=rows, draws=self._draws)

    def positions(self, index: int, drawn: RecordDraw | None = None) -> tuple[int, ...]:
        """Which seeds of the file a record has, from 0. `drawn` is its draw, where it is known."""
        if self._batch_of is None or self._rows is None:
            return ((drawn or self.draw(index)).row,)
        first, count = self._batch_of * index, len(self._rows)
        return tuple(
            draw(self._job_id, each, rows=count, draws=self._draws).row
            for each in range(first, first + self._batch_of)
        )

    def row(self, positions: Sequence[int]) -> Row:
        """What the texts of a record with these seeds see."""
        if self._rows is None:
            return {}
        return as_seen([self._rows[each] for each in positions], self._batch_of)


def as_seen(rows: Sequence[Row], batch_of: int | None) -> Row:
    """What the texts of a record see of its seeds: of a batch all in one list, else the only one.
    Of a batch whose seeds are fewer, they come again.
    """
    if batch_of is None:
        return rows[0]
    return {"seeds": [rows[each % len(rows)] for each in range(batch_of)]}


def seed_types(rows: Iterable[Row] | None, output: Output) -> dict[str, Type]:
    """The types of the seed fields that go into rows, from all seeds of the pinned file: the same
    whenever they are asked for. Reads no seed where no field goes into rows. Without seeds (None)
    all are json.
    """
    paths = output.seed_paths()
    types = SeedTypes(paths)
    if paths:
        for row in rows or ():
            types.add(row)
    return types.found()
