"""Group S3: handlers when AWS fails. Faults are put below boto3, so the SDK's retries take part."""

import json
from typing import Any

import pytest

from runtime.contract import keys
from runtime.contract.routes import SWEEP_QUEUE
from runtime.domain.jobs.job import JobStatus
from runtime.sdk import REQUEST
from tests.fixtures.api import HandlerLogs, Reply
from tests.fixtures.api_world import ApiWorld
from tests.fixtures.aws_api import API_ENVIRONMENT
from tests.fixtures.lambda_events import ALICE, REQUEST_ID
from tests.fixtures.worker_world import step

SECRETS = ("secret detail", "seeds-", "kettle", "seed-data", "Review {{", "ConditionExpression")
"""Of a fault, of a user, and of how we work inside."""

JOB_OPERATIONS: list[tuple[str, str, Any]] = [
    ("GET", "/jobs/{id}", None),
    ("DELETE", "/jobs/{id}", None),
    ("GET", "/jobs/{id}/download", None),
    ("POST", "/jobs/{id}/resume", {}),
    ("POST", "/jobs/{id}/export", {}),
    ("GET", "/dashboard/jobs/{id}", None),
]


def call(world: ApiWorld, method: str, path: str, body: Any = None) -> Reply:
    event = {} if body is None else {"body": body}
    return world.call(method, path, **event)


def own_fault(reply: Reply, logs: HandlerLogs, status: int) -> dict[str, Any]:
    """The line of log of a failure that the client learns nothing about."""
    assert reply.status == status, reply
    assert reply.headers["x-request-id"] == REQUEST_ID
    for secret in SECRETS:
        assert secret not in json.dumps(reply.body)
        assert secret not in logs.text
    [line] = [line for line in logs.lines if line["message"] == "request failed"]
    assert line["request_id"] == REQUEST_ID
    assert line["status"] == status
    return line


# ── reads ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("method", "path", "body"), JOB_OPERATIONS)
@pytest.mark.parametrize(
    ("code", "http", "expected"),
    [("AccessDeniedException", 400, 500), ("InternalServerError", 500, 500)],
)
def test_s3_1_a_read_that_fails(
    api_world: ApiWorld,
    handler_logs: HandlerLogs,
    method: str,
    path: str,
    body: Any,
    code: str,
    http: int,
    expected: int,
) -> None:
    job_id = api_world.job_id(JobStatus.FAILED)
    before = api_world.items("Jobs"), api_world.items("Queue")
    api_world.fail("dynamodb", "GetItem", code, status=http)
    reply = call(api_world, method, path.format(id=job_id), body)
    line = own_fault(reply, handler_logs, expected)
    assert line["cause"] == "ClientError" or line["cause"] == code
    assert (api_world.items("Jobs"), api_world.items("Queue")) == before


@pytest.mark.parametrize("path", ["/jobs", "/dashboard/summary"])
def test_s3_1_a_list_that_fails(api_world: ApiWorld, handler_logs: HandlerLogs, path: str) -> None:
    api_world.fail("dynamodb", "Query", "AccessDeniedException", status=400)
    own_fault(api_world.get(path), handler_logs, 500)


def test_s3_1_an_item_that_is_damaged(api_world: ApiWorld, handler_logs: HandlerLogs) -> None:
    job_id = api_world.job_id()
    api_world.aws.dynamodb.update_item(
        TableName="Jobs",
        Key={"job_id": {"S": job_id}},
        UpdateExpression="REMOVE config",
    )
    own_fault(api_world.get(f"/jobs/{job_id}"), handler_logs, 500)


@pytest.mark.parametrize(
    ("operation", "path"), [("HeadObject", "/jobs"), ("GetObject", "/jobs/estimate")]
)
def test_s3_1_seeds_that_can_not_be_read(
    api_world: ApiWorld, handler_logs: HandlerLogs, operation: str, path: str
) -> None:
    body = api_world.order()
    if path == "/jobs/estimate":
        body = {name: body[name] for name in ("template_id", "seed_data_path", "num_records")}
    api_world.fail("s3", operation, "AccessDenied", status=403)
    own_fault(api_world.post(path, body), handler_logs, 500)
    assert not api_world.items("Jobs")


