"""`output:` and `split:` of templates: what is read, what is refused with which hint, what becomes
of a template that says neither, and the row that each shape makes of a record.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson
import pytest

import seedwright
from runtime.datasets.identity import template_digest
from runtime.domain.errors import TemplateError
from runtime.domain.jobs.sampling import Draws
from runtime.domain.outputs.schemas import SchemaTypes
from runtime.domain.outputs.shape import RECORDS, Shape
from runtime.domain.outputs.types import Scalar, Type, parse_type, type_document, type_text
from runtime.domain.outputs.values import Path
from runtime.domain.templates.document import complete_document, document_of, parse_template
from runtime.domain.templates.storage import parse_stored, stored_text
from runtime.domain.templates.template import Template
from runtime.engine.rendering.renderer import TemplateEngine
from runtime.engine.rows import RowMaker, RowProblem
from runtime.engine.seeds import DrawnSeed, DrawnSeeds, seed_types

ASK: Final = {
    "type": "object",
    "properties": {
        "question": {"type": "string"},
        "level": {"enum": ["easy", "hard"]},
        "score": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "good": {"type": "boolean"},
        "turns": {"type": "array", "items": {"$ref": "#/$defs/turn"}},
        "calls": {"type": "array", "items": {"type": "object"}},
    },
    "$defs": {
        "turn": {
            "type": "object",
            "properties": {"role": {"type": "string"}, "content": {"type": "string"}},
        }
    },
}
STEPS: Final = [
    {"id": "ask", "prompt": "Ask about {{ topic }}.", "output_schema": ASK},
    {"id": "answer", "prompt": "Answer {{ steps.ask.output.question }}"},
]
OUTPUT: Final = {
    "question": "Why?",
    "level": "hard",
    "score": 7,
    "good": True,
    "turns": [{"role": "user", "content": "Hm"}, {"role": "assistant", "content": "So"}],
    "calls": [{"type": "function", "function": {"name": "f", "arguments": {"a": 1}}}],
}
RECORD: Final = {
    "id": "j-4",
    "job_id": "j",
    "index": 4,
    "timestamp": "2026-11-28T00:00:00Z",
    "seed_data_id": "s-1",
    "generation_result": {
        "ask": {"output": OUTPUT, "model": "m"},
        "answer": {"output": "Because.", "model": "m", "reasoning": "I think"},
    },
}
SEED: Final = {"topic": "tea", "label": 3, "source": {"title": "T"}, "tools": [{"name": "f"}]}
ASKED: Final = "steps.ask.output.question"
ANSWER: Final = "steps.answer.output"


@pytest.fixture(scope="module")
def engine() -> Iterator[TemplateEngine]:
    with TemplateEngine() as shared:
        yield shared


def template(output: object = None, **more: Any) -> Template:
    declared = {} if output is None else {"output": output}
    return parse_template({"name": "n", "steps": STEPS, **declared, **more})


def made(
    engine: TemplateEngine,
    checked: Template,
    *records: Mapping[str, Any],
    seed: Mapping[str, Any] | None = SEED,
) -> tuple[dict[str, str], list[dict[str, Any]], list[RowProblem]]:
    """Types as text, rows and problems, with every record's seed `seed`."""
    seeds = {} if seed is None else seed_types([seed], checked.output)
    maker = RowMaker(checked, engine, seeds=seeds)
    problems: list[RowProblem] = []
    drawn = None if seed is None else DrawnSeed(row=seed, entropy=1)
    found = list(maker.rows(records or (RECORD,), lambda _index: drawn, problems.append))
    schema = {name: type_text(kind) for name, kind in maker.schema.items()}
    assert all(list(row) == list(schema) for _, row in found)
    return schema, [row for _, row in found], problems


def turn(role: str, content: str, **more: str) -> dict[str, str]:
    return {"role": role, "content": content, **more}


# ── every shape ────────────────────────────────────────────────────────────────────────────────

