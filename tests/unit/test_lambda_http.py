"""The one way from an event to an answer, with endpoints made for the purpose."""

import json
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, cast

import pytest

from runtime.contract.environment import METRICS_NAMESPACE
from runtime.domain.errors import (
    BudgetExceededError,
    ConfigurationError,
    ConflictError,
    ForbiddenError,
    InputError,
    LimitError,
    ModelError,
    ModelErrorKind,
    NotFoundError,
    PriceError,
    RenderError,
    SeedError,
    SeedwrightError,
    StorageBusyError,
    StorageError,
    StorageUnavailableError,
    TemplateError,
    TemplateNotFoundError,
    TooLargeError,
)
from runtime.domain.service_ports import ApiPorts
from runtime.lambdas.http import (
    Answer,
    ApiModel,
    Call,
    Endpoint,
    NoBody,
    endpoint,
)
from runtime.lambdas.requests import MAX_BODY_BYTES
from tests.fixtures.api import HandlerLogs
from tests.fixtures.lambda_events import ALICE, REQUEST_ID, api_event

NO_PORTS = cast("ApiPorts", object())
JOB = "0f1e2d3c-4b5a-4968-8776-655443322110"


class Order(ApiModel):
    count: int
    anything: Any = None


class Choice(ApiModel):
    limit: int = 5


class Seen(ApiModel):
    caller: str
    count: int = 0
    limit: int = 0
    path: dict[str, str] | None = None
    key: str = ""


@endpoint(body=Order, query=Choice, answers={HTTPStatus.CREATED: Seen})
def order(call: Call[Order, Choice]) -> Seen:
    """Echo what arrived."""
    return Seen(
        caller=call.caller,
        count=call.body.count,
        limit=call.query.limit,
        path=dict(call.path),
        key=call.headers.get("idempotency-key", ""),
    )


@endpoint(body=NoBody, query=NoBody, answers={HTTPStatus.NO_CONTENT: None})
def nothing(call: Call[NoBody, NoBody]) -> None:
    """Take nothing, give nothing."""
    assert call.body == NoBody()


def send(target: Endpoint[Any, Any] = order, **event: Any) -> tuple[int, Any, dict[str, str]]:
    answer = target.respond(api_event("POST", "/orders", **event), NO_PORTS)
    body = json.loads(answer["body"]) if answer["body"] else None
    return answer["statusCode"], body, answer["headers"]


def failing(error: Exception) -> Endpoint[Any, Any]:
    @endpoint(body=NoBody, query=NoBody, answers={HTTPStatus.OK: Seen})
    def fail(_call: Call[NoBody, NoBody]) -> Seen:
        """Raise."""
        raise error

    return fail


def test_a_request_in_order_reaches_the_operation() -> None:
    status, body, headers = send(
        body={"count": 3},
        query={"limit": "7"},
        path_parameters={"job_id": JOB.upper()},
        headers={"Idempotency-Key": "once"},
    )
    assert status == 201
    assert body == {
        "caller": ALICE,
        "count": 3,
        "limit": 7,
        "path": {"job_id": JOB},
        "key": "once",
    }
    assert headers["content-type"] == "application/json"
    assert headers["cache-control"] == "no-store"
    assert headers["x-request-id"] == REQUEST_ID


def test_an_answer_without_a_body() -> None:
    status, body, headers = send(nothing)
    assert (status, body) == (204, None)
    assert "content-type" not in headers


def test_an_operation_may_choose_status_and_headers() -> None:
    @endpoint(body=NoBody, query=NoBody, answers={HTTPStatus.OK: Seen})
    def choose(call: Call[NoBody, NoBody]) -> Answer:
        """Answer in its own way."""
        return Answer(
            body=Seen(caller=call.caller), status=HTTPStatus.ACCEPTED, headers={"location": "/x"}
        )

    status, body, headers = send(choose)
    assert (status, body["caller"], headers["location"]) == (202, ALICE, "/x")