# ── throttling ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("code", ["ProvisionedThroughputExceededException", "ThrottlingException"])
@pytest.mark.parametrize(("method", "path", "body"), JOB_OPERATIONS)
def test_s3_6_throttling_is_retried_then_told(
    api_world: ApiWorld,
    handler_logs: HandlerLogs,
    method: str,
    path: str,
    body: Any,
    code: str,
) -> None:
    job_id = api_world.job_id(JobStatus.FAILED)
    fault = api_world.fail("dynamodb", "GetItem", code, status=400)
    reply = call(api_world, method, path.format(id=job_id), body)
    own_fault(reply, handler_logs, 503)
    assert int(reply.headers["retry-after"]) > 0
    assert reply.body["error"]["code"] == "storage_busy"
    assert fault.hits == REQUEST.attempts, "the SDK has tried again"


def test_s3_6_throttling_that_passes_is_never_seen(api_world: ApiWorld) -> None:
    job_id = api_world.job_id()
    fault = api_world.fail("dynamodb", "GetItem", "ThrottlingException", status=400, times=2)
    assert api_world.get(f"/jobs/{job_id}").status == 200
    assert fault.hits == 2


def test_s3_6_creating_a_job_while_the_table_is_throttled(
    api_world: ApiWorld, handler_logs: HandlerLogs
) -> None:
    body = api_world.order()
    fault = api_world.fail("dynamodb", "TransactWriteItems", "ThrottlingException", status=400)
    reply = api_world.post("/jobs", body)
    own_fault(reply, handler_logs, 503)
    assert fault.hits == REQUEST.attempts
    assert not api_world.items("Jobs")
    assert not api_world.items("Queue")


# ── writes ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("code", "http", "expected"),
    [("InternalServerError", 500, 500), ("AccessDeniedException", 400, 500)],
)
def test_s3_2_a_job_is_stored_as_a_whole_or_not_at_all(
    api_world: ApiWorld, handler_logs: HandlerLogs, code: str, http: int, expected: int
) -> None:
    body = api_world.order()
    before = api_world.items("Templates"), api_world.object_keys()
    api_world.fail("dynamodb", "TransactWriteItems", code, status=http)
    own_fault(api_world.post("/jobs", body), handler_logs, expected)
    assert not api_world.items("Jobs")
    assert not api_world.items("Queue")
    assert not api_world.aws.tasks.requests, "no machine for a job that isn't there"
    assert (api_world.items("Templates"), api_world.object_keys()) == before


def test_s3_2_a_stored_job_whose_answer_was_lost_is_one_job(api_world: ApiWorld) -> None:
    """Fault 1: the SDK sends the transaction again, and the client asks again."""
    body, headers = api_world.order(), {"Idempotency-Key": "once"}
    api_world.fail("dynamodb", "TransactWriteItems", after_write=True, times=1)
    first = api_world.post("/jobs", body, headers=headers)
    again = api_world.post("/jobs", body, headers=headers)
    assert {first.status, again.status} <= {200, 201}
    assert first.body["job_id"] == again.body["job_id"]
    assert len(api_world.items("Jobs")) == len(api_world.items("Queue")) == 1


@pytest.mark.parametrize("status", [JobStatus.QUEUED, JobStatus.FAILED])
def test_s3_1_a_status_that_can_not_be_written(
    api_world: ApiWorld, handler_logs: HandlerLogs, status: JobStatus
) -> None:
    job_id = api_world.job_id(status)
    api_world.put_object(keys.batch_key(job_id, 1), b"{}")
    api_world.fail("dynamodb", "UpdateItem", "AccessDeniedException", status=400)
    own_fault(api_world.delete(f"/jobs/{job_id}"), handler_logs, 500)
    assert api_world.job(job_id).status is status
    assert api_world.object_keys(keys.job_prefix(job_id)), "nothing goes before the status says so"


# ── signed addresses ───────────────────────────────────────────────────────────────────────────