ROWS: Final[Mapping[str, tuple[Any, dict[str, Any]]]] = {
    "columns": (
        {
            "columns": {
                "q": ASKED,
                "both": "{{ topic }}: {{ steps.ask.output.question }}",
                "part": "seed.source.title",
                "n": "record.index",
                "fixed": "{{ 'x' }}",
            },
            "keep": ["label", "source.title", "record.id", "seed.id"],
        },
        {
            "q": "Why?",
            "both": "tea: Why?",
            "part": "T",
            "n": 4,
            "fixed": "x",
            "label": 3,
            "source_title": "T",
            "record_id": "j-4",
            "seed_id": "s-1",
        },
    ),
    "messages": (
        {
            "messages": [
                turn("system", '{{ "Be kind." }}'),
                "steps.ask.output.turns",
                turn("user", "steps.ask.output.score"),
                turn(
                    "assistant",
                    ANSWER,
                    reasoning_content="steps.answer.reasoning",
                    tool_calls="steps.ask.output.calls",
                ),
            ],
            "tools": "seed.tools",
        },
        {
            "messages": [
                {**turn("system", "Be kind."), "reasoning_content": None, "tool_calls": None},
                {**turn("user", "Hm"), "reasoning_content": None, "tool_calls": None},
                {**turn("assistant", "So"), "reasoning_content": None, "tool_calls": None},
                {**turn("user", "7"), "reasoning_content": None, "tool_calls": None},
                {
                    **turn("assistant", "Because."),
                    "reasoning_content": "I think",
                    "tool_calls": OUTPUT["calls"],
                },
            ],
            "tools": [{"name": "f"}],
        },
    ),
    "prompt-completion": (
        {"prompt-completion": {"prompt": ASKED, "completion": "steps.ask.output"}},
        {"prompt": "Why?", "completion": orjson.dumps(OUTPUT).decode()},
    ),
    "preference": (
        {
            "preference": {
                "prompt": "steps.ask.output.turns",
                "chosen": [turn("assistant", ANSWER)],
                "rejected": [turn("assistant", "{{ 'No.' }}")],
            }
        },
        {
            "prompt": OUTPUT["turns"],
            "chosen": [turn("assistant", "Because.")],
            "rejected": [turn("assistant", "No.")],
        },
    ),
    "unpaired": (
        {
            "unpaired-preference": {
                "prompt": ASKED,
                "completion": ANSWER,
                "label": '{{ steps.ask.output.level == "easy" }}',
            }
        },
        {"prompt": "Why?", "completion": "Because.", "label": False},
    ),
    "alpaca": (
        {"alpaca": {"instruction": ASKED, "output": ANSWER}},
        {"instruction": "Why?", "input": "", "output": "Because."},
    ),
    "sharegpt": (
        {
            "sharegpt": {
                "conversations": [
                    {"from": "human", "value": ASKED},
                    {"from": "gpt", "value": ANSWER},
                ]
            }
        },
        {
            "conversations": [
                {"from": "human", "value": "Why?"},
                {"from": "gpt", "value": "Because."},
            ]
        },
    ),
    "openai": (
        {"openai": {"messages": [turn("user", ASKED), turn("assistant", ANSWER)]}},
        {"messages": [turn("user", "Why?"), turn("assistant", "Because.")]},
    ),
    "openai preference": (
        {
            "openai": {
                "input": [turn("user", ASKED)],
                "preferred_output": [turn("assistant", ANSWER)],
                "non_preferred_output": [turn("assistant", "{{ 'No.' }}")],
            },
            "tools": "seed.tools",
        },
        {
            "input": {"messages": [turn("user", "Why?")], "tools": [{"name": "f"}]},
            "preferred_output": [turn("assistant", "Because.")],
            "non_preferred_output": [turn("assistant", "No.")],
        },
    ),
    "bedrock": (
        {
            "bedrock": {
                "messages": [
                    turn("system", "{{ 'Hi' }}"),
                    turn("user", ASKED),
                    turn("assistant", ANSWER),
                ]
            }
        },
        {
            "schemaVersion": "bedrock-conversation-2024",
            "system": [{"text": "Hi"}],
            "messages": [
                {"role": "user", "content": [{"text": "Why?"}]},
                {"role": "assistant", "content": [{"text": "Because."}]},
            ],
        },
    ),
    "verl": (
        {
            "verl": {
                "data_source": "{{ 'own' }}",
                "prompt": [turn("user", ASKED)],
                "ability": "seed.topic",
                "reward_model": {
                    "style": "{{ 'rule' }}",
                    "ground_truth": "steps.ask.output.score",
                },
                "extra_info": {"index": "record.index"},
            }
        },
        {
            "data_source": "own",
            "prompt": [turn("user", "Why?")],
            "ability": "tea",
            "reward_model": {"style": "rule", "ground_truth": 7},
            "extra_info": {"index": 4},
        },
    ),
}


