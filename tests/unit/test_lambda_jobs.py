"""Creating, listing, showing, cancelling, deleting, resuming, downloading and estimating jobs."""

import csv
import io
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from runtime.contract import keys
from runtime.domain.errors import NotFoundError
from runtime.domain.jobs.job import JobStatus
from runtime.domain.jobs.sampling import SeedStrategy
from runtime.domain.models.price_table import load_prices
from runtime.domain.money.accounts import Hold
from runtime.domain.money.amounts import usd
from runtime.domain.outputs.types import ListOf, Scalar
from runtime.export.row_export import RowResult
from runtime.lambdas.jobs import create_job
from tests.fixtures.api import downloads
from tests.fixtures.api_world import SOME_ID, ApiWorld
from tests.fixtures.aws import BUCKET
from tests.fixtures.clock import START
from tests.fixtures.lambda_events import ALICE, BOB
from tests.fixtures.race import race
from tests.fixtures.worker_world import MODEL, SCHEMA_MODEL, step

# ── create ─────────────────────────────────────────────────────────────────────────────────────


def test_a_job_is_stored_and_its_worker_started(api_world: ApiWorld) -> None:
    template_id, seeds = api_world.template(), api_world.seeds()

    reply = api_world.create_job(
        template_id=template_id.upper(),
        seed_data_path=seeds,
        budget_limit="12.345",
        output_format=["PARQUET", "CSV"],
        partition_strategy="timestamp",
        seed_strategy="sequential",
    )

    assert reply.status == 201
    job_id = reply.body["job_id"]
    assert reply.headers["location"] == f"/jobs/{job_id}"
    now = START.isoformat().replace("+00:00", "Z")
    stat = api_world.own.objects.stat(seeds)
    assert reply.body == {
        "job_id": job_id,
        "status": "QUEUED",
        "config": {
            "template_id": template_id,
            "template_version": 1,
            "seed_data_path": seeds,
            "seed_version": stat.version,
            "num_records": 10,
            "output_format": ["PARQUET", "CSV"],
            "partition_strategy": "timestamp",
            "byte_order_mark": False,
            "seed_strategy": "sequential",
            "random_seed": 0,
            "draws": 2,
            "name": None,
            "model": None,
            "call_timeout": None,
            "includes": {},
            "price_table_version": load_prices().version,
            "allow_on_demand": False,
            "shards": None,
            "priority": 0,
            "attempts": 2,
            "max_candidates": None,
            "on_exhausted": "partial",
        },
        "budget_limit": 12.345,
        "records_generated": 0,
        "accepted": 0,
        "failed_records": 0,
        "service_failures": 0,
        "failures_by_kind": {},
        "tokens_used": 0,
        "cost_estimate": 0.0,
        "steps": {},
        "checks": None,
        "error_message": None,
        "error_code": None,
        "retry_after": None,
        "launch_error": None,
        "created_at": now,
        "updated_at": now,
        "started_at": None,
        "completed_at": None,
        "export": None,
    }
    assert api_world.get(f"/jobs/{job_id}").body == {**reply.body, "shards": None}
    [launch] = api_world.aws.tasks.launches
    assert launch.variables["JOB_ID"] == job_id
    assert launch.provider == "FARGATE_SPOT"
    work = api_world.own.work.get_work(job_id)
    assert (work.status, work.launches) == (JobStatus.QUEUED, 1)


def test_the_latest_version_is_the_default(api_world: ApiWorld) -> None:
    template_id = api_world.template()
    catalog = api_world.own.template_catalog
    head = catalog.get_head(template_id)
    catalog.update(head, api_world.own.templates.load_template(head.latest), public=False)

    latest = api_world.create_job(template_id=template_id)
    first = api_world.create_job(template_id=template_id, template_version=1)
    future = api_world.create_job(template_id=template_id, template_version=3)

    assert latest.body["config"]["template_version"] == 2
    assert first.body["config"]["template_version"] == 1
    assert (future.status, "the latest is 2" in future.message) == (404, True)


def test_includes_are_pinned(api_world: ApiWorld) -> None:
    catalog = api_world.own.template_catalog
    rules = api_world.template(step("rules", "Be kind."), user=BOB, public=True)
    named = api_world.template(step("tone", "{% include '" + rules + "' %} Be brief."))
    template_id = api_world.template(step(prompt="{% include 'tone' %} {{ product }}"))
    head = catalog.get_head(named)
    template = api_world.own.templates.load_template(head.latest)
    catalog.update(head, replace(template, name="tone"), public=False)

    reply = api_world.create_job(template_id=template_id)

    assert reply.status == 201, reply
    assert reply.body["config"]["includes"] == {
        "tone": {"template_id": named, "version": 2},
        rules: {"template_id": rules, "version": 1},
    }


@pytest.mark.parametrize("name", ["house rules", SOME_ID])
def test_an_include_that_is_not_found(api_world: ApiWorld, name: str) -> None:
    template_id = api_world.template(step(prompt="{% include '" + name + "' %} {{ product }}"))
    reply = api_world.create_job(template_id=template_id)
    assert (reply.status, name in reply.message) == (404, True)


@pytest.mark.parametrize("model", ["no such model", "smollm2-135m-instruct", "a\x00b"])
def test_a_model_without_a_price(api_world: ApiWorld, model: str) -> None:
    reply = api_world.create_job(model=model)
    assert (reply.status, reply.body["error"]["code"]) == (400, "unknown_model")
    assert not api_world.items("Jobs")


def test_seeds_that_are_not_there(api_world: ApiWorld) -> None:
    key = f"{keys.seed_prefix(ALICE)}missing.jsonl"
    reply = api_world.create_job(seed_data_path=key)
    assert (reply.status, key in reply.message) == (404, True)


