"""Templates through the API: written, versioned, read, listed, forked, exported, imported, deleted.

Whose template is whose (S2.4) is in test_lambda_auth.py, missing fields (S1.8) in
test_lambda_validation.py; previews are in test_lambda_preview.py.
"""

import json
from functools import partial
from typing import Any

import pytest

from runtime.lambdas.templates.update_template import MAX_ATTEMPTS
from runtime.service import includes
from tests.fixtures.api import Reply
from tests.fixtures.api_world import SOME_ID, ApiWorld
from tests.fixtures.aws_faults import hooked, meanwhile
from tests.fixtures.clock import ManualClock
from tests.fixtures.lambda_events import ALICE, BOB
from tests.fixtures.race import race
from tests.fixtures.worker_world import step

FULL: dict[str, Any] = {
    "name": "Product reviews",
    "description": "Reviews with a rating",
    "schema_requirements": ["product", "author.name"],
    "steps": [
        step(
            "review", "Review {{ product }} as {{ author.name }}.\nBe brief.", system="You write."
        ),
        step(
            "rating",
            "Rate: {{ steps.review.output }}",
            temperature=0.5,
            output_schema={"type": "object", "properties": {"stars": {"enum": [1, 5, None]}}},
        ),
    ],
    "keep_prompts": True,
}


def create(world: ApiWorld, *, user: str = ALICE, **fields: Any) -> Reply:
    return world.post("/templates", {"name": "T", "steps": [step()], **fields}, user=user)


def made(world: ApiWorld, *, user: str = ALICE, **fields: Any) -> str:
    reply = create(world, user=user, **fields)
    assert reply.status == 201, reply
    return str(reply.body["template_id"])


def including(name: str) -> list[dict[str, Any]]:
    return [step("a", f"{{% include '{name}' %}}")]


# ── create and read ────────────────────────────────────────────────────────────────────────────


def test_a_created_template_reads_back(api_world: ApiWorld, clock: ManualClock) -> None:
    reply = api_world.post("/templates", {**FULL, "public": True})
    assert reply.status == 201
    template_id = reply.body["template_id"]
    assert reply.headers["location"] == f"/templates/{template_id}"
    moment = clock.now().isoformat().replace("+00:00", "Z")
    expected = {
        "template_id": template_id,
        "version": 1,
        "latest_version": 1,
        "name": "Product reviews",
        "description": "Reviews with a rating",
        "public": True,
        "own": True,
        "created_at": moment,
        "updated_at": moment,
    }
    document = reply.body.pop("document")
    assert reply.body == expected
    assert document["schema_requirements"] == ["author.name", "product"]
    assert document["steps"][1]["output_schema"] == FULL["steps"][1]["output_schema"]
    assert (document["steps"][0]["system"], document["steps"][1]["temperature"]) == (
        "You write.",
        0.5,
    )
    read = api_world.get(f"/templates/{template_id}")
    assert (read.status, read.body) == (200, {**expected, "document": document})


def test_defaults_are_private_and_derived(api_world: ApiWorld) -> None:
    body = create(api_world).body
    assert (body["public"], body["description"]) == (False, "")
    assert body["document"]["schema_requirements"] == ["product"]
    assert body["document"]["keep_prompts"] is False


def test_what_is_read_can_be_written_back(api_world: ApiWorld) -> None:
    """A client reads, changes one field and writes; nulls that it read are no mistake."""
    template_id = made(api_world, **FULL)
    read = api_world.get(f"/templates/{template_id}").body
    body = {**read["document"], "public": True, "based_on_version": read["version"]}
    reply = api_world.put(f"/templates/{template_id}", body)
    assert (reply.status, reply.body["version"], reply.body["public"]) == (200, 2, True)
    assert reply.body["document"] == read["document"]


