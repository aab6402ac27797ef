"""From an event of API Gateway (HTTP API, payload format 2.0) to an answer, for all operations.

    event ─▶ claims ─▶ path ─▶ query ─▶ body ─▶ the operation ─▶ answer
               401      400     400     400/413   errors by class

An operation is a function from a `Call` to a model, made an endpoint by `@endpoint`. It raises the
errors of `runtime.domain.errors`; what their class means to a client is one table
(`runtime.domain.error_statuses`). Everything else is a 500 that says nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from typing import Any, Generic

from runtime.domain.service_ports import ApiPorts
from runtime.lambdas.answers import Answer, Response, refusal_of, response_of
from runtime.lambdas.api_model import ApiModel, NoBody
from runtime.lambdas.requests import BodyT, QueryT, read_body, read_caller, read_path, read_query
from runtime.service.observability import observe

__all__ = [
    "Answer",
    "ApiModel",
    "Call",
    "Endpoint",
    "NoBody",
    "Response",
    "endpoint",
    "ports_of_process",
]
"""What an operation is written with comes from here."""


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
                    return response_of(result, request_id)
                status = next(iter(self.answers))
                return response_of(Answer(body=result, status=status), request_id)
            except Exception as error:  # noqa: BLE001 - the last line before Lambda's own error page
                return refusal_of(error, request_id)

    def _call(
        self, event: Mapping[str, Any], request_id: str, ports: ApiPorts
    ) -> Call[BodyT, QueryT]:
        caller = read_caller(event) if self.authenticated else ""
        return Call(
            caller=caller,
            path=read_path(event),
            query=read_query(event, self.query),
            body=read_body(event, self.body),
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