def test_s3_4_an_address_that_can_not_be_signed(
    api_world: ApiWorld, handler_logs: HandlerLogs, monkeypatch: pytest.MonkeyPatch
) -> None:
    from runtime.bootstrap import aws_api  # noqa: PLC0415

    job_id = api_world.job_id(JobStatus.COMPLETED)
    api_world.put_object(keys.export_key(job_id, "jsonl"), b"{}\n")
    # Signing asks no service: what can fail is that there are no credentials.
    unable = aws_api(API_ENVIRONMENT, clock=api_world.ports.clock)
    _ = unable.jobs, unable.objects
    from botocore.exceptions import NoCredentialsError  # noqa: PLC0415
    from botocore.signers import RequestSigner  # noqa: PLC0415

    def fail(*_: object, **__: object) -> None:
        raise NoCredentialsError

    monkeypatch.setattr(RequestSigner, "generate_presigned_url", fail)
    own_fault(api_world.get(f"/jobs/{job_id}/download"), handler_logs, 500)


# ── launching ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("code", "http"),
    [
        ("ClusterNotFoundException", 400),
        ("AccessDeniedException", 400),
        ("ThrottlingException", 400),
        ("ServerException", 500),
    ],
)
def test_s3_5_ecs_refuses(
    api_world: ApiWorld, handler_logs: HandlerLogs, code: str, http: int
) -> None:
    fault = api_world.fail("ecs", "RunTask", code, status=http)
    reply = api_world.create_job()
    job_id = waits_for_the_sweeper(api_world, handler_logs, reply)
    assert code in reply.body["launch_error"]
    swept(api_world, job_id, fault.clear)


def test_s3_5_ecs_has_no_machine(api_world: ApiWorld, handler_logs: HandlerLogs) -> None:
    """Fault 20: a reply of status 200 with failures in it."""
    api_world.aws.tasks.full_for = 1
    reply = api_world.create_job()
    job_id = waits_for_the_sweeper(api_world, handler_logs, reply)
    assert "Capacity is unavailable" in reply.body["launch_error"]
    swept(api_world, job_id)


@pytest.mark.parametrize("operation", ["GetItem", "UpdateItem"])
def test_s3_5_the_queue_can_not_be_reached(
    api_world: ApiWorld, handler_logs: HandlerLogs, operation: str
) -> None:
    """The job is stored by then: the client has it, and the sweeper does the rest."""
    fault = api_world.fail(
        "dynamodb", operation, match=lambda parameters: parameters["TableName"] == "Queue"
    )
    reply = api_world.create_job()
    assert reply.status == 201, reply
    assert "tried again" in reply.body["launch_error"]
    assert "worker not started" in handler_logs.text
    assert not api_world.aws.tasks.requests
    swept(api_world, reply.body["job_id"], fault.clear)


def test_s3_5_a_failed_launch_that_can_not_be_noted(
    api_world: ApiWorld, handler_logs: HandlerLogs
) -> None:
    api_world.aws.tasks.full_for = 1
    fault = api_world.fail(
        "dynamodb", "UpdateItem", match=lambda parameters: parameters["TableName"] == "Jobs"
    )
    reply = api_world.create_job()
    assert reply.status == 201
    assert reply.body["launch_error"]
    assert handler_logs.text.count("worker not started") == 2
    swept(api_world, reply.body["job_id"], fault.clear)


def test_s3_5_resuming_while_ecs_refuses(api_world: ApiWorld, handler_logs: HandlerLogs) -> None:
    job_id = api_world.job_id(JobStatus.FAILED)
    api_world.aws.tasks.full_for = 1
    reply = api_world.post(f"/jobs/{job_id}/resume", {})
    assert (reply.status, reply.body["status"]) == (200, "QUEUED")
    assert "Capacity" in reply.body["launch_error"]
    assert "worker not started" in handler_logs.text
    swept(api_world, job_id)


def waits_for_the_sweeper(world: ApiWorld, logs: HandlerLogs, reply: Reply) -> str:
    """S3.5: the job is there and queued, and the client and the log know why it doesn't run."""
    assert reply.status == 201, reply
    job_id: str = reply.body["job_id"]
    assert reply.body["status"] == "QUEUED"
    assert reply.body["launch_error"]
    assert world.job(job_id).launch_error == reply.body["launch_error"]
    assert world.get(f"/jobs/{job_id}").body["launch_error"] == reply.body["launch_error"]
    [line] = [line for line in logs.lines if line["message"] == "worker not started"]
    assert (line["request_id"], line["level"]) == (REQUEST_ID, "ERROR")
    for secret in SECRETS:
        assert secret not in logs.text
    item = world.own.work.get_work(job_id)
    assert (item.status, item.launched_at) == (JobStatus.QUEUED, None)
    return job_id


