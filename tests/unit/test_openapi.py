"""The OpenAPI document that is checked in is what the routes and models say, and it is valid."""

import json
import re
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


# ── what linters of OpenAPI recommend ──────────────────────────────────────────────────────────


def test_g7_the_document_says_where_the_api_is_and_on_what_terms() -> None:
    whole = document()
    assert whole["info"]["license"]["identifier"]
    for server in whole["servers"]:
        assert not server["url"].endswith("/")
        assert "example.com" not in server["url"]
        named = set(re.findall(r"{(\w+)}", server["url"]))
        assert named == set(server.get("variables", {}))
    assert whole["servers"], "no-empty-servers"
    used = {tag for _, _, operation in operations() for tag in operation["tags"]}
    assert used == {tag["name"] for tag in whole["tags"]}
    assert all(tag["description"] for tag in whole["tags"])


def test_g7_every_operation_is_named_once_says_who_may_and_how_it_refuses() -> None:
    whole = document()
    schemes = whole["components"]["securitySchemes"]
    found = operations()
    names = [operation["operationId"] for _, _, operation in found]
    assert len(set(names)) == len(names)
    for method, path, operation in found:
        where = (method, path)
        for requirement in operation.get("security", whole["security"]):
            assert set(requirement) <= set(schemes), where
        statuses = operation["responses"]
        assert any(status.startswith("2") for status in statuses), where
        assert any(status.startswith("4") for status in statuses), where
        assert all(answer["description"] for answer in statuses.values()), where
        declared = {each["name"] for each in operation["parameters"] if each["in"] == "path"}
        assert declared == set(re.findall(r"{(\w+)}", path)), where
        assert path == "/" or not path.endswith("/"), where
        assert "?" not in path, where
    # Two paths that differ in a parameter's name alone would be one.
    shapes = [re.sub(r"{\w+}", "{}", path) for path in whole["paths"]]
    assert len(set(shapes)) == len(shapes)


def test_g7_examples_and_defaults_fit_their_schemas() -> None:
    whole = document()

    def check(schema: Any) -> None:
        if isinstance(schema, dict):
            for value in [*schema.get("examples", ()), *_default_of(schema)]:
                shape = {**schema, "components": whole["components"]}
                assert jsonschema_rs.is_valid(shape, value), (schema, value)
            for each in schema.values():
                check(each)
        elif isinstance(schema, list):
            for each in schema:
                check(each)

    check(whole["components"]["schemas"])
    for _, _, operation in operations():
        check([each["schema"] for each in operation["parameters"]])


def _default_of(schema: dict[str, Any]) -> list[Any]:
    is_schema = {"type", "$ref", "anyOf", "enum", "const"} & schema.keys()
    return [schema["default"]] if "default" in schema and is_schema else []