PROBLEMS: list[tuple[dict[str, Any], str, str]] = [
    ({"name": ""}, "the template", "name must be a text that is not empty"),
    ({"name": "a\x00b"}, "the template", "without control characters"),
    ({"name": "a\nb"}, "the template", "one line"),
    ({"name": "a\u2028b"}, "the template", "one line"),
    ({"steps": []}, "steps", "list 1 to 50 steps"),
    ({"steps": [step("1")]}, "step 1, id", "use a letter"),
    ({"steps": [step(max_tokens=0)]}, 'step "review"', "max_tokens must be"),
    ({"steps": [step(output_schema={"type": "x"})]}, 'step "review"', "JSON Schema"),
    ({"schema_requirements": ["a..b"]}, "schema_requirements", "dotted paths"),
]


def test_problems_of_a_document_are_told_one_by_one(api_world: ApiWorld) -> None:
    for fields, place, part in PROBLEMS:
        reply = create(api_world, **fields)
        assert (reply.status, reply.body["error"]["code"]) == (400, "invalid_template"), fields
        [detail] = reply.body["error"]["details"]
        assert detail["field"] == place
        assert part in detail["message"]
        assert part in reply.message
    assert not api_world.items("Templates")


def test_all_problems_are_told_at_once(api_world: ApiWorld) -> None:
    reply = create(api_world, name=" ", steps=[step("1", max_tokens=0), step("1")])
    assert len(reply.body["error"]["details"]) == 5


NOT_RUNNABLE: list[tuple[dict[str, Any], str]] = [
    ({"steps": [step(prompt="{{ x|nope }}")]}, 'step "review", prompt, line 1'),
    ({"steps": [step(prompt="{% for x in y %}")]}, 'step "review", prompt'),
    ({"steps": [step(prompt="{{ ''.__class__ }}")]}, "not allowed"),
    ({"steps": [step(prompt="{{ steps.later.output }}")]}, 'step "later" does not exist'),
    ({"steps": [step(model="nova-micro")]}, "step 'review': unknown model 'nova-micro'"),
    ({"steps": [step(model=None, model_tier="best")]}, "unknown model_tier 'best'"),
    ({"steps": [step(model="smollm2-135m-instruct")]}, "step 'review'"),
    ({"fragments": {"f": "x"}}, 'fragment "f" is not included'),
    ({"steps": [step(prompt="x" * 262_145)]}, "too large: 256 KiB"),
]


def test_a_template_that_could_not_run_is_refused(api_world: ApiWorld) -> None:
    for fields, part in NOT_RUNNABLE:
        reply = create(api_world, **fields)
        assert reply.status == 400, (fields, reply)
        assert part in reply.message
    assert not api_world.items("Templates")


NO_VALUES = [
    ("NaN", "could not be parsed"),
    ("Infinity", "could not be parsed"),
    ("1e309", "could not be parsed"),
    ('"\\ud800"', "could not be parsed"),
    ("9" * 30, "64 bits"),
    ('{"a":' * 150 + "1" + "}" * 150, "nested deeper than 64 levels"),
    ('{"a":' * 5000 + "1" + "}" * 5000, "could not be parsed"),
]


@pytest.mark.parametrize("path", ["/templates", "/templates/import"])
def test_values_that_no_store_keeps(api_world: ApiWorld, path: str) -> None:
    document: dict[str, Any] = {"name": "T", "steps": [step(output_schema={"const": "?"})]}
    body = document if path == "/templates" else {"document": document}
    for schema, part in NO_VALUES:
        raw = json.dumps(body).replace('"?"', schema)
        reply = api_world.call("POST", path, raw_body=raw)
        assert reply.status == 400, (schema, reply)
        assert part in reply.message
    assert not api_world.items("Templates")


def test_a_schema_as_deep_as_it_may_be_is_stored_and_read(api_world: ApiWorld) -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(28):
        schema = {"type": "object", "properties": {"a": schema}}
    template_id = made(api_world, steps=[step(output_schema=schema)])
    read = api_world.get(f"/templates/{template_id}").body["document"]
    assert read["steps"][0]["output_schema"] == schema


