"""What was deleted or overwritten comes back: objects from versions, items from another table."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from runtime.contract.tables import BUDGETS, JOBS, QUEUE
from runtime.operations import restore_objects
from runtime.operations.restore import main
from runtime.operations.restore_items import TableRestore
from tests.fixtures.aws import BUCKET, FakeAws, read_item, store_item
from tests.fixtures.aws_faults import refused
from tests.fixtures.dynamodb_items import slice_item

THEN: Final = datetime(2026, 11, 1, 12, tzinfo=UTC)
BEFORE, AFTER, LATER = (THEN + timedelta(hours=hours) for hours in (-1, 1, 2))
RESTORED: Final = "Jobs-restored"


# ── objects ────────────────────────────────────────────────────────────────────────────────────


class Bucket:
    """The bucket, with a past: moto stamps by the machine's clock."""

    def __init__(self, aws: FakeAws) -> None:
        self.s3 = aws.s3

    def put(self, key: str, body: bytes, at: datetime) -> str:
        version = self.s3.put_object(Bucket=BUCKET, Key=key, Body=body, ContentType="text/x")
        self._stamp(key, at)
        return version["VersionId"]

    def delete(self, key: str, at: datetime) -> None:
        self.s3.delete_object(Bucket=BUCKET, Key=key)
        self._stamp(key, at)

    def _stamp(self, key: str, at: datetime) -> None:
        from moto.core.models import DEFAULT_ACCOUNT_ID  # noqa: PLC0415
        from moto.s3.models import s3_backends  # noqa: PLC0415

        bucket = s3_backends[DEFAULT_ACCOUNT_ID]["aws"].buckets[BUCKET]
        bucket.keys.getlist(key)[-1].last_modified = at.replace(tzinfo=None)

    def read(self, key: str) -> tuple[bytes, str, str]:
        """Body, version and content type."""
        found = self.s3.get_object(Bucket=BUCKET, Key=key)
        return found["Body"].read(), found["VersionId"], found["ContentType"]


@pytest.fixture
def bucket(aws: FakeAws) -> Bucket:
    return Bucket(aws)


def restored(*arguments: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, list[str]]:
    code = main(["objects", BUCKET, "jobs/a/", "--at", THEN.isoformat(), *arguments])
    return code, capsys.readouterr().out.splitlines()


def test_e12_objects_come_back_as_they_were(
    bucket: Bucket, capsys: pytest.CaptureFixture[str]
) -> None:
    bucket.put("jobs/a/same", b"same", THEN)
    deleted = bucket.put("jobs/a/deleted", b"deleted", BEFORE)
    for at in (AFTER, LATER):
        bucket.delete("jobs/a/deleted", at)
    bucket.put("jobs/a/replaced", b"first", BEFORE - timedelta(hours=1))
    bucket.put("jobs/a/replaced", b"true", THEN)
    bucket.put("jobs/a/replaced", b"wrong", AFTER)
    bucket.delete("jobs/a/replaced", LATER)
    bucket.put("jobs/a/new", b"new", AFTER)
    bucket.put("jobs/a/gone", b"gone", BEFORE - timedelta(hours=1))
    bucket.delete("jobs/a/gone", BEFORE)
    bucket.put("jobs/b/other", b"other", BEFORE)
    bucket.delete("jobs/b/other", AFTER)
    expected = [
        "undeleted: jobs/a/deleted",
        "not there then: jobs/a/gone",
        "not there then: jobs/a/new",
        "copied: jobs/a/replaced",
    ]

    code, lines = restored(capsys=capsys)
    assert (code, lines[:-1]) == (0, expected)
    assert "nothing was changed" in lines[-1]
    versions = bucket.s3.list_object_versions(Bucket=BUCKET)
    assert len(versions["DeleteMarkers"]) == 5

    assert restored("--apply", capsys=capsys) == (
        0,
        [*expected, "1 copied, 2 not there then, 1 same, 1 undeleted: done"],
    )
    assert bucket.read("jobs/a/deleted") == (b"deleted", deleted, "text/x")
    body, _, content_type = bucket.read("jobs/a/replaced")
    assert (body, content_type) == (b"true", "text/x")
    assert bucket.read("jobs/a/new")[0] == b"new"
    keys = [each["Key"] for each in bucket.s3.list_objects_v2(Bucket=BUCKET)["Contents"]]
    assert keys == ["jobs/a/deleted", "jobs/a/new", "jobs/a/replaced", "jobs/a/same"]

    _, lines = restored("--apply", capsys=capsys)
    assert lines[-1] == "2 not there then, 3 same: done", "a repetition finds nothing to do"


