"""The layout of what the DynamoDB adapters store, against items written by hand."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from runtime.contract import tables
from runtime.domain.errors import StorageError
from runtime.domain.job import JobStatus, OutputFormat, Progress, SeedStrategy, TemplateRef
from runtime.domain.ports import Account, CheckpointVersion, Claim, Hold, Lease
from tests.fixtures import dynamodb_items as items
from tests.fixtures.aws import FakeAws, read_item, store_item
from tests.fixtures.clock import START, ManualClock
from tests.fixtures.storage import Storage, new_job, open_aws

PROGRESS = Progress(
    records_generated=50,
    failed_records=2,
    tokens_used=12_345,
    cost_nano=1_234_567,
    failures_by_kind={"invalid_output": 2},
    cost_by_model={"amazon.nova-micro-v1:0": 1_234_000},
)


@pytest.fixture
def ports(aws: FakeAws, clock: ManualClock) -> Storage:
    return open_aws(aws, clock)


def test_a_stored_job_is_read(aws: FakeAws, ports: Storage) -> None:
    store_item(aws, tables.JOBS, items.job_item())
    job = ports.jobs.get_job(items.JOB_ID)
    assert job.status is JobStatus.RUNNING
    assert job.config.template == TemplateRef(template_id="product-reviews", version=3)
    assert job.config.output_formats == (OutputFormat.JSONL, OutputFormat.CSV)
    assert job.config.seed_strategy is SeedStrategy.SEQUENTIAL
    assert job.budget_limit == Decimal(10)
    assert job.progress == PROGRESS
    assert job.created_at == START
    assert job.started_at == START + timedelta(seconds=30.5)


def test_a_job_of_version_0_1_is_read(aws: FakeAws, ports: Storage) -> None:
    store_item(aws, tables.JOBS, items.job_item(failures_by_kind=None, cost_by_model=None))
    expected = replace(PROGRESS, failures_by_kind={}, cost_by_model={})
    assert ports.jobs.get_job(items.JOB_ID).progress == expected


@pytest.mark.parametrize(
    "damage",
    [
        {"status": "SLEEPING"},
        {"created_at": "yesterday"},
        {"config": {"template_id": "x"}},
        {"cost_estimate": None},
        {"records_generated": "many"},
        {"failures_by_kind": ["many"]},
        {"cost_by_model": {"a-model": "cheap"}},
    ],
)
def test_a_damaged_job_is_a_storage_error(
    aws: FakeAws, ports: Storage, damage: dict[str, Any]
) -> None:
    store_item(aws, tables.JOBS, items.job_item(**damage))
    with pytest.raises(StorageError, match="damaged"):
        ports.jobs.get_job(items.JOB_ID)


def test_a_written_job_has_the_documented_attributes(
    aws: FakeAws, ports: Storage, clock: ManualClock
) -> None:
    ports.jobs.create_job(new_job("a", clock))
    ports.jobs.set_status("a", JobStatus.RUNNING, fence=1)
    ports.budgets.open_account("a", 1_000)
    ports.jobs.set_progress("a", 1, PROGRESS)
    item = read_item(aws, tables.JOBS, job_id="a")
    documented = items.job_item() | items.account_attributes()
    assert item.keys() - {"write_token"} == documented.keys()
    for name in ("cost_estimate", "failures_by_kind", "cost_by_model"):
        assert item[name] == documented[name]
    assert item["created_at"] == items.CREATED_AT
    assert item["config"].keys() == documented["config"].keys()


def test_a_stored_account_is_read(aws: FakeAws, ports: Storage) -> None:
    store_item(aws, tables.JOBS, items.job_item() | items.account_attributes())
    assert ports.budgets.get_account(items.JOB_ID) == Account(
        limit_nano=10 * 10**9,
        spent_nano=1_000,
        holds={items.JOB_ID: Hold(fence=1, sequence=3, nano=400)},
    )


def test_stored_work_is_claimed(aws: FakeAws, ports: Storage, clock: ManualClock) -> None:
    store_item(aws, tables.QUEUE, items.work_item(attempt=2, fence=4, shard=3))
    claim = ports.queue.get_next_job("task-1")
    assert claim == Claim(
        work_id=items.JOB_ID, job_id=items.JOB_ID, owner="task-1", fence=5, attempt=3, shard=3
    )
    lease = Lease(work_id=items.JOB_ID, job_id=items.JOB_ID, fence=5, beat=1)
    assert list(ports.queue.leases()) == [lease]
    ports.jobs.create_job(new_job("a", clock))
    item = read_item(aws, tables.QUEUE, work_id="a")
    assert item.keys() - {"write_token"} == items.work_item().keys()
    assert item["queued_at"] == items.CREATED_AT


def test_a_stored_template_is_read(aws: FakeAws, ports: Storage) -> None:
    store_item(aws, tables.TEMPLATES, items.template_item())
    store_item(aws, tables.TEMPLATES, items.template_head_item())
    template = ports.templates.load_template(TemplateRef(template_id="product-reviews", version=1))
    assert (template.name, template.steps[0].temperature) == ("Product reviews", 0.7)
    ports.templates.save_template(items.USER_ID, "product-reviews", template)
    item = read_item(aws, tables.TEMPLATES, template_id="product-reviews", version=2)
    assert item.keys() - {"write_token"} == items.template_item().keys()
    assert item["created_at"] == items.CREATED_AT


def test_a_stored_cost_is_counted_and_new_ones_expire(aws: FakeAws, ports: Storage) -> None:
    store_item(aws, tables.COST_TRACKING, items.cost_item())
    ports.costs.add(items.JOB_ID, entry_id="000001-0002", cost_nano=433, tokens=1)
    assert ports.costs.total(items.JOB_ID) == 1_235_000
    item = read_item(aws, tables.COST_TRACKING, job_id=items.JOB_ID, timestamp="000001-0002")
    assert item.keys() - {"write_token"} == items.cost_item().keys()
    assert item["expires_at"] == items.cost_item()["expires_at"]
    days = (int(item["expires_at"]) - START.timestamp()) / 86_400
    assert days == tables.COST_ENTRY_DAYS


def test_a_stored_checkpoint_is_read(aws: FakeAws, ports: Storage) -> None:
    store_item(aws, tables.CHECKPOINT_METADATA, items.checkpoint_item())
    assert ports.checkpoints.get(items.JOB_ID) == CheckpointVersion(
        version=5, records_generated=250, fence=1
    )
    ports.checkpoints.put("a", CheckpointVersion(version=1, records_generated=1, fence=1))
    item = read_item(aws, tables.CHECKPOINT_METADATA, job_id="a")
    assert item.keys() - {"write_token"} == items.checkpoint_item().keys()