def test_a_version_that_is_none(api_world: ApiWorld) -> None:
    for version in ("0", "-1", "1.5", "latest", "", "9" * 30):
        for rest in ("", "/export"):
            reply = api_world.get(f"/templates/{SOME_ID}{rest}", query={"version": version})
            assert reply.status == 400, version
            assert reply.body["error"]["details"][0]["field"] == "version"
    assert not api_world.calls


def test_a_version_that_does_not_exist(api_world: ApiWorld) -> None:
    template_id = made(api_world)
    reply = api_world.get(f"/templates/{template_id}", query={"version": "2"})
    assert reply.status == 404
    assert reply.message == f"template {template_id} has no version 2: the latest is 1"


# ── includes ───────────────────────────────────────────────────────────────────────────────────


def test_own_and_public_templates_are_included_by_name_or_id(api_world: ApiWorld) -> None:
    own = made(api_world, name="rules")
    made(api_world, user=BOB, name="shared", public=True)
    for name in ("rules", own, "shared"):
        body = create(api_world, steps=including(name)).body
        assert "fragments" not in body or not body["document"]["fragments"]


@pytest.mark.parametrize("name", ["nowhere", SOME_ID])
def test_an_include_that_does_not_exist(api_world: ApiWorld, name: str) -> None:
    reply = create(api_world, steps=including(name))
    assert reply.status == 404
    assert name in reply.message
    assert not api_world.items("Templates")


