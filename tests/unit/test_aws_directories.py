"""The API's DynamoDB adapters when AWS fails.

What they promise without faults is shown by `tests/contract`.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import count
from typing import Any, Final

import pytest

from runtime.aws import listing
from runtime.aws.batch import delete_items
from runtime.aws.table import to_attributes
from runtime.aws.transaction import Transaction
from runtime.contract import tables
from runtime.domain.errors import (
    ConflictError,
    NotFoundError,
    StorageBusyError,
    StorageError,
    StorageUnavailableError,
    TemplateError,
    TemplateNotFoundError,
)
from runtime.domain.jobs.job import JobStatus, work_id_of
from runtime.domain.ports import CheckpointVersion
from runtime.domain.template_ports import TemplateHead
from runtime.domain.templates.storage import MAX_STORED_BYTES
from runtime.domain.templates.template import TemplateRef
from tests.fixtures.aws import FakeAws, read_item, store_item
from tests.fixtures.aws_faults import (
    Crash,
    answered,
    canceled,
    crashing,
    hooked,
    meanwhile,
    no_retry_pauses,
    refused,
    reply_lost,
)
from tests.fixtures.clock import ManualClock
from tests.fixtures.dynamodb_items import cost_item, job_item
from tests.fixtures.storage import ApiStorage, new_job, new_template, open_aws

ATTEMPTS: Final = 5
ALL: Final = 10**6


@pytest.fixture(autouse=True)
def _quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    no_retry_pauses(monkeypatch)


@pytest.fixture
def ports(aws: FakeAws, clock: ManualClock) -> ApiStorage:
    return open_aws(aws, clock)


def everything(aws: FakeAws) -> dict[str, int]:
    """Items by table."""
    return {table.name: aws.dynamodb.scan(TableName=table.name)["Count"] for table in tables.TABLES}


def deleting(ports: ApiStorage, clock: ManualClock, job_id: str, *, shards: int = 2) -> None:
    """A job whose deletion has been asked for, with traces in every table."""
    ports.jobs.create_job(new_job(job_id, clock, shards=shards))
    for shard in (None, *range(shards)):
        version = CheckpointVersion(version=1, records_generated=1, fence=1)
        ports.checkpoints.put(work_id_of(job_id, shard), version)
    for number in range(27):
        ports.costs.add(job_id, entry_id=f"{number:04d}", cost_nano=7, tokens=1)
    ports.jobs.set_status(job_id, JobStatus.CANCELLED, fence=None)
    ports.jobs.set_status(job_id, JobStatus.DELETING, fence=None)


# ── a reply that is lost, and sent again by the SDK ────────────────────────────────────────────


def head_of(ports: ApiStorage) -> TemplateHead:
    return ports.template_catalog.get_head("t")


Write = Callable[[ApiStorage], object]
WRITES: Final[dict[str, tuple[str, Write]]] = {
    "begin_launch": ("UpdateItem", lambda ports: ports.work.begin_launch(ports.work.get_work("a"))),
    "end_failed_launch": ("UpdateItem", lambda ports: ports.work.end_failed_launch("launched", 1)),
    "note_seen": ("UpdateItem", lambda ports: ports.work.note_seen(ports.work.get_work("running"))),
    "withdraw": ("UpdateItem", lambda ports: ports.work.withdraw("a", JobStatus.CANCELLED)),
    "set_launch_error": (
        "UpdateItem",
        lambda ports: ports.job_catalog.set_launch_error("a", "no machine"),
    ),
    "delete_job": ("DeleteItem", lambda ports: ports.job_catalog.delete_job("deleting")),
    "delete_work": ("TransactWriteItems", lambda ports: ports.job_catalog.delete_job("deleting")),
    "delete_costs": ("BatchWriteItem", lambda ports: ports.job_catalog.delete_job("deleting")),
    "create": (
        "TransactWriteItems",
        lambda ports: (
            ports.template_catalog.create("ada", "new", new_template(), public=True).latest_version
        ),
    ),
    "update": (
        "TransactWriteItems",
        lambda ports: (
            ports.template_catalog.update(
                head_of(ports), new_template(), public=True
            ).latest_version
        ),
    ),
    "save": (
        "TransactWriteItems",
        lambda ports: ports.templates.save_template("ada", "t", new_template()).version,
    ),
    "delete": ("DeleteItem", lambda ports: ports.template_catalog.delete("t")),
    "expire": ("UpdateItem", lambda ports: ports.template_catalog.delete("t")),
}
EXPECTED: Final[dict[str, object]] = {
    "begin_launch": 1,
    "withdraw": True,
    "create": 1,
    "update": 2,
    "save": 2,
}


@pytest.fixture
def busy(ports: ApiStorage, clock: ManualClock) -> ApiStorage:
    """With what `WRITES` change."""
    for job_id in ("a", "launched", "running"):
        ports.jobs.create_job(new_job(job_id, clock))
    ports.work.begin_launch(ports.work.get_work("launched"))
    assert ports.queue.claim("running", "worker")
    deleting(ports, clock, "deleting")
    ports.template_catalog.create("ada", "t", new_template(), public=False)
    return ports


@pytest.mark.parametrize("name", WRITES)
def test_a_write_whose_reply_was_lost_succeeds(aws: FakeAws, busy: ApiStorage, name: str) -> None:
    operation, write = WRITES[name]
    with reply_lost(aws.dynamodb, operation) as sent:
        assert write(busy) == EXPECTED.get(name)
    assert sent[0].body == sent[1].body


def test_a_launch_whose_reply_was_lost_is_begun_once(aws: FakeAws, busy: ApiStorage) -> None:
    with reply_lost(aws.dynamodb, "UpdateItem"):
        busy.work.begin_launch(busy.work.get_work("a"))
    assert busy.work.get_work("a").launches == 1


def test_an_update_whose_reply_was_lost_adds_one_version(aws: FakeAws, busy: ApiStorage) -> None:
    head = head_of(busy)
    with reply_lost(aws.dynamodb, "TransactWriteItems"):
        new = busy.template_catalog.update(head, new_template("Mine"), public=True)
    assert head_of(busy) == new
    page = busy.template_catalog.list_versions("t", limit=5)
    assert [version.name for version in page.items] == ["Mine", "Reviews"]


def test_a_creation_that_another_overtook_after_the_lost_reply_is_still_ours(
    aws: FakeAws, ports: ApiStorage, clock: ManualClock
) -> None:
    """The head has moved on by then; the version that was written has not."""
    other = open_aws(aws, clock)

    def overtake() -> None:
        head = other.template_catalog.get_head("t")
        other.template_catalog.update(head, new_template("Theirs"), public=False)

    with reply_lost(aws.dynamodb, "TransactWriteItems") as sent:
        pending = [overtake]

        def before_second(**_: object) -> None:
            if len(sent) == 1 and pending:
                pending.pop()()

        # The SDK's second try finds version 2 as the latest.
        event = "before-send.dynamodb.TransactWriteItems"
        with hooked(aws.dynamodb, event, before_second, last=False):
            head = ports.template_catalog.create("ada", "t", new_template("Mine"), public=False)
    assert not pending
    assert head.latest_version == 1
    assert ports.template_catalog.get_head("t").latest_version == 2
    mine = ports.templates.load_template(TemplateRef(template_id="t", version=1))
    assert mine.name == "Mine"


@pytest.mark.parametrize("name", WRITES)
@pytest.mark.parametrize("code", ["ProvisionedThroughputExceededException", "ThrottlingException"])
def test_a_throttled_write_is_retried_and_then_reported(
    aws: FakeAws, busy: ApiStorage, name: str, code: str
) -> None:
    """Requirement S3.6."""
    operation, write = WRITES[name]
    with (
        refused(aws.dynamodb, operation, code) as sent,
        pytest.raises(StorageUnavailableError) as caught,
    ):
        write(busy)
    assert len(sent) == ATTEMPTS
    assert "secret" not in str(caught.value)
    with refused(aws.dynamodb, operation, code, times=ATTEMPTS - 1):
        assert write(busy) == EXPECTED.get(name)


READS: Final[dict[str, tuple[str, Write]]] = {
    "list_jobs": ("Query", lambda ports: ports.job_catalog.list_jobs("ada", limit=2)),
    "count_active": ("Query", lambda ports: ports.job_catalog.count_active("ada", at_most=2)),
    "get_work": ("GetItem", lambda ports: ports.work.get_work("a")),
    "list_work": ("Query", lambda ports: list(ports.work.list_work(JobStatus.QUEUED))),
    "get_head": ("GetItem", lambda ports: ports.template_catalog.get_head("t")),
    "list_own": ("Query", lambda ports: ports.template_catalog.list_own("ada", limit=2)),
    "list_public": ("Query", lambda ports: ports.template_catalog.list_public(limit=2)),
    "list_versions": ("Query", lambda ports: ports.template_catalog.list_versions("t", limit=2)),
}


@pytest.mark.parametrize("name", [*READS, *WRITES])
@pytest.mark.parametrize("code", ["AccessDeniedException", "ResourceNotFoundException"])
def test_a_fault_that_stays_is_reported_at_once(
    aws: FakeAws, busy: ApiStorage, name: str, code: str
) -> None:
    operation, call = {**READS, **WRITES}[name]
    with (
        refused(aws.dynamodb, operation, code) as sent,
        pytest.raises(StorageError, match=code) as caught,
    ):
        call(busy)
    assert type(caught.value) is StorageError
    assert "secret" not in str(caught.value)
    assert len(sent) == 1


@pytest.mark.parametrize("name", READS)
def test_a_read_that_fails_for_a_while_is_retried(
    aws: FakeAws, busy: ApiStorage, name: str
) -> None:
    operation, read = READS[name]
    with refused(aws.dynamodb, operation, "InternalServerError", status=500, times=ATTEMPTS - 1):
        read(busy)
    with (
        refused(aws.dynamodb, operation, "InternalServerError", status=500),
        pytest.raises(StorageUnavailableError),
    ):
        read(busy)


# ── transactions ───────────────────────────────────────────────────────────────────────────────


def transaction(aws: FakeAws, pauses: list[float]) -> Transaction:
    made = Transaction(aws.dynamodb, sleep=pauses.append)
    made.put_new(tables.JOBS.name, job_item(), absent="job_id")
    made.put_new(tables.COST_TRACKING.name, cost_item(), absent="job_id")
    return made


def test_a_transaction_that_collides_is_tried_again(aws: FakeAws) -> None:
    """The SDK doesn't: `TransactionCanceledException` says nothing about retrying."""
    pauses: list[float] = []
    with canceled(aws.dynamodb, "None", "TransactionConflict", times=2) as sent:
        assert transaction(aws, pauses).commit() == ()
    assert len(sent) == 3
    assert pauses == sorted(pauses)
    assert everything(aws)[tables.JOBS.name] == 1


