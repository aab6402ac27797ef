"""Two tenants x every operation x every id, made of the route table: a new route is covered without
a test of its own.

Alice has one of everything. Bob sends each request that the route table allows with ids of hers in
every place that an id has: the path, and each field of the body that names something. He gets what
he would get for something that does not exist, and nothing of hers is read out or changed.

What is shared is a case of its own: of a public template Bob gets the published versions (E13), and
what he publishes changes nothing of hers (E12).
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from runtime.contract import keys
from runtime.contract.functions import Route
from runtime.contract.routes import ROUTES
from runtime.contract.tables import TABLES
from runtime.domain.jobs.job import JobError, JobStatus
from runtime.lambdas.cursor import MAX_LIMIT
from runtime.lambdas.http import NoBody
from runtime.lambdas.router import endpoint_of
from tests.fixtures.api import Reply
from tests.fixtures.api_world import SOME_ID, ApiWorld
from tests.fixtures.aws import BUCKET
from tests.fixtures.lambda_events import ALICE, BOB
from tests.fixtures.worker_world import step

MARK = "alices-secret-kettle"
"""Stands in everything of Alice's; no answer to Bob may hold it."""

VALUES: Mapping[str, Any] = {
    "template_id": SOME_ID,
    "template_version": 1,
    "seed_data_path": f"{keys.seed_prefix(BOB)}seeds.jsonl",
    "s3_key": f"{keys.seed_prefix(BOB)}seeds.jsonl",
    "num_records": 3,
    "budget_limit": 5,
    "output_format": "JSONL",
    "filename": "seeds.jsonl",
    "name": "Reviews",
    "steps": [{"id": "review", "prompt": "Review {{ product }}."}],
    "seed": {"product": "kettle"},
}
"""A value for each field that a body must have, by its name. A new one is added here."""

IDENTIFYING = ("template_id", "seed_data_path", "s3_key")
"""Fields of bodies that name something which belongs to somebody."""

VERSION_FIELDS = ("version", "template_version", "based_on_version")
"""Fields of bodies and queries that name a version of a template."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """One request of Bob's: the route, the place of the foreign id, and the two requests."""

    route: Route
    place: str
    status: JobStatus = JobStatus.QUEUED
    """Of Alice's job: what may be done with a job depends on it."""

    def __str__(self) -> str:
        return f"{self.route.key} [{self.place}, {self.status}]"


def attempts() -> Iterator[Attempt]:
    """Every place of every route where an id stands."""
    for route in ROUTES:
        if not route.authenticated:
            continue
        places = ["job_id"] * ("{job_id}" in route.path)
        places += ["template_id in path"] * ("{template_id}" in route.path)
        places += ["seed_id"] * ("{seed_id}" in route.path)
        body = endpoint_of(route).body
        places += [name for name in body.model_fields if name in IDENTIFYING]
        places += [f"include in {name}" for name in body.model_fields if name == "steps"]
        for place in places or ["nothing"]:
            yield Attempt(route=route, place=place)
            if place == "job_id":
                yield Attempt(route=route, place=place, status=JobStatus.FAILED)


@dataclass(frozen=True, kw_only=True, slots=True)
class Belongings:
    """One of everything, by the place in a request where it is named."""

    job_id: str
    template_id: str
    seeds: str
    seed_id: str = SOME_ID


def alices(world: ApiWorld, status: JobStatus) -> Belongings:
    template_id = world.template(step(prompt=f"{MARK} {{{{ product }}}}"))
    seed_id = world.own.new_id()
    body = json.dumps({"product": MARK}).encode()
    seeds = world.upload(f"{seed_id}/seeds.jsonl", body)
    reply = world.create_job(template_id=template_id, seed_data_path=seeds)
    job_id: str = reply.body["job_id"]
    if status is not JobStatus.QUEUED:
        claim = world.own.queue.claim(job_id, "worker")
        assert claim is not None
        world.own.jobs.set_status(job_id, JobStatus.RUNNING, fence=claim.fence)
        world.own.jobs.set_status(
            job_id, status, fence=claim.fence, error=JobError(message=f"failed at {MARK}")
        )
        world.own.queue.finish(claim, status)
    for key in (keys.export_key(job_id, "jsonl"), keys.batch_key(job_id, 1)):
        world.put_object(key, MARK.encode())
    return Belongings(job_id=job_id, template_id=template_id, seeds=seeds, seed_id=seed_id)