@pytest.mark.parametrize(
    ("name", "body", "problem"),
    [("seeds.txt", b"x", ".jsonl"), ("seeds.jsonl", b"", "no seeds")],
)
def test_seeds_that_are_none(api_world: ApiWorld, name: str, body: bytes, problem: str) -> None:
    reply = api_world.create_job(seed_data_path=api_world.upload(name, body))
    assert (reply.status, problem in reply.message) == (400, True)


def test_seeds_that_are_too_large(api_world: ApiWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.domain.seeds.seeds.MAX_SEED_BYTES", 10)
    reply = api_world.create_job()
    assert (reply.status, "limit is 10" in reply.message) == (400, True)


def test_a_limit_of_jobs_at_a_time(api_world: ApiWorld) -> None:
    limit = api_world.ports.settings.max_active_jobs
    template_id, seeds = api_world.template(), api_world.seeds()
    jobs = [
        api_world.create_job(template_id=template_id, seed_data_path=seeds).body["job_id"]
        for _ in range(limit)
    ]
    refused = api_world.create_job(template_id=template_id, seed_data_path=seeds)
    assert (refused.status, refused.body["error"]["code"]) == (429, "limit_reached")
    assert "retry-after" in refused.headers
    assert len(api_world.items("Jobs")) == limit
    assert api_world.create_job(user=BOB).status == 201, "the limit is each user's own"

    api_world.delete(f"/jobs/{jobs[0]}")
    assert api_world.create_job(template_id=template_id, seed_data_path=seeds).status == 201


def test_a_name_and_a_random_seed_are_kept_and_shown(api_world: ApiWorld) -> None:
    made = api_world.create_job(name="größte Probe", random_seed=7)
    assert made.status == 201
    shown = {"name": "größte Probe", "random_seed": 7}
    path = f"/jobs/{made.body['job_id']}"
    listed = api_world.get("/jobs").body["jobs"][0]
    for job in (made.body, api_world.get(path).body, listed):
        assert shown.items() <= job["config"].items()
    config = api_world.own.jobs.get_job(made.body["job_id"]).config
    assert (config.naming.name, config.draws.random_seed) == ("größte Probe", 7)


# ── Idempotency-Key ────────────────────────────────────────────────────────────────────────────


def test_the_same_key_and_body_give_the_same_job(api_world: ApiWorld) -> None:
    """Fault 1: the client asks again because it lost the answer."""
    body, headers = api_world.order(budget_limit=5), {"Idempotency-Key": "once"}
    first = api_world.post("/jobs", body, headers=headers)
    again = api_world.post("/jobs", body, headers=headers)
    in_other_words = {**dict(reversed(body.items())), "budget_limit": "5.00"}
    in_other_words["output_format"] = [body["output_format"]]
    third = api_world.post("/jobs", in_other_words, headers=headers)

    assert (first.status, again.status, third.status) == (201, 200, 200)
    assert first.body == again.body == third.body
    assert again.headers["location"] == first.headers["location"]
    assert len(api_world.items("Jobs")) == 1
    assert len(api_world.aws.tasks.launches) == 1


def hash_of(**more: object) -> str:
    """Of a request for a job, with `more` fields than it needs."""
    body = {
        "template_id": "7b0c0f6e-3c1f-4f0e-9d53-0a4f6c1f2b11",
        "seed_data_path": "seed-data/ada/a.jsonl",
        "num_records": 10,
        "budget_limit": "5",
    }
    return create_job._hash(create_job.NewJob.model_validate_json(orjson.dumps(body | more)))


def test_a_request_of_an_older_program_is_known_again() -> None:
    """Options that came later don't change what was asked for without them. The hash is what
    the program of November 2026 stored.
    """
    then = "597d2f89abc82dbd392cf1b02d7874099d8bb931a6218f287077f02962582785"
    assert hash_of() == hash_of(name=None) == hash_of(random_seed=None) == then
    assert len({then, hash_of(name="a"), hash_of(random_seed=0), hash_of(random_seed=1)}) == 4


def test_the_strategy_of_before_is_the_same_named_or_not() -> None:
    """Programs of before named it in every request, and drew at random without it."""
    named = {each: hash_of(seed_strategy=each) for each in SeedStrategy}
    assert named.pop(SeedStrategy.RANDOM) == hash_of()
    assert len({hash_of(), *named.values()}) == len(SeedStrategy)


def test_the_same_key_with_another_body_is_refused(api_world: ApiWorld) -> None:
    """Fault 2."""
    body, headers = api_world.order(), {"Idempotency-Key": "once"}
    assert api_world.post("/jobs", body, headers=headers).status == 201
    reply = api_world.post("/jobs", {**body, "num_records": 11}, headers=headers)
    assert (reply.status, reply.body["error"]["code"]) == (409, "conflict")
    assert len(api_world.items("Jobs")) == 1


def test_a_key_is_each_users_own(api_world: ApiWorld) -> None:
    headers = {"Idempotency-Key": "once"}
    first = api_world.create_job(headers=headers)
    other = api_world.create_job(user=BOB, headers=headers)
    assert first.status == other.status == 201
    assert first.body["job_id"] != other.body["job_id"]


def test_without_a_key_every_request_is_a_job(api_world: ApiWorld) -> None:
    body = api_world.order()
    jobs = {api_world.post("/jobs", body).body["job_id"] for _ in range(2)}
    assert len(jobs) == 2


def test_an_answer_is_repeated_whatever_has_happened_since(api_world: ApiWorld) -> None:
    template_id, headers = api_world.template(), {"Idempotency-Key": "once"}
    body = api_world.order(template_id=template_id)
    first = api_world.post("/jobs", body, headers=headers)
    api_world.own.template_catalog.delete(template_id)
    api_world.aws.s3.delete_object(Bucket=BUCKET, Key=body["seed_data_path"])
    assert api_world.post("/jobs", body, headers=headers).body == first.body


@pytest.mark.parametrize("bodies_differ", [False, True])
def test_two_requests_with_one_key_at_the_same_time(
    api_world: ApiWorld, *, bodies_differ: bool
) -> None:
    """Fault 2: one job, and the other request gets it, or a 409."""
    body, headers = api_world.order(), {"Idempotency-Key": "once"}

    def send(number: int) -> Callable[[], Any]:
        each = {**body, "num_records": 10 + number * bodies_differ}
        return lambda: api_world.post("/jobs", each, headers=headers)

    replies: list[Any] = race([send(number) for number in range(3)])

    statuses = sorted(reply.status for reply in replies)
    assert statuses == ([201, 409, 409] if bodies_differ else [200, 200, 201])
    assert len(api_world.items("Jobs")) == 1
    assert len(api_world.aws.tasks.launches) == 1


# ── launching ──────────────────────────────────────────────────────────────────────────────────


def test_a_machine_at_the_full_price_only_where_it_is_allowed(api_world: ApiWorld) -> None:
    """Fault 22."""
    asked: dict[bool, list[str]] = {}
    for allowed in (True, False):
        job_id = api_world.create_job(allow_on_demand=allowed).body["job_id"]
        for _ in range(3):
            number = api_world.own.work.get_work(job_id).launches
            api_world.own.work.end_failed_launch(job_id, number)
            api_world.own.jobs.set_status(job_id, JobStatus.CANCELLED, fence=None)
            api_world.own.work.withdraw(job_id, JobStatus.CANCELLED)
            assert api_world.post(f"/jobs/{job_id}/resume", {}).status == 200
        asked[allowed] = [
            launch.provider
            for launch in api_world.aws.tasks.launches
            if launch.variables["JOB_ID"] == job_id
        ]
    assert asked[False] == ["FARGATE_SPOT"] * 4
    assert asked[True] == ["FARGATE_SPOT"] * 3 + ["FARGATE"]


# ── list, get ──────────────────────────────────────────────────────────────────────────────────


def test_jobs_are_listed_newest_first_page_by_page(api_world: ApiWorld, clock: Any) -> None:
    made = []
    for _ in range(5):
        clock.advance(1)
        made.append(api_world.job_id())
    listed, cursor, pages = [], None, 0
    while pages == 0 or cursor is not None:
        query = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
        page = api_world.get("/jobs", query=query).body
        assert len(page["jobs"]) <= 2
        listed += [job["job_id"] for job in page["jobs"]]
        cursor, pages = page["next_cursor"], pages + 1
    assert listed == made[::-1]


def test_jobs_of_a_status(api_world: ApiWorld) -> None:
    queued, completed = api_world.job_id(), api_world.job_id(JobStatus.COMPLETED)
    for status, expected in (("QUEUED", [queued]), ("COMPLETED", [completed]), ("FAILED", [])):
        page = api_world.get("/jobs", query={"status": status}).body
        assert [job["job_id"] for job in page["jobs"]] == expected


def test_a_job_with_progress(api_world: ApiWorld) -> None:
    job_id = api_world.job_id(JobStatus.RUNNING)
    api_world.progress(
        job_id, records_generated=4, failed_records=1, tokens_used=1234, cost_nano=123_456_789
    )
    body = api_world.get(f"/jobs/{job_id}").body
    assert (body["records_generated"], body["failed_records"]) == (4, 1)
    assert (body["tokens_used"], body["cost_estimate"]) == (1234, 0.123456789)
    assert body["started_at"] is not None


def test_a_job_whose_stored_budget_is_damaged(api_world: ApiWorld) -> None:
    job_id = api_world.job_id()
    api_world.aws.dynamodb.update_item(
        TableName="Jobs",
        Key={"job_id": {"S": job_id}},
        UpdateExpression="SET budget_limit = :damage",
        ExpressionAttributeValues={":damage": {"S": "plenty"}},
    )
    assert api_world.get(f"/jobs/{job_id}").body["budget_limit"] == 100.0


# ── cancel and delete ──────────────────────────────────────────────────────────────────────────


def test_a_queued_job_is_cancelled_with_its_work(api_world: ApiWorld) -> None:
    job_id = api_world.job_id()
    reply = api_world.delete(f"/jobs/{job_id}")
    assert (reply.status, reply.body["status"]) == (200, "CANCELLED")
    assert api_world.own.work.get_work(job_id).status is JobStatus.CANCELLED


def test_a_running_job_is_cancelled_and_its_worker_stops_by_itself(api_world: ApiWorld) -> None:
    job_id = api_world.job_id(JobStatus.RUNNING)
    reply = api_world.delete(f"/jobs/{job_id}")
    assert (reply.status, reply.body["status"]) == (202, "CANCELLED")
    assert api_world.own.work.get_work(job_id).status is JobStatus.RUNNING

    too_soon = api_world.delete(f"/jobs/{job_id}")
    assert (too_soon.status, "stopping" in too_soon.message) == (409, True)
    assert api_world.job(job_id).status is JobStatus.CANCELLED


@pytest.mark.parametrize(
    ("status", "action", "expected", "after"),
    [
        (JobStatus.QUEUED, "cancel", 200, JobStatus.CANCELLED),
        (JobStatus.RUNNING, "cancel", 202, JobStatus.CANCELLED),
        (JobStatus.CANCELLED, "cancel", 200, JobStatus.CANCELLED),
        (JobStatus.COMPLETED, "cancel", 409, JobStatus.COMPLETED),
        (JobStatus.DELETING, "cancel", 409, JobStatus.DELETING),
        (JobStatus.QUEUED, "delete", 409, JobStatus.QUEUED),
        (JobStatus.RUNNING, "delete", 409, JobStatus.RUNNING),
        (JobStatus.CANCELLED, "delete", 204, None),
        (JobStatus.COMPLETED, "delete", 204, None),
        (JobStatus.FAILED, None, 204, None),
        (JobStatus.BUDGET_EXCEEDED, None, 204, None),
        (JobStatus.DELETING, None, 204, None),
    ],
)
def test_what_a_delete_is_meant_to_do(
    api_world: ApiWorld,
    status: JobStatus,
    action: str | None,
    expected: int,
    after: JobStatus | None,
) -> None:
    job_id = api_world.job_id(status)
    reply = api_world.delete(f"/jobs/{job_id}", query={"action": action} if action else None)
    assert reply.status == expected
    if after is None:
        assert not api_world.items("Jobs")
    else:
        assert api_world.job(job_id).status is after


def fill(world: ApiWorld, job_id: str) -> None:
    """What a job leaves behind, under old versions too."""
    world.own.budgets.open_account(job_id, 10**9)
    world.own.budgets.change_hold(
        job_id,
        job_id,
        expected=None,
        new=Hold(fence=1, sequence=1, nano=0),
        spent_nano=10**8,
        owed=True,
    )
    for key in (
        keys.checkpoint_key(job_id),
        keys.checkpoint_key(job_id),
        keys.prices_key(job_id),
        keys.batch_key(job_id, 1),
        keys.failure_part_key(job_id, 1),
        keys.failures_key(job_id),
        keys.export_key(job_id, "jsonl"),
    ):
        world.put_object(key, b"{}")
    world.aws.dynamodb.put_item(
        TableName="CostTracking",
        Item={"job_id": {"S": job_id}, "timestamp": {"S": "2026"}, "cost": {"N": "1"}},
    )
    world.aws.dynamodb.put_item(
        TableName="CheckpointMetadata", Item={"job_id": {"S": job_id}, "version": {"N": "1"}}
    )


DATA_TABLES = ("Jobs", "Queue", "CostTracking", "CheckpointMetadata")


def test_a_deleted_job_leaves_nothing_behind(api_world: ApiWorld) -> None:
    job_id, other = api_world.job_id(JobStatus.COMPLETED), api_world.job_id(JobStatus.COMPLETED)
    fill(api_world, other)
    before = [len(api_world.items(table)) for table in DATA_TABLES]
    kept = api_world.object_keys()
    fill(api_world, job_id)
    assert api_world.delete(f"/jobs/{job_id}").status == 204
    after = [len(api_world.items(table)) for table in DATA_TABLES]
    assert after == [before[0] - 1, before[1] - 1, before[2], before[3]]
    assert sorted(api_world.object_keys()) == sorted(kept)
    assert job_id not in str([api_world.items(table) for table in DATA_TABLES])


@pytest.mark.parametrize(
    ("service", "operation"),
    [
        ("s3", "ListObjectVersions"),
        ("s3", "DeleteObjects"),
        ("dynamodb", "TransactWriteItems"),
        ("dynamodb", "Query"),
        ("dynamodb", "BatchWriteItem"),
        ("dynamodb", "DeleteItem"),
    ],
)
def test_a_deletion_that_is_cut_off_is_asked_for_again(
    api_world: ApiWorld, service: str, operation: str
) -> None:
    """A crash at any point leaves a DELETING job, and the next DELETE ends what it began."""
    job_id = api_world.job_id(JobStatus.COMPLETED)
    fill(api_world, job_id)
    fault = api_world.fail(
        service,
        operation,
        match=lambda call: operation != "TransactWriteItems" or "'Delete'" in str(call),
    )
    cut_off = api_world.delete(f"/jobs/{job_id}")
    assert cut_off.status == 500
    assert fault.hits, "the fault was never met"
    assert api_world.get(f"/jobs/{job_id}").body["status"] == "DELETING"
    assert api_world.post(f"/jobs/{job_id}/resume", {}).status == 409

    fault.clear()
    assert api_world.delete(f"/jobs/{job_id}").status == 204
    assert not [item for table in DATA_TABLES for item in api_world.items(table)]
    assert not api_world.object_keys("jobs/")


def test_two_deletions_at_the_same_time(api_world: ApiWorld) -> None:
    """S2.6: 204 for one, 204, 404 or 409 for the other."""
    job_id = api_world.job_id(JobStatus.COMPLETED)
    fill(api_world, job_id)
    replies: list[Any] = race([lambda: api_world.delete(f"/jobs/{job_id}")] * 3)
    statuses = {reply.status for reply in replies}
    assert 204 in statuses
    assert statuses <= {204, 404, 409}
    assert not api_world.items("Jobs")


def test_a_job_that_ends_while_it_is_cancelled(api_world: ApiWorld) -> None:
    """Fault 9: exactly one end, and a cancellation never turns into a deletion."""
    job_id = api_world.job_id(JobStatus.RUNNING)

    def complete(_parameters: Any) -> bool:
        # Just before the handler's own update is sent.
        if api_world.job(job_id).status is JobStatus.RUNNING:
            fence = api_world.own.work.get_work(job_id).fence
            api_world.own.jobs.set_status(job_id, JobStatus.COMPLETED, fence=fence)
        return False

    api_world.fail("dynamodb", "UpdateItem", match=complete)
    reply = api_world.delete(f"/jobs/{job_id}")
    assert (reply.status, "just ended" in reply.message) == (409, True)
    assert api_world.job(job_id).status is JobStatus.COMPLETED


def test_a_job_that_is_resumed_while_it_is_deleted(api_world: ApiWorld) -> None:
    job_id = api_world.job_id(JobStatus.FAILED)

    def resume(_parameters: Any) -> bool:
        if api_world.job(job_id).status is JobStatus.FAILED:
            api_world.own.jobs.set_status(job_id, JobStatus.QUEUED, fence=None)
        return False

    api_world.fail("dynamodb", "UpdateItem", match=resume)
    assert api_world.delete(f"/jobs/{job_id}").status == 409
    assert api_world.job(job_id).status is JobStatus.QUEUED


def test_a_worker_that_appears_while_its_job_is_deleted(api_world: ApiWorld) -> None:
    """Resumed, claimed and cancelled between the handler's look and its write: nothing is deleted
    under a living worker.
    """
    job_id = api_world.job_id(JobStatus.CANCELLED)

    def revive(_parameters: Any) -> bool:
        if api_world.own.work.get_work(job_id).status is not JobStatus.RUNNING:
            api_world.own.jobs.set_status(job_id, JobStatus.QUEUED, fence=None)
            api_world.own.queue.enqueue(job_id)
            api_world.own.queue.claim(job_id, "another")
            api_world.own.jobs.set_status(job_id, JobStatus.CANCELLED, fence=None)
        return False

    api_world.put_object(keys.batch_key(job_id, 1), b"{}")
    api_world.fail("dynamodb", "UpdateItem", match=revive)
    reply = api_world.delete(f"/jobs/{job_id}")
    assert (reply.status, "stopping" in reply.message) == (409, True)
    assert api_world.object_keys(keys.job_prefix(job_id))


def test_work_that_could_not_be_withdrawn_stays_with_its_worker(
    api_world: ApiWorld, handler_logs: Any
) -> None:
    job_id = api_world.job_id()
    api_world.fail("dynamodb", "UpdateItem", match=lambda call: call["TableName"] == "Queue")
    reply = api_world.delete(f"/jobs/{job_id}")
    assert (reply.status, reply.body["status"]) == (202, "CANCELLED")
    assert "work not withdrawn" in handler_logs.text


# ── resume ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("status", [JobStatus.FAILED, JobStatus.CANCELLED])
def test_an_ended_job_goes_on(api_world: ApiWorld, status: JobStatus) -> None:
    job_id = api_world.job_id(status)
    reply = api_world.post(f"/jobs/{job_id}/resume", {})
    assert (reply.status, reply.body["status"]) == (200, "QUEUED")
    assert api_world.own.work.get_work(job_id).status is JobStatus.QUEUED
    assert len(api_world.aws.tasks.launches) == 2


@pytest.mark.parametrize(
    ("status", "word"),
    [
        (JobStatus.QUEUED, "QUEUED already"),
        (JobStatus.RUNNING, "RUNNING already"),
        (JobStatus.COMPLETED, "nothing left"),
        (JobStatus.DELETING, "being deleted"),
    ],
)
def test_a_job_that_can_not_be_resumed(api_world: ApiWorld, status: JobStatus, word: str) -> None:
    job_id = api_world.job_id(status)
    reply = api_world.post(f"/jobs/{job_id}/resume", {"budget_limit": 100})
    assert (reply.status, word in reply.message) == (409, True)
    assert api_world.job(job_id).status is status
    assert str(api_world.job(job_id).budget_limit) == "5"


def test_a_budget_that_is_used_up_has_to_be_raised(api_world: ApiWorld) -> None:
    """Fault 53."""
    job_id = api_world.job_id(JobStatus.BUDGET_EXCEEDED)
    api_world.own.budgets.open_account(job_id, 5 * 10**9)
    for body in ({}, {"budget_limit": 5}):
        reply = api_world.post(f"/jobs/{job_id}/resume", body)
        assert (reply.status, "$5.00 is used up" in reply.message) == (409, True)
    lower = api_world.post(f"/jobs/{job_id}/resume", {"budget_limit": "4.99"})
    assert (lower.status, "only raised" in lower.message) == (400, True)

    reply = api_world.post(f"/jobs/{job_id}/resume", {"budget_limit": "7.5"})
    assert (reply.status, reply.body["budget_limit"]) == (200, 7.5)


def test_a_raised_budget_whose_resumption_was_cut_off(api_world: ApiWorld) -> None:
    job_id = api_world.job_id(JobStatus.BUDGET_EXCEEDED)
    api_world.own.budgets.open_account(job_id, 5 * 10**9)
    fault = api_world.fail(
        "dynamodb",
        "TransactWriteItems",
        match=lambda call: "active" in str(call) and "QUEUED" in str(call),
    )
    assert api_world.post(f"/jobs/{job_id}/resume", {"budget_limit": 8}).status == 500
    assert fault.hits
    fault.clear()
    assert api_world.job(job_id).status is JobStatus.BUDGET_EXCEEDED
    assert api_world.post(f"/jobs/{job_id}/resume", {"budget_limit": 8}).status == 200


def test_a_job_without_an_account_is_resumed(api_world: ApiWorld) -> None:
    job_id = api_world.job_id(JobStatus.BUDGET_EXCEEDED)
    assert api_world.post(f"/jobs/{job_id}/resume", {}).status == 200


def test_a_resumption_that_was_cut_off_before_the_work_was_queued(api_world: ApiWorld) -> None:
    job_id = api_world.job_id(JobStatus.FAILED)
    fault = api_world.fail(
        "dynamodb", "UpdateItem", match=lambda call: call["TableName"] == "Queue"
    )
    assert api_world.post(f"/jobs/{job_id}/resume", {}).status == 500
    fault.clear()
    assert api_world.job(job_id).status is JobStatus.QUEUED
    assert api_world.own.work.get_work(job_id).status is JobStatus.FAILED

    assert api_world.post(f"/jobs/{job_id}/resume", {}).status == 200
    assert api_world.own.work.get_work(job_id).status is JobStatus.QUEUED


def test_a_job_is_resumed_while_its_worker_is_still_stopping(api_world: ApiWorld) -> None:
    job_id = api_world.job_id(JobStatus.RUNNING)
    api_world.delete(f"/jobs/{job_id}")
    reply = api_world.post(f"/jobs/{job_id}/resume", {})
    assert (reply.status, reply.body["status"]) == (200, "QUEUED")
    assert len(api_world.aws.tasks.launches) == 1, "its owner queues it again"


def test_resuming_counts_against_the_limit(api_world: ApiWorld) -> None:
    job_id = api_world.job_id(JobStatus.FAILED)
    for _ in range(api_world.ports.settings.max_active_jobs):
        api_world.job_id()
    assert api_world.post(f"/jobs/{job_id}/resume", {"budget_limit": 9}).status == 429
    assert str(api_world.job(job_id).budget_limit) == "5"


# ── download ───────────────────────────────────────────────────────────────────────────────────


def test_a_completed_job_gives_every_format_and_its_failures(api_world: ApiWorld) -> None:
    job_id = api_world.job_id(JobStatus.COMPLETED)
    for extension in ("jsonl", "parquet", "csv"):
        api_world.put_object(keys.export_key(job_id, extension), extension.encode())
    api_world.put_object(keys.failures_key(job_id), b"{}\n")
    api_world.put_object(keys.batch_key(job_id, 1), b"{}\n")
    body = api_world.get(f"/jobs/{job_id}/download").body

    assert (body["status"], body["complete"], body["next_cursor"]) == ("COMPLETED", True, None)
    assert [
        (each["kind"], each["name"], each["format"], each["size"]) for each in body["files"]
    ] == [
        ("dataset", "exports/dataset.csv", "CSV", 3),
        ("dataset", "exports/dataset.jsonl", "JSONL", 5),
        ("dataset", "exports/dataset.parquet", "PARQUET", 7),
        ("failures", "failures.jsonl", "JSONL", 3),
    ]
    for each in body["files"]:
        assert f"/jobs/{job_id}/{each['name']}?" in each["url"]
        assert f"X-Amz-Expires={body['expires_in']}" in each["url"]
        assert job_id in each["url"].partition("response-content-disposition=")[2]
    assert body["expires_in"] == 15 * 60


def test_the_report_of_a_dataset_stands_beside_its_files(api_world: ApiWorld) -> None:
    """On the first page, and only of what is exported; it comes as a file to save."""
    job_id = api_world.job_id(JobStatus.COMPLETED)
    api_world.put_object(keys.report_key(job_id), b"<!DOCTYPE html>")
    api_world.put_object(keys.batch_key(job_id, 1), b"{}\n")
    assert api_world.get(f"/jobs/{job_id}/download").body["report"] is None

    for extension in ("jsonl", "csv"):
        api_world.put_object(keys.export_key(job_id, extension), b"{}\n")
    body = api_world.get(f"/jobs/{job_id}/download", query={"limit": "1"}).body
    query = {"limit": "1", "cursor": body["next_cursor"]}
    following = api_world.get(f"/jobs/{job_id}/download", query=query).body

    assert [each["name"] for each in body["files"]] == ["exports/dataset.csv"]
    assert (body["report"]["name"], body["report"]["size"]) == ("report.html", 15)
    url = body["report"]["url"]
    assert f"/jobs/{job_id}/report.html?" in url
    disposition = url.partition("response-content-disposition=")[2]
    assert disposition.startswith("attachment")
    assert f"{job_id}-report.html" in disposition
    assert following["report"] is None
    assert body["card"] is None


def test_rows_and_their_card_stand_beside_the_dataset(api_world: ApiWorld) -> None:
    job_id = api_world.job_id(JobStatus.COMPLETED)
    name = keys.row_file_name("train", 0, 1)
    for key in (keys.export_key(job_id, "jsonl"), f"{keys.rows_prefix(job_id)}{name}"):
        api_world.put_object(key, b"{}\n")
    api_world.put_object(f"{keys.exports_prefix(job_id)}data-csv/test.csv", b"a\n")
    api_world.put_object(keys.card_key(job_id), b"# Towns\n")
    rows = RowResult(
        folder="data",
        shape="messages",
        made_of="0",
        columns={"messages": ListOf(Scalar.JSON), "n": Scalar.INT64},
        counts={"train": 9, "test": 1},
        empty=("dev",),
    )
    api_world.put_object(keys.rows_result_key(job_id), orjson.dumps([rows.document()]))

    body = api_world.get(f"/jobs/{job_id}/download").body

    assert [(each["name"], each["format"], each["split"]) for each in body["files"]] == [
        ("exports/data-csv/test.csv", "CSV", "test"),
        ("exports/data/train-00000-of-00001.parquet", "PARQUET", "train"),
        ("exports/dataset.jsonl", "JSONL", None),
    ]
    assert [each["kind"] for each in body["files"]] == ["rows", "rows", "dataset"]
    assert body["rows"] == [
        {
            "configuration": "default",
            "folder": "data",
            "shape": "messages",
            "columns": {"messages": "list<json>", "n": "int64"},
            "splits": {"train": 9, "test": 1},
            "notes": ["The split dev got no row and is left out."],
        }
    ]
    query = {"limit": "1"}
    first = api_world.get(f"/jobs/{job_id}/download", query=query).body
    second = api_world.get(
        f"/jobs/{job_id}/download", query={**query, "cursor": first["next_cursor"]}
    ).body
    assert (len(first["rows"]), second["rows"], second["card"]) == (1, [], None)
    assert (body["card"]["name"], body["card"]["size"]) == ("README.md", 8)
    assert f"/jobs/{job_id}/README.md?" in body["card"]["url"]


def test_partitions_by_day_are_all_there(api_world: ApiWorld) -> None:
    job_id = api_world.job_id(JobStatus.COMPLETED)
    days = [f"2026-11-{day:02d}" for day in range(20, 25)]
    for day in days:
        key = f"{keys.exports_prefix(job_id)}date={day}/records.jsonl"
        api_world.put_object(key, b"{}\n")
    names, cursor, pages = [], None, 0
    while pages == 0 or cursor is not None:
        query = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
        body = api_world.get(f"/jobs/{job_id}/download", query=query).body
        names += [each["name"] for each in body["files"]]
        cursor, pages = body["next_cursor"], pages + 1
    assert names == [f"exports/date={day}/records.jsonl" for day in days]


@pytest.mark.parametrize(
    "status",
    [JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.CANCELLED, JobStatus.FAILED],
)
def test_what_there_is_so_far(api_world: ApiWorld, status: JobStatus) -> None:
    job_id = api_world.job_id(status)
    empty = api_world.get(f"/jobs/{job_id}/download").body
    assert (empty["complete"], empty["files"], empty["next_cursor"]) == (False, [], None)

    for number in (1, 2, 3):
        api_world.put_object(keys.batch_key(job_id, number), b"{}\n")
    first = api_world.get(f"/jobs/{job_id}/download", query={"limit": "2"}).body
    query = {"limit": "2", "cursor": first["next_cursor"]}
    # The export is published between two pages: the list that was begun is gone on with.
    api_world.put_object(keys.export_key(job_id, "jsonl"), b"{}\n")
    second = api_world.get(f"/jobs/{job_id}/download", query=query).body
    files = first["files"] + second["files"]
    assert [(each["kind"], each["name"]) for each in files] == [
        ("batch", f"outputs/batch-000{number}.jsonl") for number in (1, 2, 3)
    ]
    assert second["next_cursor"] is None

    exported = api_world.get(f"/jobs/{job_id}/download").body
    assert [each["kind"] for each in exported["files"]] == ["dataset"]
    assert exported["complete"] is False


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 100])
def test_failures_so_far_come_after_the_batches(api_world: ApiWorld, limit: int) -> None:
    """Also of a job whose every record has failed."""
    job_id = api_world.job_id(JobStatus.FAILED)
    parts = [keys.failure_part_key(job_id, number) for number in (1, 2, 3)]
    for key in parts:
        api_world.put_object(key, b"{}\n")

    failures = [("failures", f"failures/part-000{number}.jsonl") for number in (1, 2, 3)]
    assert downloads(api_world, job_id, limit=limit) == failures
    for number in (1, 2):
        api_world.put_object(keys.batch_key(job_id, number), b"{}\n")
    batches = [("batch", f"outputs/batch-000{number}.jsonl") for number in (1, 2)]
    assert downloads(api_world, job_id, limit=limit) == [*batches, *failures]
    for key in parts:
        api_world.aws.s3.delete_object(Bucket=BUCKET, Key=key)
    assert downloads(api_world, job_id, limit=limit) == batches