def test_what_nobody_would_write_again_waits_longer(aws: FakeAws) -> None:
    """Twenty jobs that end at once meet in one account."""
    pauses: list[float] = []
    with canceled(aws.dynamodb, "None", "TransactionConflict", times=6):
        assert transaction(aws, pauses).commit(patient=True) == ()
    assert len(pauses) == 6
    assert 2 < sum(pauses) < 5


def test_a_collision_that_lasts_is_reported(aws: FakeAws) -> None:
    pauses: list[float] = []
    with (
        canceled(aws.dynamodb, "TransactionConflict", "None") as sent,
        pytest.raises(StorageUnavailableError, match=r"Jobs, CostTracking"),
    ):
        transaction(aws, pauses).commit()
    assert len(sent) == len(pauses) + 1 == 4


@pytest.mark.parametrize(
    ("reason", "error"),
    [("ThrottlingError", StorageBusyError), ("ValidationError", StorageError)],
)
def test_a_transaction_that_is_canceled_for_another_reason(
    aws: FakeAws, reason: str, error: type[StorageError]
) -> None:
    with canceled(aws.dynamodb, "None", reason) as sent, pytest.raises(error) as caught:
        transaction(aws, []).commit()
    assert type(caught.value) is error
    assert len(sent) == 1


def test_a_condition_that_fails_among_collisions_decides(aws: FakeAws) -> None:
    with canceled(aws.dynamodb, "ConditionalCheckFailed", "TransactionConflict") as sent:
        refusals = transaction(aws, []).commit()
    assert [refusal is not None for refusal in refusals] == [True, False]
    assert len(sent) == 1


