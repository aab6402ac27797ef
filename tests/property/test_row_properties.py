"""Properties of rows: a path leads where a walk by hand leads, and an output that fits its schema
fits the type that the schema gives.
"""

from random import Random
from typing import Any, Final

import orjson
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.domain.errors import TemplateError
from runtime.domain.outputs.fitting import encoder, fitter
from runtime.domain.outputs.schemas import SchemaTypes
from runtime.domain.outputs.seed_types import SeedTypes
from runtime.domain.outputs.types import ListOf, Scalar, Struct, Type, parse_type, type_document
from runtime.domain.templates.document import document_of, parse_template
from runtime.engine.rendering.renderer import TemplateEngine
from runtime.engine.rows import RowMaker
from runtime.engine.schema_check import SchemaCheck
from runtime.engine.seeds import DrawnSeed

NAMES: Final = ("a", "b", "c")
NAME: Final = st.sampled_from(NAMES)
SCALAR: Final = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=4),
)
JSON: Final = st.recursive(
    SCALAR,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAME, inner, max_size=3)),
    max_leaves=8,
)

# ── schemas, and outputs that fit most of them ─────────────────────────────────────────────────
#
# Made of one number each: drawn piece by piece, most of Hypothesis' schemas are nearly empty.

Schema = dict[str, Any]
_KINDS: Final = ("string", "integer", "number", "boolean", "null")


def scalar_of(rng: Random, kind: str) -> Any:
    match kind:
        case "string":
            return rng.choice(("", "a", "é", "1"))
        case "integer":
            return rng.choice((0, -7, 2.0, 2**63 - 1))
        case "number":
            return rng.choice((0, 3, 2.5, -1e300))
        case "boolean":
            return rng.random() < 0.5
    return None


def any_of(rng: Random) -> Any:
    scalars = [scalar_of(rng, kind) for kind in _KINDS]
    return rng.choice((*scalars, [rng.choice(scalars)], {rng.choice(NAMES): rng.choice(scalars)}))


def schema_of(rng: Random, levels: int = 3) -> Schema:
    makers = [_scalar, _scalar, _listed] if levels == 0 else [_scalar, _object, _list, _choice]
    return rng.choice(makers)(rng, levels)


def _scalar(rng: Random, _levels: int) -> Schema:
    kinds = rng.sample(_KINDS, k=rng.choice((1, 1, 1, 2)))
    return {"type": kinds[0] if len(kinds) == 1 else kinds}


def _listed(rng: Random, _levels: int) -> Schema:
    if rng.random() < 0.3:
        return {"const": any_of(rng)}
    kinds = rng.choice((("string",), ("integer", "number"), _KINDS))
    return {"enum": [scalar_of(rng, rng.choice(kinds)) for _ in range(rng.randint(1, 3))]}


def _object(rng: Random, levels: int) -> Schema:
    names = rng.sample(NAMES, k=rng.randint(0, 3))
    schema: Schema = {"properties": {name: schema_of(rng, levels - 1) for name in names}}
    if rng.random() < 0.9:
        schema["type"] = rng.choice(("object", "object", ["object", "null"]))
    if rng.random() < 0.2:
        schema["additionalProperties"] = rng.choice((True, False, {"type": "string"}))
    if rng.random() < 0.2:
        schema["allOf"] = [{"properties": {rng.choice(NAMES): schema_of(rng, levels - 1)}}]
    return schema


def _list(rng: Random, levels: int) -> Schema:
    return {
        "type": "array",
        **({"items": schema_of(rng, levels - 1)} if rng.random() < 0.8 else {}),
    }


def _choice(rng: Random, levels: int) -> Schema:
    branches = [schema_of(rng, levels - 1) for _ in range(rng.randint(1, 3))]
    return {rng.choice(("anyOf", "oneOf")): [*branches, *([{"type": "null"}] * rng.randint(0, 1))]}


def output_of(rng: Random, schema: Schema) -> Any:
    """Something that mostly fits."""
    if rng.random() < 0.05:
        return any_of(rng)
    if "const" in schema or "enum" in schema:
        return rng.choice(schema.get("enum", [schema.get("const")]))
    if branches := schema.get("anyOf", schema.get("oneOf")):
        return output_of(rng, rng.choice(branches))
    kind = schema.get("type", "object")
    kind = kind if isinstance(kind, str) else rng.choice(kind)
    if kind == "array":
        items = schema.get("items")
        count = rng.randint(0, 3)
        return [any_of(rng) if items is None else output_of(rng, items) for _ in range(count)]
    if kind == "object":
        parts = [schema, *schema.get("allOf", ())]
        found = {
            name: output_of(rng, each)
            for part in parts
            for name, each in part["properties"].items()
            if rng.random() < 0.8
        }
        return {**found, **({rng.choice(NAMES): any_of(rng)} if rng.random() < 0.1 else {})}
    return scalar_of(rng, kind)


