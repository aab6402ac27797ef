"""From an event of API Gateway (HTTP API, payload format 2.0) to an answer, for all operations.

    event ─▶ claims ─▶ path ─▶ query ─▶ body ─▶ the operation ─▶ answer
               401      400     400     400/413   errors by `STATUS_OF`

An operation is a function from a `Call` to a model, made an endpoint by `@endpoint`. It raises the
errors of `runtime.domain.errors`; what their class means to a client is one table, and a message is
passed on only where it is meant for the user. Everything else is a 500 that says nothing.
"""

import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from http import HTTPStatus
from typing import Any, Final, Generic, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from runtime.domain.errors import (
    ConflictError,
    ForbiddenError,
    InputError,
    LimitError,
    ModelError,
    NotFoundError,
    RenderError,
    SeedwrightError,
    StorageBusyError,
    TemplateNotFoundError,
    TooLargeError,
    UnauthenticatedError,
)
from runtime.domain.identifiers import is_uuid
from runtime.domain.service_ports import ApiPorts
from runtime.service.observability import count_error, log_failure, observe

MAX_BODY_BYTES: Final = 1024 * 1024
"""A template document has at most 256 KiB, and nothing else that is posted comes near that."""

RETRY_AFTER_SECONDS: Final = 2

STATUS_OF: Final[Mapping[type[SeedwrightError], HTTPStatus]] = {
    UnauthenticatedError: HTTPStatus.UNAUTHORIZED,
    ForbiddenError: HTTPStatus.FORBIDDEN,
    TemplateNotFoundError: HTTPStatus.NOT_FOUND,
    NotFoundError: HTTPStatus.NOT_FOUND,
    TooLargeError: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    InputError: HTTPStatus.BAD_REQUEST,
    RenderError: HTTPStatus.BAD_REQUEST,
    ConflictError: HTTPStatus.CONFLICT,
    LimitError: HTTPStatus.TOO_MANY_REQUESTS,
    ModelError: HTTPStatus.BAD_GATEWAY,
    StorageBusyError: HTTPStatus.SERVICE_UNAVAILABLE,
}
"""Which answer an error is; the first class in the error's line of ancestors decides. What is not
here is the system's own fault: 500."""

_OWN_FAULT: Final = "something went wrong on our side; give the request id when you report it"
_BUSY: Final = "the service is busy: try again in a moment"
_SUBJECT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,127}")
_MAX_DETAILS: Final = 20
_MAX_PLACE_CHARACTERS: Final = 200

Response = dict[str, Any]
"""What Lambda returns to API Gateway: statusCode, headers and body."""


class ApiModel(BaseModel):
    """A body, a query or an answer. Fields that it doesn't have are refused, and types are exact:
    `true` and `"5"` are no numbers.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class Nothing(ApiModel):
    """No body, or no query parameters."""


BodyT = TypeVar("BodyT", bound=ApiModel)
QueryT = TypeVar("QueryT", bound=ApiModel)


@dataclass(frozen=True, kw_only=True)
class Call(Generic[BodyT, QueryT]):
    """One request whose caller, path, query and body are in order. Header names are lower case."""

    caller: str
    path: Mapping[str, str]
    query: QueryT
    body: BodyT
    headers: Mapping[str, str]
    request_id: str
    ports: ApiPorts


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """An answer that is not the endpoint's usual one. A text has its content-type in `headers`."""

    body: ApiModel | str | None
    status: HTTPStatus
    headers: Mapping[str, str] = field(default_factory=dict)