def test_all_parts_happen_or_none(aws: FakeAws) -> None:
    store_item(aws, tables.COST_TRACKING, cost_item())
    refusals = transaction(aws, []).commit()
    assert [refusal is not None for refusal in refusals] == [False, True]
    assert everything(aws)[tables.JOBS.name] == 0


# ── batches ────────────────────────────────────────────────────────────────────────────────────


def unprocessed(request: Any) -> str:
    """A reply that leaves the last item of a batch over."""
    ((table, writes),) = json.loads(request.body)["RequestItems"].items()
    return json.dumps({"UnprocessedItems": {table: writes[-1:]}})


def cost_keys(aws: FakeAws, number: int) -> list[dict[str, str]]:
    entries = [cost_item(timestamp=f"{each:04d}") for each in range(number)]
    for entry in entries:
        store_item(aws, tables.COST_TRACKING, entry)
    return [{"job_id": each["job_id"], "timestamp": each["timestamp"]} for each in entries]


def test_what_a_throttled_table_left_over_is_sent_again(aws: FakeAws) -> None:
    pauses: list[float] = []
    keys = cost_keys(aws, 26)
    with answered(aws.dynamodb, "BatchWriteItem", unprocessed, status=200, times=3) as sent:
        delete_items(aws.dynamodb, tables.COST_TRACKING.name, iter(keys[-1:]), sleep=pauses.append)
    assert len(sent) == 4
    assert pauses == sorted(set(pauses))
    assert everything(aws)[tables.COST_TRACKING.name] == 25
    delete_items(aws.dynamodb, tables.COST_TRACKING.name, keys)
    assert everything(aws)[tables.COST_TRACKING.name] == 0