def test_an_include_has_one_meaning_and_one_step(
    api_world: ApiWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    twice = [made(api_world, user=BOB, name="rules", public=True) for _ in range(2)]
    made(api_world, name="long", steps=[step("a"), step("b")])
    for name, part in (("rules", "2 templates of the public ones"), ("long", "exactly one step")):
        reply = create(api_world, steps=including(name))
        assert reply.status == 400
        assert f'include "{name}": ' in reply.message
        assert part in reply.message
    assert create(api_world, steps=including(twice[0])).status == 201
    made(api_world, name="rules")
    assert create(api_world, steps=including("rules")).status == 201, "one's own goes first"
    monkeypatch.setattr(includes, "MAX_SEARCHED", 2)
    monkeypatch.setattr(includes, "_PAGE", 1)
    reply = create(api_world, steps=including("rules"))
    assert reply.status == 400
    assert "include it by its id" in reply.message


def test_includes_are_judged_with_what_includes_them(api_world: ApiWorld) -> None:
    made(api_world, name="long", steps=[step(prompt="x" * 200_000)])
    steps = [step("a", "y" * 80_000 + "{% include 'long' %}")]
    reply = create(api_world, steps=steps)
    assert reply.status == 400
    assert "too large" in reply.message


def test_a_template_never_includes_itself(api_world: ApiWorld) -> None:
    """By name, by id, or by way of another one, which holds the version before."""
    inner = made(api_world, name="inner")
    made(api_world, name="outer", steps=including("inner"))
    for name in ("inner", inner, "outer"):
        body = {"name": "inner", "steps": including(name)}
        reply = api_world.put(f"/templates/{inner}", body)
        assert reply.status == 400, reply
        assert "includes form a cycle" in reply.message
    assert api_world.get(f"/templates/{inner}").body["version"] == 1


# ── update ─────────────────────────────────────────────────────────────────────────────────────


def test_an_update_is_the_next_version_and_the_old_one_stays(
    api_world: ApiWorld, clock: ManualClock
) -> None:
    template_id = made(api_world, public=True)
    clock.advance(60)
    reply = api_world.put(
        f"/templates/{template_id}", {"name": "Second", "steps": [step(prompt="Two.")]}
    )
    assert reply.status == 200
    assert (reply.body["version"], reply.body["latest_version"], reply.body["name"]) == (
        2,
        2,
        "Second",
    )
    assert reply.body["public"] is True, "unless said otherwise it stays what it was"
    assert reply.body["updated_at"] > reply.body["created_at"]
    assert api_world.get(f"/templates/{template_id}").body == reply.body
    first = api_world.get(f"/templates/{template_id}", query={"version": "1"}).body
    assert (first["version"], first["latest_version"], first["document"]["name"]) == (1, 2, "T")
    versions = api_world.get(f"/templates/{template_id}/versions").body
    assert [(each["version"], each["name"]) for each in versions["versions"]] == [
        (2, "Second"),
        (1, "T"),
    ]


def test_public_and_private_again(api_world: ApiWorld) -> None:
    template_id = made(api_world)
    for public in (True, False):
        body = {"name": "T", "steps": [step()], "public": public}
        assert api_world.put(f"/templates/{template_id}", body).body["public"] is public
        assert api_world.get(f"/templates/{template_id}", user=BOB).status == (
            200 if public else 404
        )


def test_a_change_of_an_older_version_is_refused(api_world: ApiWorld) -> None:
    template_id = made(api_world)
    body = {"name": "T", "steps": [step()], "based_on_version": 1}
    assert api_world.put(f"/templates/{template_id}", body).status == 200
    reply = api_world.put(f"/templates/{template_id}", body)
    assert (reply.status, reply.body["error"]["code"]) == (409, "conflict")
    assert reply.message == "the latest version is 2, not 1: read it, and change that"
    assert api_world.put(f"/templates/{template_id}", {**body, "based_on_version": 3}).status == 409


def test_s3_3_a_lost_race_goes_on_top(api_world: ApiWorld) -> None:
    """Both updates are versions, the loser's the later one."""
    template_id = made(api_world)
    path = f"/templates/{template_id}"

    def other() -> None:
        head = api_world.own.template_catalog.get_head(template_id)
        template = api_world.own.templates.load_template(head.latest)
        api_world.own.template_catalog.update(head, template, public=True)

    with meanwhile(client_of(api_world), "TransactWriteItems", other):
        reply = api_world.put(path, {"name": "Mine", "steps": [step()]})
    assert (reply.status, reply.body["version"], reply.body["name"]) == (200, 3, "Mine")
    assert reply.body["public"] is True, "what the other one changed is kept"
    names = [each["name"] for each in api_world.get(f"{path}/versions").body["versions"]]
    assert names == ["Mine", "T", "T"]


def test_s3_3_a_lost_race_of_a_change_that_names_its_version(api_world: ApiWorld) -> None:
    template_id = made(api_world)
    path = f"/templates/{template_id}"
    body = {"name": "Mine", "steps": [step()], "based_on_version": 1}

    def other() -> None:
        head = api_world.own.template_catalog.get_head(template_id)
        template = api_world.own.templates.load_template(head.latest)
        api_world.own.template_catalog.update(head, template, public=False)

    with meanwhile(client_of(api_world), "TransactWriteItems", other):
        assert api_world.put(path, body).status == 409
    assert [each["name"] for each in api_world.get(f"{path}/versions").body["versions"]] == [
        "T",
        "T",
    ]


def test_s3_3_a_race_that_is_always_lost_ends(api_world: ApiWorld) -> None:
    template_id = made(api_world)
    path = f"/templates/{template_id}"

    def other(**_: object) -> None:
        head = api_world.own.template_catalog.get_head(template_id)
        template = api_world.own.templates.load_template(head.latest)
        api_world.own.template_catalog.update(head, template, public=False)

    with hooked(client_of(api_world), "before-send.*.TransactWriteItems", other, last=False):
        reply = api_world.put(path, {"name": "Mine", "steps": [step()]})
    assert (reply.status, reply.body["error"]["code"]) == (409, "conflict")
    assert api_world.get(path).body["version"] == 1 + MAX_ATTEMPTS


def test_updates_at_the_same_time_lose_nothing(api_world: ApiWorld) -> None:
    template_id = made(api_world)
    path = f"/templates/{template_id}"
    bodies = [{"name": f"writer {n}", "steps": [step()]} for n in range(4)]
    outcomes = race([partial(api_world.put, path, body) for body in bodies])
    replies = [each for each in outcomes if isinstance(each, Reply)]
    assert [each for each in replies if each.status not in {200, 409}] == []
    stored = {each.body["version"]: each.body["name"] for each in replies if each.status == 200}
    assert stored
    assert len(replies) == len(bodies)
    versions = api_world.get(f"{path}/versions").body["versions"]
    assert {each["version"]: each["name"] for each in versions} == {1: "T", **stored}


def test_an_update_of_a_template_that_is_deleted_meanwhile(api_world: ApiWorld) -> None:
    template_id = made(api_world)

    def delete() -> None:
        api_world.own.template_catalog.delete(template_id)

    with meanwhile(client_of(api_world), "TransactWriteItems", delete):
        reply = api_world.put(f"/templates/{template_id}", {"name": "T", "steps": [step()]})
    assert reply.status == 404
    assert api_world.get("/templates").body["templates"] == []


def client_of(world: ApiWorld) -> Any:
    """The client through which the handlers write templates."""
    catalog: Any = world.ports.template_catalog
    return catalog._client


# ── delete ─────────────────────────────────────────────────────────────────────────────────────


def test_a_deleted_template_is_gone_and_stays_gone(api_world: ApiWorld) -> None:
    template_id = made(api_world, public=True)
    path = f"/templates/{template_id}"
    reply = api_world.delete(path)
    assert (reply.status, reply.text) == (204, "")
    missing = f"no template {template_id}: check the id"
    for again in (
        api_world.delete(path),
        api_world.get(path),
        api_world.get(f"{path}/versions"),
        api_world.get(f"{path}/export"),
        api_world.post(f"{path}/fork", {}),
        api_world.post(f"{path}/preview", {}),
        api_world.put(path, {"name": "T", "steps": [step()]}),
    ):
        assert (again.status, again.message) == (404, missing)
    assert api_world.get("/templates").body["templates"] == []
    assert api_world.get("/templates", query={"public": "true"}).body["templates"] == []


# ── lists ──────────────────────────────────────────────────────────────────────────────────────


def test_lists_page_through_own_and_public_templates(
    api_world: ApiWorld, clock: ManualClock
) -> None:
    for number in range(5):
        clock.advance(1)
        made(api_world, name=f"own {number}", public=number % 2 == 0)
        made(api_world, user=BOB, name=f"bob's {number}", public=number % 2 == 0)
    own = pages(api_world, "/templates", "templates", limit="2")
    assert [each["name"] for each in own] == [f"own {number}" for number in (4, 3, 2, 1, 0)]
    assert all(each["own"] for each in own)
    public = pages(api_world, "/templates", "templates", limit="2", public="true")
    assert sorted(each["name"] for each in public) == sorted(
        f"{whose} {number}" for whose in ("own", "bob's") for number in (0, 2, 4)
    )
    assert {each["name"]: each["own"] for each in public}["bob's 2"] is False
    assert "user_id" not in public[0]


def test_versions_page(api_world: ApiWorld) -> None:
    template_id = made(api_world)
    for number in range(2, 6):
        body = {"name": f"v{number}", "steps": [step()]}
        assert api_world.put(f"/templates/{template_id}", body).status == 200
    found = pages(api_world, f"/templates/{template_id}/versions", "versions", limit="2")
    assert [each["version"] for each in found] == [5, 4, 3, 2, 1]


def test_a_cursor_of_another_list_or_user_is_refused(api_world: ApiWorld) -> None:
    first, second = made(api_world, public=True), made(api_world, public=True)
    for template_id in (first, second):
        body = {"name": "T", "steps": [step()]}
        assert api_world.put(f"/templates/{template_id}", body).status == 200
    lists = {
        "own": ("/templates", {}),
        "public": ("/templates", {"public": "true"}),
        "first": (f"/templates/{first}/versions", {}),
        "second": (f"/templates/{second}/versions", {}),
    }
    cursors = {
        name: api_world.get(path, query={**query, "limit": "1"}).body["next_cursor"]
        for name, (path, query) in lists.items()
    }
    for name, (path, query) in lists.items():
        for source, cursor in cursors.items():
            reply = api_world.get(path, query={**query, "cursor": cursor})
            assert reply.status == (200 if source == name else 400), (name, source)
            other = api_world.get(path, query={**query, "cursor": cursor}, user=BOB)
            assert other.status == 400, (name, source)


def pages(world: ApiWorld, path: str, field: str, **query: str) -> list[dict[str, Any]]:
    """All items of a list, page by page."""
    found: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        reply = world.get(path, query={**query, **cursor})
        assert reply.status == 200, reply
        assert len(reply.body[field]) <= int(query["limit"])
        found += reply.body[field]
        if reply.body["next_cursor"] is None:
            return found
        cursor = {"cursor": reply.body["next_cursor"]}


# ── fork ───────────────────────────────────────────────────────────────────────────────────────


def test_a_fork_is_a_private_copy_of_ones_own(api_world: ApiWorld) -> None:
    template_id = made(api_world, user=BOB, **FULL, public=True)
    original = api_world.get(f"/templates/{template_id}").body
    reply = api_world.post(f"/templates/{template_id}/fork", {})
    assert reply.status == 201
    assert reply.body["template_id"] != template_id
    assert reply.headers["location"] == f"/templates/{reply.body['template_id']}"
    assert (reply.body["version"], reply.body["public"], reply.body["own"]) == (1, False, True)
    assert reply.body["document"] == original["document"]
    named = api_world.post(f"/templates/{template_id}/fork", {"name": "Mine"})
    assert named.body["document"] == {**original["document"], "name": "Mine"}
    assert api_world.get(f"/templates/{template_id}").body == original


def test_a_fork_of_an_older_version(api_world: ApiWorld) -> None:
    template_id = made(api_world)
    body = {"name": "New", "steps": [step(prompt="New.")]}
    assert api_world.put(f"/templates/{template_id}", body).status == 200
    path = f"/templates/{template_id}/fork"
    assert api_world.post(path, {"version": 1}).body["name"] == "T"
    assert api_world.post(path, {}).body["name"] == "New"
    assert api_world.post(path, {"version": 3}).status == 404
    assert api_world.post(path, {"name": ""}).status == 400


def test_a_fork_of_what_includes_a_private_template(api_world: ApiWorld) -> None:
    made(api_world, user=BOB, name="secret rules")
    template_id = made(api_world, user=BOB, steps=including("secret rules"), public=True)
    reply = api_world.post(f"/templates/{template_id}/fork", {})
    assert reply.status == 404
    assert "secret rules" in reply.message


# ── export and import ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("query", "accept", "written"),
    [
        ({}, "application/json", "json"),
        ({}, "*/*", "json"),
        ({}, "application/yaml", "yaml"),
        ({}, "text/x-yaml, */*;q=0.1", "yaml"),
        ({"format": "yaml"}, "application/json", "yaml"),
        ({"format": "json"}, "application/yaml", "json"),
    ],
)
def test_an_export_is_a_file_that_imports_to_the_same(
    api_world: ApiWorld, query: dict[str, str], accept: str, written: str
) -> None:
    template_id = made(api_world, **FULL)
    path = f"/templates/{template_id}/export"
    reply = api_world.get(path, query=query, headers={"accept": accept})
    assert reply.status == 200
    assert reply.headers["content-type"].partition(";")[0] == f"application/{written}"
    assert reply.headers["content-disposition"] == (
        f'attachment; filename="Product-reviews.{written}"'
    )
    assert reply.headers["cache-control"] == "no-store"
    imported = api_world.post("/templates/import", {"text": reply.text, "public": True})
    assert imported.status == 201
    assert imported.body["public"] is True
    original = api_world.get(f"/templates/{template_id}").body
    assert imported.body["document"] == original["document"]
    again = api_world.get(
        f"/templates/{imported.body['template_id']}/export",
        query=query,
        headers={"accept": accept},
    )
    assert again.text == reply.text
    if written == "json":
        document = api_world.post("/templates/import", {"document": json.loads(reply.text)})
        assert document.body["document"] == original["document"]