def send(world: ApiWorld, attempt: Attempt, owned: Belongings) -> Reply:
    """Bob's request, with something of `owned` in the place of the attempt."""
    route, place = attempt.route, attempt.place
    own_template = world.template(user=BOB)
    path = route.path.replace("{job_id}", owned.job_id).replace("{seed_id}", owned.seed_id)
    path = path.replace(
        "{template_id}", owned.template_id if place == "template_id in path" else own_template
    )
    event: dict[str, Any] = {}
    endpoint = endpoint_of(route)
    if endpoint.body is not NoBody:
        event["body"] = body_of(endpoint.body, place, owned, own_template)
    return world.call(route.method, path, user=BOB, **event)


def body_of(model: Any, place: str, owned: Belongings, own_template: str) -> dict[str, Any]:
    body = {
        name: VALUES[name]
        for name, field in model.model_fields.items()
        if field.is_required() or name in IDENTIFYING
    }
    if "template_id" in body:
        body["template_id"] = owned.template_id if place == "template_id" else own_template
    for name in ("seed_data_path", "s3_key"):
        if place == name:
            body[name] = owned.seeds
    if place == "include in steps":
        include = f"{{% include '{owned.template_id}' %}} {{{{ product }}}}"
        body["steps"] = [{"id": "review", "prompt": include}]
    return body


def state(world: ApiWorld, owned: Belongings) -> Any:
    """Everything of Alice's that a request of Bob's could change."""
    tables = {
        table.name: sorted(
            json.dumps(item, sort_keys=True, default=str)
            for item in world.items(table.name)
            if BOB not in str(item)
        )
        for table in TABLES
    }
    objects = sorted(key for key in world.object_keys() if BOB not in key)
    return tables, objects, owned


@pytest.mark.parametrize("attempt", list(attempts()), ids=str)
def test_what_is_anothers_does_not_exist(api_world: ApiWorld, attempt: Attempt) -> None:
    world = api_world
    world.aws.s3.put_object(
        Bucket=BUCKET, Key=VALUES["seed_data_path"], Body=b'{"product": "kettle"}\n'
    )
    owned = alices(world, attempt.status)
    nothing = Belongings(
        job_id=SOME_ID, template_id=SOME_ID, seeds=f"{keys.seed_prefix(SOME_ID)}seeds.jsonl"
    )
    before, launches = state(world, owned), len(world.aws.tasks.launches)

    foreign = send(world, attempt, owned)

    assert state(world, owned) == before
    assert MARK not in json.dumps(foreign.body)
    if attempt.place == "nothing":
        assert foreign.status < 500
        assert owned.job_id not in json.dumps(foreign.body)
        assert owned.template_id not in json.dumps(foreign.body)
        return
    assert len(world.aws.tasks.launches) == launches
    expected = 403 if attempt.place in {"seed_data_path", "s3_key"} else 404
    assert foreign.status == expected, foreign
    missing = send(world, attempt, nothing)
    assert missing.status == foreign.status
    told = json.dumps(foreign.body)
    for mine in (owned.job_id, owned.template_id, owned.seed_id):
        told = told.replace(mine, SOME_ID)
    assert told == json.dumps(missing.body), "the answers tell what exists and what doesn't"


def version_routes() -> Iterator[Route]:
    """Every route that takes a version of a template."""
    for route in ROUTES:
        endpoint = endpoint_of(route)
        fields = {*endpoint.body.model_fields, *endpoint.query.model_fields}
        if route.authenticated and fields & set(VERSION_FIELDS):
            yield route


def send_version(world: ApiWorld, route: Route, template_id: str, version: int) -> Reply:
    """Bob's request for a version of a template that isn't his."""
    endpoint = endpoint_of(route)
    path = route.path.replace("{template_id}", template_id)
    if "{job_id}" in path:
        job = world.create_job(user=BOB, template_id=template_id, template_version=2)
        job_id = job.body["job_id"]
        world.delete(f"/jobs/{job_id}", user=BOB)  # an ended one
        world.put_object(keys.batch_key(job_id, 1), b"")
        path = path.replace("{job_id}", job_id)
    event: dict[str, Any] = {}
    names = [name for name in VERSION_FIELDS if name in endpoint.query.model_fields]
    event["query"] = {name: str(version) for name in names}
    if endpoint.body is not NoBody:
        nothing = Belongings(job_id="", template_id=template_id, seeds="")
        event["body"] = body_of(endpoint.body, "template_id", nothing, template_id)
        event["body"] |= {
            name: version for name in VERSION_FIELDS if name in endpoint.body.model_fields
        }
    return world.call(route.method, path, user=BOB, **event)


