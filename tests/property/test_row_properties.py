"""Properties of rows: a path leads where a walk by hand leads, and an output that fits its schema
fits the type that the schema gives.
"""

import math
from collections.abc import Mapping
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

# ── schemas, each with the outputs that it takes ───────────────────────────────────────────────

Outputs = st.SearchStrategy[Any]
Schema = dict[str, Any]


@st.composite
def schemas(draw: st.DrawFn, levels: int = 3) -> tuple[Schema, Outputs]:
    """A schema and a strategy of outputs, most of which fit it."""
    makers = [scalars, enums] if levels == 0 else [scalars, enums, objects, objects, lists, choices]
    found: tuple[Schema, Outputs] = draw(draw(st.sampled_from(makers))(levels))
    return found


@st.composite
def scalars(draw: st.DrawFn, _levels: int) -> tuple[Schema, Outputs]:
    kinds: Mapping[str, Outputs] = {
        "string": st.text(max_size=4),
        "integer": st.one_of(st.integers(-9, 9), st.integers(-9, 9).map(float)),
        "number": st.one_of(st.integers(-9, 9), st.floats(-9, 9)),
        "boolean": st.booleans(),
        "null": st.none(),
    }
    names = draw(st.lists(st.sampled_from(list(kinds)), min_size=1, max_size=2, unique=True))
    schema: Schema = {"type": names[0] if len(names) == 1 else names}
    return schema, st.one_of([kinds[name] for name in names])


@st.composite
def enums(draw: st.DrawFn, _levels: int) -> tuple[Schema, Outputs]:
    values = draw(st.lists(st.one_of(SCALAR, st.lists(SCALAR, max_size=2)), min_size=1, max_size=3))
    if draw(st.booleans()):
        return {"const": values[0]}, st.just(values[0])
    return {"enum": values}, st.sampled_from(values)


@st.composite
def objects(draw: st.DrawFn, levels: int) -> tuple[Schema, Outputs]:
    inner = {name: draw(schemas(levels - 1)) for name in draw(st.sets(NAME, max_size=3))}
    schema: Schema = {"properties": {name: each for name, (each, _) in inner.items()}}
    if draw(st.integers(0, 9)):
        schema["type"] = draw(st.sampled_from(["object", ["object", "null"]]))
    if draw(st.integers(0, 3)) == 0:
        schema["additionalProperties"] = draw(st.sampled_from([True, False, {"type": "string"}]))
    if draw(st.integers(0, 5)) == 0:
        other, _ = draw(schemas(levels - 1))
        schema["allOf"] = [{"properties": {draw(NAME): other}}]
    values = st.fixed_dictionaries({}, optional={name: each for name, (_, each) in inner.items()})
    extra = st.dictionaries(NAME, JSON, max_size=1)
    return schema, st.one_of(values, st.builds(lambda one, two: {**two, **one}, values, extra))


@st.composite
def lists(draw: st.DrawFn, levels: int) -> tuple[Schema, Outputs]:
    inner, values = draw(schemas(levels - 1))
    schema: Schema = {"type": "array"}
    if draw(st.integers(0, 4)):
        schema["items"] = inner
    return schema, st.lists(values, max_size=3)


@st.composite
def choices(draw: st.DrawFn, levels: int) -> tuple[Schema, Outputs]:
    branches = [draw(schemas(levels - 1)) for _ in range(draw(st.integers(1, 3)))]
    name = draw(st.sampled_from(["anyOf", "oneOf"]))
    schema: Schema = {name: [each for each, _ in branches]}
    if draw(st.booleans()):
        schema[name].append({"type": "null"})
    if draw(st.integers(0, 3)) == 0:
        schema["properties"] = {draw(NAME): draw(schemas(levels - 1))[0]}
    return schema, st.one_of([values for _, values in branches])


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
    return math.isclose(value, fitted) if isinstance(value, float) else bool(value == fitted)


@settings(deadline=None, max_examples=100)
@given(data=st.data(), drawn=schemas())
def test_what_fits_the_schema_fits_the_type(data: st.DataObject, drawn: tuple[Schema, Any]) -> None:
    schema, outputs = drawn
    value = data.draw(outputs)
    kind = SchemaTypes(schema).type_at()
    assert parse_type(type_document(kind)) == kind
    if SchemaCheck(schema).errors(value):
        return
    fitted = fitter(kind)(value)
    assert same(kind, value, fitted)
    encode = encoder(kind)
    stored = fitted if encode is None else encode(fitted)
    # Arrow takes it without looking at another row.
    assert pa.array([stored], type=arrow(kind)).type == arrow(kind)


@settings(deadline=None, max_examples=60)
@given(data=st.data(), drawn=schemas(), path=st.lists(NAME, min_size=1, max_size=3))
def test_a_path_leads_where_a_walk_leads_and_its_type_holds(
    engine: TemplateEngine, data: st.DataObject, drawn: tuple[Schema, Any], path: list[str]
) -> None:
    schema, outputs = drawn
    value = data.draw(outputs)
    if SchemaCheck(schema).errors(value):
        return
    text = ".".join(("steps", "s", "output", *path))
    steps = [{"id": "s", "prompt": "x", "output_schema": schema}]
    document = {"name": "n", "steps": steps, "output": {"columns": {"v": text}}}
    try:
        template = parse_template(document)
    except TemplateError:
        # Refused only where no output of the schema has to have it.
        assert path[0] not in SchemaTypes(schema).names() or len(path) > 1
        return
    assert parse_template(document_of(template)) == template
    maker = RowMaker(template, engine)
    record = {
        "index": 0,
        "id": "x",
        "seed_data_id": "y",
        "generation_result": {"s": {"output": value}},
    }
    problems: list[object] = []
    [(index, row)] = maker.rows([record], lambda _index: None, problems.append)
    assert (index, problems) == (0, [])
    assert same(maker.schema["v"], walked(value, path), row["v"])


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