def test_an_export_in_yaml_is_for_people(api_world: ApiWorld) -> None:
    text = api_world.get(
        f"/templates/{made(api_world, **FULL)}/export", query={"format": "yaml"}
    ).text
    assert text.startswith("name: Product reviews\ndescription: Reviews with a rating\n")
    assert "  prompt: |-\n    Review {{ product }} as {{ author.name }}.\n    Be brief.\n" in text


def test_a_file_name_is_safe_whatever_the_template_is_called(api_world: ApiWorld) -> None:
    names = {
        "Größe / Farbe": "Gr-e-Farbe",
        'a"; filename="b': "a-filename-b",
        "../..": "template",
        "ключ": "template",
        "x" * 200: "x" * 80,
    }
    for name, file in names.items():
        reply = api_world.get(f"/templates/{made(api_world, name=name)}/export")
        assert reply.headers["content-disposition"] == f'attachment; filename="{file}.json"'


def test_an_export_of_an_older_version(api_world: ApiWorld) -> None:
    template_id = made(api_world)
    body = {"name": "New", "steps": [step()]}
    assert api_world.put(f"/templates/{template_id}", body).status == 200
    path = f"/templates/{template_id}/export"
    assert api_world.get(path, query={"version": "1"}).body["name"] == "T"
    assert api_world.get(path).body["name"] == "New"
    assert api_world.get(path, query={"format": "xml"}).status == 400


