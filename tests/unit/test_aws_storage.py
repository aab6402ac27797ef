"""DynamoDB adapters when AWS fails.

What they promise without faults is shown by `tests/contract`.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from runtime.aws.table import to_attributes
from runtime.contract import tables
from runtime.domain.errors import (
    BudgetExceededError,
    ConflictError,
    LeaseLostError,
    StorageBusyError,
    StorageError,
    StorageUnavailableError,
    TemplateError,
)
from runtime.domain.jobs.job import MAX_ERROR_MESSAGE_CHARACTERS, JobError, JobStatus, Progress
from runtime.domain.jobs.sharding import MAX_SHARDS
from runtime.domain.money.accounts import Account, Admission, Hold, Limits
from runtime.domain.ports import CheckpointVersion, Claim
from runtime.domain.templates.template import TemplateRef
from tests.fixtures.aws import FakeAws, read_item
from tests.fixtures.aws_faults import meanwhile, no_retry_pauses, refused, reply_lost
from tests.fixtures.clock import ManualClock
from tests.fixtures.storage import Storage, new_job, new_template, open_aws

ATTEMPTS = 5


@pytest.fixture(autouse=True)
def _quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    no_retry_pauses(monkeypatch)


@pytest.fixture
def ports(aws: FakeAws, clock: ManualClock) -> Storage:
    return open_aws(aws, clock)


def running(ports: Storage, clock: ManualClock) -> Claim:
    """Job "a", claimed, RUNNING and with a budget account."""
    ports.jobs.create_job(new_job("a", clock))
    claim = ports.queue.get_next_job("first")
    assert claim is not None
    ports.jobs.set_status("a", JobStatus.RUNNING, fence=claim.fence)
    ports.budgets.open_account("a", 1_000)
    return claim


# ── a reply that is lost, and sent again by the SDK ────────────────────────────────────────────


def test_a_claim_whose_reply_was_lost_is_ours(
    aws: FakeAws, ports: Storage, clock: ManualClock
) -> None:
    ports.jobs.create_job(new_job("a", clock))
    with reply_lost(aws.dynamodb, "UpdateItem") as sent:
        claim = ports.queue.get_next_job("first")
    assert len(sent) == 2
    assert claim == Claim(work_id="a", job_id="a", owner="first", fence=1, attempt=1)
    ports.queue.heartbeat(claim)


def test_a_claim_that_another_took_after_the_lost_reply_is_not_ours(
    aws: FakeAws, ports: Storage, clock: ManualClock
) -> None:
    """Two processes may share an owner's name; only the write itself is recognised."""
    ports.jobs.create_job(new_job("a", clock))
    other = open_aws(aws, clock)
    with meanwhile(aws.dynamodb, "UpdateItem", lambda: other.queue.get_next_job("same name")):
        assert ports.queue.get_next_job("same name") is None


Call = Callable[[Storage, Claim], object]
WRITES: dict[str, Call] = {
    "release": lambda ports, claim: ports.queue.release(claim),
    "finish": lambda ports, claim: ports.queue.finish(claim, JobStatus.COMPLETED),
    "recover": lambda ports, _: ports.queue.recover(ports.queue.leases()[0]),
    "set_status": lambda ports, _: ports.jobs.set_status("a", JobStatus.COMPLETED, fence=1),
    "cancel": lambda ports, _: ports.jobs.set_status("a", JobStatus.CANCELLED, fence=None),
    "set_progress": lambda ports, _: ports.jobs.set_progress("a", 1, Progress(tokens_used=9)),
    "checkpoint": lambda ports, _: ports.checkpoints.put(
        "a", CheckpointVersion(version=1, records_generated=50, fence=1)
    ),
    "open_account": lambda ports, _: ports.budgets.open_account("a", 500).limit_nano,
    "change_hold": lambda ports, _: (
        ports.budgets.change_hold(
            "a", "a", expected=None, new=Hold(fence=1, sequence=1, nano=600), spent_nano=400
        ).committed_nano
    ),
    "cost": lambda ports, _: ports.costs.add("a", entry_id="1-1", cost_nano=5, tokens=1),
    "template": lambda ports, _: ports.templates.save_template("ada", "t", new_template()),
}
EXPECTED: dict[str, object] = {
    "recover": True,
    "open_account": 500,
    "change_hold": 1_000,
    "template": TemplateRef(template_id="t", version=1),
}


@pytest.mark.parametrize("name", WRITES)
def test_a_write_whose_reply_was_lost_succeeds_and_happens_once(
    aws: FakeAws, ports: Storage, clock: ManualClock, name: str
) -> None:
    claim = running(ports, clock)
    operation = {"cost": "PutItem", "template": "TransactWriteItems"}.get(name, "UpdateItem")
    with reply_lost(aws.dynamodb, operation) as sent:
        assert WRITES[name](ports, claim) == EXPECTED.get(name)
    assert len(sent) == 2


