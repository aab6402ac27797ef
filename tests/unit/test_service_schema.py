"""A1: what of a schema a service takes, what is said in words, and which way each step goes."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from itertools import pairwise
from typing import Any

import orjson
import pytest

from runtime.domain.errors import OutputError
from runtime.domain.models.price_table import load_prices
from runtime.domain.templates.document import parse_template
from runtime.domain.templates.grammar_schema import for_grammar
from runtime.domain.templates.provider_schema import ProviderSchema, Way
from runtime.domain.templates.service_schema import MAX_NODES, for_service
from runtime.engine.dry_run import example_of
from runtime.engine.plan import make_plan
from tests.fixtures.readers import reader_of
from tests.fixtures.worker_world import MODEL, SCHEMA_MODEL

TEXT = {"type": "string"}


def object_of(**properties: object) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def words_of(form: ProviderSchema) -> list[str]:
    """What the prompt says beside the form, a line each."""
    return form.instruction.partition(" keywords of JSON Schema:\n")[2].splitlines()


@pytest.mark.parametrize(
    ("schema", "form"),
    [
        ({"$ref": "#/$defs/a", "$defs": {"a": TEXT}}, TEXT),
        ({"$ref": "#/definitions/a~1b", "definitions": {"a/b": TEXT}}, TEXT),
        ({"$ref": "#/$defs/a%20b", "$defs": {"a b": TEXT}, "description": "d"}, None),
        (
            {**object_of(a={"$ref": "#/$defs/t"}, b={"$ref": "#/$defs/t"}), "$defs": {"t": TEXT}},
            object_of(a=TEXT, b=TEXT),
        ),
        ({"allOf": [object_of(a=TEXT), object_of(b=TEXT)]}, object_of(a=TEXT, b=TEXT)),
        ({"properties": {"a": TEXT}, "required": ["a"]}, object_of(a=TEXT)),
        ({"items": TEXT}, {"type": "array", "items": TEXT}),
        ({"oneOf": [TEXT, {"type": "null"}]}, {"anyOf": [TEXT, {"type": "null"}]}),
        (
            {"type": "object", "anyOf": [{"properties": {"a": TEXT}, "required": ["a"]}]},
            {"anyOf": [object_of(a=TEXT)]},
        ),
        (
            {"type": "object", "properties": {"a": TEXT}},
            object_of(a={"anyOf": [TEXT, {"type": "null"}]}),
        ),
        (
            {"type": "object", "properties": {"a": {"type": ["string", "null"]}}},
            object_of(a={"type": ["string", "null"]}),
        ),
    ],
)
def test_a1_references_are_put_in_place_and_objects_closed(
    schema: dict[str, object], form: dict[str, object] | None
) -> None:
    reached = for_service(schema)
    assert (reached.way, reached.reason, reached.instruction) == (Way.SERVICE, None, "")
    assert reached.schema == ({**TEXT, "description": "d"} if form is None else form)


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "integer", "minimum": 1}, ['the whole answer: {"minimum":1}']),
        ({"type": "string", "pattern": "^a"}, ['the whole answer: {"pattern":"^a"}']),
        (
            object_of(
                a={"type": "array", "items": {"type": "string", "maxLength": 3}, "minItems": 2}
            ),
            ['a/*: {"maxLength":3}', 'a: {"minItems":2}'],
        ),
        ({**object_of(a=TEXT), "minProperties": 1}, ['the whole answer: {"minProperties":1}']),
        ({**TEXT, "not": {"const": "x"}}, ['the whole answer: {"not":{"const":"x"}}']),
        (
            {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}]},
            ['the whole answer: {"minimum":1}'],
        ),
        (
            {"oneOf": [TEXT, {"type": "integer"}]},
            ['the whole answer: {"oneOf":"exactly one of the forms fits"}'],
        ),
        (
            {**TEXT, "x-mine": 1, "format": "date"},
            ['the whole answer: {"x-mine":1,"format":"date"}'],
        ),
        (
            {"$ref": "#/$defs/a", "$defs": {"a": {**TEXT, "minLength": 2}}},
            ['the whole answer: {"minLength":2}'],
        ),
    ],
)
def test_a1_what_a_service_refuses_is_said_in_words(
    schema: dict[str, object], words: list[str]
) -> None:
    form = for_service(schema)
    assert form.way is Way.SERVICE
    assert words_of(form) == words
    assert not {"minimum", "pattern", "maxLength", "oneOf", "not"} & set(_names(form.schema))


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        (
            {"type": "object", "additionalProperties": TEXT},
            "the whole answer: an object with free names",
        ),
        ({**object_of(a=TEXT), "additionalProperties": TEXT}, "free names beside its own"),
        (object_of(a={"type": "object"}), "a: an object with free names"),
        ({"type": "array"}, "*: anything is allowed"),
        (object_of(a={}), "a: anything is allowed"),
        (object_of(a=True), "a: anything is allowed"),
        (object_of(a={"$ref": "#"}), "a/a: it contains itself (#)"),
        ({"$ref": "#name"}, "#name is not a pointer"),
        ({"$ref": "#/$defs/gone"}, "#/$defs/gone is not a pointer"),
        ({"type": "array", "prefixItems": [TEXT]}, "prefixItems can't be expressed"),
        ({**object_of(a=TEXT), "if": {}, "then": {}}, "if can't be expressed"),
        ({"enum": [[1], [2]]}, "a choice that is a list or an object"),
        ({"const": {"a": 1}}, "a choice that is a list or an object"),
        ({"allOf": [{"type": "string"}, {"type": "integer"}]}, "type stands there twice"),
        ({"allOf": [object_of(a=TEXT), object_of(a={"type": "null"})]}, "described twice"),
        ({"type": "object", "properties": {"a": TEXT}, "required": ["b"]}, "doesn't describe"),
        ({"anyOf": [TEXT, {**TEXT, "minLength": 3}]}, "differ by other keywords"),
        ({**object_of(a=TEXT), "anyOf": [{"required": ["a"]}]}, "anyOf stands beside other forms"),
        ({**TEXT, "not": {"$ref": "#/$defs/a"}, "$defs": {"a": TEXT}}, "refers to another part"),
    ],
)
def test_a1_a_schema_that_no_service_takes_is_shown_to_the_model(
    schema: dict[str, object], reason: str
) -> None:
    form = for_service(schema)
    assert (form.way, form.schema, form.nullable) == (Way.WORDS, None, frozenset())
    assert reason in str(form.reason)
    assert form.instruction.endswith("Schema:\n" + orjson.dumps(schema).decode())


def test_a1_references_that_fan_out_are_shown_and_not_unfolded() -> None:
    names = [f"a{number}" for number in range(40)]
    schema: dict[str, object] = {
        "$ref": "#/$defs/a0",
        "$defs": {
            name: {"anyOf": [{"$ref": f"#/$defs/{after}"}] * 2} for name, after in pairwise(names)
        }
        | {names[-1]: TEXT},
    }
    assert str(MAX_NODES) in str(for_service(schema).reason)


def test_a1_what_may_be_left_out_is_null_on_the_way_and_left_out_again() -> None:
    schema: dict[str, object] = {
        "type": "object",
        "properties": {
            "name": TEXT,
            "born": {"type": "integer"},
            "died": {"type": ["integer", "null"]},
            "works": {"type": "array", "items": {"properties": {"title": TEXT, "year": TEXT}}},
        },
        "required": ["name"],
    }
    form = for_service(schema)
    reader = reader_of(schema, nullable=form.nullable)
    text = '{"name": "A", "born": null, "died": null, "works": [{"title": null, "year": "x"}]}'
    assert reader.read(text) == {"name": "A", "died": None, "works": [{"year": "x"}]}
    with pytest.raises(OutputError, match="name"):
        reader.read('{"name": null}')
    with pytest.raises(OutputError):
        reader_of(schema).read(text)


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"type": "integer", "minimum": 1}, False),
        ({"$ref": "#/$defs/a", "$defs": {"a": TEXT}}, False),
        ({"type": "array", "items": TEXT, "uniqueItems": True}, True),
        (object_of(a={"items": {"anyOf": [{"not": TEXT}]}}), True),
        ({"additionalProperties": {"contains": TEXT}}, True),
        (object_of(uniqueItems=TEXT), False),
    ],
)
def test_a1_what_the_grammar_does_not_follow_is_said_too(
    schema: dict[str, object],
    *,
    said: bool,
) -> None:
    form = for_grammar(schema)
    assert form.way is Way.GRAMMAR
    assert form.schema is not None
    assert bool(form.instruction) is said


def test_a1_a_reference_to_nothing_leaves_words() -> None:
    form = for_grammar({"items": {"$ref": "#/$defs/gone"}})
    assert (form.way, form.schema) == (Way.WORDS, None)
    assert form.instruction


def test_a1_the_plan_says_which_way_each_step_goes() -> None:
    steps = [
        {"id": "text", "prompt": "p", "model": MODEL},
        {"id": "told", "prompt": "p", "model": MODEL, "output_schema": TEXT},
        {"id": "held", "prompt": "p", "model": SCHEMA_MODEL, "output_schema": TEXT},
        {"id": "free", "prompt": "p", "model": SCHEMA_MODEL, "output_schema": {"type": "object"}},
    ]
    template = parse_template({"name": "t", "steps": steps})
    day = datetime.now(UTC).date()
    plan = make_plan(template, load_prices(None), provider="bedrock", model=None, on=day)
    ways = [None if step.form is None else step.form.way for step in plan.steps]
    assert ways == [None, Way.WORDS, Way.SERVICE, Way.WORDS]
    assert [bool(step.instruction) for step in plan.steps] == [False, True, False, True]
    assert plan.steps[3].form is not None
    assert plan.steps[3].form.reason


def test_a1_a_date_in_an_enum_is_a_choice() -> None:
    form = for_service({"enum": [date(2026, 1, 2)]})
    assert form.way is Way.SERVICE


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#/$defs/r", "$defs": {"r": object_of(a=TEXT)}},
        {"anyOf": [{"$ref": "#/$defs/r"}, {"type": "null"}], "$defs": {"r": object_of(a=TEXT)}},
        {"allOf": [object_of(b=TEXT), object_of(a=TEXT)]},
        {"oneOf": [object_of(a={"$ref": "#/$defs/t"})], "$defs": {"t": TEXT}},
    ],
)
def test_a1_a_dry_run_sees_through_references(schema: dict[str, Any]) -> None:
    assert example_of(schema, "x")["a"] == "x"
    assert example_of({"$ref": "#"}, "x") == "x"
    example_of({"items": {"$ref": "#"}}, "x")


def _names(schema: object) -> list[str]:
    if isinstance(schema, Mapping):
        return [*schema, *(name for each in schema.values() for name in _names(each))]
    if isinstance(schema, list):
        return [name for each in schema for name in _names(each)]
    return []
