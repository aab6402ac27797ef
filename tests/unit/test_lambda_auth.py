"""Group S2: whose is what. What belongs to somebody else answers as what does not exist.

The two-tenant matrix over every route is in `test_lambda_tenants.py`.
"""

from typing import Any, cast
from urllib.parse import quote

import pytest

from runtime.contract import keys
from runtime.contract.functions import Route
from runtime.contract.routes import ROUTES
from runtime.domain.jobs.job import JobStatus
from runtime.domain.service_ports import ApiPorts
from runtime.lambdas.cursor import encode_cursor
from runtime.lambdas.router import endpoint_of
from tests.fixtures.api_world import SOME_ID, ApiWorld
from tests.fixtures.lambda_events import ALICE, BOB, api_event
from tests.fixtures.worker_world import step

AUTHENTICATED = [route for route in ROUTES if route.authenticated]

JOB_OPERATIONS = [
    ("GET", "/jobs/{id}"),
    ("DELETE", "/jobs/{id}"),
    ("GET", "/jobs/{id}/download"),
    ("POST", "/jobs/{id}/resume"),
    ("POST", "/jobs/{id}/export"),
    ("GET", "/dashboard/jobs/{id}"),
]


def paths_outside(world: ApiWorld) -> list[str]:
    """Every trick to name an object that isn't the caller's, each of which exists."""
    own, foreign = keys.seed_prefix(ALICE), keys.seed_prefix(BOB)
    paths = [
        f"{foreign}seeds.jsonl",
        f"{own}../{BOB}/seeds.jsonl",
        f"{own}/../{BOB}/seeds.jsonl",
        f"{own}./seeds.jsonl",
        f"{own}/seeds.jsonl",
        f"{own}a//seeds.jsonl",
        f"/{own}seeds.jsonl",
        f"s3://seedwright-test/{own}seeds.jsonl",
        f"{own}%2e%2e/{BOB}/seeds.jsonl",
        f"{own}..%2f{BOB}%2fseeds.jsonl",
        f"{own}..\\{BOB}\\seeds.jsonl",
        f"{own}\u2024\u2024/{BOB}/seeds.jsonl",
        f"{own}\uff0e\uff0e/{BOB}/seeds.jsonl",
        f"{own}a\u2215b/seeds.jsonl",
        f"{own}a\x00/seeds.jsonl",
        f"{own}a\n/seeds.jsonl",
        f"{own}a\x7f.jsonl",
        f"{own[:-1]}x/seeds.jsonl",
        own.upper() + "seeds.jsonl",
        own,
        "seed-data/",
        f"jobs/{SOME_ID}/exports/dataset.jsonl",
        f"jobs/{SOME_ID}/outputs/batch-0001.jsonl",
        f"{own}{'a/' * 300}seeds.jsonl",
    ]
    for path in paths:
        if "\x00" not in path and not path.endswith("/"):
            world.put_object(path, b'{"product": "stolen"}\n')
    return paths


@pytest.mark.parametrize("route", AUTHENTICATED, ids=lambda route: route.key)
@pytest.mark.parametrize(
    "claims", [None, {}, {"username": ALICE}, {"sub": ""}, {"sub": None}, {"sub": "a/../b"}]
)
def test_s2_1_s2_2_no_caller_no_service(route: Route, claims: dict[str, str] | None) -> None:
    names = {"job_id": SOME_ID, "template_id": SOME_ID}
    event = api_event(route.method, route.path, user=None, claims=claims, path_parameters=names)
    # With nothing behind the handler: to touch a port is a 500.
    answer = endpoint_of(route).respond(event, cast("ApiPorts", object()))
    assert answer["statusCode"] == 401


