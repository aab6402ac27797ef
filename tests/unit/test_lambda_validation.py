"""Group S1: what handlers refuse before anything is read or written.

S1.8 and S1.9 stand at the end.
"""

import json
import re
from typing import Any, cast

import pytest

from runtime.contract.functions import Route
from runtime.contract.routes import ROUTES
from runtime.domain.service_ports import ApiPorts
from runtime.lambdas.http import NoBody
from runtime.lambdas.requests import MAX_BODY_BYTES
from runtime.lambdas.router import endpoint_of
from tests.fixtures.api import Api, Reply
from tests.fixtures.api_world import SOME_ID, ApiWorld
from tests.fixtures.lambda_events import ALICE, api_event

ORDER: dict[str, Any] = {
    "template_id": SOME_ID,
    "seed_data_path": f"seed-data/{ALICE}/seeds.jsonl",
    "num_records": 10,
    "budget_limit": 5,
    "output_format": "JSONL",
}
ESTIMATE = {name: ORDER[name] for name in ("template_id", "seed_data_path", "num_records")}


TAKING_A_BODY = [route for route in ROUTES if endpoint_of(route).body is not NoBody]
TAKING_NONE = [
    route for route in ROUTES if endpoint_of(route).body is NoBody and route.authenticated
]


API = Api(cast("ApiPorts", object()))
"""Handlers with nothing behind them: to touch a port is a 500."""


def send(route: Route, **event: Any) -> Reply:
    """A request for any route, with ids that nothing has."""
    path = re.sub(r"{\w+}", SOME_ID, route.path)
    return API.call(route.method, path, **event)


def refused(reply: Reply, status: int = 400) -> Reply:
    """`reply`, which is a refusal."""
    assert reply.status == status, reply
    return reply


# ── create_job ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("event", [{}, {"raw_body": ""}, {"body": {}}])
def test_s1_1_an_empty_body_misses_its_fields(event: dict[str, Any]) -> None:
    reply = refused(API.call("POST", "/jobs", **event))
    named = {each["field"]: each["message"] for each in reply.body["error"]["details"]}
    assert named == dict.fromkeys(ORDER.keys() - {"output_format"}, "is required")
    assert "template_id: is required" in reply.message


@pytest.mark.parametrize("field", ["template_id", "seed_data_path", "num_records", "budget_limit"])
def test_s1_6_a_missing_field_is_named(field: str, request: pytest.FixtureRequest) -> None:
    body = {name: value for name, value in ORDER.items() if name != field}
    api: Api | ApiWorld = API
    if field == "seed_data_path":  # whether it is needed says the template
        world: ApiWorld = request.getfixturevalue("api_world")
        api, body["template_id"] = world, world.template()
    reply = refused(api.post("/jobs", body))
    assert reply.body["error"]["details"] == [{"field": field, "message": "is required"}]


@pytest.mark.parametrize(
    "raw",
    [
        "-10",
        "0",
        "2000",
        '"fifty"',
        "true",
        "NaN",
        "Infinity",
        "-Infinity",
        "1e309",
        '"NaN"',
        '"Infinity"',
        '""',
        "null",
        "[10]",
        "{}",
        "0.0000000001",
        '"1000.000000001"',
        "1" + "0" * 400,
        '"1' + "0" * 400 + '"',
        '"1e999999"',
        '"\u0661\u0660"',
    ],
)
def test_s1_3_a_budget_out_of_range(raw: str) -> None:
    body = json.dumps({**ORDER, "budget_limit": "?"}).replace('"?"', raw)
    reply = refused(API.call("POST", "/jobs", raw_body=body))
    assert "more than 0 and at most 1000 USD" in reply.message
    assert "budget_limit" in reply.message


@pytest.mark.parametrize(
    "formats",
    ["XML", "jsonl", "", None, 1, [], ["JSONL", "XML"], ["JSONL", "JSONL"], ["CSV", 1], {}, [[]]],
)
def test_s1_4_a_format_that_is_none(formats: object) -> None:
    reply = refused(API.post("/jobs", {**ORDER, "output_format": formats}))
    assert "JSONL, PARQUET, CSV" in reply.message
    assert reply.body["error"]["details"][0]["field"] == "output_format"


