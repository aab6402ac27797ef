"""POST /jobs/estimate: what a job would cost, before anything is spent. No model is called."""

from collections.abc import Sequence
from http import HTTPStatus
from itertools import islice
from pathlib import PurePosixPath
from typing import Annotated, Final

from pydantic import Field

from runtime.domain.api_ports import ApiPorts
from runtime.domain.errors import SeedError
from runtime.domain.job import SeedStrategy
from runtime.domain.ports import ObjectStat
from runtime.domain.seed_data import missing_paths
from runtime.domain.seed_path import check_seed_path
from runtime.domain.seed_readers import Row
from runtime.lambdas.fields import ModelId, RecordCount, SeedPath, Uuid, usd_number
from runtime.lambdas.http import ApiModel, Call, Nothing, endpoint
from runtime.lambdas.jobs.preparation import find_seeds, prepare_template
from runtime.lambdas.seed_rows import open_rows
from runtime.worker.dry_run import estimate_cost
from runtime.worker.template_engine import TemplateEngine

MAX_ROWS: Final = 1000
"""Seeds that are read: more change the average little, and a request has seconds."""


class EstimateRequest(ApiModel):
    """A job as it would be created."""

    template_id: Uuid
    template_version: Annotated[int, Field(ge=1)] | None = None
    """The latest one by default."""
    seed_data_path: SeedPath
    """Key of an uploaded seed file of yours; its first 1000 seeds are read."""
    num_records: RecordCount
    seed_strategy: SeedStrategy = SeedStrategy.RANDOM
    model: ModelId | None = None
    """Runs every step, in place of what the template says."""


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
    template_version: int
    seeds_read: int


@endpoint(
    body=EstimateRequest,
    query=Nothing,
    answers={HTTPStatus.OK: EstimateView},
    errors=(HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND),
)
def lambda_handler(call: Call[EstimateRequest, Nothing]) -> EstimateView:
    """Estimate what a job would cost."""
    body, ports = call.body, call.ports
    check_seed_path(call.caller, body.seed_data_path)
    prepared = prepare_template(
        ports,
        call.caller,
        template_id=body.template_id,
        version=body.template_version,
        model=body.model,
    )
    plan = prepared.plan
    rows = _first_rows(
        ports,
        find_seeds(ports, body.seed_data_path),
        requirements=plan.template.schema_requirements,
    )
    with TemplateEngine() as engine:
        engine.load(plan.template)
        result = estimate_cost(
            engine, plan, rows, records=body.num_records, strategy=body.seed_strategy
        )
    return EstimateView(
        num_records=result.records,
        models=list(dict.fromkeys(step.model for step in plan.steps)),
        lowest_usd=usd_number(result.lowest_nano),
        likely_usd=usd_number(result.likely_nano),
        highest_usd=usd_number(result.highest_nano),
        likely_tokens=result.likely_tokens,
        template_version=prepared.ref.version,
        seeds_read=len(rows),
    )


def _first_rows(ports: ApiPorts, seeds: ObjectStat, *, requirements: Sequence[str]) -> list[Row]:
    """Raises `SeedError` for a row that is no seed, or lacks what the template needs."""
    name = PurePosixPath(seeds.key).name
    rows: list[Row] = []
    with open_rows(ports, seeds) as found:
        for number, each in enumerate(islice(found, MAX_ROWS), start=1):
            if each.row is None:
                raise SeedError(f"{name}, record {number}: {each.problem}")
            rows.append(each.row)
    missing = next(missing_paths(rows, requirements), None)
    if missing is not None:
        raise SeedError(
            f"{name}, record {missing.row}: the template needs {missing.path!r}, which this seed"
            " lacks"
        )
    return rows