class Endpoint(Generic[BodyT, QueryT]):
    """An operation as Lambda calls it. What it takes and gives is known to the OpenAPI document.

    `answers` are the models of the answers by status, the usual one first; None is an answer
    without a body. `errors` are the statuses of refusals beyond those that follow from what the
    endpoint takes. `media_types` are what the usual answer can be besides JSON.
    """

    def __init__(
        self,
        operation: Callable[[Call[BodyT, QueryT]], ApiModel | Answer | None],
        *,
        body: type[BodyT],
        query: type[QueryT],
        answers: Mapping[HTTPStatus, type[ApiModel] | None],
        errors: tuple[HTTPStatus, ...],
        request_headers: Mapping[str, str],
        authenticated: bool,
        media_types: tuple[str, ...],
    ) -> None:
        self.operation = operation
        self.body = body
        self.query = query
        self.answers = answers
        self.errors = errors
        self.request_headers = request_headers
        self.authenticated = authenticated
        self.media_types = media_types
        self.__doc__ = operation.__doc__

    def __call__(self, event: Mapping[str, Any], context: object = None) -> Response:  # noqa: ARG002 - Lambda passes it
        """The Lambda handler."""
        return self.respond(event, ports_of_process())

    def respond(self, event: Mapping[str, Any], ports: ApiPorts) -> Response:
        """Answer one request with these ports. Raises nothing."""
        request_id = str(event.get("requestContext", {}).get("requestId", ""))
        with observe(self.operation.__module__, request_id):
            try:
                result = self.operation(self._call(event, request_id, ports))
                if isinstance(result, Answer):
                    return _response(result, request_id)
                status = next(iter(self.answers))
                return _response(Answer(body=result, status=status), request_id)
            except Exception as error:  # noqa: BLE001 - the last line before Lambda's own error page
                return _refusal(error, request_id)

    def _call(
        self, event: Mapping[str, Any], request_id: str, ports: ApiPorts
    ) -> Call[BodyT, QueryT]:
        caller = _caller(event) if self.authenticated else ""
        return Call(
            caller=caller,
            path=_path(event),
            query=_query(event, self.query),
            body=_body(event, self.body),
            headers={name.lower(): value for name, value in (event.get("headers") or {}).items()},
            request_id=request_id,
            ports=ports,
        )


def endpoint(
    *,
    body: type[BodyT],
    query: type[QueryT],
    answers: Mapping[HTTPStatus, type[ApiModel] | None],
    errors: tuple[HTTPStatus, ...] = (),
    request_headers: Mapping[str, str] | None = None,
    authenticated: bool = True,
    media_types: tuple[str, ...] = (),
) -> Callable[[Callable[[Call[BodyT, QueryT]], ApiModel | Answer | None]], Endpoint[BodyT, QueryT]]:
    """Make an operation an endpoint; see `Endpoint`. `request_headers` maps the names of headers
    that it reads to their description.
    """

    def decorate(
        operation: Callable[[Call[BodyT, QueryT]], ApiModel | Answer | None],
    ) -> Endpoint[BodyT, QueryT]:
        return Endpoint(
            operation,
            body=body,
            query=query,
            answers=answers,
            errors=errors,
            request_headers=request_headers or {},
            authenticated=authenticated,
            media_types=media_types,
        )

    return decorate


@cache
def ports_of_process() -> ApiPorts:
    """The ports on AWS under the names that the environment gives, made once."""
    from runtime.bootstrap import aws_api  # noqa: PLC0415 - the local server never needs it

    return aws_api()


# ── what comes in ──────────────────────────────────────────────────────────────────────────────


def _caller(event: Mapping[str, Any]) -> str:
    authorizer = event.get("requestContext", {}).get("authorizer") or {}
    subject = ((authorizer.get("jwt") or {}).get("claims") or {}).get("sub")
    # The subject becomes part of keys: whoever issues others has to be looked at first.
    if not isinstance(subject, str) or not _SUBJECT.fullmatch(subject):
        raise UnauthenticatedError("sign in first: the request has no valid token")
    return subject


class _Ids(dict[str, str]):
    """Path parameters; one that is missing is the client's mistake: the gateway drops an empty
    one.
    """

    def __missing__(self, name: str) -> str:
        raise InvalidFieldsError([(name, "must be a UUID")])


def _path(event: Mapping[str, Any]) -> Mapping[str, str]:
    """Path parameters. All of them are ids, and all ids are UUIDs."""
    parameters = event.get("pathParameters") or {}
    for name, value in parameters.items():
        if not isinstance(value, str) or not is_uuid(value):
            raise InvalidFieldsError([(str(name), "must be a UUID")])
    return _Ids({name: value.lower() for name, value in parameters.items()})


def _query(event: Mapping[str, Any], model: type[QueryT]) -> QueryT:
    parameters = event.get("queryStringParameters") or {}
    try:
        # Query parameters are text: "5" is a number here.
        return model.model_validate(parameters, strict=False)
    except ValidationError as exc:
        raise _invalid(exc) from exc