@pytest.mark.parametrize(("method", "path"), JOB_OPERATIONS)
@pytest.mark.parametrize("status", [JobStatus.RUNNING, JobStatus.COMPLETED, JobStatus.FAILED])
def test_s2_3_s2_5_a_foreign_job_is_one_that_does_not_exist(
    api_world: ApiWorld, method: str, path: str, status: JobStatus
) -> None:
    job_id = api_world.job_id(status)
    before = api_world.items("Jobs"), api_world.items("Queue")
    event: dict[str, Any] = {"body": {}} if method == "POST" else {}

    foreign = api_world.call(method, path.format(id=job_id), user=BOB, **event)
    missing = api_world.call(method, path.format(id=SOME_ID), user=BOB, **event)

    assert foreign.status == missing.status == 404
    assert str(foreign.body).replace(job_id, SOME_ID) == str(missing.body)
    assert (api_world.items("Jobs"), api_world.items("Queue")) == before


def test_s2_3_a_list_holds_the_callers_own_jobs(api_world: ApiWorld) -> None:
    job_id = api_world.job_id()
    assert [job["job_id"] for job in api_world.get("/jobs").body["jobs"]] == [job_id]
    assert api_world.get("/jobs", user=BOB).body == {"jobs": [], "next_cursor": None}
    assert api_world.get("/dashboard/summary", user=BOB).body["jobs"] == 0


@pytest.mark.parametrize("path", ["/jobs", "/jobs/estimate"])
def test_s2_4_a_foreign_template_is_one_that_does_not_exist(api_world: ApiWorld, path: str) -> None:
    template_id, seeds = api_world.template(user=BOB), api_world.seeds()
    body = api_world.order(template_id=template_id, seed_data_path=seeds)
    if path == "/jobs/estimate":
        body = {name: body[name] for name in ("template_id", "seed_data_path", "num_records")}
    foreign = api_world.post(path, body)
    missing = api_world.post(path, {**body, "template_id": SOME_ID})
    assert foreign.status == missing.status == 404
    assert str(foreign.body).replace(template_id, SOME_ID) == str(missing.body)
    assert not api_world.items("Jobs")


def test_s2_4_a_public_template_may_be_used(api_world: ApiWorld) -> None:
    template_id = api_world.template(user=BOB, public=True)
    assert api_world.create_job(template_id=template_id).status == 201


@pytest.mark.parametrize("by", ["id", "name"])
def test_s2_4_a_job_includes_no_foreign_template(api_world: ApiWorld, by: str) -> None:
    """What a template includes is looked up for whoever makes the job, at that moment."""
    foreign = api_world.template(step("rules", "Be kind."), user=BOB, name="rules")
    include = foreign if by == "id" else "rules"
    template_id = api_world.template(
        step(prompt="{% include '" + include + "' %} {{ product }}"), user=BOB, public=True
    )
    reply = api_world.create_job(template_id=template_id)
    assert (reply.status, include in reply.message) == (404, True)
    assert api_world.create_job(template_id=template_id, user=BOB).status == 201


def test_s2_6_what_is_deleted_already_is_gone(api_world: ApiWorld) -> None:
    job_id = api_world.job_id(JobStatus.COMPLETED)
    assert api_world.delete(f"/jobs/{job_id}").status == 204
    assert api_world.delete(f"/jobs/{job_id}").status == 404
    assert api_world.get(f"/jobs/{job_id}").status == 404


@pytest.mark.parametrize("path", ["/jobs", "/jobs/estimate"])
def test_s2_7_a_seed_path_outside_the_callers_prefix(api_world: ApiWorld, path: str) -> None:
    template_id = api_world.template()
    for seeds in paths_outside(api_world):
        body = api_world.order(template_id=template_id, seed_data_path=seeds)
        if path == "/jobs/estimate":
            body = {name: body[name] for name in ("template_id", "seed_data_path", "num_records")}
        reply = api_world.post(path, body)
        assert (reply.status, reply.body["error"]["code"]) == (403, "forbidden"), seeds
    assert not api_world.calls, "refused before anything is read"


# ── cursors ────────────────────────────────────────────────────────────────────────────────────


def cursors_of(world: ApiWorld, user: str) -> str:
    """The cursor of a user's list of three jobs."""
    for _ in range(3):
        world.job_id(user=user)
    cursor: str = world.get("/jobs", user=user, query={"limit": "1"}).body["next_cursor"]
    return cursor