@pytest.mark.parametrize("name", ROWS)
def test_every_shape_makes_its_row_and_means_the_same_once_it_is_stored(
    engine: TemplateEngine, name: str
) -> None:
    output, expected = ROWS[name]
    checked = template(output, keep_reasoning=True)
    schema, rows, problems = made(engine, checked)
    assert problems == []
    assert rows == [expected]
    assert list(rows[0]) == list(schema)
    assert parse_template(document_of(checked)) == checked
    assert parse_stored(stored_text(checked)) == checked


def test_the_types_of_messages_and_columns(engine: TemplateEngine) -> None:
    schema, _, _ = made(engine, template(ROWS["messages"][0], keep_reasoning=True))
    assert schema == {
        "messages": "list<struct<role: string, content: string, reasoning_content: string,"
        " tool_calls: list<json>>>",
        "tools": "list<json>",
    }
    schema, _, _ = made(engine, template(ROWS["columns"][0]))
    assert schema == {
        "q": "string",
        "both": "string",
        "part": "string",
        "n": "int64",
        "fixed": "string",
        "label": "int64",
        "source_title": "string",
        "record_id": "string",
        "seed_id": "string",
    }


def test_a_null_on_the_way_is_a_null_in_the_row(engine: TemplateEngine) -> None:
    checked = template({"columns": {"s": "steps.ask.output.score"}, "keep": ["source.title"]})
    without: dict[str, Any] = {**RECORD, "generation_result": {"ask": {"output": {"score": None}}}}
    for record, seed in ((without, {"source": None}), (without, None)):
        schema, rows, problems = made(engine, checked, record, seed=seed)
        assert schema["s"] == "int64"
        assert rows == [{"s": None, "source_title": None}]
        assert problems == []


# ── records that give no row ───────────────────────────────────────────────────────────────────


def test_a_text_that_can_not_be_rendered_leaves_its_row_out_and_is_reported(
    engine: TemplateEngine,
) -> None:
    checked = template({"columns": {"t": "{{ steps.ask.output.score }}", "q": ASKED}})
    null: dict[str, Any] = {
        **RECORD,
        "index": 5,
        "generation_result": {"ask": {"output": {"score": None, "question": "secret"}}},
    }
    many = [{**RECORD, "index": number} for number in range(130)]
    _, rows, problems = made(engine, checked, *many, null, {**RECORD, "index": 131})
    assert [row["t"] for row in rows] == ["7"] * 131
    [problem] = problems
    assert (problem.index, problem.column) == (5, "t")
    assert "null" in problem.message
    assert "secret" not in problem.message


def test_a_list_that_holds_no_messages_leaves_its_row_out(engine: TemplateEngine) -> None:
    checked = template({"messages": ["seed.chat"]})
    fine = {"chat": [turn("user", "Hi", name="Ada")]}
    _, rows, _ = made(engine, checked, seed=fine)
    assert rows == [{"messages": [{**turn("user", "Hi"), "name": "Ada"}]}]
    for chat in ([{"content": "x"}], ["x"], "x"):
        _, rows, [problem] = made(engine, checked, seed={"chat": chat})
        assert rows == []
        assert problem.column == "messages"
        assert "message" in problem.message