def arrow(kind: Type) -> pa.DataType:
    match kind:
        case ListOf(item):
            return pa.list_(arrow(item))
        case Struct(fields):
            return pa.struct([(name, arrow(each)) for name, each in fields])
        case Scalar.INT64:
            return pa.int64()
        case Scalar.FLOAT64:
            return pa.float64()
        case Scalar.BOOL:
            return pa.bool_()
        case Scalar():
            return pa.string()


def same(kind: Type, value: Any, fitted: Any) -> bool:
    """Whether nothing but the form was changed: what is declared is there."""
    if kind is Scalar.JSON or value is None:
        return bool(value == fitted)
    if isinstance(kind, ListOf):
        pairs = zip(value, fitted, strict=True)
        return all(same(kind.item, one, other) for one, other in pairs)
    if isinstance(kind, Struct):
        return all(same(each, value.get(name), fitted[name]) for name, each in kind.fields)
    # A number is a float of 64 bits, also where an output writes it as a long whole number.
    return bool(fitted == (float(value) if kind is Scalar.FLOAT64 else value))


@settings(deadline=None, max_examples=300)
@given(number=st.integers(0, 2**63))
def test_what_fits_the_schema_fits_the_type(number: int) -> None:
    rng = Random(number)  # noqa: S311 - drawn again when it fails
    schema = schema_of(rng)
    kind, check = SchemaTypes(schema).type_at(), SchemaCheck(schema)
    assert parse_type(type_document(kind)) == kind
    fit, encode = fitter(kind), encoder(kind)
    for _ in range(8):
        value = output_of(rng, schema)
        if check.errors(value):
            continue
        fitted = fit(value)
        assert same(kind, value, fitted)
        stored = fitted if encode is None else encode(fitted)
        # Arrow takes it without looking at another row.
        assert pa.array([stored], type=arrow(kind)).type == arrow(kind)


@settings(deadline=None, max_examples=300)
@given(number=st.integers(0, 2**63))
def test_a_path_leads_where_a_walk_leads_and_its_type_holds(
    engine: TemplateEngine, number: int
) -> None:
    rng = Random(number)  # noqa: S311 - as above
    schema, path = schema_of(rng), rng.choices(NAMES, k=rng.choice((1, 1, 2, 3)))
    text = ".".join(("steps", "s", "output", *path))
    steps = [{"id": "s", "prompt": "x", "output_schema": schema}]
    document = {"name": "n", "steps": steps, "output": {"columns": {"v": text}}}
    values = [each for _ in range(8) if not errors(schema, each := output_of(rng, schema))]
    try:
        template = parse_template(document)
    except TemplateError:
        # Refused is only what no output has but by a name that the schema doesn't give.
        assert path[0] not in schema.get("properties", {}) or len(path) > 1
        return
    assert parse_template(document_of(template)) == template
    maker = RowMaker(template, engine)
    records = [
        {"index": 0, "id": "x", "seed_data_id": "y", "generation_result": {"s": {"output": value}}}
        for value in values
    ]
    problems: list[object] = []
    rows = list(maker.rows(records, lambda _index: None, problems.append))
    assert problems == []
    for value, (_, row) in zip(values, rows, strict=True):
        assert same(maker.schema["v"], walked(value, path), row["v"])


def errors(schema: Schema, value: Any) -> bool:
    return bool(SchemaCheck(schema).errors(value))


def walked(value: Any, path: list[str]) -> Any:
    for name in path:
        value = value[name] if isinstance(value, dict) and name in value else None
    return value


@pytest.fixture(scope="module")
def engine() -> TemplateEngine:
    return TemplateEngine()  # no text is rendered, so no process is started


@settings(deadline=None, max_examples=60)
@given(values=st.lists(JSON, min_size=1, max_size=6))
def test_the_type_of_a_seed_column_holds_every_seed_exactly(values: list[Any]) -> None:
    types = SeedTypes(["x"])
    for value in values:
        types.add({"x": value})
    kind = types.found()["x"]
    fit, encode = fitter(kind), encoder(kind)
    fitted = [fit(orjson.loads(orjson.dumps(value))) for value in values]
    for value, found in zip(values, fitted, strict=True):
        assert same(kind, value, found)
    stored = fitted if encode is None else [encode(each) for each in fitted]
    assert len(pa.array(stored, type=arrow(kind))) == len(values)


@settings(deadline=None, max_examples=25)
@given(seed=st.dictionaries(NAME, JSON, max_size=3), path=st.lists(NAME, min_size=1, max_size=3))
def test_a_seed_path_leads_where_a_walk_leads(
    engine: TemplateEngine, seed: dict[str, Any], path: list[str]
) -> None:
    template = parse_template(
        {
            "name": "n",
            "steps": [{"id": "s", "prompt": "x"}],
            "output": {"columns": {"v": ".".join(("seed", *path))}},
        }
    )
    record = {"index": 3, "id": "x", "seed_data_id": "y", "generation_result": {}}
    drawn = DrawnSeed(row=seed, entropy=0)
    rows = RowMaker(template, engine).rows([record], lambda _index: drawn, lambda _problem: None)
    assert list(rows) == [(3, {"v": walked(seed, path)})]