NO_TEMPLATES: list[tuple[dict[str, Any], str]] = [
    ({}, "give either document or text"),
    ({"document": {}, "text": "x"}, "give either document or text"),
    ({"document": []}, "document"),
    ({"text": ""}, "a template is a mapping"),
    ({"text": "- a"}, "a template is a mapping"),
    ({"text": "name: [x\nsteps: ]"}, "line 2, column 6: not valid YAML"),
    ({"text": '{"name": "x",}'}, "list 1 to 50 steps"),
    ({"text": "a: &x 1\nb: *x"}, "aliases (*name) are not allowed"),
    ({"text": "a: " + "[" * 100 + "]" * 100}, "nested deeper than 64 levels"),
    ({"text": "[" * 10_000}, "nested deeper than 64 levels"),
    ({"text": '{"a":' * 10_000}, "nested"),
    ({"text": "name: x\nname: y"}, "stands here twice"),
    ({"text": '{"name": "x", "name": "y"}'}, "stands twice"),
    ({"text": '{"name": NaN}'}, "NaN"),
    ({"text": "name: .nan"}, "NaN"),
    ({"text": "1: x"}, "every key is a text"),
    ({"text": "name: 2026-02-03"}, "this is a date"),
    ({"text": '{"name": "\\ud800"}'}, "surrogate"),
    ({"text": "x" * 600_000}, "larger than 512 KiB"),
    ({"text": "!!python/object:os.system x"}, "not valid YAML"),
    ({"document": {"name": "x", "steps": [], "colour": "red"}}, 'unknown field "colour"'),
]


def test_an_import_that_is_no_template(api_world: ApiWorld) -> None:
    for body, part in NO_TEMPLATES:
        reply = api_world.post("/templates/import", body)
        assert reply.status == 400, (body, reply)
        assert part in reply.message
    assert not api_world.items("Templates")


def test_an_import_is_held_to_the_same_as_any_template(api_world: ApiWorld) -> None:
    for steps, status in (
        (including("nowhere"), 404),
        ([step(model="nova-micro")], 400),
        ([step(prompt="{{ ''.__class__ }}")], 400),
    ):
        body = {"document": {"name": "T", "steps": steps}}
        assert api_world.post("/templates/import", body).status == status
    assert not api_world.items("Templates")


def test_json_with_escaped_characters_imports(api_world: ApiWorld) -> None:
    """`json.dumps` writes surrogate pairs, which YAML alone would refuse."""
    document = {"name": "😀 \u2028", "steps": [step(prompt="😀\x85")]}
    document["name"] = "😀"
    reply = api_world.post("/templates/import", {"text": json.dumps(document)})
    assert (reply.status, reply.body["name"]) == (201, "😀")
    assert reply.body["document"]["steps"][0]["prompt"] == "😀\x85"
