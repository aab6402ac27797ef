"""The layout of what the DynamoDB adapters store, against items written by hand."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from runtime.contract import tables
from runtime.domain.errors import StorageError
from runtime.domain.jobs.delivery import OutputFormat
from runtime.domain.jobs.job import JobStatus, Progress
from runtime.domain.jobs.sampling import SeedStrategy
from runtime.domain.jobs.step_totals import StepTotals
from runtime.domain.money.accounts import Account, Hold
from runtime.domain.ports import CheckpointVersion, Claim, Lease
from runtime.domain.service_ports import WorkItem
from runtime.domain.template_ports import TemplateHead
from runtime.domain.templates.template import TemplateRef
from tests.fixtures import dynamodb_items as items
from tests.fixtures.aws import FakeAws, read_item, store_item
from tests.fixtures.clock import START, ManualClock
from tests.fixtures.storage import ApiStorage, new_job, new_template, open_aws

PROGRESS = Progress(
    records_generated=50,
    failed_records=2,
    tokens_used=12_345,
    cost_nano=1_234_567,
    failures_by_kind={"invalid_output": 2},
    cost_by_model={"amazon.nova-micro-v1:0": 1_234_000},
    service_failures=1,
    steps={
        "review": StepTotals(
            model="amazon.nova-micro-v1:0",
            calls=60,
            tokens_in=9_000,
            tokens_out=3_345,
            cost_nano=1_234_000,
            retried=3,
            repaired=4,
            refused=1,
            cut=2,
            schema_in_prompt=6,
            skipped=7,
            presumed=1,
            presumed_nano=5_000,
        )
    },
)


@pytest.fixture
def ports(aws: FakeAws, clock: ManualClock) -> ApiStorage:
    return open_aws(aws, clock)


def test_a_stored_job_is_read(aws: FakeAws, ports: ApiStorage) -> None:
    store_item(aws, tables.JOBS, items.job_item())
    job = ports.jobs.get_job(items.JOB_ID)
    assert job.status is JobStatus.RUNNING
    assert job.config.template == TemplateRef(template_id="product-reviews", version=3)
    assert job.config.delivery.output_formats == (OutputFormat.JSONL, OutputFormat.CSV)
    assert job.config.draws.seed_strategy is SeedStrategy.SEQUENTIAL
    assert job.budget_limit == Decimal(10)
    assert job.progress == PROGRESS
    assert job.created_at == START
    assert job.started_at == START + timedelta(seconds=30.5)


def test_a_job_from_before_they_were_counted_is_read(aws: FakeAws, ports: ApiStorage) -> None:
    names = ("failures_by_kind", "cost_by_model", "service_failures", "steps")
    store_item(aws, tables.JOBS, items.job_item(**dict.fromkeys(names)))
    expected = replace(
        PROGRESS, failures_by_kind={}, cost_by_model={}, service_failures=0, steps={}
    )
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
        {"steps": ["many"]},
        {"steps": {"review": {"calls": 1}}},
        {"steps": {"review": {"model": "m", "calls": Decimal("1.5")}}},
        {"retry_after": "later"},
    ],
)
def test_a_damaged_job_is_a_storage_error(
    aws: FakeAws, ports: ApiStorage, damage: dict[str, Any]
) -> None:
    store_item(aws, tables.JOBS, items.job_item(**damage))
    with pytest.raises(StorageError, match="damaged"):
        ports.jobs.get_job(items.JOB_ID)


def test_a_written_job_has_the_documented_attributes(
    aws: FakeAws, ports: ApiStorage, clock: ManualClock
) -> None:
    ports.jobs.create_job(new_job("a", clock))
    ports.jobs.set_status("a", JobStatus.RUNNING, fence=1)
    ports.budgets.open_account("a", 1_000)
    ports.jobs.set_progress("a", 1, PROGRESS)
    item = read_item(aws, tables.JOBS, job_id="a")
    documented = items.job_item() | items.account_attributes()
    assert item.keys() - {"write_token"} == documented.keys()
    for name in ("cost_estimate", "failures_by_kind", "cost_by_model", "steps"):
        assert item[name] == documented[name]
    assert item["created_at"] == items.CREATED_AT
    assert item["config"].keys() == documented["config"].keys()


def test_attributes_that_a_job_has_only_sometimes(
    aws: FakeAws, ports: ApiStorage, clock: ManualClock
) -> None:
    usual = items.job_item(status="QUEUED", started_at=None, fence=None).keys() | {"write_token"}
    ports.jobs.create_job(replace(new_job("a", clock), request_hash="5f2c"))
    ports.job_catalog.set_launch_error("a", "no machine")
    item = read_item(aws, tables.JOBS, job_id="a")
    assert item.keys() == usual | {"request_hash", "launch_error"}
    assert (item["request_hash"], item["launch_error"]) == ("5f2c", "no machine")
    ports.job_catalog.set_launch_error("a", None)
    ports.jobs.set_status("a", JobStatus.CANCELLED, fence=None)
    item = read_item(aws, tables.JOBS, job_id="a")
    ended = {"request_hash", "completed_at", "unannounced"}
    assert item.keys() == (usual | ended) - {"active_user_id"}
    ports.jobs.set_status("a", JobStatus.QUEUED, fence=None)
    item = read_item(aws, tables.JOBS, job_id="a")
    assert item.keys() == usual | {"request_hash", "run"}
    assert item["active_user_id"] == item["user_id"] == items.USER_ID


def test_only_an_active_job_is_in_the_index_of_active_ones(
    aws: FakeAws, ports: ApiStorage, clock: ManualClock
) -> None:
    ports.jobs.create_job(new_job("active", clock))
    ended = new_job("ended", clock)
    ports.jobs.create_job(replace(ended, status=JobStatus.FAILED))
    index = aws.dynamodb.scan(TableName=tables.JOBS.name, IndexName=tables.JOBS_ACTIVE)
    assert [item["job_id"] for item in index["Items"]] == [{"S": "active"}]


def test_only_a_job_that_has_ended_is_in_the_index_of_unannounced_ones(
    aws: FakeAws, ports: ApiStorage, clock: ManualClock
) -> None:
    for job_id in ("active", "ended", "deleting"):
        ports.jobs.create_job(new_job(job_id, clock))
    for job_id in ("ended", "deleting"):
        ports.jobs.set_status(job_id, JobStatus.CANCELLED, fence=None)
    ports.jobs.set_status("deleting", JobStatus.DELETING, fence=None)
    index = aws.dynamodb.scan(TableName=tables.JOBS.name, IndexName=tables.JOBS_UNANNOUNCED)
    assert [item["job_id"] for item in index["Items"]] == [{"S": "ended"}]


def test_a_stored_account_is_read(aws: FakeAws, ports: ApiStorage) -> None:
    store_item(aws, tables.JOBS, items.job_item() | items.account_attributes())
    assert ports.budgets.get_account(items.JOB_ID) == Account(
        limit_nano=10 * 10**9,
        spent_nano=1_000,
        holds={items.JOB_ID: Hold(fence=1, sequence=3, nano=400)},
    )


def test_stored_work_is_claimed(aws: FakeAws, ports: ApiStorage, clock: ManualClock) -> None:
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


def test_watched_work_is_read(aws: FakeAws, ports: ApiStorage) -> None:
    running = {"status": "RUNNING", "owner": "task-1", "fence": 1, "heartbeat": 7, "attempt": 2}
    store_item(aws, tables.QUEUE, items.work_item(**running, shard=3) | items.launch_attributes())
    started_at = START + timedelta(seconds=30.5)
    assert ports.work.get_work(items.JOB_ID) == WorkItem(
        work_id=items.JOB_ID,
        job_id=items.JOB_ID,
        status=JobStatus.RUNNING,
        owner="task-1",
        fence=1,
        beat=7,
        attempt=2,
        launches=2,
        launched_at=started_at,
        seen_fence=1,
        seen_beat=7,
        seen_at=started_at,
        shard=3,
    )


def test_watched_work_has_the_documented_attributes(
    aws: FakeAws, ports: ApiStorage, clock: ManualClock
) -> None:
    ports.jobs.create_job(new_job("a", clock))
    ports.work.begin_launch(ports.work.get_work("a"))
    ports.queue.claim("a", "task-1")
    ports.work.note_seen(ports.work.get_work("a"))
    item = read_item(aws, tables.QUEUE, work_id="a")
    documented = items.work_item(owner="task-1") | items.launch_attributes()
    assert item.keys() - {"write_token"} == documented.keys()
    assert item["launched_at"] == item["seen_at"] == items.CREATED_AT
    ports.work.end_failed_launch("a", 1)
    item = read_item(aws, tables.QUEUE, work_id="a")
    assert item.keys() - {"write_token"} == documented.keys() - {"launched_at"}


def test_a_stored_template_is_read(aws: FakeAws, ports: ApiStorage) -> None:
    store_item(aws, tables.TEMPLATES, items.template_item())
    store_item(aws, tables.TEMPLATES, items.template_head_item())
    ref = TemplateRef(template_id="product-reviews", version=1)
    template = ports.templates.load_template(ref)
    assert (template.name, template.steps[0].temperature) == ("Product reviews", 0.7)
    assert ports.template_catalog.get_head("product-reviews") == TemplateHead(
        template_id="product-reviews",
        user_id=items.USER_ID,
        latest_version=1,
        public=True,
        name="Product reviews",
        description="",
        created_at=START,
        updated_at=START,
    )
    ports.templates.save_template(items.USER_ID, "product-reviews", template)
    item = read_item(aws, tables.TEMPLATES, template_id="product-reviews", version=2)
    assert item.keys() - {"write_token"} == items.template_item().keys()
    assert item["created_at"] == items.CREATED_AT


def test_a_written_template_has_the_documented_attributes(aws: FakeAws, ports: ApiStorage) -> None:
    def head_item() -> Any:
        return read_item(aws, tables.TEMPLATES, template_id="t", version=0)

    documented = items.template_head_item().keys() | {"write_token"}
    head = ports.template_catalog.create("ada", "t", new_template(), public=True)
    assert head_item().keys() == documented
    assert (head_item()["public"], head_item()["listed_by"]) == ("yes", "ada")
    head = ports.template_catalog.update(head, new_template(), public=False)
    # An empty text would be in the index of public templates.
    assert head_item().keys() == documented - {"public"}
    ports.template_catalog.update(head, new_template(), public=True)
    assert head_item().keys() == documented


def test_a_version_is_in_no_index(aws: FakeAws, ports: ApiStorage) -> None:
    """A template with a hundred versions is listed once, and its documents are stored once."""
    head = ports.template_catalog.create("ada", "t", new_template(), public=True)
    ports.template_catalog.update(head, new_template(), public=True)
    for index in tables.TEMPLATES.indexes:
        listed = aws.dynamodb.scan(TableName=tables.TEMPLATES.name, IndexName=index)["Items"]
        assert [item["version"] for item in listed] == [{"N": "0"}]


def test_a_stored_cost_is_counted_and_new_ones_expire(aws: FakeAws, ports: ApiStorage) -> None:
    store_item(aws, tables.COST_TRACKING, items.cost_item())
    ports.costs.add(items.JOB_ID, entry_id="000001-0002", cost_nano=433, tokens=1)
    assert ports.costs.total(items.JOB_ID) == 1_235_000
    item = read_item(aws, tables.COST_TRACKING, job_id=items.JOB_ID, timestamp="000001-0002")
    assert item.keys() - {"write_token"} == items.cost_item().keys()
    assert item["expires_at"] == items.cost_item()["expires_at"]
    days = (int(item["expires_at"]) - START.timestamp()) / 86_400
    assert days == tables.COST_ENTRY_DAYS


def test_a_stored_checkpoint_is_read(aws: FakeAws, ports: ApiStorage) -> None:
    store_item(aws, tables.CHECKPOINT_METADATA, items.checkpoint_item())
    assert ports.checkpoints.get(items.JOB_ID) == CheckpointVersion(
        version=5, records_generated=250, fence=1
    )
    ports.checkpoints.put("a", CheckpointVersion(version=1, records_generated=1, fence=1))
    item = read_item(aws, tables.CHECKPOINT_METADATA, job_id="a")
    assert item.keys() - {"write_token"} == items.checkpoint_item().keys()
