"""What comes in: caller, path, query and body of a request, or what is wrong with them."""

import base64
import re
from collections.abc import Mapping
from typing import Any, Final, TypeVar

import orjson
from pydantic import ValidationError

from runtime.domain.errors import InputError, TooLargeError, UnauthenticatedError
from runtime.domain.identifiers import is_uuid
from runtime.lambdas.answers import MAX_DETAILS
from runtime.lambdas.api_model import ApiModel, NoBody

MAX_BODY_BYTES: Final = 1024 * 1024
"""A template document has at most 256 KiB, and nothing else that is posted comes near that."""

_MAX_PLACE_CHARACTERS: Final = 200
_SUBJECT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,127}")

BodyT = TypeVar("BodyT", bound=ApiModel)
QueryT = TypeVar("QueryT", bound=ApiModel)


def read_caller(event: Mapping[str, Any]) -> str:
    """Whose request it is. Raises `UnauthenticatedError`."""
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


def read_path(event: Mapping[str, Any]) -> Mapping[str, str]:
    """Path parameters. All of them are ids, and all ids are UUIDs."""
    parameters = event.get("pathParameters") or {}
    for name, value in parameters.items():
        if not isinstance(value, str) or not is_uuid(value):
            raise InvalidFieldsError([(str(name), "must be a UUID")])
    return _Ids({name: value.lower() for name, value in parameters.items()})


def read_query(event: Mapping[str, Any], model: type[QueryT]) -> QueryT:
    """Query parameters. Raises `InputError`."""
    parameters = event.get("queryStringParameters") or {}
    try:
        # Query parameters are text: "5" is a number here.
        return model.model_validate(parameters, strict=False)
    except ValidationError as exc:
        raise _invalid(exc) from exc


def read_body(event: Mapping[str, Any], model: type[BodyT]) -> BodyT:
    """The body. Raises `InputError`, or `TooLargeError`."""
    raw = _raw_body(event)
    if model is NoBody:
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
        if len(problems) == MAX_DETAILS:
            break
    return InvalidFieldsError(list(problems))