def test_a_label_that_is_neither_true_nor_false_leaves_its_row_out(engine: TemplateEngine) -> None:
    checked = template(
        {"unpaired-preference": {"prompt": ASKED, "completion": ANSWER, "label": "{{ topic }}"}}
    )
    _, rows, [problem] = made(engine, checked)
    assert rows == []
    assert problem == RowProblem(index=4, column="label", message="it is a text, not true or false")


# ── refusals ───────────────────────────────────────────────────────────────────────────────────

REFUSED: Final[Mapping[str, tuple[Any, str]]] = {
    "a shape": ({"colums": {}}, 'there is no shape "colums", did you mean "columns"?'),
    "a word": ("record", "with its fields: columns, messages"),
    "two": ({"columns": {"a": ASKED}, "alpaca": {}}, "name one shape"),
    "a step": (
        {"columns": {"a": "steps.aks.output"}},
        'there is no step "aks", did you mean "ask"?; the steps are ask, answer',
    ),
    "a property": (
        {"columns": {"a": "steps.ask.output.questoin"}},
        'steps.ask.output has no "questoin", did you mean "question"?; it has question, level',
    ),
    "below a text": (
        {"columns": {"a": "steps.ask.output.question.x"}},
        'steps.ask.output.question has no "x"; it has no parts',
    ),
    "no schema": (
        {"columns": {"a": "steps.answer.output.text"}},
        'step "answer" has no output_schema, so its output is one text: write steps.answer.output',
    ),
    "no output": (
        {"columns": {"a": "steps.ask.outptu"}},
        'write steps.ask.output, did you mean "output"?',
    ),
    "no reasoning": (
        {"columns": {"a": "steps.ask.reasoning"}},
        "steps.ask.reasoning needs keep_reasoning: true",
    ),
    "a root": (
        {"columns": {"a": "step.ask.output"}},
        '"step.ask.output" is no path, did you mean "steps"?',
    ),
    "samples": ({"columns": {"a": "samples.style"}}, '"samples.style" is no path'),
    "a constant": (
        {"columns": {"a": "Be kind, please."}},
        'a constant text is written {{ "Be kind, please." }}',
    ),
    "a bare word": ({"columns": {"a": "label"}}, 'a constant text is written {{ "label" }}'),
    "a record": ({"columns": {"a": "record.time"}}, "a record has record.id and record.index"),
    "parts of an id": ({"columns": {"a": "seed.id.x"}}, "seed.id is a text"),
    "a number": ({"columns": {"a": 3}}, "output, columns, a: must be a path or a text"),
    "names": ({"columns": {"label": ASKED}, "keep": ["label"]}, 'two columns are named "label"'),
    "keep": ({"columns": {"a": ASKED}, "keep": ["steps.ask"]}, "make a column of it"),
    "a role": (
        {"messages": [turn("asistant", ANSWER)]},
        'user, assistant, tool, did you mean "assistant"?',
    ),
    "content": ({"messages": [{"role": "user"}]}, "messages 1: content is missing"),
    "a field": ({"messages": [turn("user", ASKED, text="x")]}, 'messages 1: unknown field "text"'),
    "no messages": (
        {"messages": [ASKED]},
        "steps.ask.output.question is no list of messages with role and content",
    ),
    "a text alone": ({"messages": ["{{ topic }}"]}, "a text needs a role"),
    "sharegpt": (
        {"sharegpt": {"conversations": ["steps.ask.output.turns"]}},
        "no list of messages with from and value",
    ),
    "bedrock": ({"bedrock": {"messages": ["seed.chat"]}}, "a message has role and content"),
    "missing": ({"alpaca": {"output": ANSWER}}, "output, alpaca, instruction: is missing"),
    "unknown": (
        {"alpaca": {"instructions": ASKED, "output": ANSWER}},
        'unknown field "instructions", did you mean "instruction"?',
    ),
    "verl": (
        {
            "verl": {
                "data_source": ASKED,
                "prompt": [turn("user", ASKED)],
                "ability": ASKED,
                "reward_model": {"style": ASKED},
            }
        },
        "output, verl, reward_model: ground_truth is missing",
    ),
    "mixed": (
        {"preference": {"chosen": ANSWER, "rejected": [turn("assistant", ANSWER)]}},
        "chosen is a text, rejected is messages: write all as texts or all as messages",
    ),
    "label": (
        {
            "unpaired-preference": {
                "prompt": ASKED,
                "completion": ANSWER,
                "label": "steps.ask.output.level",
            }
        },
        'compare it with something, such as {{ steps.ask.output.level == "good" }}',
    ),
    "tools": ({"columns": {"a": ASKED}, "tools": "seed.tools"}, "columns has no tools"),
    "no list": ({"messages": [turn("user", ASKED)], "tools": ASKED}, "is not a list"),
    "jinja": ({"columns": {"a": "{{ topic.__class__ }}"}}, "output, a, line 1"),
    "later": ({"columns": {"a": "{{ steps.x.output }}"}}, 'step "x" does not exist'),
    "include": ({"columns": {"a": "{% include 'f' %}"}}, "output, a: include is for prompts"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_can_not_be_a_row_is_refused_with_a_hint(name: str) -> None:
    output, message = REFUSED[name]
    with pytest.raises(TemplateError) as refused:
        template(output)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(TemplateError) as refused:
        template({"columns": {"a": "x", "b": "y"}}, split={"test": 2}, keep_prompts=3)
    assert [place for place, _ in refused.value.problems] == [
        *("output, columns, a", "output, columns, b", "the template", "split"),
    ]


# ── without `output:` ──────────────────────────────────────────────────────────────────────────


def test_the_default_is_a_column_a_step_or_a_property(engine: TemplateEngine) -> None:
    checked = template()
    assert checked.output.shape is Shape.COLUMNS
    assert not checked.output_declared
    schema, [row], _ = made(engine, checked, seed=None)
    assert row == {**OUTPUT, "answer": "Because."}
    assert schema == {
        "question": "string",
        "level": "string",
        "score": "int64",
        "good": "bool",
        "turns": "list<struct<role: string, content: string>>",
        "calls": "list<json>",
        "answer": "string",
    }


def columns(*steps: tuple[str, Any]) -> dict[str, str]:
    """The default columns of steps with these schemas."""
    document = [
        {"id": step, "prompt": "x", **({} if schema is None else {"output_schema": schema})}
        for step, schema in steps
    ]
    found = parse_template({"name": "n", "steps": document}).output.fields
    return {name: path.text for name, path in found.items() if isinstance(path, Path)}


def having(*names: str, **more: Any) -> dict[str, Any]:
    properties = {name: {"type": "string"} for name in names}
    return {"type": "object", "properties": properties, **more}


def test_names_that_clash_have_their_step_in_front() -> None:
    assert columns(("a", having("x", "y")), ("b", having("x", "c")), ("c", None)) == {
        "a_x": "steps.a.output.x",
        "y": "steps.a.output.y",
        "b_x": "steps.b.output.x",
        "b_c": "steps.b.output.c",
        "c": "steps.c.output",
    }
    whole = {"a": "steps.a.output", "a_b": "steps.a_b.output", "b_c": "steps.b_c.output"}
    assert columns(("a", having("b_c")), ("a_b", having("c")), ("b_c", having("c"))) == whole


@pytest.mark.parametrize(
    "schema",
    [
        None,
        {"type": "array", "items": having("x")},
        {"properties": {"x": {}}},
        having("x", additionalProperties=True),
        having("x", patternProperties={"^y": {}}),
        having("x.y"),
        having("x", anyOf=[having("y"), having("z")]),
        having(),
    ],
)
def test_an_output_whose_names_are_not_all_known_is_one_column(schema: Any) -> None:
    assert columns(("a", schema)) == {"a": "steps.a.output"}


# ── types ──────────────────────────────────────────────────────────────────────────────────────

NULL: Final = {"type": "null"}
DEEP: Final = {
    "$defs": {
        f"d{number}": {
            "type": "object",
            "properties": {name: {"$ref": f"#/$defs/d{number + 1}"} for name in "ab"},
        }
        for number in range(30)
    },
    "$ref": "#/$defs/d0",
}
"""Would be a type of a thousand million parts."""
OLD_DRAFT: Final = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "$defs": {"a": {"type": "string"}},
    "type": "object",
    "properties": {"x": {"$ref": "#/$defs/a", "type": "integer"}},
}


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "number"}, "float64"),
        ({"type": ["integer", "number", "null"]}, "float64"),
        ({"type": "integer"}, "int64"),
        ({"type": ["string", "integer"]}, "json"),
        ({"enum": ["a", None]}, "string"),
        ({"enum": [1, 2.5]}, "float64"),
        ({"enum": [1, "a"]}, "json"),
        ({"enum": [True, 1]}, "json"),
        ({"const": 2**63}, "json"),
        ({"type": "integer", "allOf": [{"type": "number"}]}, "int64"),
        ({"anyOf": [{"type": "boolean"}, NULL]}, "bool"),
        ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, "float64"),
        ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, "json"),
        ({"anyOf": [{"type": "integer"}, {}]}, "json"),
        ({"type": "array"}, "list<json>"),
        ({"type": "array", "items": {"type": "string"}}, "list<string>"),
        ({"type": "array", "prefixItems": [{"type": "string"}]}, "list<json>"),
        ({"type": "object"}, "json"),
        ({"type": "object", "additionalProperties": {"type": "string"}}, "json"),
        (having("x", additionalProperties=False), "struct<x: string>"),
        (having("x", allOf=[having("y")]), "struct<x: string, y: string>"),
        ({"anyOf": [having("x"), NULL]}, "struct<x: string>"),
        (having("x", then=having("y")), "json"),
        ({"properties": {"x": {"type": "string"}}}, "json"),
        (having("x", properties={"x": {"$ref": "#"}, "y": True}), "struct<x: json, y: json>"),
        ({"$ref": "#/nowhere"}, "json"),
        (OLD_DRAFT, "struct<x: string>"),
        (DEEP, "json"),
    ],
)
def test_the_type_of_an_output_is_that_of_its_schema(schema: Any, expected: str) -> None:
    assert type_text(SchemaTypes(schema).type_at()) == expected


