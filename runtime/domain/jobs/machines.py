"""Which machines may do the work of a job."""

from dataclasses import dataclass

from runtime.domain.options import option


@dataclass(frozen=True, kw_only=True, slots=True)
class Machines:
    """What a job is run on, on AWS."""

    allow_on_demand: bool = option(
        False,
        help="Machines at the full price may do the work when Spot has none again and again.",
    )