def swept(world: ApiWorld, job_id: str, repair: Any = lambda: None) -> None:
    """The sweeper starts the worker, and the error is forgotten."""
    repair()
    before = len(world.aws.tasks.launches)
    counts = world.handle(SWEEP_QUEUE, {})
    assert (counts["queued"], counts["launched"], counts["failed"]) == (1, 1, 0)
    assert len(world.aws.tasks.launches) == before + 1
    assert world.aws.tasks.launches[-1].variables["JOB_ID"] == job_id
    assert world.get(f"/jobs/{job_id}").body["launch_error"] is None


# ── conditional writes ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("status", "method", "path", "body"),
    [
        (JobStatus.QUEUED, "DELETE", "/jobs/{id}", None),
        (JobStatus.FAILED, "DELETE", "/jobs/{id}", None),
        (JobStatus.FAILED, "POST", "/jobs/{id}/resume", {}),
    ],
)
def test_s3_3_s2_6_a_condition_that_fails_underneath(
    api_world: ApiWorld, status: JobStatus, method: str, path: str, body: Any
) -> None:
    """Somebody else has changed the job between read and write: 409, and nothing is lost."""
    job_id = api_world.job_id(status)

    def complete(_parameters: Any) -> bool:
        api_world.aws.dynamodb.update_item(
            TableName="Jobs",
            Key={"job_id": {"S": job_id}},
            UpdateExpression="SET #status = :completed",
            ExpressionAttributeNames={"#status": "status"},
            ExpressionAttributeValues={
                ":completed": {"S": "DELETING" if status is JobStatus.FAILED else "COMPLETED"}
            },
        )
        return False

    write = "TransactWriteItems" if method == "POST" else "UpdateItem"
    api_world.fail("dynamodb", write, match=complete)
    reply = call(api_world, method, path.format(id=job_id), body)
    assert (reply.status, reply.body["error"]["code"]) == (409, "conflict")


def test_s3_3_a_transaction_that_met_another_is_sent_again(api_world: ApiWorld) -> None:
    """Fault 79: the SDK doesn't retry it, because it is no throttling."""
    body = api_world.order()
    fault = api_world.fail(
        "dynamodb", "TransactWriteItems", "TransactionInProgressException", status=400, times=1
    )
    reply = api_world.post("/jobs", body)
    assert (fault.hits, reply.status) == (1, 201)
    assert len(api_world.items("Jobs")) == len(api_world.items("Queue")) == 1


# ── templates ──────────────────────────────────────────────────────────────────────────────────

DOCUMENT = {"name": "T", "steps": [step()]}
READING_A_TEMPLATE: list[tuple[str, str, dict[str, Any]]] = [
    ("GET", "", {}),
    ("GET", "/versions", {}),
    ("GET", "/export", {}),
    ("DELETE", "", {}),
    ("POST", "/fork", {"body": {}}),
    ("POST", "/preview", {"body": {}}),
    ("PUT", "", {"body": DOCUMENT}),
]


@pytest.mark.parametrize(
    ("code", "status"), [("InternalServerError", 500), ("AccessDeniedException", 400)]
)
def test_s3_1_a_template_that_can_not_be_read(
    api_world: ApiWorld, handler_logs: HandlerLogs, code: str, status: int
) -> None:
    template_id = api_world.template()
    api_world.fail("dynamodb", "GetItem", code, status=status)
    for method, rest, event in READING_A_TEMPLATE:
        reply = api_world.call(method, f"/templates/{template_id}{rest}", **event)
        assert (reply.status, reply.body["error"]["code"]) == (500, "internal"), (method, rest)
        assert "secret" not in reply.text
    assert "secret" not in handler_logs.text
    assert [line["request_id"] for line in handler_logs.lines] == [REQUEST_ID] * len(
        READING_A_TEMPLATE
    )


def test_s3_1_lists_of_templates_that_can_not_be_read(
    api_world: ApiWorld, handler_logs: HandlerLogs
) -> None:
    template_id = api_world.template()
    api_world.fail("dynamodb", "Query", "AccessDeniedException", status=400)
    for path, query in (
        ("/templates", {}),
        ("/templates", {"public": "true"}),
        (f"/templates/{template_id}/versions", {}),
    ):
        reply = api_world.get(path, query=query)
        assert (reply.status, reply.body["error"]["code"]) == (500, "internal")
    assert len(handler_logs.lines) == 3


