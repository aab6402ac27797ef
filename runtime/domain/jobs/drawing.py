"""Everything that chance decides about a record: its seed, its samples, and entropy."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from runtime.domain.jobs.sampling import IN_ORDER, Draw, Draws, draw
from runtime.domain.samplers.samplers import SEED, Samplers


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordDraw(Draw):
    """A draw with the samples of the record, in their order; none where its template has none."""

    samples: Mapping[str, Any] = field(default_factory=dict)


def draw_record(
    samplers: Samplers, job_id: str, index: int, *, rows: int | None, draws: Draws
) -> RecordDraw:
    """The draw of record `index` from `rows` seeds (at least one). None: there are no seeds, and
    `row` is the index, as if each record had an empty one of its own.

    A product that names `seed` decides the seed instead of the seed strategy, which says only
    whether combinations come in order.
    """
    drawn = draw(job_id, index, rows=rows or 1, draws=draws)
    found = RecordDraw(
        row=index if rows is None else drawn.row,
        filter_entropy=drawn.filter_entropy,
        model_seed=drawn.model_seed,
    )
    if not samplers:
        return found
    random_seed = draws.random_seed or 0
    combination = samplers.combination(
        random_seed=random_seed,
        index=index,
        rows=rows or 1,
        in_order=samplers.multiplies_seeds and draws.seed_strategy in IN_ORDER,
    )
    samples = samplers.draw(random_seed=random_seed, index=index, combination=combination)
    return replace(found, row=combination.get(SEED, found.row), samples=samples)