@pytest.mark.parametrize(
    "event",
    [
        {"user": None},
        {"claims": {}},
        {"claims": {"username": "ada"}},
        {"claims": {"sub": ""}},
        {"claims": {"sub": None}},
        {"claims": {"sub": ["a"]}},
        {"claims": {"sub": "../other"}},
        {"claims": {"sub": "a/b"}},
        {"claims": {"sub": "a\n"}},
        {"claims": {"sub": "x" * 129}},
    ],
)
def test_s2_1_s2_2_no_caller_no_service(event: dict[str, Any]) -> None:
    status, body, _ = send(body={"count": "wrong as well"}, **event)
    assert status == 401
    assert body["error"]["code"] == "unauthenticated"


def test_an_event_of_another_kind_is_refused() -> None:
    assert order.respond({}, NO_PORTS)["statusCode"] == 401
    assert order.respond({"requestContext": {"authorizer": None}}, NO_PORTS)["statusCode"] == 401


@pytest.mark.parametrize("value", ["", "1", "x" * 36, f"{JOB}\n", f"{JOB}/..", "{" + JOB + "}"])
def test_s1_7_an_id_that_is_no_uuid(value: str) -> None:
    status, body, _ = send(body={"count": 1}, path_parameters={"job_id": value})
    assert status == 400
    assert body["error"]["details"] == [{"field": "job_id", "message": "must be a UUID"}]


@pytest.mark.parametrize(
    "raw",
    [
        "{",
        "count=1",
        '{"count": 1',
        "\ud800",
        b"\xff\xfe",
        '{"count": 1, "anything": "\\ud800"}',
        "[" * 5000 + "]" * 5000,
        '{"count": 1, "anything": ' + "[" * 5000 + "]" * 5000 + "}",
        '{"count": 1, "anything": NaN}',
        '{"count": 1, "anything": 1e309}',
        '{"count": 1, "anything": -Infinity}',
    ],
)
def test_s1_2_a_body_that_is_no_json(raw: str | bytes) -> None:
    status, body, _ = send(raw_body=raw)
    assert status == 400
    assert "JSON could not be parsed" in body["error"]["message"]


def test_where_json_breaks_is_said() -> None:
    assert "line 2 column 3" in send(raw_body='{"count": 1,\n  ?}')[1]["error"]["message"]


@pytest.mark.parametrize(
    ("body", "field", "problem"),
    [
        ({}, "count", "is required"),
        ({"count": 1, "colour": "red"}, "colour", "is not a field of this operation"),
        ({"count": True}, "count", "integer"),
        ({"count": "5"}, "count", "integer"),
        ({"count": 1.5}, "count", "integer"),
        ([], "the body", "object"),
        (None, "the body", "object"),
    ],
)
def test_s1_10_fields_are_named(body: Any, field: str, problem: str) -> None:
    status, answer, _ = send(body=body)
    assert status == 400
    assert answer["error"]["code"] == "invalid_input"
    [detail] = answer["error"]["details"]
    assert detail["field"] == field
    assert problem in detail["message"]
    assert field in answer["error"]["message"]


def test_every_wrong_field_is_named_at_once() -> None:
    details = send(body={"x": 1, "y": 2})[1]["error"]["details"]
    assert [each["field"] for each in details] == ["count", "x", "y"]


def test_an_empty_body_misses_its_fields() -> None:
    assert send()[1]["error"]["details"] == [{"field": "count", "message": "is required"}]


def test_unknown_query_parameters_are_refused() -> None:
    status, body, _ = send(body={"count": 1}, query={"limit": "many", "page": "2"})
    assert status == 400
    assert {each["field"] for each in body["error"]["details"]} == {"limit", "page"}


def test_a_body_where_none_is_taken() -> None:
    assert send(nothing, body={"a": 1})[0] == 400
    assert send(nothing, body={})[0] == 204


