"""The OpenAPI 3.1 document of the API, made of the route table and the endpoints' models.

`python -m runtime.lambdas.openapi` prints it; `docs/openapi.json` is that, checked in.
"""

import inspect
import re
import sys
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any, Final

import orjson
from pydantic.json_schema import models_json_schema

from runtime.contract.functions import Route
from runtime.contract.routes import ROUTES
from runtime.lambdas.http import ApiModel, NoBody
from runtime.lambdas.router import AnyEndpoint, endpoint_of

_REFERENCE: Final = "#/components/schemas/{model}"
_PARAMETER: Final = re.compile(r"{(\w+)}")

_MEANINGS: Final[Mapping[HTTPStatus, str]] = {
    HTTPStatus.BAD_REQUEST: "The request is not in order; the message says what to change.",
    HTTPStatus.UNAUTHORIZED: "There is no valid token.",
    HTTPStatus.PAYMENT_REQUIRED: "The budget of the month has no room for it; the message says what"
    " is left.",
    HTTPStatus.FORBIDDEN: "A place that the caller may not touch.",
    HTTPStatus.NOT_FOUND: "There is no such thing, or it belongs to somebody else.",
    HTTPStatus.CONFLICT: "Something is in the way as things stand; the message says what.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "More than is taken at once.",
    HTTPStatus.TOO_MANY_REQUESTS: "Too many requests, or too many jobs at a time.",
    HTTPStatus.INTERNAL_SERVER_ERROR: "Our own fault; it is logged under the request id.",
    HTTPStatus.BAD_GATEWAY: "The model could not be called.",
    HTTPStatus.SERVICE_UNAVAILABLE: "Busy; try again after `Retry-After` seconds.",
}

_ERROR_SCHEMA: Final = {
    "type": "object",
    "required": ["error"],
    "additionalProperties": False,
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "details"],
            "additionalProperties": False,
            "properties": {
                "code": {"type": "string", "description": "Stable, for programs."},
                "message": {"type": "string", "description": "One line, for people."},
                "details": {
                    "type": "array",
                    "description": "The fields that are wrong, each with what is expected.",
                    "items": {
                        "type": "object",
                        "required": ["field", "message"],
                        "additionalProperties": False,
                        "properties": {
                            "field": {"type": "string"},
                            "message": {"type": "string"},
                        },
                    },
                },
            },
        }
    },
}

_SERVERS: Final = [
    {"url": "http://127.0.0.1:8765", "description": "`seedwright serve` on this machine."},
    {
        "url": "https://{api_id}.execute-api.{region}.amazonaws.com",
        "description": "A deployment: the output `ApiUrl`.",
        "variables": {
            "api_id": {"default": "a1b2c3", "description": "The id of the API."},
            "region": {"default": "eu-west-1", "description": "The region it is deployed to."},
        },
    },
]

_TAGS: Final = {
    "jobs": "Datasets: estimated, generated, watched, downloaded.",
    "templates": "What models are asked, in versions.",
    "seed-data": "Files of seeds: uploaded, listed, validated.",
    "dashboard": "Figures of a job, and of all of a user's jobs.",
    "health": "Whether the API answers.",
}

_DESCRIPTION: Final = (
    "Synthetic datasets from prompt templates and seed data, within a hard budget. Every refusal"
    " has the shape `Error`; only the gateway itself answers a missing token or a flood of"
    " requests with a bare `message`. Lists are read page by page: pass `next_cursor` of one page"
    " as `cursor` of the next."
)


def refusals(route: Route, endpoint: AnyEndpoint) -> list[HTTPStatus]:
    """Every status with which an operation refuses, as follows from what it takes."""
    found = {HTTPStatus.BAD_REQUEST, HTTPStatus.INTERNAL_SERVER_ERROR, *endpoint.errors}
    # A body can be sent to any operation, and be too large.
    found.add(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    if route.authenticated:
        found |= {
            HTTPStatus.UNAUTHORIZED,
            HTTPStatus.TOO_MANY_REQUESTS,
            HTTPStatus.SERVICE_UNAVAILABLE,
        }
    if _PARAMETER.search(route.path):
        found.add(HTTPStatus.NOT_FOUND)
    return sorted(found)


def document() -> dict[str, Any]:
    """The whole document, as plain JSON values."""
    endpoints = [(route, endpoint_of(route)) for route in ROUTES]
    schemas = _schemas([endpoint for _, endpoint in endpoints])
    paths: dict[str, dict[str, Any]] = {}
    for route, endpoint in endpoints:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(
            route, endpoint, schemas
        )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Seedwright",
            "version": "0.1.0",
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": _SERVERS,
        "tags": [{"name": name, "description": said} for name, said in _TAGS.items()],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
            },
            "schemas": {"Error": _ERROR_SCHEMA, **schemas},
        },
    }