def test_a_retry_of_ended_work_whose_reply_was_lost_succeeds(
    aws: FakeAws, ports: Storage, clock: ManualClock
) -> None:
    ports.queue.finish(running(ports, clock), JobStatus.FAILED)
    with reply_lost(aws.dynamodb, "UpdateItem"):
        ports.queue.enqueue("a")
    assert ports.queue.get_next_job("second") is not None


def test_a_creation_whose_reply_was_lost_succeeds(
    aws: FakeAws, ports: Storage, clock: ManualClock
) -> None:
    """DynamoDB recognises the SDK's token for ten minutes; the emulator doesn't: the write does."""
    with reply_lost(aws.dynamodb, "TransactWriteItems") as sent:
        ports.jobs.create_job(new_job("a", clock))
    first, second = (request.body for request in sent)
    assert b'"ClientRequestToken"' in first
    assert first == second
    with pytest.raises(ConflictError):
        ports.jobs.create_job(new_job("a", clock))


def test_a_reply_that_stays_lost_is_reported_after_five_tries(
    aws: FakeAws, ports: Storage, clock: ManualClock
) -> None:
    claim = running(ports, clock)
    with (
        reply_lost(aws.dynamodb, "UpdateItem", times=99) as sent,
        pytest.raises(StorageUnavailableError),
    ):
        ports.queue.heartbeat(claim)
    assert len(sent) == ATTEMPTS


# ── errors of the service ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("ProvisionedThroughputExceededException", 400),
        ("ThrottlingException", 400),
        ("RequestLimitExceeded", 400),
        ("InternalServerError", 500),
        ("ServiceUnavailable", 503),
    ],
)
def test_a_fault_that_may_pass_is_retried_and_then_reported(
    aws: FakeAws, ports: Storage, clock: ManualClock, code: str, status: int
) -> None:
    claim = running(ports, clock)
    with refused(aws.dynamodb, "UpdateItem", code, status=status, times=ATTEMPTS - 1):
        ports.queue.heartbeat(claim)
    with (
        refused(aws.dynamodb, "UpdateItem", code, status=status) as sent,
        pytest.raises(StorageUnavailableError) as caught,
    ):
        ports.queue.heartbeat(claim)
    assert len(sent) == ATTEMPTS
    assert "secret" not in str(caught.value)


READS: dict[str, Callable[[Storage], object]] = {
    "GetItem": lambda ports: ports.jobs.get_job("a"),
    "Query": lambda ports: ports.queue.get_next_job("first"),
    "TransactWriteItems": lambda ports: ports.jobs.create_job(new_job("b", ManualClock())),
    "PutItem": lambda ports: ports.costs.add("a", entry_id="1", cost_nano=1, tokens=1),
    "UpdateItem": lambda ports: ports.budgets.open_account("a", 1),
}


@pytest.mark.parametrize("operation", READS)
@pytest.mark.parametrize(
    "code", ["AccessDeniedException", "ResourceNotFoundException", "ValidationException"]
)
def test_a_fault_that_stays_is_reported_at_once(
    aws: FakeAws, ports: Storage, operation: str, code: str
) -> None:
    with (
        refused(aws.dynamodb, operation, code) as sent,
        pytest.raises(StorageError, match=code) as caught,
    ):
        READS[operation](ports)
    assert type(caught.value) is StorageError
    assert "secret" not in str(caught.value)
    assert len(sent) == 1


@pytest.mark.parametrize("operation", READS)
def test_every_call_reports_an_unreachable_service(
    aws: FakeAws, ports: Storage, operation: str
) -> None:
    with (
        reply_lost(aws.dynamodb, operation, times=99),
        pytest.raises(StorageUnavailableError),
    ):
        READS[operation](ports)


@pytest.mark.parametrize(
    ("reason", "error"),
    [
        ("TransactionConflict", StorageBusyError),
        ("ThrottlingError", StorageBusyError),
        ("ValidationError", StorageError),
    ],
)
def test_a_cancelled_transaction_is_judged_by_its_reasons(
    reason: str, error: type[StorageError]
) -> None:
    from botocore.exceptions import ClientError  # noqa: PLC0415

    from runtime.aws.failures import dynamodb_error  # noqa: PLC0415

    response: Any = {
        "Error": {"Code": "TransactionCanceledException", "Message": ""},
        "ResponseMetadata": {"HTTPStatusCode": 400},
        "CancellationReasons": [{"Code": "None"}, {"Code": reason}],
    }
    exc = ClientError(response, "TransactWriteItems")
    assert type(dynamodb_error(exc, table="Jobs")) is error


# ── races that only a lagging index or a changing limit shows ──────────────────────────────────


def test_a_lagging_index_costs_a_try_and_nothing_else(
    aws: FakeAws, ports: Storage, clock: ManualClock
) -> None:
    """Requirement S7.1: the index shows work that is taken, and work that is gone."""
    for job_id in ("a", "b", "c"):
        ports.jobs.create_job(new_job(job_id, clock))
        clock.advance(1)
    other = open_aws(aws, clock)

    def overtake() -> None:
        assert other.queue.get_next_job("other") is not None
        aws.dynamodb.delete_item(TableName=tables.QUEUE.name, Key=to_attributes({"work_id": "b"}))

    with meanwhile(aws.dynamodb, "UpdateItem", overtake):
        claim = ports.queue.get_next_job("first")
    assert claim is not None
    assert claim.job_id == "c"
    assert ports.queue.get_next_job("first") is None