@pytest.mark.parametrize("route", list(version_routes()), ids=lambda route: route.key)
def test_e13_a_version_that_was_never_published_does_not_exist(
    api_world: ApiWorld, route: Route
) -> None:
    world = api_world
    world.aws.s3.put_object(
        Bucket=BUCKET, Key=VALUES["seed_data_path"], Body=b'{"product": "kettle"}\n'
    )
    template_id = world.template(step(prompt=f"{MARK} {{{{ product }}}}"))
    public = {"name": "Public", "steps": [step(prompt="Review {{ product }}.")], "public": True}
    assert world.put(f"/templates/{template_id}", public).status == 200

    hidden = send_version(world, route, template_id, 1)
    missing = send_version(world, route, template_id, 3)
    if route.method == "PUT":  # a version it is based on: his own templates only
        assert (hidden.status, missing.status) == (403, 403)
        return
    assert (hidden.status, missing.status) == (404, 404), hidden
    assert MARK not in json.dumps(hidden.body)
    assert hidden.message.replace("version 1", "version 3") == missing.message
    assert send_version(world, route, template_id, 2).status in {200, 201, 202}


def test_e13_every_way_to_a_version_is_attempted() -> None:
    assert {route.key for route in version_routes()} == {
        "GET /templates/{template_id}",
        "GET /templates/{template_id}/export",
        "POST /jobs",
        "POST /jobs/estimate",
        "POST /jobs/{job_id}/export",
        "POST /seed-data/validate",
        "POST /templates/{template_id}/fork",
        "POST /templates/{template_id}/preview",
        "PUT /templates/{template_id}",
    }


def test_e12_what_another_publishes_changes_nothing(api_world: ApiWorld) -> None:
    """Under the name that Alice includes, whoever's template that is."""
    world = api_world
    for number, (name, owner) in enumerate((("mine", ALICE), ("shared", BOB))):
        rules = {"name": name, "steps": [step(prompt="As ever.")], "public": True}
        assert world.post("/templates", rules, user=owner).status == 201
        document = {"name": "T", "steps": [step(prompt=f"{{% include '{name}' %}}")]}
        template_id = world.post("/templates", document).body["template_id"]
        rules["steps"] = [step(prompt="Bob's."), step("b", "Two steps.")][: number + 1]
        assert world.post("/templates", rules, user=BOB).status == 201
        reply = world.post(f"/templates/{template_id}/preview", {})
        assert (reply.status, reply.body["steps"][0]["prompt"]) == (200, "As ever.")


def test_e14_a_page_of_anothers_templates_is_small(api_world: ApiWorld) -> None:
    """Whatever Alice writes into hers."""
    document = {
        "name": "n" * 200,
        "steps": [step()],
        "public": True,
        "description": "\x01" * 40_000,
    }
    for _ in range(3):
        assert api_world.post("/templates", document).status == 201
    reply = api_world.get("/templates", user=BOB, query={"public": "true"})
    assert len(reply.body["templates"]) == 3
    assert len(json.dumps(reply.text)) / 3 * MAX_LIMIT < 5_000_000


def test_every_route_with_an_id_is_attempted() -> None:
    """So that this file can't lose a route by a change of names."""
    covered = {attempt.route.key for attempt in attempts() if attempt.place != "nothing"}
    with_ids = {route.key for route in ROUTES if "{" in route.path}
    assert with_ids <= covered
    assert {"POST /jobs", "POST /jobs/estimate", "POST /seed-data/validate"} <= covered


def test_the_same_requests_work_for_their_owner(api_world: ApiWorld) -> None:
    """Otherwise the 404s above could come from anything."""
    world = api_world
    for attempt in attempts():
        if attempt.place == "nothing" or attempt.route.method == "DELETE":
            continue
        seeds = VALUES["seed_data_path"]
        world.aws.s3.put_object(Bucket=BUCKET, Key=seeds, Body=b'{"product": "kettle"}\n')
        job = world.create_job(user=BOB)
        template_id = world.template(user=BOB)
        owned = Belongings(job_id=job.body["job_id"], template_id=template_id, seeds=seeds)
        if attempt.route.path.startswith("/jobs/") and "{job_id}/" in attempt.route.path:
            world.delete(f"/jobs/{owned.job_id}", user=BOB)  # it may be resumed and exported then
            world.put_object(keys.batch_key(owned.job_id, 1), b"")
        reply = send(world, attempt, owned)
        assert reply.status in {200, 201, 202}, (str(attempt), reply)
        world.delete(f"/jobs/{owned.job_id}", user=BOB)
        for item in world.items("Jobs"):
            world.own.jobs.set_status(item["job_id"]["S"], JobStatus.CANCELLED, fence=None) if item[
                "status"
            ]["S"] in {"QUEUED", "RUNNING"} else None
