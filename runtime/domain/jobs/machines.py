"""Which machines may do the work of a job, and how many at a time."""

from dataclasses import dataclass

from runtime.domain.jobs.sharding import MAX_SHARDS
from runtime.domain.options import option


@dataclass(frozen=True, kw_only=True, slots=True)
class Machines:
    """What a job is run on."""

    allow_on_demand: bool = option(
        False,
        help="Machines at the full price may do the work when Spot has none again and again.",
    )
    shards: int | None = option(
        None,
        help="Into how many parts the job is split, each for a worker of its own. 1: it is not.",
        least=1,
        most=MAX_SHARDS,
        late=True,
    )
    priority: int = option(
        0,
        help="Which of your own waiting jobs gets a worker first: the one with the highest number.",
        least=0,
        most=9,
        late=True,
    )