def test_e12_what_can_not_be_restored_is_listed_and_stops_no_other(
    bucket: Bucket, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for key, body in (("large", b"12345"), ("small", b"1")):
        bucket.put(f"jobs/a/{key}", body, BEFORE)
        bucket.put(f"jobs/a/{key}", b"wrong", AFTER)
    monkeypatch.setattr(restore_objects, "MAX_COPY_BYTES", 4)
    code, lines = restored("--apply", capsys=capsys)
    assert (code, lines[0]) == (1, "too large to copy: jobs/a/large")
    assert bucket.read("jobs/a/small")[0] == b"1"
    bucket.put("jobs/a/small", b"wrong", LATER)
    client = bucket.s3
    monkeypatch.setattr("runtime.sdk.create_s3_client", lambda: client)
    with refused(client, "CopyObject", "AccessDenied", status=403):
        code, lines = restored("--apply", capsys=capsys)
    assert (code, lines[1]) == (
        1,
        "failed: jobs/a/small (AccessDenied)",
    )


@pytest.mark.parametrize(
    ("time", "reason"),
    [
        ("yesterday", "not a time"),
        ("2026-11-01T12:00:00", "no time zone"),
        ("2999-01-01T00:00:00Z", "future"),
    ],
)
def test_e12_a_wrong_time_is_refused(
    time: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["objects", BUCKET, "jobs/a/", "--at", time])
    assert ended.value.code == 2
    assert reason in capsys.readouterr().err


# ── items ──────────────────────────────────────────────────────────────────────────────────────


SHARE = {
    "budget_month": "2026-11",
    "budget_reserved": 100,
    "budget_base": 0,
    "counted_as_active": True,
}


@pytest.fixture
def jobs_then(aws: FakeAws) -> Iterator[FakeAws]:
    """Three jobs, and a table restored from when they were there. moto restores the present."""
    for job_id in ("a", "b", "c"):
        store_item(aws, JOBS, {"job_id": job_id, "status": "FAILED", "write_token": "1"} | SHARE)
    arguments = ["begin", JOBS.name, RESTORED, "--at", THEN.isoformat()]
    try:
        assert main(arguments) == 0
        assert main(arguments) == 0, "it can be repeated"
        yield aws
    finally:
        aws.dynamodb.delete_table(TableName=RESTORED)


def items(*arguments: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, list[str]]:
    capsys.readouterr()
    code = main(["items", JOBS.name, RESTORED, *arguments])
    return code, sorted(capsys.readouterr().out.splitlines())


def test_e12_items_come_back_and_newer_ones_are_left(
    jobs_then: FakeAws, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs_then.dynamodb.delete_item(TableName=JOBS.name, Key={"job_id": {"S": "a"}})
    store_item(jobs_then, JOBS, {"job_id": "b", "status": "QUEUED", "write_token": "2"})

    code, lines = items(capsys=capsys)
    assert (code, lines[1:]) == (0, ["differs and is left: b", "put back: a"])
    assert "nothing was changed" in lines[0]
    assert len(jobs_then.dynamodb.scan(TableName=JOBS.name)["Items"]) == 2

    assert items("--apply", "--key", "c", capsys=capsys) == (0, ["1 same: done"])
    items("--apply", capsys=capsys)
    assert read_item(jobs_then, JOBS, job_id="a")["status"] == "FAILED"
    assert read_item(jobs_then, JOBS, job_id="b")["status"] == "QUEUED"
    items("--apply", "--replace", capsys=capsys)
    assert read_item(jobs_then, JOBS, job_id="b")["status"] == "FAILED"
    assert items("--apply", "--replace", capsys=capsys) == (0, ["3 same: done"])


def test_n16_what_a_job_has_in_its_month_stays_as_it_is_now(
    jobs_then: FakeAws, capsys: pytest.CaptureFixture[str]
) -> None:
    """It got the rest back when it ended: with the share of then it would get it back twice."""
    returned = {"budget_month": "2026-11", "budget_reserved": 10, "budget_base": 0}
    now = {"job_id": "b", "status": "CANCELLED", "write_token": "2", **returned}
    store_item(jobs_then, JOBS, now)
    jobs_then.dynamodb.delete_item(TableName=JOBS.name, Key={"job_id": {"S": "a"}})

    assert items("--apply", "--replace", capsys=capsys)[0] == 0

    kept = {"job_id": "b", "status": "FAILED", "write_token": "1", **returned}
    assert read_item(jobs_then, JOBS, job_id="b") == kept
    deleted = {"job_id": "a", "status": "FAILED", "write_token": "1"}
    assert read_item(jobs_then, JOBS, job_id="a") == deleted


def test_e12_an_item_that_changes_meanwhile_is_left(
    jobs_then: FakeAws, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker's write between the look at an item and the one that replaces it wins."""
    store_item(jobs_then, JOBS, {"job_id": "b", "status": "QUEUED", "write_token": "2"})
    jobs_then.dynamodb.delete_item(TableName=JOBS.name, Key={"job_id": {"S": "a"}})
    client = jobs_then.dynamodb
    monkeypatch.setattr("runtime.sdk.create_dynamodb_client", lambda: client)
    put_item = client.put_item

    def changed_before(**request: Any) -> Any:
        token = request["Item"]["job_id"]["S"]
        store = {"job_id": token, "status": "RUNNING", "write_token": "3"}
        monkeypatch.setattr(client, "put_item", put_item)
        store_item(jobs_then, JOBS, store)
        return put_item(**request)

    for job_id in ("a", "b"):
        monkeypatch.setattr(client, "put_item", changed_before)
        code, lines = items("--apply", "--replace", "--key", job_id, capsys=capsys)
        assert code == 1
        assert f"changed meanwhile and is left: {job_id}" in lines
        assert read_item(jobs_then, JOBS, job_id=job_id)["status"] == "RUNNING"


def test_e12_shards_of_a_job_come_back_with_it(aws: FakeAws) -> None:
    found = []
    for work_id in ("a", "a#0", "a#1", "ab", "b"):
        store_item(aws, QUEUE, {"work_id": work_id, "status": "FAILED"})
    restore = TableRestore(client=aws.dynamodb, table=QUEUE.name, restored=QUEUE.name)
    restore.copy("a", replace=False, apply=True, report=lambda result: found.append(result.key))
    assert sorted(found) == ["a", "a#0", "a#1"]


def test_n3_a_slice_comes_back_with_what_is_spent_and_held_and_nothing_free(aws: FakeAws) -> None:
    """What was free then may be in another slice by now."""
    slice_then = slice_item(account_id="a#0")
    store_item(aws, BUDGETS, slice_then)
    aws.dynamodb.create_table(
        TableName=RESTORED,
        KeySchema=[{"AttributeName": "account_id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "account_id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    try:
        (stored,) = aws.dynamodb.scan(TableName=BUDGETS.name)["Items"]
        aws.dynamodb.put_item(TableName=RESTORED, Item=stored)
        restore = TableRestore(client=aws.dynamodb, table=BUDGETS.name, restored=RESTORED)
        outcomes: list[str] = []

        def copy(*, replace: bool) -> None:
            restore.copy(
                "a",
                replace=replace,
                apply=True,
                report=lambda result: outcomes.append(str(result.outcome)),
            )

        copy(replace=True)
        assert read_item(aws, BUDGETS, account_id="a#0") == slice_then
        aws.dynamodb.delete_item(TableName=BUDGETS.name, Key={"account_id": {"S": "a#0"}})
        copy(replace=False)
        assert read_item(aws, BUDGETS, account_id="a#0") == {**slice_then, "slice_free": 0}
        assert outcomes == ["same", "put back"]
    finally:
        aws.dynamodb.delete_table(TableName=RESTORED)


def test_e12_what_was_not_restored_yet_is_named(
    aws: FakeAws, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not aws.tasks.launches
    assert main(["items", JOBS.name, "nothing"]) == 1
    assert "no table nothing: restore it first" in capsys.readouterr().err