@pytest.mark.parametrize("encode", [str.encode, str])
def test_a_body_at_the_limit_and_beyond(encode: Callable[[str], str | bytes]) -> None:
    frame = len(json.dumps({"count": 1, "anything": ""}))
    for size, expected in ((MAX_BODY_BYTES, 201), (MAX_BODY_BYTES + 1, 413), (6 * 2**20, 413)):
        text = json.dumps({"count": 1, "anything": "x" * (size - frame)})
        assert send(raw_body=encode(text))[0] == expected


def test_base64_that_is_none() -> None:
    event = api_event("POST", "/orders", raw_body=b"{}")
    for text in ("?", "e", "é", "\ud800"):
        event["body"] = text
        assert order.respond(event, NO_PORTS)["statusCode"] == 400


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ForbiddenError("said"), 403),
        (NotFoundError("said"), 404),
        (TemplateNotFoundError("said"), 404),
        (InputError("said"), 400),
        (TemplateError("said"), 400),
        (SeedError("said"), 400),
        (PriceError("said"), 400),
        (RenderError("said"), 400),
        (TooLargeError("said"), 413),
        (ConflictError("said"), 409),
        (LimitError("said"), 429),
    ],
)
def test_a_refusal_says_why(error: SeedwrightError, status: int) -> None:
    found, body, headers = send(failing(error))
    assert found == status
    assert body == {"error": {"code": error.code, "message": "said", "details": []}}
    assert ("retry-after" in headers) is (status == 429)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (StorageError("secret detail"), 500),
        (ConfigurationError("secret detail"), 500),
        (BudgetExceededError("secret detail"), 500),
        (RuntimeError("secret detail"), 500),
        (KeyError("secret detail"), 500),
        (StorageUnavailableError("secret detail"), 500),
        (StorageBusyError("secret detail"), 503),
        (ModelError(ModelErrorKind.FATAL, "secret detail"), 502),
    ],
)
def test_s3_1_our_own_faults_say_nothing_and_are_logged(
    error: Exception, status: int, handler_logs: HandlerLogs
) -> None:
    found, body, headers = send(failing(error))
    assert found == status
    assert "secret" not in json.dumps(body)
    assert ("retry-after" in headers) is (status == 503)
    assert "secret" not in handler_logs.text
    [line] = handler_logs.lines
    assert line["message"] == "request failed"
    assert (line["request_id"], line["error"], line["status"]) == (
        REQUEST_ID,
        type(error).__name__,
        status,
    )
    assert any(place.startswith("test_lambda_http.py:") for place in line["where"])


@pytest.mark.parametrize(
    ("target", "counted"),
    [
        (order, "ClientErrors"),
        (failing(RuntimeError()), "ServerErrors"),
    ],
)
def test_requests_and_errors_are_counted(
    target: Endpoint[Any, Any],
    counted: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    send(target)
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    [metrics] = [line for line in lines if "_aws" in line]
    assert metrics["Requests"] == [1.0]
    assert metrics[counted] == [1.0]
    assert metrics["operation"] == "test_lambda_http"


@pytest.mark.parametrize("namespace", ["seedwright/dev", None])
def test_the_metrics_of_a_stage_are_its_own(
    namespace: str | None, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if namespace is not None:
        monkeypatch.setenv(METRICS_NAMESPACE, namespace)
    send(order)
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    [metrics] = [line for line in lines if "_aws" in line]
    [directive] = metrics["_aws"]["CloudWatchMetrics"]
    assert directive["Namespace"] == (namespace or "seedwright")


def test_one_request_leaves_nothing_in_the_logs_of_the_next(handler_logs: HandlerLogs) -> None:
    target = failing(RuntimeError())
    send(target)
    target.respond(api_event("GET", "/a") | {"requestContext": {}}, NO_PORTS)
    order.respond({"requestContext": {"requestId": "second"}}, NO_PORTS)
    failing_without_token = failing(RuntimeError())
    failing_without_token.authenticated = False
    failing_without_token.respond({"requestContext": {"requestId": "third"}}, NO_PORTS)
    assert [line["request_id"] for line in handler_logs.lines] == [REQUEST_ID, "third"]