def test_a_budget_stopped_job_gives_what_was_paid_for(api_world: ApiWorld) -> None:
    """S8.3."""
    job_id = api_world.job_id(JobStatus.BUDGET_EXCEEDED)
    api_world.put_object(keys.export_key(job_id, "jsonl"), b"{}\n")
    body = api_world.get(f"/jobs/{job_id}/download").body
    assert [each["kind"] for each in body["files"]] == ["dataset"]
    assert body["complete"] is False, "not all records of the job"


# ── estimate ───────────────────────────────────────────────────────────────────────────────────


def estimate(world: ApiWorld, **fields: Any) -> Any:
    """The answer to a request for an estimate."""
    body = {"num_records": 1000, **fields}
    if "template_id" not in body:
        body["template_id"] = world.template()
    if "seed_data_path" not in body:
        body["seed_data_path"] = world.seeds()
    return world.post("/jobs/estimate", body)


def test_an_estimate(api_world: ApiWorld) -> None:
    reply = estimate(api_world)
    assert reply.status == 200, reply
    body = reply.body
    assert 0 < body["lowest_usd"] < body["likely_usd"] < body["highest_usd"]
    assert (body["models"], body["num_records"]) == ([MODEL], 1000)
    assert (body["template_version"], body["seeds_read"]) == (1, 1)
    # "Review kettle." is 14 characters, 4 tokens at four characters each, and half of 64 come back.
    price = load_prices().prices[MODEL]
    nano = 1000 * (4 * price.input + 32 * price.output)
    assert body["likely_usd"] == pytest.approx(nano / 10**9)
    assert body["likely_tokens"] == 1000 * (4 + 32)
    assert not api_world.items("Jobs")
    assert not api_world.aws.tasks.requests