def test_a_table_that_stays_throttled_is_reported(aws: FakeAws) -> None:
    pauses: list[float] = []
    keys = cost_keys(aws, 2)
    with (
        answered(aws.dynamodb, "BatchWriteItem", unprocessed, status=200),
        pytest.raises(StorageUnavailableError),
    ):
        delete_items(aws.dynamodb, tables.COST_TRACKING.name, keys, sleep=pauses.append)
    assert len(pauses) == 5


def test_nothing_to_delete_asks_nothing(aws: FakeAws) -> None:
    with crashing(aws.dynamodb, at=0, after=False):
        delete_items(aws.dynamodb, tables.COST_TRACKING.name, [])


# ── deletions that end in the middle ───────────────────────────────────────────────────────────


@pytest.mark.parametrize("after", [False, True])
def test_a_job_is_deleted_by_a_second_try_wherever_the_first_one_ended(
    aws: FakeAws, ports: ApiStorage, clock: ManualClock, *, after: bool
) -> None:
    for at in count():
        deleting(ports, clock, "a")
        try:
            with crashing(aws.dynamodb, at=at, after=after) as sent:
                ports.job_catalog.delete_job("a")
        except Crash:
            left = everything(aws)
            # The job goes last: until then a second try knows that there is something to do.
            assert left[tables.JOBS.name] == 1 or set(left.values()) == {0}, sent
            ports.job_catalog.delete_job("a")
        assert set(everything(aws).values()) == {0}, sent
        if len(sent) <= at:
            break
    assert at >= 9


@pytest.mark.parametrize("after", [False, True])
def test_a_template_is_deleted_by_a_second_try_wherever_the_first_one_ended(
    aws: FakeAws, ports: ApiStorage, *, after: bool
) -> None:
    for at in count():
        template_id = f"t-{at}"
        head = ports.template_catalog.create("ada", template_id, new_template(), public=True)
        ports.template_catalog.update(head, new_template(), public=True)
        try:
            with crashing(aws.dynamodb, at=at, after=after) as sent:
                ports.template_catalog.delete(template_id)
        except Crash:
            ports.template_catalog.delete(template_id)
        with pytest.raises(TemplateNotFoundError):
            ports.template_catalog.get_head(template_id)
        for version in (1, 2):
            item = read_item(aws, tables.TEMPLATES, template_id=template_id, version=version)
            assert "expires_at" in item, sent
        if len(sent) <= at:
            break
    assert at == 4


@pytest.mark.parametrize("after", [False, True])
def test_a_template_is_written_wholly_or_not_at_all(
    aws: FakeAws, ports: ApiStorage, *, after: bool
) -> None:
    """Requirement S3.2, for templates."""
    with pytest.raises(Crash), crashing(aws.dynamodb, at=0, after=after):
        ports.template_catalog.create("ada", "t", new_template(), public=True)
    assert everything(aws)[tables.TEMPLATES.name] == (2 if after else 0)
    if not after:
        ports.template_catalog.create("ada", "t", new_template(), public=True)
    head = head_of(ports)
    with pytest.raises(Crash), crashing(aws.dynamodb, at=0, after=after):
        ports.template_catalog.update(head, new_template("Next"), public=True)
    assert head_of(ports).latest_version == (2 if after else 1)
    assert everything(aws)[tables.TEMPLATES.name] == (3 if after else 2)


def test_versions_that_expire_already_keep_their_date(
    aws: FakeAws, ports: ApiStorage, clock: ManualClock
) -> None:
    ports.template_catalog.create("ada", "t", new_template(), public=True)
    ports.template_catalog.delete("t")
    before = read_item(aws, tables.TEMPLATES, template_id="t", version=1)
    days = (int(before["expires_at"]) - clock.now().timestamp()) / 86_400
    assert days == tables.DELETED_TEMPLATE_DAYS
    clock.advance(86_400)
    ports.template_catalog.delete("t")
    assert read_item(aws, tables.TEMPLATES, template_id="t", version=1) == before


