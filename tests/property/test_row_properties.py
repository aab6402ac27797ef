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
from tests.fixtures.schema_samples import NAMES, Schema, output_of, schema_of

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