def test_row_7_a_budget_below_the_likely_cost_needs_a_word(api_world: ApiWorld) -> None:
    order = api_world.order(num_records=1000)
    asked = {name: order[name] for name in ("template_id", "seed_data_path")}
    found = estimate(api_world, **asked).body
    likely = Decimal(str(found["likely_usd"]))

    refused = api_world.post("/jobs", {**order, "budget_limit": str(likely - Decimal("1e-9"))})

    assert (refused.status, refused.body["error"]["code"]) == (400, "budget_too_small")
    assert [each["field"] for each in refused.body["error"]["details"]] == ["budget_limit"]
    assert all(
        usd(int(Decimal(str(found[f"{name}_usd"])) * 10**9)) in refused.message
        for name in ("lowest", "likely", "highest")
    )
    assert not api_world.items("Jobs")
    assert not api_world.aws.tasks.requests
    for fields in ({"budget_limit": str(likely)}, {"budget_limit": "0.01", "allow_partial": True}):
        assert api_world.post("/jobs", {**order, **fields}).status == 201


@pytest.mark.parametrize(
    ("body", "problem"),
    [(b'{"product": ', "not valid JSON"), (b'{"name": "kettle"}', "'product'")],
    ids=["no JSON", "a path is missing"],
)
def test_a_job_whose_first_seeds_are_of_no_use_is_not_made(
    api_world: ApiWorld, body: bytes, problem: str
) -> None:
    seeds = api_world.upload("seeds.jsonl", body)

    reply = api_world.create_job(seed_data_path=seeds)

    assert (reply.status, reply.body["error"]["code"]) == (400, "invalid_seeds")
    assert problem in reply.message
    assert not api_world.items("Jobs")
    assert api_world.create_job(seed_data_path=seeds, allow_partial=True).status == 201