@pytest.mark.parametrize(
    "raw", ["0", "-5", "2000000", "1000001", "100.5", "true", '"10"', "null", "1e309", "NaN", "1e2"]
)
@pytest.mark.parametrize("path", ["/jobs", "/jobs/estimate"])
def test_s1_5_a_number_of_records_out_of_range(raw: str, path: str) -> None:
    order = ORDER if path == "/jobs" else ESTIMATE
    body = json.dumps({**order, "num_records": "?"}).replace('"?"', raw)
    reply = refused(API.call("POST", path, raw_body=body))
    assert "num_records" in reply.message or "could not be parsed" in reply.message


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("template_id", "reviews"),
        ("template_id", 7),
        ("template_id", f"{SOME_ID}\x00"),
        ("template_version", 0),
        ("template_version", "1"),
        ("template_version", True),
        ("seed_data_path", ""),
        ("seed_data_path", "x" * 1025),
        ("partition_strategy", "hourly"),
        ("seed_strategy", "newest"),
        ("model", ""),
        ("model", "x" * 201),
        ("name", ""),
        ("name", "x" * 101),
        ("name", "a\x1b[2J"),
        ("name", 7),
        ("random_seed", -1),
        ("random_seed", 2**63),
        ("random_seed", 1.5),
        ("random_seed", True),
        ("random_seed", "1"),
        ("allow_partial", "yes"),
        ("allow_on_demand", "yes"),
        ("allow_on_demand", 1),
    ],
)
def test_other_fields_of_a_job(field: str, value: object) -> None:
    reply = refused(API.post("/jobs", {**ORDER, field: value}))
    assert [each["field"] for each in reply.body["error"]["details"]] == [field]


@pytest.mark.parametrize("key", ["", "x" * 256, "a\nb", "ключ", "\x7f", "a\x00"])
def test_an_idempotency_key_that_is_none(key: str) -> None:
    reply = API.post("/jobs", ORDER, headers={"Idempotency-Key": key})
    assert "Idempotency-Key" in refused(reply).message


# ── every operation ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("route", TAKING_A_BODY, ids=lambda route: route.key)
@pytest.mark.parametrize(
    "raw", ["{", "text", '{"a": }', b"\xff\xfe\x00", "[" * 100_000, '{"a":' * 100_000]
)
def test_s1_2_a_body_that_is_no_json(route: Route, raw: str | bytes) -> None:
    reply = refused(send(route, raw_body=raw))
    assert "JSON could not be parsed" in reply.message


@pytest.mark.parametrize("route", TAKING_A_BODY, ids=lambda route: route.key)
def test_s1_10_an_unknown_field_is_refused(route: Route) -> None:
    reply = refused(send(route, body={"colour": "red"}))
    assert {"field": "colour", "message": "is not a field of this operation"} in (
        reply.body["error"]["details"]
    )


def test_s1_10_an_unknown_field_is_never_stored() -> None:
    reply = API.post("/jobs", {**ORDER, "status": "COMPLETED", "user_id": "bob"})
    refused(reply)
    assert {each["field"] for each in reply.body["error"]["details"]} == {"status", "user_id"}


@pytest.mark.parametrize("route", TAKING_NONE, ids=lambda route: route.key)
def test_s1_10_an_unknown_query_parameter_is_refused(route: Route) -> None:
    reply = refused(send(route, query={"page": "2"}))
    assert reply.body["error"]["details"][0]["field"] == "page"
    refused(send(route, body={"page": 2}))


@pytest.mark.parametrize("route", TAKING_A_BODY, ids=lambda route: route.key)
@pytest.mark.parametrize("size", [MAX_BODY_BYTES + 1, 6 * 1024 * 1024])
def test_a_body_that_is_too_large(route: Route, size: int) -> None:
    reply = refused(send(route, raw_body='"' + "x" * size + '"'), 413)
    assert str(MAX_BODY_BYTES) in reply.message


