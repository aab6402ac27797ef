"""A dataset's folder goes on from what it holds itself: no template, no seeds, no options."""

import os
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Final

from runtime.bootstrap import SystemClock
from runtime.contract.keys import prices_key
from runtime.datasets.configurations import load_configurations
from runtime.datasets.folder import DatasetFolder
from runtime.datasets.request import DatasetRequest
from runtime.domain.errors import InputError, NotFoundError
from runtime.domain.jobs.job import Job
from runtime.domain.models.call_options import CallOptions
from runtime.domain.models.names import OPENAI
from runtime.domain.models.price_table import PriceTable
from runtime.domain.money.amounts import parse_usd
from runtime.engine.plan import Templates
from runtime.inputs.needs import read_needed_seeds
from runtime.inputs.options import check_count
from runtime.local.storage import LocalStorage, open_storage
from runtime.models.registry import Backend, is_server_named

_BEGIN: Final = "run `seedwright generate` with its template and seeds"


def read_resumption(
    path: Path,
    *,
    budget: object = None,
    num_records: int | None = None,
    retry_failed: bool = False,
    calls: CallOptions | None = None,
    max_candidates: int | None = None,
    base_url: str | None = None,
) -> tuple[DatasetRequest, PriceTable]:
    """What the folder was asked to be, and the prices it began with. `budget` in USD,
    `num_records`, `calls` and `max_candidates` replace what was asked for then; None leaves it. So
    does `base_url`, where the models of a server were.

    Raises `InputError` for a folder without a dataset that was begun, `ConfigurationError` for a
    damaged one or one that another process generates into.
    """
    folder = DatasetFolder(path)
    job_id, name = folder.begun()
    if base_url is None and name == OPENAI and not is_server_named(os.environ):
        base_url = folder.server()
    backend = Backend(name, base_url)
    with folder.locked(), closing(open_storage(folder.state, clock=SystemClock())) as storage:
        try:
            job = storage.jobs.get_job(job_id)
        except NotFoundError as exc:
            raise InputError(f"nothing was begun in {path}: {_BEGIN}") from exc
        stored = Templates(storage.templates).load_template(job)
        template = load_configurations(folder.state).own_template(stored)
        key = job.config.seed_data_path
        seeds = None if key is None else storage.objects.path_of(key)
        request = DatasetRequest(
            template=template,
            seeds=read_needed_seeds(seeds, template),
            draws=job.config.draws,
            models=job.config.models,
            calls=calls if calls and calls != CallOptions() else job.config.calls,
            backend=backend,
            num_records=job.config.num_records if num_records is None else check_count(num_records),
            budget_nano=job.budget_nano if budget is None else parse_usd(budget),
            delivery=job.config.delivery,
            acceptance=replace(job.config.acceptance, max_candidates=max_candidates),
            strategy_chosen=True,
            retry_failed=retry_failed,
            begun_as=job_id,
        )
        return request, _prices(storage, job, request.backend)


def _prices(storage: LocalStorage, job: Job, backend: Backend) -> PriceTable:
    try:
        stored = storage.objects.get(prices_key(job.job_id))
        return PriceTable.decode(stored, reach=backend.reach)
    except NotFoundError:  # of before, and its first run stopped before it had a worker
        return backend.prices()
