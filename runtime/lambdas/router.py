"""Which operation a request is for, where no gateway says it: local server, tests, documents."""

from collections.abc import Iterator
from importlib import import_module
from typing import Any
from urllib.parse import unquote

from runtime.contract.functions import Route
from runtime.contract.routes import ROUTES
from runtime.lambdas.http import Endpoint

AnyEndpoint = Endpoint[Any, Any]


def endpoint_of(route: Route) -> AnyEndpoint:
    """The endpoint behind a route, imported on first use."""
    found = import_module(f"runtime.lambdas.{route.function.module}").lambda_handler
    if not isinstance(found, Endpoint):
        raise TypeError(f"{route.function.handler} is not an endpoint")
    return found


def match(method: str, path: str) -> tuple[Route, dict[str, str]] | None:
    """The route of a request and the parameters in its path; None: there is no such operation.
    A fixed segment goes before a parameter, as with API Gateway.
    """
    found = [(route, parameters) for route, parameters in _paths(path) if route.method == method]
    return min(found, key=lambda pair: len(pair[1]), default=None)


def methods_of(path: str) -> list[str]:
    """The methods that a path takes; none: there is no such path."""
    return sorted({route.method for route, _ in _paths(path)})


def _paths(path: str) -> Iterator[tuple[Route, dict[str, str]]]:
    segments = path.split("/")
    for route in ROUTES:
        pattern = route.path.split("/")
        if len(pattern) != len(segments):
            continue
        parameters: dict[str, str] = {}
        for expected, segment in zip(pattern, segments, strict=True):
            if expected.startswith("{") and segment:
                parameters[expected.strip("{}")] = unquote(segment)
            elif expected != segment:
                break
        else:
            yield route, parameters