def test_an_estimate_counts_what_is_included_by_name(api_world: ApiWorld) -> None:
    rules = {"name": "Rules", "steps": [step(prompt="Be brief. " * 100)], "public": True}
    assert api_world.post("/templates", rules, user=BOB).status == 201
    short = estimate(api_world).body
    steps = [step(prompt="{% include 'Rules' %} Review {{ product }}.")]
    mine = api_world.post("/templates", {"name": "Mine", "steps": steps})
    long = estimate(api_world, template_id=mine.body["template_id"]).body
    assert long["likely_tokens"] - short["likely_tokens"] > 1000 * 200


def test_an_estimate_with_seeds_that_are_not_there(api_world: ApiWorld) -> None:
    key = f"seed-data/{ALICE}/nothing.jsonl"
    reply = estimate(api_world, seed_data_path=key)
    assert (reply.status, key in reply.message) == (404, True)


def test_an_estimate_with_another_model(api_world: ApiWorld) -> None:
    cheap = estimate(api_world).body
    dear = estimate(api_world, model=SCHEMA_MODEL).body
    assert dear["models"] == [SCHEMA_MODEL]
    assert dear["highest_usd"] > cheap["highest_usd"]


def as_csv(rows: list[dict[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, ["product"])
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def as_parquet(rows: list[dict[str, Any]]) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "encode"),
    [
        ("seeds.json", orjson.dumps),
        ("seeds.jsonl", lambda rows: b"\n".join(map(orjson.dumps, rows))),
        ("seeds.csv", as_csv),
        ("seeds.parquet", as_parquet),
    ],
)
def test_an_estimate_reads_the_first_seeds_of_every_format(
    api_world: ApiWorld, name: str, encode: Callable[[Any], bytes]
) -> None:
    rows = [{"product": f"product {number}"} for number in range(1500)]
    reply = estimate(api_world, seed_data_path=api_world.upload(name, encode(rows)))
    assert (reply.status, reply.body["seeds_read"]) == (200, 1000), reply


