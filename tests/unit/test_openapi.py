"""The OpenAPI document that is checked in is what the routes and models say, and it is valid."""

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from runtime.contract.functions import Route
from runtime.contract.routes import ROUTES
from runtime.lambdas.openapi import document, render
from runtime.lambdas.router import endpoint_of

CHECKED_IN = Path(__file__).parents[2] / "docs" / "openapi.json"


def operations() -> list[tuple[str, str, Any]]:
    return [
        (method, path, operation)
        for path, methods in document()["paths"].items()
        for method, operation in methods.items()
    ]


def test_the_checked_in_document_is_up_to_date() -> None:
    assert CHECKED_IN.read_bytes() == render(), "run `make openapi`"


def test_every_route_is_an_operation() -> None:
    found = {(method.upper(), path): each["operationId"] for method, path, each in operations()}
    assert found == {(route.method, route.path): route.function.name for route in ROUTES}


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.key)
def test_an_endpoint_needs_a_token_exactly_where_its_route_does(route: Route) -> None:
    assert endpoint_of(route).authenticated is route.authenticated
    operation = document()["paths"][route.path][route.method.lower()]
    assert (operation.get("security") == []) is not route.authenticated
    assert ("401" in operation["responses"]) is route.authenticated


def test_every_reference_leads_somewhere_and_every_schema_is_used() -> None:
    text = json.dumps(document())
    schemas = document()["components"]["schemas"]
    for name, schema in schemas.items():
        assert f'"#/components/schemas/{name}"' in text, f"{name} is not used"
        assert jsonschema_rs.meta.is_valid(
            {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
        )
    for part in text.split('"#/components/schemas/')[1:]:
        assert part.partition('"')[0] in schemas


def test_every_operation_and_field_says_what_it_is() -> None:
    for method, path, operation in operations():
        assert operation["summary"], (method, path)
        for parameter in operation["parameters"]:
            if parameter["in"] != "path":
                assert parameter["description"], (method, path, parameter["name"])
