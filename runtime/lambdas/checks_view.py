"""What the checks of a job's template did, as answers show it."""

from collections.abc import Mapping

from runtime.domain.jobs.check_counts import checks_of
from runtime.domain.jobs.job import Job
from runtime.domain.money.amounts import to_usd
from runtime.lambdas.http import ApiModel


class ChecksView(ApiModel):
    """What the checks did so far."""

    accepted: int
    """Records of the dataset."""
    surplus: int
    """Good records beyond those that were asked for: used first when there are to be more."""
    left_out: Mapping[str, int]
    """Records by the check of the dataset that left them out (`unique`, `balance`)."""
    rejected_by: Mapping[str, int]
    """Tries by the check of records that rejected them."""
    tries: int
    """That have ended: passed, rejected or failed."""
    acceptance_rate: float | None
    """The share of tries that gave a record which the dataset has or could have, 0 to 1; null
    before the first has ended.
    """
    judging_cost: float
    """What the calls of judges have cost, USD: a part of the job's cost."""
    exact: bool
    """Whether the records were chosen. Until then `accepted`, `surplus` and `left_out` are a
    forecast.
    """


def checks_view(job: Job) -> ChecksView | None:
    """The part of an answer for `job`."""
    found = checks_of(job)
    if found is None:
        return None
    return ChecksView(
        accepted=found.accepted,
        surplus=found.surplus,
        left_out=dict(found.left_out),
        rejected_by=dict(found.rejected_by),
        tries=found.tries,
        acceptance_rate=found.acceptance_rate,
        judging_cost=to_usd(found.judging_nano),
        exact=found.exact,
    )