def _body(event: Mapping[str, Any], model: type[BodyT]) -> BodyT:
    raw = _raw_body(event)
    if model is Nothing:
        if raw.strip() not in {b"", b"{}"}:
            raise InputError("this operation takes no body")
        return model()
    try:
        parsed = model.model_validate_json(raw or b"{}")
    except ValidationError as exc:
        raise _invalid(exc) from exc
    except RecursionError as exc:
        raise InputError("the JSON could not be parsed: it is nested too deeply") from exc
    try:
        # Free-form parts may hold NaN or endless numbers, which no store keeps.
        orjson.loads(raw or b"{}")
    except orjson.JSONDecodeError as exc:
        raise InputError(
            f"the JSON could not be parsed: line {exc.lineno}, column {exc.colno}"
        ) from exc
    return parsed


def _raw_body(event: Mapping[str, Any]) -> bytes:
    text = event.get("body") or ""
    try:
        raw = (
            base64.b64decode(text, validate=True) if event.get("isBase64Encoded") else text.encode()
        )
    except ValueError as exc:  # no base64, or half a surrogate pair
        raise InputError("the JSON could not be parsed: the body is not UTF-8 text") from exc
    if len(raw) > MAX_BODY_BYTES:
        raise TooLargeError(f"the body has {len(raw)} bytes; at most {MAX_BODY_BYTES} are taken")
    return raw


class InvalidFieldsError(InputError):
    """Fields that are missing, unknown or wrong, each with what is expected."""

    def __init__(self, problems: list[tuple[str, str]]) -> None:
        super().__init__(
            "; ".join(f"{name}: {problem}" for name, problem in problems), problems=problems
        )


def _invalid(exc: ValidationError) -> InputError:
    """A client's mistakes in its own words: which field, and what is expected there."""
    problems: dict[tuple[str, str], None] = {}  # a set that keeps its order
    for error in exc.errors(include_url=False, include_input=False, include_context=True):
        kind, message = error["type"], error["msg"]
        if kind == "json_invalid":
            return InputError(f"the JSON could not be parsed: {message.partition(': ')[2]}")
        name = ".".join(str(part) for part in error["loc"]) or "the body"
        match kind:
            case "missing":
                message = "is required"
            case "extra_forbidden":
                message = "is not a field of this operation"
            case "value_error":
                message = str(error.get("ctx", {}).get("error", message))
            case _:
                message = message[:1].lower() + message[1:]
        problems[name[:_MAX_PLACE_CHARACTERS], message] = None
        if len(problems) == _MAX_DETAILS:
            break
    return InvalidFieldsError(list(problems))


# ── what goes out ──────────────────────────────────────────────────────────────────────────────


def _response(answer: Answer, request_id: str) -> Response:
    headers = {
        # Answers are a user's own data.
        "cache-control": "no-store",
        "x-request-id": request_id,
        **answer.headers,
    }
    if answer.body is None or isinstance(answer.body, str):
        return {
            "statusCode": int(answer.status),
            "headers": headers,
            "body": answer.body or "",
        }
    return {
        "statusCode": int(answer.status),
        "headers": {"content-type": "application/json", **headers},
        "body": answer.body.model_dump_json(),
    }


def _refusal(error: Exception, request_id: str) -> Response:
    status = next(
        (STATUS_OF[kind] for kind in type(error).__mro__ if kind in STATUS_OF),
        HTTPStatus.INTERNAL_SERVER_ERROR,
    )
    count_error(status)
    headers: dict[str, str] = {}
    details: list[dict[str, str]] = []
    code = error.code if isinstance(error, SeedwrightError) else SeedwrightError.code
    message = str(error)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log_failure("request failed", error, status=int(status))
        message = _OWN_FAULT
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        code = SeedwrightError.code
    if status == HTTPStatus.BAD_GATEWAY:
        message = "the model could not be called: check the model and the account's access to it"
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        message = _BUSY
    if status in {HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS}:
        headers["retry-after"] = str(RETRY_AFTER_SECONDS)
    if isinstance(error, InputError):
        shown = error.problems[:_MAX_DETAILS]
        details = [{"field": place, "message": problem} for place, problem in shown]
    body = orjson.dumps({"error": {"code": code, "message": message, "details": details}})
    return {
        "statusCode": int(status),
        "headers": {
            "content-type": "application/json",
            "cache-control": "no-store",
            "x-request-id": request_id,
            **headers,
        },
        "body": body.decode(),
    }