def test_a_cursor_of_another_user_is_refused(api_world: ApiWorld) -> None:
    foreign = cursors_of(api_world, BOB)
    reply = api_world.get("/jobs", query={"cursor": foreign})
    assert (reply.status, "cursor" in reply.message) == (400, True)


def test_a_cursor_of_another_list_is_refused(api_world: ApiWorld) -> None:
    cursor = cursors_of(api_world, ALICE)
    job_id = api_world.job_id(JobStatus.COMPLETED)
    reply = api_world.get(f"/jobs/{job_id}/download", query={"cursor": cursor})
    assert (reply.status, "cursor" in reply.message) == (400, True)


def test_a_forged_cursor_opens_nothing(api_world: ApiWorld) -> None:
    """Whoever knows how cursors are made still lists his own only."""
    foreign = api_world.job_id(JobStatus.COMPLETED, user=BOB)
    own = api_world.job_id(JobStatus.COMPLETED)
    api_world.put_object(keys.batch_key(foreign, 1), b"{}\n")
    api_world.put_object(keys.batch_key(own, 1), b"{}\n")
    for position in (
        keys.batches_prefix(foreign),
        keys.exports_prefix(foreign),
        keys.batch_key(foreign, 1),
        "jobs/",
        "",
        "seed-data/",
    ):
        cursor = encode_cursor(position, operation=f"download_job {own}", caller=ALICE)
        assert cursor is not None
        reply = api_world.get(f"/jobs/{own}/download", query={"cursor": cursor})
        assert foreign not in quote(str(reply.body))
        assert reply.status == 400, position


def test_a_forged_position_in_the_list_of_jobs(api_world: ApiWorld) -> None:
    api_world.job_id()
    for position in ("", "x", '{"user_id": "bob"}', "2026-11-23", "\x00", "[" * 1000):
        cursor = encode_cursor(position, operation="list_jobs", caller=ALICE)
        assert cursor is not None
        reply = api_world.get("/jobs", query={"cursor": cursor})
        assert reply.status == 400, position


# ── templates ──────────────────────────────────────────────────────────────────────────────────

DOCUMENT = {"name": "T", "steps": [step()]}
READING: list[tuple[str, str, dict[str, Any]]] = [
    ("GET", "", {}),
    ("GET", "/versions", {}),
    ("GET", "/export", {}),
    ("POST", "/preview", {"body": {}}),
    ("POST", "/fork", {"body": {}}),
]
CHANGING: list[tuple[str, str, dict[str, Any]]] = [
    ("PUT", "", {"body": DOCUMENT}),
    ("PUT", "", {"body": {**DOCUMENT, "public": False}}),
    ("DELETE", "", {}),
]


@pytest.mark.parametrize(("method", "rest", "event"), READING + CHANGING)
def test_s2_4_a_private_template_of_somebody_else_does_not_exist(
    api_world: ApiWorld, method: str, rest: str, event: dict[str, Any]
) -> None:
    template_id = api_world.template(user=BOB)
    before = api_world.items("Templates")
    foreign = api_world.call(method, f"/templates/{template_id}{rest}", **event)
    missing = api_world.call(method, f"/templates/{SOME_ID}{rest}", **event)
    assert foreign.status == missing.status == 404
    assert foreign.text.replace(template_id, SOME_ID) == missing.text
    assert api_world.items("Templates") == before


@pytest.mark.parametrize(("method", "rest", "event"), READING)
def test_s2_4_a_public_template_may_be_read_by_everybody(
    api_world: ApiWorld, method: str, rest: str, event: dict[str, Any]
) -> None:
    template_id = api_world.template(user=BOB, public=True)
    assert api_world.call(method, f"/templates/{template_id}{rest}", **event).status in {200, 201}


