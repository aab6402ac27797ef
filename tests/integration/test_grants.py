"""What the handlers really ask AWS for, beside what their rows of the route table grant them.

One walk through the API takes every path that asks for something. A call that no row covers would
be refused on AWS; a grant that no call needs is a right that somebody could steal.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any, Final

import pytest

from runtime.contract import keys
from runtime.contract import routes as grants
from runtime.contract.routes import (
    FUNCTIONS,
    Function,
    LaunchGrant,
    ListGrant,
    ModelGrant,
    ObjectGrant,
    TableGrant,
)
from runtime.domain.job import JobStatus, work_id_of
from runtime.lambdas.events import sweep_queue, task_stopped
from runtime.lambdas.events.event_handler import EventHandler
from runtime.lambdas.router import match
from tests.fixtures.api import Reply
from tests.fixtures.api_world import ApiWorld
from tests.fixtures.bedrock_double import BedrockDouble
from tests.fixtures.clock import ManualClock
from tests.fixtures.lambda_events import ALICE, BOB
from tests.fixtures.session_faults import Call
from tests.fixtures.worker_world import step

Right = tuple[str, str]
"""An action, and where: table, table/index, key pattern or prefix."""

ACTIONS_OF_PARTS: Final = {
    "Put": "dynamodb:PutItem",
    "Update": "dynamodb:UpdateItem",
    "Delete": "dynamodb:DeleteItem",
    "ConditionCheck": "dynamodb:ConditionCheckItem",
}
PATTERNS: Final = (
    grants.EXPORTS,
    grants.BATCHES,
    grants.FAILURES,
    grants.SEEDS,
    grants.JOB_DATA,
)
"""Of keys, the narrowest first."""

UNSEEN: Final[Mapping[str, frozenset[Right]]] = {
    # S3 asks for one or the other of these, by the state of the bucket's versions.
    "delete_job": frozenset({("s3:DeleteObject", grants.JOB_DATA)}),
}
"""Rights that are needed and asked for by nobody here."""


class Walk:
    """Requests and events, with what each function asks for on the way."""

    def __init__(self, world: ApiWorld, clock: ManualClock) -> None:
        self.world = world
        self.clock = clock
        self.used: dict[str, set[Right]] = defaultdict(set)

    def call(self, method: str, path: str, *, status: int, **event: Any) -> Reply:
        found = match(method, path)
        assert found is not None
        seen = len(self.world.calls)
        reply = self.world.call(method, path, **event)
        assert reply.status == status, (method, path, reply)
        self._note(found[0].function.name, self.world.calls[seen:])
        return reply

    def event(self, handler: EventHandler, event: Mapping[str, Any]) -> None:
        name = handler.operation.__module__.rpartition(".")[2]
        seen = len(self.world.calls)
        handler.handle(event, self.world.ports)
        self._note(name, self.world.calls[seen:])

    def _note(self, function: str, calls: list[Call]) -> None:
        for call in calls:
            self.used[function].update(_rights_for(call))


def _rights_for(call: Call) -> Iterator[Right]:
    """What one API call needs."""
    parameters: Any = call.parameters
    match call.service:
        case "dynamodb":
            yield from _table_rights(call.operation, parameters)
        case "s3":
            yield from _object_rights(call.operation, parameters)
        case "ecs":
            yield f"ecs:{call.operation}", ""


def _table_rights(operation: str, parameters: Any) -> Iterator[Right]:
    match operation:
        case "TransactWriteItems":
            for part in parameters["TransactItems"]:
                ((kind, request),) = part.items()
                yield ACTIONS_OF_PARTS[kind], request["TableName"]
        case "BatchWriteItem":
            for table in parameters["RequestItems"]:
                yield "dynamodb:BatchWriteItem", table
        case _:
            table, index = parameters["TableName"], parameters.get("IndexName")
            yield f"dynamodb:{operation}", f"{table}/{index}" if index else table


def _object_rights(operation: str, parameters: Any) -> Iterator[Right]:
    match operation:
        case "GetObject" | "HeadObject":
            version = "Version" if "VersionId" in parameters else ""
            yield f"s3:GetObject{version}", _pattern_of(parameters["Key"])
            # Without this S3 answers 403 where an object is missing, not 404.
            yield "s3:ListBucket", _prefix_pattern_of(parameters["Key"])
        case "ListObjectsV2":
            yield "s3:ListBucket", _prefix_pattern_of(parameters["Prefix"])
        case "ListObjectVersions":
            yield "s3:ListBucketVersions", _prefix_pattern_of(parameters["Prefix"])
        case "DeleteObjects":
            for each in parameters["Delete"]["Objects"]:
                version = "Version" if "VersionId" in each else ""
                yield f"s3:DeleteObject{version}", _prefix_pattern_of(each["Key"])
        case "CreateBucket":  # so the SDK finds the host of a form; whoever posts it borrows this
            yield "s3:PutObject", grants.SEEDS
        case _:
            yield f"s3:{operation}", ""


def _pattern_of(key: str) -> str:
    return next(pattern for pattern in PATTERNS if fnmatchcase(key, pattern))


def _prefix_pattern_of(prefix: str) -> str:
    return next(each for each in (grants.SEEDS, grants.JOB_DATA) if fnmatchcase(prefix, each))


def _granted(function: Function) -> Iterator[Right]:
    for grant in function.grants:
        match grant:
            case TableGrant(table=table, index=index, actions=actions):
                where = f"{table.name}/{index}" if index else table.name
                yield from ((action, where) for action in actions)
            case ObjectGrant(keys=patterns, actions=actions):
                yield from ((action, each) for action in actions for each in patterns)
            case ListGrant(prefixes=patterns, actions=actions):
                yield from ((action, each) for action in actions for each in patterns)
            case LaunchGrant():
                yield "ecs:RunTask", ""
            case ModelGrant():
                yield "bedrock:InvokeModel", ""


# ── the walk ───────────────────────────────────────────────────────────────────────────────────


def walk_templates(walk: Walk) -> None:
    world = walk.world
    world.post("/templates", {"name": "rules", "steps": [step(prompt="Be kind.")]})
    document = {
        "name": "Reviews",
        "steps": [step(prompt="{% include 'rules' %} {% include 'manners' %} {{ product }}")],
    }
    world.template(user=BOB, public=True)
    world.post(
        "/templates",
        {"name": "manners", "steps": [step(prompt="Say please.")], "public": True},
        user=BOB,
    )
    created = walk.call("POST", "/templates", status=201, body=document)
    path = f"/templates/{created.body['template_id']}"
    walk.call("PUT", path, status=200, body=document)
    walk.call("GET", path, status=200)
    walk.call("GET", f"{path}/versions", status=200)
    text = walk.call("GET", f"{path}/export", status=200).text
    walk.call("POST", "/templates/import", status=201, body={"text": text})
    walk.call("POST", f"{path}/fork", status=201, body={})
    for query in ({}, {"public": "true"}):
        walk.call("GET", "/templates", status=200, query=query)
    body = {"data": {"product": "kettle"}, "run_model": True}
    walk.call("POST", f"{path}/preview", status=200, body=body)
    seeds = world.seeds()
    walk.call(
        "POST",
        "/seed-data/validate",
        status=200,
        body={"s3_key": seeds, "template_id": created.body["template_id"]},
    )
    order = world.order(template_id=created.body["template_id"], seed_data_path=seeds)
    estimated = ("template_id", "seed_data_path", "num_records")
    walk.call("POST", "/jobs/estimate", status=200, body={name: order[name] for name in estimated})
    walk.call("POST", "/jobs", status=201, body=order)
    walk.call("DELETE", path, status=204)


def walk_seeds(walk: Walk) -> None:
    walk.call("POST", "/seed-data/upload-url", status=201, body={"filename": "a.csv"})
    walk.call("GET", "/seed-data", status=200)
    missing = f"{keys.seed_prefix(ALICE)}missing.csv"
    walk.call("POST", "/seed-data/validate", status=404, body={"s3_key": missing})


def walk_jobs(walk: Walk) -> None:
    world = walk.world
    world.aws.tasks.full_for = 1
    body, headers = world.order(), {"Idempotency-Key": "one"}
    walk.call("POST", "/jobs", status=201, body=body, headers=headers)
    job_id = walk.call("POST", "/jobs", status=200, body=body, headers=headers).body["job_id"]
    for path in ("/jobs", f"/jobs/{job_id}", f"/dashboard/jobs/{job_id}", "/dashboard/summary"):
        walk.call("GET", path, status=200)
    walk.call("DELETE", f"/jobs/{job_id}", status=200)
    world.aws.tasks.full_for = 1
    walk.call("POST", f"/jobs/{job_id}/resume", status=200, body={"budget_limit": 7})
    walk.call("DELETE", f"/jobs/{job_id}", status=200)
    walk.call("DELETE", f"/jobs/{job_id}", status=204)
    done = world.job_id(JobStatus.COMPLETED)
    world.put_object(keys.export_key(done, "csv"), b"x")
    world.put_object(keys.failures_key(done), b"{}")
    walk.call("GET", f"/jobs/{done}/download", status=200)
    halted = world.job_id(JobStatus.FAILED)
    world.put_object(keys.batch_key(halted, 1), b"{}")
    walk.call("GET", f"/jobs/{halted}/download", status=200)
    world.own.costs.add(done, entry_id="1", cost_nano=1, tokens=1)  # type: ignore[attr-defined]
    walk.call("DELETE", f"/jobs/{done}", status=204)
    walk.call("GET", "/health", status=200, user=None)


def walk_events(walk: Walk) -> None:
    world = walk.world
    job_id = world.job_id(JobStatus.RUNNING)
    for _ in range(2):
        walk.event(sweep_queue.lambda_handler, {})
        walk.clock.advance(world.ports.settings.lease_seconds + 1)
    for full_for in (1, 0):
        claim = world.own.queue.claim(work_id_of(job_id), f"{job_id}/9")
        assert claim is not None
        world.own.jobs.set_status(job_id, JobStatus.RUNNING, fence=claim.fence)
        world.aws.tasks.full_for = full_for
        walk.event(
            task_stopped.lambda_handler,
            {"detail": {"startedBy": f"{job_id}/9", "lastStatus": "STOPPED", "containers": []}},
        )
    world.aws.tasks.full_for = 1
    walk.clock.advance(world.ports.settings.launch_grace_seconds + 1)
    walk.event(sweep_queue.lambda_handler, {})


@pytest.fixture
def walked(
    api_world: ApiWorld, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> Mapping[str, set[Right]]:
    """What each function asked for."""
    walk = Walk(api_world, clock)
    with BedrockDouble() as double:
        monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", double.url)
        for part in (walk_templates, walk_seeds, walk_jobs, walk_events):
            part(walk)
        api_world.ports.models.close()
        if double.calls:  # its client is made too late to be listened to
            walk.used["preview_template"].add(("bedrock:InvokeModel", ""))
    return walk.used


def test_grants_are_what_the_handlers_ask_for(walked: Mapping[str, set[Right]]) -> None:
    assert {*walked, "health"} == {function.name for function in FUNCTIONS}
    differences = {}
    for function in FUNCTIONS:
        granted = set(_granted(function))
        needed = walked.get(function.name, set()) | UNSEEN.get(function.name, frozenset())
        if granted != needed:
            differences[function.name] = {
                "refused": sorted(needed - granted),
                "never needed": sorted(granted - needed),
            }
    assert differences == {}
