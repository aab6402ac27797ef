"""POST /jobs: check everything that can be checked, store the job, start its worker.

validate ─▶ seed path 403 ─▶ the same request before? ─▶ template and includes 404
─▶ models and prices 400 ─▶ seed object 404 ─▶ limit 429 ─▶ seeds and budget 400
─▶ job, work and money of the month, at once 402 429 ─▶ worker, or execution of a job in shards
"""

import hashlib
import re
from http import HTTPStatus
from typing import Annotated, Any, Final
from uuid import UUID, uuid5

import orjson
from pydantic import Field

from runtime.domain.checks.acceptance import Acceptance
from runtime.domain.errors import (
    BudgetTooSmallError,
    ConflictError,
    InputError,
    NotFoundError,
    SeedError,
    TemplateError,
)
from runtime.domain.jobs.config import OPTIONS, JobConfig
from runtime.domain.jobs.job import Job, JobStatus
from runtime.domain.jobs.machines import Machines
from runtime.domain.jobs.sampling import Draws
from runtime.domain.jobs.sharding import sharding_for
from runtime.domain.models.choice import ModelChoice
from runtime.domain.money.amounts import usd, usd_decimal
from runtime.domain.money.estimate import Acceptance as BudgetAcceptance
from runtime.domain.money.estimate import Estimate
from runtime.domain.ports import ObjectStat
from runtime.domain.seeds.path import check_seed_path
from runtime.domain.service_ports import ApiPorts
from runtime.engine.plan import Plan
from runtime.lambdas.fields import (
    BudgetNano,
    NeededSeedPath,
    RecordCount,
    Uuid,
)
from runtime.lambdas.http import Answer, ApiModel, Call, NoBody, endpoint
from runtime.lambdas.jobs.job_view import JobView, job_view
from runtime.lambdas.option_fields import chosen, request_document, takes
from runtime.service.admission import (
    check_active_jobs,
    estimate,
    find_needed_seeds,
    prepare_template,
)
from runtime.service.launching import start_job
from runtime.service.month import admission_of
from runtime.service.shard_count import is_worth_a_look, shard_count

IDEMPOTENCY_KEY: Final = "idempotency-key"

_KEY: Final = re.compile(r"[\x20-\x7e]{1,255}")
_JOBS: Final = UUID("6f2f9d2e-6f0c-4c0e-9d0a-5b8f3c1e7a41")
"""Namespace of the ids of jobs whose client named its request."""


@takes(*OPTIONS.values(), BudgetAcceptance)
class NewJob(ApiModel):
    """What to generate, and what it may cost."""

    template_id: Uuid
    template_version: Annotated[int, Field(ge=1)] | None = None
    """The latest one by default; the job keeps the version it began with."""
    seed_data_path: Annotated[NeededSeedPath, Field(validate_default=True)] = None
    """Key of an uploaded seed file of yours; only a template that reads no seeds does without."""
    num_records: RecordCount
    budget_limit: BudgetNano
    """Hard limit in USD."""


@endpoint(
    body=NewJob,
    query=NoBody,
    answers={HTTPStatus.CREATED: JobView, HTTPStatus.OK: JobView},
    errors=(
        HTTPStatus.PAYMENT_REQUIRED,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.CONFLICT,
        HTTPStatus.TOO_MANY_REQUESTS,
    ),
    request_headers={
        "Idempotency-Key": "The same key with the same body gives the same job, however often it"
        " is sent; 1 to 255 printable ASCII characters."
    },
)
def lambda_handler(call: Call[NewJob, NoBody]) -> Answer:
    """Create a job. 200 instead of 201 for a request that was answered before."""
    if call.body.seed_data_path is not None:
        check_seed_path(call.caller, call.body.seed_data_path)
    key = _idempotency_key(call)
    job_id = call.ports.new_id() if key is None else str(uuid5(_JOBS, f"{call.caller}\n{key}"))
    request_hash = None if key is None else _hash(call.body)
    if request_hash is not None and (earlier := _earlier(call.ports, job_id, request_hash)):
        return earlier
    job = _new_job(call, job_id, request_hash)
    try:
        call.ports.jobs.create_job(job, admission=admission_of(call.ports))
    except ConflictError:
        # The same request at the same time was a moment quicker.
        if request_hash is not None and (earlier := _earlier(call.ports, job_id, request_hash)):
            return earlier
        raise
    return Answer(
        body=job_view(start_job(call.ports, job)),
        status=HTTPStatus.CREATED,
        headers={"location": f"/jobs/{job_id}"},
    )