def test_a_version_that_went_in_between_is_not_brought_back(
    aws: FakeAws, ports: ApiStorage
) -> None:
    ports.template_catalog.create("ada", "t", new_template(), public=True)
    key = to_attributes({"template_id": "t", "version": 1})
    remove = partial(aws.dynamodb.delete_item, TableName=tables.TEMPLATES.name, Key=key)
    with meanwhile(aws.dynamodb, "UpdateItem", remove):
        ports.template_catalog.delete("t")
    assert everything(aws)[tables.TEMPLATES.name] == 0


def overtaken(aws: FakeAws, ports: ApiStorage, operation: str, act: Callable[[], object]) -> None:
    """Delete job "a", with somebody else being quicker."""
    with meanwhile(aws.dynamodb, operation, act):
        ports.job_catalog.delete_job("a")


def test_a_slow_deletion_leaves_a_job_of_the_same_id_alone(
    aws: FakeAws, ports: ApiStorage, clock: ManualClock
) -> None:
    """Another deletion has finished, and the job was created anew."""
    other = open_aws(aws, clock)

    def anew() -> None:
        other.job_catalog.delete_job("a")
        other.jobs.create_job(new_job("a", clock))

    for operation in ("TransactWriteItems", "BatchWriteItem", "DeleteItem"):
        deleting(ports, clock, "a", shards=0)
        with pytest.raises(ConflictError):
            overtaken(aws, ports, operation, anew)
        assert ports.queue.claim("a", "worker") is not None
        assert ports.jobs.get_job("a").status is JobStatus.QUEUED
        ports.jobs.set_status("a", JobStatus.CANCELLED, fence=None)
        ports.jobs.set_status("a", JobStatus.DELETING, fence=None)
        ports.job_catalog.delete_job("a")


@pytest.mark.parametrize("operation", ["TransactWriteItems", "BatchWriteItem", "DeleteItem"])
def test_a_slow_deletion_has_nothing_left_to_do(
    aws: FakeAws, ports: ApiStorage, clock: ManualClock, operation: str
) -> None:
    deleting(ports, clock, "a")
    other = open_aws(aws, clock)
    overtaken(aws, ports, operation, lambda: other.job_catalog.delete_job("a"))
    assert set(everything(aws).values()) == {0}
    with pytest.raises(NotFoundError):
        ports.jobs.get_job("a")


# ── large and strange ──────────────────────────────────────────────────────────────────────────


def test_a_page_looks_at_so_many_items_and_no_more(
    aws: FakeAws, ports: ApiStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A status that few jobs have: the page is short, and the next one goes on from there."""
    monkeypatch.setattr(listing, "MAX_EXAMINED", 10)
    for number in range(25):
        store_item(
            aws,
            tables.JOBS,
            job_item(
                job_id=f"job-{number:02d}",
                created_at=f"2026-11-23T12:00:{number:02d}.000000Z",
                status="FAILED" if number in {0, 24} else "COMPLETED",
            ),
        )
    after: str | None = None
    found: list[list[str]] = []
    while len(found) < 9:
        page = ports.job_catalog.list_jobs("ada", limit=5, after=after, status=JobStatus.FAILED)
        found.append([job.job_id for job in page.items])
        after = page.next
        if after is None:
            break
    assert found == [["job-24"], [], ["job-00"]]


def test_a_document_that_fits_no_item_is_refused(ports: ApiStorage) -> None:
    large = replace(new_template(), fragments={"rules": "x" * MAX_STORED_BYTES})
    with pytest.raises(TemplateError, match=str(MAX_STORED_BYTES)):
        ports.template_catalog.create("ada", "t", large, public=False)
    head = ports.template_catalog.create("ada", "t", new_template(), public=False)
    with pytest.raises(TemplateError, match=str(MAX_STORED_BYTES)):
        ports.template_catalog.update(head, large, public=False)
    assert ports.template_catalog.get_head("t") == head


def test_a_save_that_a_deletion_overtook_is_a_conflict(
    aws: FakeAws, ports: ApiStorage, clock: ManualClock
) -> None:
    ports.template_catalog.create("ada", "t", new_template(), public=False)
    other = open_aws(aws, clock)
    with (
        meanwhile(aws.dynamodb, "TransactWriteItems", lambda: other.template_catalog.delete("t")),
        pytest.raises(ConflictError, match="deleted"),
    ):
        ports.templates.save_template("ada", "t", new_template())


def test_a_count_ends_where_it_is_enough(aws: FakeAws, ports: ApiStorage) -> None:
    for number in range(6):
        store_item(aws, tables.JOBS, job_item(job_id=f"job-{number}", status="QUEUED"))
    with crashing(aws.dynamodb, at=ALL, after=False) as sent:
        assert ports.job_catalog.count_active("ada", at_most=3) == 3
    assert sent == ["Query"]