def test_an_estimate_says_which_field_of_rows_no_seed_has(api_world: ApiWorld) -> None:
    """Of all seeds it is refused, as a job is whose budget is checked; of the first ones told."""
    output = {"columns": {"x": "seed.lable"}}
    document = {"name": "T", "steps": [step(prompt="{{ product }}")], "output": output}
    template_id = api_world.post("/templates", document).body["template_id"]
    seeds = api_world.seeds([{"product": "kettle", "label": "a"}])
    refused = estimate(api_world, template_id=template_id, seed_data_path=seeds)
    told = 'rows of the dataset read seed.lable, which no seed has, did you mean "seed.label"?'
    assert refused.status == 400
    assert refused.message.startswith(told)
    order = api_world.order(template_id=template_id, seed_data_path=seeds)
    assert api_world.post("/jobs", order).message == refused.message
    many = api_world.seeds([{"product": "kettle"}] * 1001)
    found = estimate(api_world, template_id=template_id, seed_data_path=many)
    assert (found.status, found.body["seeds_read"]) == (200, 1000)
    told = "rows of the dataset read seed.lable, which none of the first 1000 seeds has"
    assert told in found.body["warnings"]


def test_an_estimate_reads_no_more_than_it_needs(api_world: ApiWorld) -> None:
    """A megabyte is read of a file that is damaged further on."""
    good = b"".join(orjson.dumps({"product": "x" * 100}) + b"\n" for _ in range(20_000))
    reply = estimate(api_world, seed_data_path=api_world.upload("s.jsonl", good + b"{damage"))
    assert (reply.status, reply.body["seeds_read"]) == (200, 1000)


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        (b'{"product": 1', "line 1, column"),
        (b'{"name": "kettle"}', "the template needs 'product'"),
        (b'["kettle"]', "expected an object"),
    ],
)
def test_an_estimate_of_seeds_that_do_not_fit(
    api_world: ApiWorld, rows: bytes, problem: str
) -> None:
    reply = estimate(api_world, seed_data_path=api_world.upload("s.jsonl", rows))
    assert (reply.status, problem in reply.message) == (400, True), reply