def render() -> bytes:
    """The document as it is checked in."""
    return orjson.dumps(document(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _models(endpoints: list[AnyEndpoint]) -> Iterator[tuple[type[ApiModel], Any]]:
    for endpoint in endpoints:
        if endpoint.body is not NoBody:
            yield endpoint.body, "validation"
        for model in endpoint.answers.values():
            if model is not None:
                yield model, "serialization"


def _schemas(endpoints: list[AnyEndpoint]) -> dict[str, Any]:
    _, bundle = models_json_schema(list(_models(endpoints)), ref_template=_REFERENCE)
    found: dict[str, Any] = bundle.get("$defs", {})
    return found


def _operation(route: Route, endpoint: AnyEndpoint, schemas: Mapping[str, Any]) -> dict[str, Any]:
    summary, _, description = inspect.cleandoc(endpoint.__doc__ or "").partition("\n\n")
    found: dict[str, Any] = {
        "operationId": route.function.name,
        "tags": [route.function.module.partition(".")[0].replace("_", "-")],
        "summary": " ".join(summary.split()),
        "parameters": [
            *_path_parameters(route),
            *_query_parameters(endpoint.query),
            *_header_parameters(endpoint),
        ],
        "responses": _responses(route, endpoint),
    }
    if description:
        found["description"] = description
    if not route.authenticated:
        found["security"] = []
    if endpoint.body is not NoBody:
        name = endpoint.body.__name__
        found["requestBody"] = {
            "required": bool(schemas[name].get("required")),
            "content": {"application/json": {"schema": {"$ref": _REFERENCE.format(model=name)}}},
        }
    return found


def _path_parameters(route: Route) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string", "format": "uuid"},
        }
        for name in _PARAMETER.findall(route.path)
    ]


def _query_parameters(query: type[ApiModel]) -> list[dict[str, Any]]:
    schema = query.model_json_schema(ref_template=_REFERENCE)
    definitions = schema.get("$defs", {})
    parameters = []
    for name, found in schema.get("properties", {}).items():
        shape = _inlined(found, definitions)
        description = shape.pop("description", "")
        parameters.append(
            {
                "name": name,
                "in": "query",
                "required": name in schema.get("required", ()),
                "description": description,
                "schema": shape,
            }
        )
    return parameters


def _inlined(shape: Any, definitions: Mapping[str, Any]) -> Any:
    """A parameter has no schema of its own among the components: what it refers to stands in it."""
    if isinstance(shape, Mapping):
        if "$ref" in shape:
            target = definitions[str(shape["$ref"]).rpartition("/")[2]]
            rest = {name: value for name, value in shape.items() if name != "$ref"}
            return {**_inlined(target, definitions), **rest}
        return {name: _inlined(value, definitions) for name, value in shape.items()}
    if isinstance(shape, list):
        return [_inlined(value, definitions) for value in shape]
    return shape


def _header_parameters(endpoint: AnyEndpoint) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "header",
            "required": False,
            "description": description,
            "schema": {"type": "string"},
        }
        for name, description in endpoint.request_headers.items()
    ]


def _responses(route: Route, endpoint: AnyEndpoint) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for status, model in endpoint.answers.items():
        found[str(int(status))] = {"description": status.phrase}
        if model is not None:
            shape = {"$ref": _REFERENCE.format(model=model.__name__)}
            found[str(int(status))]["content"] = {"application/json": {"schema": shape}}
    usual = found[str(int(next(iter(endpoint.answers))))]
    for media_type in endpoint.media_types:
        # The same document, written otherwise.
        usual["content"][media_type] = usual["content"]["application/json"]
    for status in refusals(route, endpoint):
        found[str(int(status))] = {
            "description": _MEANINGS[status],
            "content": {"application/json": {"schema": {"$ref": _REFERENCE.format(model="Error")}}},
        }
    return found


if __name__ == "__main__":
    sys.stdout.buffer.write(render())