def _estimate(call: Call[NewJob, NoBody], plan: Plan, seeds: ObjectStat | None) -> Estimate | None:
    """None where nothing depends on it, or where it can't be made and that is accepted. Raises what
    `estimate` raises, and `BudgetTooSmallError` with the estimate.
    """
    body = call.body
    partial = chosen(body, BudgetAcceptance).allow_partial
    if partial and not _may_be_split(call):
        return None
    try:
        found, _ = estimate(
            call.ports, plan, seeds, records=body.num_records, draws=chosen(body, Draws)
        )
    except (SeedError, TemplateError):
        if partial:
            return None
        raise
    if not partial and found.likely_nano > body.budget_limit:
        problem = (
            f"{usd(body.budget_limit)} is less than the likely cost of {usd(found.likely_nano)}"
            f" (at least {usd(found.lowest_nano)}, at most {usd(found.highest_nano)}): raise it,"
            " ask for fewer records, or allow a partial dataset with allow_partial"
        )
        raise BudgetTooSmallError(f"budget_limit: {problem}", problems=[("budget_limit", problem)])
    return found


def _may_be_split(call: Call[NewJob, NoBody]) -> bool:
    """Whether it is left to the service, and could be worth it."""
    forced = chosen(call.body, Machines).shards
    return forced is None and is_worth_a_look(call.body.num_records, call.ports.settings)


def _idempotency_key(call: Call[NewJob, NoBody]) -> str | None:
    key = call.headers.get(IDEMPOTENCY_KEY)
    if key is not None and not _KEY.fullmatch(key):
        raise InputError("Idempotency-Key: use 1 to 255 printable ASCII characters")
    return key


def _hash(body: NewJob) -> str:
    """Of what was asked for, however it was written: `10` and `"10.0"` USD are the same."""
    document = request_document(body, *OPTIONS.values())
    return hashlib.sha256(orjson.dumps(document, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _earlier(ports: ApiPorts, job_id: str, request_hash: str) -> Answer | None:
    """The job that the same request has made. The id is made of the caller, so it is theirs."""
    try:
        job = ports.jobs.get_job(job_id)
    except NotFoundError:
        return None
    if job.request_hash != request_hash:
        raise ConflictError("Idempotency-Key: it was used for another request: use a new key")
    return Answer(body=job_view(job), status=HTTPStatus.OK, headers={"location": f"/jobs/{job_id}"})


def _new_job(call: Call[NewJob, NoBody], job_id: str, request_hash: str | None) -> Job:
    body, ports = call.body, call.ports
    template = prepare_template(
        ports,
        call.caller,
        template_id=body.template_id,
        version=body.template_version,
        model=chosen(body, ModelChoice).model,
    )
    acceptance = chosen(body, Acceptance).pinned(
        body.num_records, has_checks=bool(template.plan.template.checks)
    )
    seeds = find_needed_seeds(ports, body.seed_data_path, template.plan.template)
    check_active_jobs(ports, call.caller)
    found = _estimate(call, template.plan, seeds)
    shards = chosen(body, Machines).shards
    if shards is None and found is not None:
        shards = shard_count(found, ports.settings)
    options: dict[str, Any] = {name: chosen(body, group) for name, group in OPTIONS.items()}
    now = ports.clock.now()
    return Job(
        job_id=job_id,
        user_id=call.caller,
        status=JobStatus.QUEUED,
        config=JobConfig(
            template=template.ref,
            seed_data_path=None if seeds is None else seeds.key,
            seed_version=None if seeds is None else seeds.version,
            num_records=body.num_records,
            includes=template.includes,
            price_table_version=ports.prices.version,
            sharding=sharding_for(acceptance.first_round(body.num_records), shards),
            **{**options, "acceptance": acceptance},
        ),
        budget_limit=usd_decimal(body.budget_limit),
        created_at=now,
        updated_at=now,
        request_hash=request_hash,
    )
