"""Templates between users: what an include stands for, and which versions are public. The names of
the tests begin with the id of the fault that they keep away.
"""

import json
from typing import Any

import pytest

from runtime.domain.errors import InputError
from runtime.domain.templates.document import MAX_PROBLEMS, parse_template
from runtime.engine.plan import Templates
from runtime.lambdas.templates.template_view import SUMMARY_CHARACTERS
from tests.fixtures.api import Reply
from tests.fixtures.api_world import ApiWorld
from tests.fixtures.clock import ManualClock
from tests.fixtures.lambda_events import ALICE, BOB
from tests.fixtures.worker_world import step


def made(world: ApiWorld, text: str, *, user: str = ALICE, name: str = "T", **fields: Any) -> str:
    body = {"name": name, "steps": [step(prompt=text)], **fields}
    reply = world.post("/templates", body, user=user)
    assert reply.status == 201, reply
    return str(reply.body["template_id"])


def changed(
    world: ApiWorld, template_id: str, text: str, *, user: str = ALICE, **fields: Any
) -> Reply:
    body = {"name": "T", "steps": [step(prompt=text)], **fields}
    reply = world.put(f"/templates/{template_id}", body, user=user)
    assert reply.status == 200, reply
    return reply


def preview(world: ApiWorld, template_id: str, *, user: str = ALICE) -> Reply:
    return world.post(f"/templates/{template_id}/preview", {}, user=user)


def prompt_of(reply: Reply) -> str:
    assert reply.status == 200, reply
    return str(reply.body["steps"][0]["prompt"])


# ── E12: what an include stands for ────────────────────────────────────────────────────────────


def test_e12_a_later_publication_of_the_same_name_changes_nothing(
    api_world: ApiWorld, clock: ManualClock
) -> None:
    made(api_world, "Bob's.", user=BOB, name="rules", public=True)
    template_id = made(api_world, "{% include 'rules' %}")
    clock.advance(60)
    made(api_world, "Another's.", user=BOB, name="rules", public=True)
    assert prompt_of(preview(api_world, template_id)) == "Bob's."
    assert changed(api_world, template_id, "{% include 'rules' %}!").body["version"] == 2
    assert prompt_of(preview(api_world, template_id)) == "Bob's.!"


def test_e12_a_change_or_a_new_name_of_anothers_template_changes_nothing(
    api_world: ApiWorld,
) -> None:
    shared = made(api_world, "First.", user=BOB, name="rules", public=True)
    by_name = made(api_world, "{% include 'rules' %}")
    by_id = made(api_world, f"{{% include '{shared}' %}}")
    changed(api_world, shared, "Second.", user=BOB, name="other")
    for template_id in (by_name, by_id):
        assert prompt_of(preview(api_world, template_id)) == "First."
    # Saved again, the name means the same template as it is now.
    changed(api_world, by_name, "{% include 'rules' %}")
    assert prompt_of(preview(api_world, by_name)) == "Second."


def test_e12_of_your_own_templates_it_is_the_latest_version(api_world: ApiWorld) -> None:
    rules = made(api_world, "First.", name="rules")
    template_id = made(api_world, "{% include 'rules' %}")
    changed(api_world, rules, "Second.", name="renamed")
    made(api_world, "Other rules.", name="rules")
    assert prompt_of(preview(api_world, template_id)) == "Second."


def test_e12_a_deleted_include_is_told_and_never_replaced_by_anothers(api_world: ApiWorld) -> None:
    rules = made(api_world, "Mine.", name="rules")
    template_id = made(api_world, "{% include 'rules' %}")
    assert api_world.delete(f"/templates/{rules}").status == 204
    made(api_world, "Bob's.", user=BOB, name="rules", public=True)
    reply = preview(api_world, template_id)
    assert reply.status == 404
    assert 'include "rules": the template that it stands for is gone' in reply.message
    changed(api_world, template_id, "{% include 'rules' %}")
    assert prompt_of(preview(api_world, template_id)) == "Bob's."