def test_a_page_of_taken_work_leads_to_the_next_page(
    aws: FakeAws, ports: Storage, clock: ManualClock
) -> None:
    for number in range(28):
        ports.jobs.create_job(new_job(f"job-{number:02d}", clock))
        clock.advance(1)
    other = open_aws(aws, clock)

    def overtake() -> None:
        for number in range(26):
            assert other.queue.claim(f"job-{number:02d}", "other") is not None

    with meanwhile(aws.dynamodb, "UpdateItem", overtake):
        claim = ports.queue.get_next_job("first")
    assert claim is not None
    assert claim.job_id == "job-26"


def test_a_deleted_work_item_is_not_brought_back(
    aws: FakeAws, ports: Storage, clock: ManualClock
) -> None:
    claim = running(ports, clock)
    lease = ports.queue.leases()[0]
    aws.dynamodb.delete_item(TableName=tables.QUEUE.name, Key=to_attributes({"work_id": "a"}))
    with pytest.raises(LeaseLostError):
        ports.queue.heartbeat(claim)
    with pytest.raises(LeaseLostError):
        ports.queue.finish(claim, JobStatus.COMPLETED)
    assert not ports.queue.recover(lease)
    assert aws.dynamodb.scan(TableName=tables.QUEUE.name)["Items"] == []


def hold_all(ports: Storage) -> Account:
    return ports.budgets.change_hold(
        "a", "a", expected=None, new=Hold(fence=1, sequence=1, nano=1_000), spent_nano=0
    )


def test_a_limit_lowered_in_between_counts(
    aws: FakeAws, ports: Storage, clock: ManualClock
) -> None:
    running(ports, clock)
    lower = open_aws(aws, clock)
    with (
        meanwhile(aws.dynamodb, "UpdateItem", lambda: lower.budgets.open_account("a", 999)),
        pytest.raises(BudgetExceededError, match="budget"),
    ):
        hold_all(ports)
    assert ports.budgets.get_account("a").committed_nano == 0


def test_a_limit_raised_in_between_counts(aws: FakeAws, ports: Storage, clock: ManualClock) -> None:
    running(ports, clock)
    ports.budgets.open_account("a", 999)
    higher = open_aws(aws, clock)
    with meanwhile(aws.dynamodb, "UpdateItem", lambda: higher.budgets.open_account("a", 1_000)):
        assert hold_all(ports).committed_nano == 1_000


def test_the_committed_sum_is_that_of_the_holds(
    aws: FakeAws, ports: Storage, clock: ManualClock
) -> None:
    running(ports, clock)
    for sequence, (nano, spent) in enumerate([(300, 0), (500, 100), (0, 250), (40, 0)], start=1):
        holds = ports.budgets.get_account("a").holds
        account = ports.budgets.change_hold(
            "a",
            "a",
            expected=holds.get("a"),
            new=Hold(fence=1, sequence=sequence, nano=nano),
            spent_nano=spent,
        )
        item = read_item(aws, tables.JOBS, job_id="a")
        assert item["budget_committed"] == account.committed_nano
        assert item["budget_spent"] == account.spent_nano
    assert account.committed_nano == 390


def test_an_account_is_not_opened_for_a_deleted_job(aws: FakeAws, ports: Storage) -> None:
    with pytest.raises(StorageError):
        ports.budgets.open_account("a", 1)
    assert aws.dynamodb.scan(TableName=tables.JOBS.name)["Items"] == []


# ── limits of the service ──────────────────────────────────────────────────────────────────────


def test_as_many_shards_as_a_transaction_takes(ports: Storage, clock: ManualClock) -> None:
    """With its own item, the job, two accounts and a counter."""
    limits = Limits(month="2026-11", stage_nano=10**12, user_nano=10**12)
    ports.jobs.create_job(
        new_job("a", clock, shards=MAX_SHARDS),
        admission=Admission(limits=limits, max_active_jobs=5),
    )
    shards = ports.queue.shards_of("a", MAX_SHARDS)
    assert [each.shard for each in shards] == list(range(MAX_SHARDS))


def test_a_template_too_large_for_an_item_is_refused(ports: Storage) -> None:
    template = replace(new_template(), fragments={"rules": "x" * 400_000})
    with pytest.raises(TemplateError, match="380000"):
        ports.templates.save_template("ada", "reviews", template)


def test_a_long_error_message_is_cut(ports: Storage, clock: ManualClock) -> None:
    running(ports, clock)
    ports.jobs.set_status("a", JobStatus.FAILED, fence=1, error=JobError(message="x" * 5_000))
    assert ports.jobs.get_job("a").error_message == "x" * MAX_ERROR_MESSAGE_CHARACTERS
