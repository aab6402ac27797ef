"""A reply is read as a value in it, or refused: compared with a reader that tries everything."""

import json
from typing import Any

import jsonschema_rs
from hypothesis import assume, given
from hypothesis import strategies as st

from runtime.domain.errors import OutputError
from runtime.domain.templates.provider_schema import Way
from runtime.domain.templates.service_schema import for_service
from tests.fixtures.readers import reader_of

NUMBERS: dict[str, Any] = {"type": "array", "items": {"type": "integer"}}
NAMED: dict[str, Any] = {"type": "object", "required": ["a"]}

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-99, 99)
    | st.sampled_from(["", "x", "[1]", "</think>"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2)
    ),
    max_leaves=5,
)
texts = values.map(json.dumps)
prose = st.sampled_from(
    ["", "so ", "note [x] ", "{if} ", "it's ", '"quoted" ', ": ", ", ", "[1-3] ", "or ", "\n"]
)
thought = texts.map("<think>maybe {}</think>".format)
fenced = texts.map("\n```json\n{}\n```\n".format)
replies = st.lists(prose | texts | thought, max_size=5).map("".join)


def everything_in(text: str) -> list[tuple[int, int, Any]]:
    """Each list and object in `text` that is in no other one, found by trying every pair."""
    found = []
    for start in range(len(text)):
        for end in range(len(text), start, -1):
            if text[start] + text[end - 1] in {"[]", "{}"}:
                try:
                    found.append((start, end, json.loads(text[start:end])))
                except ValueError:
                    continue
                break
    return [
        each
        for each in found
        if not any(a <= each[0] and each[1] <= b and (a, b) != each[:2] for a, b, _ in found)
    ]


def read(schema: dict[str, Any], text: str) -> list[Any]:
    """The output in a list; an empty one for a refusal."""
    try:
        return [reader_of(schema).read(text)]
    except OutputError:
        return []


@given(st.lists(prose | texts, max_size=5).map("".join), st.sampled_from([NUMBERS, NAMED, {}]))
def test_only_the_one_value_that_fits_is_read(text: str, schema: dict[str, Any]) -> None:
    output = read(schema, text)
    try:
        assert output in ([], [json.loads(text)])
    except ValueError:
        fitting = [
            value for _, _, value in everything_in(text) if jsonschema_rs.is_valid(schema, value)
        ]
        different = {json.dumps(value, sort_keys=True) for value in fitting}
        assert "</think>" in text or output == [] or (len(different) == 1 and output[0] in fitting)


@given(values, thought, prose, st.sampled_from([{}, NAMED]))
def test_reasoning_in_front_changes_nothing(
    value: Any, reasoning: str, words: str, schema: dict[str, Any]
) -> None:
    text = words + json.dumps(value)
    assert read(schema, reasoning + text) == read(schema, text)


@given(st.lists(prose | texts, max_size=3).map("".join), values)
def test_the_last_fenced_block_is_the_answer(before: str, value: Any) -> None:
    # A tag that is the whole value would be taken for one, and the reply be refused.
    assume(value != "</think>")
    assert read({}, f"{before}\n```json\n{json.dumps(value)}\n```\n") == [value]


@given(values.filter(lambda value: isinstance(value, list | dict)), st.data())
def test_a_cut_value_is_never_another_one(value: Any, data: st.DataObject) -> None:
    whole = json.dumps(value)
    cut = whole[: data.draw(st.integers(1, len(whole) - 1))]
    for text in (cut, f"Here it is: {cut}", f"```json\n{cut}", f"<think>[1]</think>{cut}"):
        assert read({}, text) == []


@given(
    values.filter(lambda value: isinstance(value, dict) and "</think>" not in json.dumps(value)),
    st.data(),
)
def test_a_damaged_value_is_never_a_part_of_it(value: Any, data: st.DataObject) -> None:
    whole = json.dumps(value)
    marks = [at for at, mark in enumerate(whole) if mark in ',:"']
    if not marks:
        return
    at = data.draw(st.sampled_from(marks))
    damaged = whole[:at] + whole[at + 1 :]
    assert read({}, f"So: {damaged}") in ([], *([read({}, damaged)] if _is_json(damaged) else []))


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


# ── what a service allows is what the schema means ─────────────────────────────────────────────

leaves = st.sampled_from(
    [
        {"type": "string"},
        {"type": "integer"},
        {"type": ["string", "null"]},
        {"enum": ["x", 1, None]},
        {"const": "x"},
        {"$ref": "#/$defs/word"},
        {"$ref": "#/$defs/pair"},
        {"type": "integer", "minimum": 2},
        {"type": "string", "pattern": "^x"},
    ]
)


def _object(members: dict[str, Any], required: set[str]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": members,
        "required": sorted(required & members.keys()),
        "additionalProperties": False,
    }


schemas = st.recursive(
    leaves,
    lambda inner: (
        st.builds(
            _object,
            st.dictionaries(st.sampled_from("abc"), inner, min_size=1),
            st.sets(st.sampled_from("abc")),
        )
        | st.builds(lambda item: {"type": "array", "items": item}, inner)
        | st.builds(lambda one, two: {"anyOf": [one, two]}, inner, inner)
        | st.builds(lambda one: {"allOf": [one]}, inner)
    ),
    max_leaves=6,
)
DEFS = {
    "word": {"type": "string"},
    "pair": _object({"a": {"type": "string"}, "b": {"$ref": "#/$defs/word"}}, {"a"}),
}


def instances(form: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values that a service constrained to `form` may give."""
    if "anyOf" in form:
        return st.one_of([instances(branch) for branch in form["anyOf"]])
    if "const" in form:
        return st.just(form["const"])
    if "enum" in form:
        return st.sampled_from(form["enum"])
    types = form["type"] if isinstance(form["type"], list) else [form["type"]]
    kinds: dict[str, st.SearchStrategy[Any]] = {
        "string": st.sampled_from(["x", "y", ""]),
        "integer": st.integers(-3, 3),
        "null": st.none(),
    }
    if types == ["object"]:
        members = {name: instances(each) for name, each in form["properties"].items()}
        needed = {name: each for name, each in members.items() if name in form["required"]}
        free = {name: each for name, each in members.items() if name not in needed}
        return st.fixed_dictionaries(needed, optional=free)
    if types == ["array"]:
        return st.lists(instances(form["items"]), max_size=2)
    return st.one_of([kinds[name] for name in types])


@given(schemas, st.data())
def test_what_a_service_allows_fits_the_schema(schema: dict[str, Any], data: st.DataObject) -> None:
    schema = {**schema, "$defs": DEFS}
    form = for_service(schema)
    if form.way is Way.WORDS:
        assert json.loads(form.instruction.partition("Schema:\n")[2]) == schema
        return
    assert isinstance(form.schema, dict)
    value = data.draw(instances(form.schema))
    assert jsonschema_rs.is_valid(form.schema, value)
    reader = reader_of(schema, nullable=form.nullable)
    if not form.instruction:
        reader.read(json.dumps(value))
        return
    # What is left is what the words say: without those keywords the value fits.
    assert "minimum" in form.instruction or "pattern" in form.instruction