def test_e12_a_public_template_brings_its_authors_includes(api_world: ApiWorld) -> None:
    """Not what the one who uses it happens to call by that name."""
    rules = made(api_world, "Bob's.", user=BOB, name="rules", public=True)
    shared = made(api_world, "{% include 'rules' %}", user=BOB, public=True)
    made(api_world, "Mine.", name="rules")
    assert prompt_of(preview(api_world, shared)) == "Bob's."
    copy = api_world.post(f"/templates/{shared}/fork", {}).body["template_id"]
    assert prompt_of(preview(api_world, copy)) == "Bob's."
    changed(api_world, rules, "Private now.", user=BOB, public=False)
    for template_id in (shared, copy):
        assert preview(api_world, template_id).status == 404


def test_e12_an_include_of_an_include_keeps_its_meaning(api_world: ApiWorld) -> None:
    made(api_world, "Bob's tone.", user=BOB, name="tone", public=True)
    outer = made(api_world, "{% include 'tone' %}", user=BOB, name="outer", public=True)
    made(api_world, "Another tone.", user=BOB, name="tone", public=True)
    template_id = made(api_world, f"{{% include '{outer}' %}}")
    assert prompt_of(preview(api_world, template_id)) == "Bob's tone."


def test_e12_what_was_stored_without_pins_goes_on(api_world: ApiWorld, clock: ManualClock) -> None:
    made(api_world, "First.", user=BOB, name="rules", public=True)
    template_id = api_world.template(step(prompt="{% include 'rules' %}"))
    clock.advance(60)
    made(api_world, "Later.", user=BOB, name="rules", public=True)
    assert prompt_of(preview(api_world, template_id)) == "First."
    # Wherever it is used, its names are looked up as they were then.
    seeds = api_world.seeds()
    asked = {"template_id": template_id, "seed_data_path": seeds, "num_records": 1}
    assert api_world.post("/jobs/estimate", asked).status == 200
    checked = {"s3_key": seeds, "template_id": template_id}
    assert api_world.post("/seed-data/validate", checked).body["valid"] is True
    assert api_world.create_job(template_id=template_id).status == 201


# ── E13: which versions are public ─────────────────────────────────────────────────────────────


def readings(world: ApiWorld, template_id: str, version: int) -> dict[str, Reply]:
    """Every way in which Bob can get at a version."""
    path = f"/templates/{template_id}"
    query = {"version": str(version)}
    seeds = world.seeds([{"product": "kettle"}], user=BOB)
    order = {**world.order(BOB, template_id=template_id), "template_version": version}
    order["seed_data_path"] = seeds
    return {
        "read": world.get(path, query=query, user=BOB),
        "export": world.get(f"{path}/export", query=query, user=BOB),
        "fork": world.post(f"{path}/fork", {"version": version}, user=BOB),
        "preview": world.post(f"{path}/preview", {"version": version}, user=BOB),
        "validate": world.post(
            "/seed-data/validate",
            {"s3_key": seeds, "template_id": template_id, "template_version": version},
            user=BOB,
        ),
        "estimate": world.post(
            "/jobs/estimate",
            {name: order[name] for name in ("template_id", "template_version", "seed_data_path")}
            | {"num_records": 1},
            user=BOB,
        ),
        "job": world.post("/jobs", order, user=BOB),
    }


def test_e13_only_published_versions_are_public(api_world: ApiWorld) -> None:
    template_id = made(api_world, "Secret draft.")
    changed(api_world, template_id, "Public {{ product }}.", public=True)
    changed(api_world, template_id, "Secret again.", public=False)
    changed(api_world, template_id, "Public again {{ product }}.", public=True)
    path = f"/templates/{template_id}"
    for version, readable in ((1, False), (2, True), (3, False), (4, True)):
        for way, reply in readings(api_world, template_id, version).items():
            assert (reply.status < 300) is readable, (version, way, reply)
            if not readable:
                assert reply.status == 404, (version, way, reply)
                assert "Secret" not in json.dumps(reply.body)
        assert api_world.get(path, query={"version": str(version)}).status == 200, "its owner"

    def listed(user: str) -> list[int]:
        versions = api_world.get(f"{path}/versions", user=user).body["versions"]
        return [each["version"] for each in versions]

    assert listed(BOB) == [4, 2]
    assert listed(ALICE) == [4, 3, 2, 1]