def test_an_estimate_of_a_prompt_that_can_not_be_rendered(api_world: ApiWorld) -> None:
    template_id = api_world.template(step(prompt="{{ product.name.first }}"))
    seeds = api_world.seeds([{"product": {"name": {"first": {}}}}, {"product": {"name": 1}}])
    reply = estimate(api_world, template_id=template_id, seed_data_path=seeds)
    assert (reply.status, "product.name.first" in reply.message) == (400, True), reply


def test_an_estimate_takes_the_strategy_of_the_job(api_world: ApiWorld) -> None:
    seeds = api_world.seeds([{"product": "x"}, {"product": "y" * 4000}])
    reply = estimate(
        api_world,
        seed_data_path=seeds,
        num_records=1,
        seed_strategy=str(SeedStrategy.SEQUENTIAL),
    )
    assert reply.body["likely_tokens"] < 100, "record 0 has the first seed"


def test_a_job_that_vanishes_while_it_is_shown(api_world: ApiWorld) -> None:
    """S2.6: deleted between the handler's own two reads."""
    job_id = api_world.job_id(JobStatus.FAILED)
    with pytest.raises(NotFoundError):
        api_world.own.jobs.get_job(SOME_ID)

    def vanish(_parameters: Any) -> bool:
        api_world.aws.dynamodb.delete_item(TableName="Jobs", Key={"job_id": {"S": job_id}})
        return False

    api_world.fail("dynamodb", "UpdateItem", match=vanish)
    assert api_world.delete(f"/jobs/{job_id}").status == 404