def test_s3_6_throttled_reads_of_a_template(api_world: ApiWorld) -> None:
    template_id = api_world.template()
    before = api_world.items("Templates")
    fault = api_world.fail(
        "dynamodb", "GetItem", "ProvisionedThroughputExceededException", status=400
    )
    for method, rest, event in READING_A_TEMPLATE:
        hits = fault.hits
        reply = api_world.call(method, f"/templates/{template_id}{rest}", **event)
        assert (reply.status, reply.headers["retry-after"]) == (503, "2")
        assert fault.hits > hits + 1, "the SDK has retried"
    assert api_world.items("Templates") == before


@pytest.mark.parametrize(
    ("code", "status", "answer"),
    [
        ("InternalServerError", 500, 500),
        ("AccessDeniedException", 400, 500),
        ("ThrottlingException", 400, 503),
    ],
)
def test_a_template_that_could_not_be_written_is_not_there(
    api_world: ApiWorld, code: str, status: int, answer: int
) -> None:
    template_id = api_world.template()
    before = api_world.items("Templates")
    api_world.fail("dynamodb", "TransactWriteItems", code, status=status)
    for method, path, body in (
        ("POST", "/templates", DOCUMENT),
        ("POST", "/templates/import", {"document": DOCUMENT}),
        ("POST", f"/templates/{template_id}/fork", {}),
        ("PUT", f"/templates/{template_id}", DOCUMENT),
    ):
        assert api_world.call(method, path, body=body).status == answer, path
    assert api_world.items("Templates") == before


def test_a_created_template_whose_reply_is_lost_is_there_once(api_world: ApiWorld) -> None:
    """The SDK sends the transaction again, and DynamoDB knows it by its token."""
    api_world.fail("dynamodb", "TransactWriteItems", after_write=True, times=1)
    assert api_world.post("/templates", DOCUMENT).status == 201
    assert len(api_world.items("Templates")) == 2, "a head and a version"


# ── seed files ─────────────────────────────────────────────────────────────────────────────────


def test_s3_7_a_seed_file_that_does_not_exist_is_named(api_world: ApiWorld) -> None:
    key = f"seed-data/{ALICE}/nothing.csv"
    reply = api_world.post("/seed-data/validate", {"s3_key": key})
    assert (reply.status, reply.body["error"]["code"]) == (404, "not_found")
    assert reply.message == f"no seed data under {key}: upload it first"


def test_s3_7_a_seed_file_that_goes_while_it_is_looked_for(api_world: ApiWorld) -> None:
    key = api_world.seeds()
    api_world.fail("s3", "GetObject", "NoSuchVersion", status=404)
    reply = api_world.post("/seed-data/validate", {"s3_key": key})
    assert reply.status == 404
    assert key in reply.message


@pytest.mark.parametrize(
    ("operation", "code", "status", "answer"),
    [
        ("HeadObject", "AccessDenied", 403, 500),
        ("GetObject", "AccessDenied", 403, 500),
        ("GetObject", "SlowDown", 503, 503),
        ("GetObject", "InternalError", 500, 500),
    ],
)
def test_s3_1_s3_6_a_seed_file_that_can_not_be_read(
    api_world: ApiWorld,
    handler_logs: HandlerLogs,
    operation: str,
    code: str,
    status: int,
    answer: int,
) -> None:
    key = api_world.seeds()
    api_world.fail("s3", operation, code, status=status)
    reply = api_world.post("/seed-data/validate", {"s3_key": key})
    assert reply.status == answer
    assert ("retry-after" in reply.headers) is (answer == 503)
    assert "secret" not in reply.text + handler_logs.text
    assert handler_logs.lines[0]["request_id"] == REQUEST_ID


def test_s3_1_a_list_of_seed_files_that_can_not_be_read(
    api_world: ApiWorld, handler_logs: HandlerLogs
) -> None:
    api_world.fail("s3", "ListObjectsV2", "AccessDenied", status=403)
    reply = api_world.get("/seed-data")
    assert (reply.status, reply.body["error"]["code"]) == (500, "internal")
    assert handler_logs.lines[0]["operation"] == "list_seed_data"