def test_a_path_below_what_not_every_output_has_is_json() -> None:
    types = SchemaTypes({"anyOf": [having("x"), having("y")], "$defs": {}})
    assert types.type_at(["x"]) is Scalar.JSON
    with pytest.raises(LookupError):
        types.type_at(["z"])
    assert type_text(SchemaTypes(DEEP).type_at(["a"] * 29)) == "struct<a: json, b: json>"
    anything = SchemaTypes({"additionalProperties": {"type": "string"}})
    assert anything.type_at(["z"]) is Scalar.JSON


# ── stored, and of before ──────────────────────────────────────────────────────────────────────


def test_a_derived_output_is_stored_and_left_out_of_the_document() -> None:
    checked = template()
    assert "output" not in complete_document(checked)
    stored = orjson.loads(stored_text(checked))
    assert stored["output"]["columns"]["question"] == "steps.ask.output.question"
    assert parse_stored(stored_text(checked)) == checked


@pytest.mark.parametrize("noted", [True, False])
def test_a_template_that_was_stored_before_stays_records(*, noted: bool) -> None:
    stored = orjson.loads(stored_text(template()))
    del stored["output"]
    del stored["stored"]["output_declared"]
    if not noted:
        del stored["stored"]
    old = parse_stored(orjson.dumps(stored).decode())
    assert old.output == RECORDS
    assert parse_stored(stored_text(old)) == old
    # A copy of it stays what it is, too.
    assert parse_template(document_of(old)).output == RECORDS