def test_a_body_of_one_mebibyte_is_read() -> None:
    frame = len(json.dumps({**ORDER, "model": ""}))
    body = json.dumps({**ORDER, "model": "x" * (MAX_BODY_BYTES - frame)})
    reply = refused(API.call("POST", "/jobs", raw_body=body))
    assert reply.body["error"]["details"][0]["field"] == "model"


@pytest.mark.parametrize(
    "text", ["a\x00b", "\ud800", "\U0001f600", "\u202e", "\ufeff", "' OR 1=1", "${HOME}"]
)
@pytest.mark.parametrize("field", ["seed_data_path", "model", "template_id"])
def test_odd_characters_are_refused_and_nothing_breaks(
    api_world: ApiWorld, field: str, text: str
) -> None:
    template_id, seeds = api_world.template(), api_world.seeds()
    body = {**ORDER, "template_id": template_id, "seed_data_path": seeds, field: text}
    reply = api_world.post("/jobs", body)
    assert reply.status == (403 if field == "seed_data_path" and text != "\ud800" else 400)
    assert not api_world.items("Jobs")


@pytest.mark.parametrize(
    "route",
    [route for route in ROUTES if "{" in route.path],
    ids=lambda route: route.key,
)
@pytest.mark.parametrize("value", ["1", "x" * 36, f"{SOME_ID}%00", SOME_ID[:-1], "..", SOME_ID * 2])
def test_s1_7_an_id_that_is_no_uuid(route: Route, value: str) -> None:
    name = route.path.partition("{")[2].partition("}")[0]
    reply = refused(API.call(route.method, route.path.replace(f"{{{name}}}", value)))
    assert reply.body["error"]["details"] == [{"field": name, "message": "must be a UUID"}]


# ── headers, paths, cursors ────────────────────────────────────────────────────────────────────


def test_a_path_parameter_that_the_gateway_left_out() -> None:
    route = next(route for route in ROUTES if route.key == "GET /jobs/{job_id}")
    event = api_event("GET", "/jobs/")
    answer = endpoint_of(route).respond(event, API.ports)
    assert answer["statusCode"] == 400
    assert "job_id" in answer["body"]


def test_header_names_in_capitals(api_world: ApiWorld) -> None:
    event = api_event("POST", "/jobs", body=api_world.order())
    event["headers"] = {"IDEMPOTENCY-KEY": "once", "Content-Type": "text/plain"}
    endpoint = endpoint_of(next(route for route in ROUTES if route.key == "POST /jobs"))
    first = json.loads(endpoint.respond(event, api_world.ports)["body"])
    second = endpoint.respond(event, api_world.ports)
    assert second["statusCode"] == 200
    assert json.loads(second["body"])["job_id"] == first["job_id"]


def test_no_headers_at_all(api_world: ApiWorld) -> None:
    event = api_event("GET", "/jobs")
    event["headers"] = None
    endpoint = endpoint_of(next(route for route in ROUTES if route.key == "GET /jobs"))
    assert endpoint.respond(event, api_world.ports)["statusCode"] == 200


@pytest.mark.parametrize("limit", ["0", "101", "-1", "many", "1e9", "", "NaN", "9" * 5000])
@pytest.mark.parametrize("path", ["/jobs", f"/jobs/{SOME_ID}/download"])
def test_a_limit_out_of_range(path: str, limit: str) -> None:
    reply = refused(API.get(path, query={"limit": limit}))
    assert reply.body["error"]["details"][0]["field"] == "limit"


@pytest.mark.parametrize(
    "cursor",
    ["", "x", "!!", "é", "W10", "bnVsbA", "e30", "MQ", "x" * 1025, "eyJhIjoxfQ==", "a\x00"],
)
def test_a_cursor_that_is_none(cursor: str) -> None:
    reply = refused(API.get("/jobs", query={"cursor": cursor}))
    assert "cursor" in reply.message


def test_a_status_that_is_none() -> None:
    reply = refused(API.get("/jobs", query={"status": "running"}))
    assert "RUNNING" in reply.message


