"""What the calls of a job's steps did, as answers show it."""

from collections.abc import Mapping
from dataclasses import asdict

from runtime.domain.jobs.step_totals import StepTotals
from runtime.domain.money.amounts import to_usd
from runtime.lambdas.api_model import ApiModel


class StepView(ApiModel):
    """The calls of one step, or of a judge under the id of its check. Amounts are USD."""

    model: str
    calls: int
    """Calls that were sent, whatever became of them."""
    tokens_in: int
    tokens_out: int
    cost: float
    """Billed, and presumed to be."""
    retried: int
    """Calls made again after a failure of the service."""
    repaired: int
    """Replies to a request to correct an output."""
    refused: int
    """Replies without a usable completion."""
    cut: int
    """Replies that were cut at their max_tokens."""
    schema_in_prompt: int
    """Calls that showed the output_schema in the prompt, since the service could not compile it."""
    skipped: int
    """Records that did not take the step, by its `when`."""
    presumed: int
    """Calls of which nobody knows whether they were billed."""
    presumed_cost: float
    """Their worst case, a part of `cost`."""
    judge: bool
    """Whether it is a check that a model decides."""


def step_views(steps: Mapping[str, StepTotals]) -> dict[str, StepView]:
    """All steps by id."""
    views: dict[str, StepView] = {}
    for step, totals in steps.items():
        counts = asdict(totals)
        cost, presumed = counts.pop("cost_nano"), counts.pop("presumed_nano")
        views[step] = StepView(**counts, cost=to_usd(cost), presumed_cost=to_usd(presumed))
    return views