@pytest.mark.parametrize(("method", "rest", "event"), CHANGING)
def test_s2_4_a_public_template_is_changed_by_its_owner_only(
    api_world: ApiWorld, method: str, rest: str, event: dict[str, Any]
) -> None:
    template_id = api_world.template(user=BOB, public=True)
    before = api_world.items("Templates")
    reply = api_world.call(method, f"/templates/{template_id}{rest}", **event)
    assert (reply.status, reply.body["error"]["code"]) == (403, "forbidden")
    assert "fork it" in reply.message
    assert api_world.items("Templates") == before


def test_s2_4_a_template_is_included_by_those_who_may_read_it(api_world: ApiWorld) -> None:
    private = api_world.template(user=BOB)
    public = api_world.template(user=BOB, public=True)
    for template_id, status in ((private, 404), (public, 201), (SOME_ID, 404)):
        document = {"name": "T", "steps": [step(prompt=f"{{% include '{template_id}' %}}")]}
        for path, body in (("/templates", document), ("/templates/import", {"document": document})):
            reply = api_world.post(path, body)
            assert reply.status == status
            if status == 404:
                assert reply.message == f"no template {template_id}: check the id"


def test_s2_4_a_private_name_is_not_found_by_others(api_world: ApiWorld) -> None:
    """Neither by including the name, nor in any list."""
    api_world.template(user=BOB)  # is called Reviews
    document = {"name": "T", "steps": [step(prompt="{% include 'Reviews' %}")]}
    reply = api_world.post("/templates", document)
    unknown = {"name": "T", "steps": [step(prompt="{% include 'Nothing' %}")]}
    missing = api_world.post("/templates", unknown)
    assert reply.status == missing.status == 404
    assert reply.text.replace("Reviews", "Nothing") == missing.text
    for query in ({}, {"public": "true"}):
        assert api_world.get("/templates", query=query).body["templates"] == []


def test_s2_4_a_template_that_is_made_private_again(api_world: ApiWorld) -> None:
    template_id = api_world.template(user=BOB, public=True)
    body = {**DOCUMENT, "public": False}
    assert api_world.put(f"/templates/{template_id}", body, user=BOB).status == 200
    for method, rest, event in READING + CHANGING:
        assert api_world.call(method, f"/templates/{template_id}{rest}", **event).status == 404


def test_s2_6_a_template_that_is_deleted_already(api_world: ApiWorld) -> None:
    template_id = api_world.template()
    assert api_world.delete(f"/templates/{template_id}").status == 204
    assert api_world.delete(f"/templates/{template_id}").status == 404


# ── seed files ─────────────────────────────────────────────────────────────────────────────────


def test_s2_7_a_seed_file_outside_the_callers_prefix_is_not_checked(api_world: ApiWorld) -> None:
    for path in paths_outside(api_world):
        reply = api_world.post("/seed-data/validate", {"s3_key": path})
        assert (reply.status, reply.body["error"]["code"]) == (403, "forbidden"), path
        assert "stolen" not in reply.text
    assert not api_world.calls, "refused before anything is read"


def test_s2_7_a_foreign_key_answers_the_same_whether_it_exists(api_world: ApiWorld) -> None:
    key = api_world.seeds(user=BOB)
    foreign = api_world.post("/seed-data/validate", {"s3_key": key})
    missing = api_world.post("/seed-data/validate", {"s3_key": f"{key}x.csv"})
    assert foreign.status == missing.status == 403
    assert foreign.text == missing.text


def test_s2_7_a_list_of_seed_files_never_leaves_the_prefix(api_world: ApiWorld) -> None:
    """Whoever knows how cursors are made still lists his own only."""
    own = api_world.seeds()
    foreign = api_world.seeds(user=BOB)
    api_world.put_object(f"jobs/{SOME_ID}/exports/dataset.jsonl", b"{}")
    for position in (foreign, keys.seed_prefix(BOB), "jobs/", "", "\x00", "x" * 700):
        cursor = encode_cursor(position, operation="list_seed_data", caller=ALICE)
        assert cursor is not None
        reply = api_world.get("/seed-data", query={"cursor": cursor})
        assert reply.status == 400, position
        assert foreign not in reply.text
    assert [each["s3_key"] for each in api_world.get("/seed-data").body["files"]] == [own]