def test_an_action_that_is_none() -> None:
    reply = API.delete(f"/jobs/{SOME_ID}", query={"action": "archive"})
    assert "cancel" in refused(reply).message


# ── templates ──────────────────────────────────────────────────────────────────────────────────

STEP = {"id": "a", "prompt": "Write."}
INCOMPLETE: list[tuple[dict[str, Any], str]] = [
    ({}, "name"),
    ({}, "steps"),
    ({"steps": [STEP]}, "name"),
    ({"name": "T"}, "steps"),
    ({"name": "T", "steps": [{"prompt": "Write."}]}, "steps.0.id"),
    ({"name": "T", "steps": [{"id": "a"}]}, "steps.0.prompt"),
    ({"name": "T", "steps": [STEP, {"id": "b"}]}, "steps.1.prompt"),
    ({"name": "T", "steps": [{}, STEP]}, "steps.0.id"),
]


@pytest.mark.parametrize(("body", "field"), INCOMPLETE)
def test_s1_8_a_template_without_a_required_field(body: dict[str, Any], field: str) -> None:
    for method, path in (("POST", "/templates"), ("PUT", f"/templates/{SOME_ID}")):
        reply = refused(API.call(method, path, body=body))
        assert {"field": field, "message": "is required"} in reply.body["error"]["details"]
        assert field in reply.message
    imported = refused(API.post("/templates/import", {"document": body}))
    assert field.rpartition(".")[2] in imported.message


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"colour": "red"}, "colour"),
        ({"user_id": "bob"}, "user_id"),
        ({"template_id": SOME_ID}, "template_id"),
        ({"version": 7}, "version"),
        ({"steps": [{**STEP, "colour": "red"}]}, "steps.0.colour"),
    ],
)
def test_s1_10_unknown_fields_of_a_template(body: dict[str, Any], field: str) -> None:
    document = {"name": "T", "steps": [STEP], **body}
    for method, path in (("POST", "/templates"), ("PUT", f"/templates/{SOME_ID}")):
        reply = refused(API.call(method, path, body=document))
        assert reply.body["error"]["details"] == [
            {"field": field, "message": "is not a field of this operation"}
        ]
    imported = refused(API.post("/templates/import", {"document": document}))
    assert f'unknown field "{field.rpartition(".")[2]}"' in imported.message


# ── seed files ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "body", "place"),
    [
        ("a.json", '[{"a": 1},\n {"a": }]', "line 2, column 8"),
        ("a.json", '[{"a": 1}\n {"a": 2}]', "line 2, column 2"),
        ("a.json", '{"a": ', "line 1, column "),
        ("a.json", "a,b\n1,2\n", "line 1, column 1"),
        ("a.json", '[{"a": NaN}]', "line 1, column 8"),
        ("a.json", "[" * 100_000, "line 1, column 2"),
        ("a.jsonl", '{"a": 1}\n\n{"a"', "line 3, column 5"),
        ("a.jsonl", '{"a": 1}\n{"a": 1} {"a": 2}\n', "line 2, column 10"),
        ("a.ndjson", "text", "line 1, column "),
        ("a.csv", 'a,b\n1,2\n"x', "line 3, column 1"),
        ("a.csv", 'a,b\n1,2\n"x"y,2\n', "line 3, column 1"),
        ("a.csv", b"a\nM\xfcller\n", "line 2, column 2"),
        ("a.csv", "a\n1\n".encode("utf-16"), "line 1, column 1"),
        ("a.json", b'[{"a": "\xff"}]', "line 1, column 9"),
    ],
)
def test_s1_9_a_file_that_is_not_what_its_name_says(
    api_world: ApiWorld, name: str, body: bytes | str, place: str
) -> None:
    key = api_world.upload(name, body if isinstance(body, bytes) else body.encode())
    reply = api_world.post("/seed-data/validate", {"s3_key": key})
    assert (reply.status, reply.body["error"]["code"]) == (400, "invalid_seeds")
    assert reply.message.startswith(f"{name}, {place}")