def test_e13_a_version_that_was_never_there_answers_the_same(api_world: ApiWorld) -> None:
    template_id = made(api_world, "Secret draft.")
    changed(api_world, template_id, "Public.", public=True)
    path = f"/templates/{template_id}"
    hidden = api_world.get(path, query={"version": "1"}, user=BOB)
    missing = api_world.get(path, query={"version": "3"}, user=BOB)
    assert hidden.message.replace("version 1", "version 3") == missing.message


def test_e13_what_was_published_before_versions_were_marked_stays_readable(
    api_world: ApiWorld,
) -> None:
    template_id = made(api_world, "First.", public=True)
    api_world.aws.dynamodb.update_item(
        TableName="Templates",
        Key={"template_id": {"S": template_id}, "version": {"N": "1"}},
        UpdateExpression="REMOVE published",
    )
    path = f"/templates/{template_id}"
    assert api_world.get(path, query={"version": "1"}, user=BOB).status == 200
    changed(api_world, template_id, "Second.")
    assert api_world.get(path, query={"version": "1"}, user=BOB).status == 200


# ── E14: lists ─────────────────────────────────────────────────────────────────────────────────


def test_e14_a_list_carries_the_beginning_of_each_description(api_world: ApiWorld) -> None:
    long = "\x00ü" * 20_000
    template_id = made(api_world, "x", public=True, description=long)
    short = made(api_world, "x", public=True, description="d" * SUMMARY_CHARACTERS)
    for query in ({}, {"public": "true"}):
        reply = api_world.get("/templates", query=query)
        shown = {each["template_id"]: each["description"] for each in reply.body["templates"]}
        assert shown[template_id] == long[: SUMMARY_CHARACTERS - 1] + "…"
        assert shown[short] == "d" * SUMMARY_CHARACTERS
        assert all("document" not in each for each in reply.body["templates"])
        assert len(json.dumps(json.dumps(reply.body))) * 50 < 6_000_000, "a page of 100"
    assert api_world.get(f"/templates/{template_id}").body["description"] == long


# ── E4: many mistakes at once ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "body",
    [
        {f"unknown{number}": 1 for number in range(40_000)},
        {"name": "T", "steps": [{"id": "a", "prompt": "x", "model": 5}] * 9_000},
        {"name": "T", "steps": [{f"x{number}": 1 for number in range(30_000)}]},
    ],
    ids=["fields", "alike", "in a step"],
)
def test_e4_a_body_with_many_mistakes_is_refused_in_time(
    api_world: ApiWorld, body: dict[str, Any]
) -> None:
    reply = api_world.post("/templates", body)
    assert reply.status == 400
    assert len(reply.body["error"]["details"]) == 20
    assert len(reply.message) < 3_000


def test_e4_a_template_with_many_mistakes_names_twenty() -> None:
    with pytest.raises(InputError) as caught:
        parse_template({"name": "T", **{f"nam{number}": 1 for number in range(12_000)}})
    assert len(caught.value.problems) == MAX_PROBLEMS


# ── G2: what a job requires of every seed ──────────────────────────────────────────────────────


def test_g2_a_worker_requires_what_the_preflight_required(api_world: ApiWorld) -> None:
    made(api_world, "Keep to {{ product }} and {{ author.name }}.", name="rules")
    template_id = made(api_world, "{% include 'rules' %} {{ product }}")
    seeds = api_world.seeds([{"product": "kettle", "author": {"name": "Ann"}}])
    reply = api_world.create_job(template_id=template_id, seed_data_path=seeds)
    assert reply.status == 201, reply
    job = api_world.job(reply.body["job_id"])
    loaded = Templates(api_world.own.templates).load_template(job)
    assert loaded.schema_requirements == ("author.name", "product")
    lacking = api_world.seeds([{"product": "kettle"}])
    refused = api_world.create_job(template_id=template_id, seed_data_path=lacking)
    assert "author.name" in refused.message
