"""The job behind a dataset's folder: made, or made ready to go on.

    none yet ─▶ seeds and template are stored, prices pinned, the job queued
    there    ─▶ failures marked for a retry ─▶ number of records ─▶ budget ─▶ queued again

Everything may be repeated after a crash at any point. The folder is locked meanwhile, so no other
process works on the job, whatever its status says.
"""

from typing import Final

from runtime.contract.keys import seed_prefix
from runtime.datasets.request import DatasetRequest
from runtime.domain.errors import InputError, NotFoundError
from runtime.domain.jobs.config import JobConfig
from runtime.domain.jobs.job import Job, JobStatus
from runtime.domain.jobs.sharding import sharding_for
from runtime.domain.money.amounts import usd_decimal
from runtime.domain.ports import Ports
from runtime.domain.wording import counted
from runtime.engine.plan import pin_prices
from runtime.inputs.seeds import SeedFile
from runtime.service.requeue import has_work_left, queue_again
from runtime.service.retry import retry_failed

LOCAL_USER: Final = "local"


def prepare_job(ports: Ports, request: DatasetRequest) -> Job:
    """The job of `request`, QUEUED, or COMPLETED where there is nothing to do. Raises `InputError`
    for fewer records than it has.
    """
    job_id = request.job_id()
    try:
        job = ports.jobs.get_job(job_id)
    except NotFoundError:
        _create(ports, request, job_id)
        return ports.jobs.get_job(job_id)
    has = job.config.num_records
    if request.num_records < has:
        raise InputError(
            f"the dataset has {counted(has, 'record')}: -n can only grow; give {has} or more,"
            " or choose another --out"
        )
    if request.retry_failed:
        retry_failed(ports.objects, job_id)
    most = request.acceptance.max_candidates
    if request.num_records > has or most not in {None, job.config.acceptance.max_candidates}:
        _grow(ports, job, request.num_records, most)
    job = ports.jobs.get_job(job_id)
    retried = request.retry_failed and job.progress.failed_records > 0
    if job.status is not JobStatus.COMPLETED or retried or has_work_left(job):
        if request.calls.call_timeout is not None:
            ports.jobs.set_call_timeout(job_id, request.calls.call_timeout)
        ports.jobs.set_budget(job_id, usd_decimal(request.budget_nano))
        queue_again(ports.jobs, ports.queue, job_id)
    return ports.jobs.get_job(job_id)


def _grow(ports: Ports, job: Job, num_records: int, max_candidates: int | None) -> None:
    if job.status is JobStatus.RUNNING:
        # Its process is gone without a word, and took the folder's lock with it.
        ports.jobs.set_status(job.job_id, JobStatus.QUEUED, fence=None)
    ports.jobs.set_num_records(job.job_id, num_records, max_candidates=max_candidates)


def _create(ports: Ports, request: DatasetRequest, job_id: str) -> None:
    key = None if request.seeds is None else _keep_seeds(ports, request.seeds, job_id)
    prices = pin_prices(ports.objects, job_id, ports.prices)
    now = ports.clock.now()
    acceptance = request.acceptance.pinned(
        request.num_records, has_checks=bool(request.template.checks)
    )
    ports.jobs.create_job(
        Job(
            job_id=job_id,
            user_id=LOCAL_USER,
            status=JobStatus.QUEUED,
            config=JobConfig(
                template=ports.templates.save_template(LOCAL_USER, job_id, request.template),
                seed_data_path=key,
                seed_version=None if key is None else ports.objects.stat(key).version,
                num_records=request.num_records,
                draws=request.draws,
                delivery=request.delivery,
                models=request.models,
                calls=request.calls,
                price_table_version=prices.version,
                acceptance=acceptance,
                sharding=sharding_for(acceptance.first_round(request.num_records), request.shards),
            ),
            budget_limit=usd_decimal(request.budget_nano),
            created_at=now,
            updated_at=now,
        )
    )


def _keep_seeds(ports: Ports, seeds: SeedFile, job_id: str) -> str:
    """Give the job its own copy; the key of it."""
    key = f"{seed_prefix(LOCAL_USER)}{job_id}/{seeds.name}"
    with ports.objects.open_writer(key, content_type="application/octet-stream") as writer:
        seeds.write_to(writer)
    return key