def test_output_and_split_are_not_what_makes_a_dataset_another_one() -> None:
    plain = template_digest(template())
    assert plain == template_digest(template({"columns": {"a": ASKED}}))
    assert plain == template_digest(template("records", split={"test": 0.1}))
    assert plain != template_digest(template(keep_prompts=True))


def test_only_prompts_require_something_of_a_seed() -> None:
    checked = template({"columns": {"a": "{{ other }}"}, "keep": ["label"]})
    assert checked.schema_requirements == ("topic",)


# ── splits ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("split", "message"),
    [
        (0.1, "map names to shares"),
        ({"by": "seed.source"}, "map names to shares"),
        ({"test": 0}, "the share of test must be a number between 0 and 1"),
        ({"test": "0.1"}, "the share of test must be a number"),
        ({"test": True}, "the share of test must be a number"),
        ({"test": 0.5, "validation": 0.5}, "less than 1"),
        ({"train": 0.9}, "train gets what the others leave"),
        ({"te st": 0.1}, '"te st" is no name'),
        ({"test": 0.1, "by": "source"}, "by must be a path into the seed, such as seed.source"),
    ],
)
def test_a_split_that_can_not_be(split: object, message: str) -> None:
    with pytest.raises(TemplateError, match="split") as refused:
        template(split=split)
    assert message in str(refused.value)


