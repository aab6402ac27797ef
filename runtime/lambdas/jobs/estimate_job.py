"""POST /jobs/estimate: what a job would cost, before anything is spent. No model is called."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated

from pydantic import Field

from runtime.domain.jobs.sampling import Draws
from runtime.domain.models.choice import ModelChoice
from runtime.domain.money.acceptance_rate import read_acceptance
from runtime.domain.money.amounts import to_usd
from runtime.domain.money.estimate_text import LIKELY_ASSUMES
from runtime.domain.seeds.path import check_seed_path
from runtime.lambdas.fields import NeededSeedPath, RecordCount, Uuid
from runtime.lambdas.http import ApiModel, Call, NoBody, endpoint
from runtime.lambdas.option_fields import chosen, takes
from runtime.service.admission import estimate, find_needed_seeds, prepare_template


@takes(Draws, ModelChoice)
class EstimateRequest(ApiModel):
    """A job as it would be created."""

    template_id: Uuid
    template_version: Annotated[int, Field(ge=1)] | None = None
    """The latest one by default."""
    seed_data_path: Annotated[NeededSeedPath, Field(validate_default=True)] = None
    """Key of an uploaded seed file of yours, whose first 1000 seeds are read; only a template that
    reads no seeds does without.
    """
    num_records: RecordCount
    acceptance: Annotated[float, Field(gt=0, le=1)] | None = None
    """The share of tries that the template's checks accept, as a pilot or an earlier job has shown
    it. By default each record counts as accepted at its first try.
    """


class StepEstimateView(ApiModel):
    """One step, for all records. Amounts are USD, tokens the likely ones."""

    model: str
    tokens_in: int
    tokens_out: int
    lowest_usd: float
    likely_usd: float
    highest_usd: float
    too_long: int
    """Records whose prompts are likely too long for the model."""


class EstimateView(ApiModel):
    """Amounts are USD."""

    num_records: int
    models: list[str]
    lowest_usd: float
    """The prompts, and next to no output."""
    likely_usd: float
    """Outputs of half the length that is allowed."""
    highest_usd: float
    """Enough as a budget: outputs at full length, and a repair for every output with a schema."""
    likely_tokens: int
    likely_assumes: str
    """What the likely figures take for granted, for people."""
    tries: int
    """Tries that are paid: as many as records, unless `acceptance` says that some are rejected."""
    checks_assume: str | None
    """What the figures take for granted of checks, for people; null: the template has none."""
    steps: Mapping[str, StepEstimateView]
    """The same by step id."""
    warnings: list[str]
    """What is not known of the prices, and fields of rows that none of the first seeds has."""
    template_version: int
    seeds_read: int


@endpoint(
    body=EstimateRequest,
    query=NoBody,
    answers={HTTPStatus.OK: EstimateView},
    errors=(HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND),
)
def lambda_handler(call: Call[EstimateRequest, NoBody]) -> EstimateView:
    """Estimate what a job would cost."""
    body, ports = call.body, call.ports
    rate = (
        None
        if body.acceptance is None
        else read_acceptance(body.acceptance, records=body.num_records)
    )
    if body.seed_data_path is not None:
        check_seed_path(call.caller, body.seed_data_path)
    prepared = prepare_template(
        ports,
        call.caller,
        template_id=body.template_id,
        version=body.template_version,
        model=chosen(body, ModelChoice).model,
    )
    seeds = find_needed_seeds(ports, body.seed_data_path, prepared.plan.template)
    result, seeds_read = estimate(
        ports,
        prepared.plan,
        seeds,
        records=body.num_records,
        draws=chosen(body, Draws),
        acceptance=rate,
    )
    return EstimateView(
        num_records=result.records,
        models=list(result.models),
        lowest_usd=to_usd(result.lowest_nano),
        likely_usd=to_usd(result.likely_nano),
        highest_usd=to_usd(result.highest_nano),
        likely_tokens=result.likely_tokens,
        likely_assumes=LIKELY_ASSUMES,
        tries=result.records if result.tries is None else result.tries,
        checks_assume=result.checks_assume,
        steps={
            each.step: StepEstimateView(
                model=each.model,
                tokens_in=each.tokens_in,
                tokens_out=each.tokens_out,
                lowest_usd=to_usd(each.lowest_nano),
                likely_usd=to_usd(each.likely_nano),
                highest_usd=to_usd(each.highest_nano),
                too_long=each.too_long,
            )
            for each in result.steps
        },
        warnings=list(result.warnings),
        template_version=prepared.ref.version,
        seeds_read=seeds_read,
    )