def test_a_split_is_kept() -> None:
    checked = template(split={"test": 0.1, "validation": 0.05, "by": "seed.source.title"})
    assert checked.split is not None
    assert checked.split.shares == {"test": 0.1, "validation": 0.05}
    assert parse_template(document_of(checked)) == checked
    assert parse_stored(stored_text(checked)) == checked


# ── seeds ──────────────────────────────────────────────────────────────────────────────────────


def types(*values: Any) -> Type:
    checked = template({"columns": {"a": "seed.x"}})
    return seed_types(({"x": value} for value in values), checked.output)["x"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["a", None, "b"], "string"),
        ([1, 2], "int64"),
        ([1, 2.5], "float64"),
        ([2**53 + 1, 2.5], "json"),
        ([2**63], "json"),
        ([True, 1], "json"),
        ([1, "a"], "json"),
        ([None], "json"),
        ([[1], [], None], "list<int64>"),
        ([{"a": 1}, {"b": "x"}, {"a": None}], "struct<a: int64, b: string>"),
        ([{}], "json"),
        ([{"a": 1}, [1]], "json"),
        ([{f"k{n}": n} for n in range(300)], "json"),
    ],
)
def test_a_seed_column_has_the_type_of_all_seeds(values: list[Any], expected: str) -> None:
    found = types(*values)
    assert type_text(found) == expected
    assert type_text(types(*reversed(values))) == expected or expected.startswith("struct")
    assert parse_type(orjson.loads(orjson.dumps(type_document(found)))) == found


def test_no_seed_is_read_where_no_row_needs_one() -> None:
    assert seed_types(iter([{"x": object()}]), template().output) == {}


def test_each_record_has_the_seed_that_it_was_generated_from(engine: TemplateEngine) -> None:
    rows = [{"topic": f"t{number}"} for number in range(5)]
    checked = template({"columns": {"a": "seed.topic", "b": "{{ topic }}{{ [1, 2, 3]|random }}"}})
    maker = RowMaker(checked, engine, seeds={"topic": Scalar.STRING})
    drawn = DrawnSeeds(rows, job_id="j", draws=Draws())
    records = [{**RECORD, "index": index} for index in range(10)]
    problems: list[RowProblem] = []
    found = list(maker.rows(records, drawn, problems.append))
    assert problems == []
    assert sorted(row["a"] for _, row in found[:5]) == [f"t{number}" for number in range(5)]
    assert all(row["b"].startswith(row["a"]) for _, row in found)
    again = list(maker.rows(reversed(records), drawn, problems.append))
    assert again[::-1] == found


def test_texts_that_no_record_gives_are_a_problem_and_no_crash() -> None:
    """A name of another seed in every text: the row is missing with its reason."""
    step = {"id": "a", "prompt": "Say {{ topic }}."}
    template = {"name": "t", "steps": [step], "output": {"columns": {"x": "{{ topci }}"}}}
    seeds = [{"topic": "sea"}, {"topic": "tea", "topci": "x"}]
    found = seedwright.validate(template, seeds, backend="local")
    assert found.sample.row is None
    assert found.sample.problem is not None
    assert "topci" in found.sample.problem
