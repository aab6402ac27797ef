"""Schemas with replies: what is stored fits the schema and stands in the reply, what is sent to a
service is a closed schema, and nothing of it takes long.
"""

import json
import re
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any, Final

import jsonschema
import orjson

from runtime.domain.errors import OutputCheckError, OutputError, TemplateError
from runtime.domain.templates.document import parse_template
from runtime.domain.templates.grammar_schema import for_grammar
from runtime.domain.templates.provider_schema import Way
from runtime.domain.templates.service_schema import for_service
from runtime.engine.dry_run import example_of
from runtime.engine.outputs import OutputReader
from runtime.engine.rendering.renderer import TemplateEngine
from tests.fuzz import words
from tests.fuzz.case import Case, demand, one_line, pick, same

CHECK_SECONDS: Final = 0.25
"""In place of 0.7 s, so that cases that never end cost less."""
ORACLE_SECONDS: Final = 0.2
_INT64: Final = range(-(2**63), 2**63)
_MARKUP: Final = re.compile(r"```|~~~|<|\[/?THINK\]", re.IGNORECASE)


class Schemas:
    """Reads replies as the worker does, with the render child behind it."""

    name = "schemas"

    def __init__(self) -> None:
        self._engine = TemplateEngine(render_seconds=CHECK_SECONDS)

    def close(self) -> None:
        self._engine.close()

    # ── making ─────────────────────────────────────────────────────────────────────────────────

    def make(self, rng: Random) -> Case:
        """A schema, and a reply that is about it."""
        schema = _schema(rng)
        return {"schema": schema, "reply": _reply(rng, schema), "cut": rng.random() < 0.1}

    # ── checking ───────────────────────────────────────────────────────────────────────────────

    def check(self, case: Case) -> str:
        """From the schema to the output."""
        schema = case["schema"]
        step = {"id": "a", "prompt": "x", "output_schema": schema}
        try:
            template = parse_template({"name": "n", "steps": [step]})
        except TemplateError as error:
            one_line(str(error))
            return "schema refused"
        if schema is None:
            return "no schema"
        form = for_service(schema)
        if form.way is Way.SERVICE:
            _check_form(form.schema)
        for_grammar(schema)
        orjson.dumps(example_of(schema, "x"))
        reader = OutputReader(schema, nullable=form.nullable)
        if reader.needs_child:
            self._engine.load(template)
            reader = reader.checked_by(lambda value: self._engine.check_output("a", value))
        reply = str(case["reply"])
        try:
            output = reader.read(reply, cut=case["cut"] is True)
        except OutputCheckError as error:
            one_line(str(error))
            return "not checked"
        except OutputError as error:
            demand(str(error).strip(), "an empty message")
            return "reply refused"
        _check_output(schema, reply, output, whole=not form.nullable)
        return "output"


def _check_form(form: object) -> None:
    """What is sent to a service: a schema in which every object is closed."""
    demand(isinstance(form, Mapping), "no schema")
    with _within(ORACLE_SECONDS):
        jsonschema.Draft202012Validator.check_schema(dict(_mapping(form)))
    pending = [form]
    while pending:
        each = _mapping(pending.pop())
        if "properties" in each or each.get("type") == "object":
            demand(each.get("additionalProperties") is False, "an object that is not closed")
            demand(set(each["required"]) <= each["properties"].keys(), "required and not described")
        demand(each.keys() & {"type", "enum", "const", "anyOf"}, "a part that allows anything")
        pending += [*each.get("properties", {}).values(), *each.get("anyOf", ())]
        pending += [each["items"]] if "items" in each else []


def _mapping(value: object) -> Mapping[str, Any]:
    demand(isinstance(value, Mapping), "a part of the form is no schema")
    return value if isinstance(value, Mapping) else {}


def _check_output(schema: Any, reply: str, output: object, *, whole: bool) -> None:
    orjson.dumps(output)
    for each in _numbers(output):
        demand(not isinstance(each, int) or each in _INT64, f"{each} has more than 64 bits")
    with _within(ORACLE_SECONDS):
        fits = _oracle(schema).is_valid
        demand(fits(output), "stored, and it doesn't fit the schema")
        # Within a negation 64 bits would mean more values, not fewer.
        if not whole or _MARKUP.search(reply) or {"not", "if"} & set(_names(schema)):
            return
        found = _written_values(reply)
        demand(any(same(each, output) for each in found), "stored, and the reply doesn't say it")
        fitting = {json.dumps(each, sort_keys=True) for each in found if fits(each)}
        demand(len(fitting) == 1, f"{len(fitting)} values of the reply fit")


def _oracle(schema: Any) -> Any:
    """Another validator, for which whole numbers have 64 bits as well."""
    usual = jsonschema.validators.validator_for(schema, jsonschema.Draft202012Validator)
    types = usual.TYPE_CHECKER.redefine("integer", _is_integer)
    return jsonschema.validators.extend(usual, type_checker=types)(schema)


def _is_integer(_checker: object, value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    # A range would be searched for a float, number by number.
    return value % 1 == 0 and _INT64.start <= value < _INT64.stop


def _names(schema: object) -> Iterator[str]:
    if isinstance(schema, dict):
        yield from schema
        for each in schema.values():
            yield from _names(each)
    elif isinstance(schema, list):
        for each in schema:
            yield from _names(each)


def _numbers(value: object) -> Iterator[object]:
    pending = [value]
    while pending:
        each = pending.pop()
        if isinstance(each, dict):
            pending += each.values()
        elif isinstance(each, list):
            pending += each
        else:
            yield each


def _written_values(reply: str) -> list[Any]:
    """Each value that stands in the reply and in no other one."""
    try:
        return [json.loads(reply)]
    except ValueError:
        found, at, decode = [], 0, json.JSONDecoder().raw_decode
    while (opening := re.search(r"[\[{]", reply[at:])) is not None:
        at += opening.start()
        try:
            each, at = decode(reply, at)
            found.append(each)
        except ValueError:
            at += 1
    return found


@contextmanager
def _within(seconds: float) -> Iterator[None]:
    """Leave the block when it takes longer: the oracle has no deadline of its own."""

    def stop(*_: object) -> None:
        raise _TooLongError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    except (_TooLongError, RecursionError):
        pass
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class _TooLongError(BaseException):
    """The oracle knows no answer."""


# ── schemas ────────────────────────────────────────────────────────────────────────────────────


def _schema(rng: Random, depth: int = 3) -> Any:
    schema = pick(
        rng,
        (60, lambda: _plain(rng, depth)),
        (12, lambda: _combined(rng, depth)),
        (6, lambda: _with_definitions(rng, depth)),
        (1, lambda: _tower(rng)),
        (1, lambda: _holding_itself(rng)),
        (1, lambda: words.value(rng)),
    )
    if isinstance(schema, dict) and rng.random() < 0.15:
        schema[rng.choice(_KEYWORDS)] = pick(
            rng, (3, lambda: words.value(rng, 1)), (2, lambda: _plain(rng, 0))
        )
    return schema


_KEYWORDS: Final = (
    *("minimum", "maximum", "exclusiveMinimum", "multipleOf", "minLength", "maxLength", "pattern"),
    *("minItems", "maxItems", "uniqueItems", "contains", "prefixItems", "not", "if", "then"),
    *("patternProperties", "propertyNames", "minProperties", "dependentRequired", "format"),
    *("unevaluatedProperties", "unevaluatedItems", "additionalProperties", "$schema", "$id"),
    *("$anchor", "$ref", "$dynamicRef", "default", "title", "description", "enum", "const"),
)


def _plain(rng: Random, depth: int) -> Any:
    kind = rng.randrange(7 if depth else 5)
    if kind == 5:
        names = [words.name(rng) for _ in range(words.short(rng))]
        members = {name: _schema(rng, depth - 1) for name in names}
        schema: dict[str, Any] = {"type": "object", "properties": members}
        if rng.random() < 0.7:
            schema["required"] = [name for name in members if rng.random() < 0.7]
        if rng.random() < 0.3:
            schema["additionalProperties"] = rng.choice((False, True, {"type": "string"}))
        return schema
    if kind == 6:
        return {"type": "array", "items": _schema(rng, depth - 1)}
    return (
        {"type": "string"},
        {"type": "integer"},
        {"type": rng.choice(("number", "boolean", "null"))},
        {"enum": [words.value(rng, 1) for _ in range(1 + words.short(rng) // 3)]},
        {"type": ["integer", rng.choice(("null", "string", "number"))], "minimum": 0},
    )[kind]


def _combined(rng: Random, depth: int) -> Any:
    branches = [_schema(rng, max(depth - 1, 0)) for _ in range(1 + words.short(rng) // 2)]
    return {rng.choice(("anyOf", "oneOf", "allOf")): branches}


def _with_definitions(rng: Random, depth: int) -> Any:
    names = [f"d{number}" for number in range(1 + words.short(rng) // 2)]
    where = rng.choice(("$defs", "definitions"))
    parts = {name: _schema(rng, max(depth - 1, 0)) for name in names}
    for name in names:
        if isinstance(parts[name], dict) and rng.random() < 0.5:
            parts[name] = {"items": {"$ref": f"#/{where}/{rng.choice(names)}"}, "type": "array"}
    root = _plain(rng, depth)
    refers: dict[str, Any] = {"$ref": f"#/{where}/{rng.choice(names)}"}
    return (
        {**rng.choice((root, {})), **refers, where: parts}
        if rng.random() < 0.5
        else {
            "type": "object",
            "properties": {"a": refers, "b": root},
            "required": ["a"],
            where: parts,
        }
    )


def _tower(rng: Random) -> Any:
    """Level upon level, each of which looks at one value twice."""
    levels, word = rng.choice((3, 20, 30, 45)), rng.choice(("anyOf", "allOf", "oneOf"))
    parts: dict[str, Any] = {
        f"a{n}": {word: [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(levels)
    }
    parts[f"a{levels}"] = _plain(rng, 0)
    return {"$defs": parts, "$ref": "#/$defs/a0", **rng.choice(({}, {"type": "integer"}))}


def _holding_itself(rng: Random) -> Any:
    lists = [
        {"type": "array", "items": {"$ref": "#"}, rng.choice(("minItems", "maxItems")): n}
        for n in rng.sample(range(1, 9), k=2)
    ]
    return {"anyOf": [{"type": "number"}, *lists]}


# ── replies ────────────────────────────────────────────────────────────────────────────────────


def _reply(rng: Random, schema: Any) -> str:
    def written() -> str:
        value = _fitting(rng, schema, 6) if rng.random() < 0.8 else words.value(rng)
        return json.dumps(value, ensure_ascii=rng.random() < 0.5)

    shapes: tuple[tuple[int, Callable[[], str]], ...] = (
        (8, written),
        (3, lambda: f"```json\n{written()}\n```"),
        (2, lambda: f"As note [1] says, it is: {written()}"),
        (2, lambda: f"Either {written()} or {written()}."),
        (2, lambda: f"<think>e.g. {written()}</think>\n{written()}"),
        (1, lambda: f"Not ```{written()}``` but {written()}"),
        (1, lambda: words.nested(rng, rng.choice(("1", '"x"', "")))),
        (1, lambda: rng.choice(("[", "{", '{"a":', "[[1], ")) * words.many(rng)),
        (1, lambda: words.text(rng)),
    )
    reply: str = pick(rng, *shapes)
    return words.change_text(rng, reply) if rng.random() < 0.2 else reply


def _fitting(rng: Random, schema: Any, depth: int) -> Any:  # noqa: PLR0911 - one for each keyword
    """A value that may fit the schema."""
    if not isinstance(schema, dict) or depth == 0:
        return words.value(rng, 1)
    for word in ("anyOf", "oneOf", "allOf"):
        if isinstance(schema.get(word), list) and schema[word]:
            return _fitting(rng, rng.choice(schema[word]), depth - 1)
    if isinstance(schema.get("enum"), list) and schema["enum"]:
        return rng.choice(schema["enum"])
    members, items = schema.get("properties"), schema.get("items")
    if isinstance(members, dict):
        return {
            name: None if rng.random() < 0.1 else _fitting(rng, each, depth - 1)
            for name, each in members.items()
            if rng.random() < 0.9
        }
    if items is not None:
        return [_fitting(rng, items, depth - 1) for _ in range(words.short(rng))]
    match schema.get("type"):
        case "string":
            return words.text(rng)
        case "boolean":
            return rng.random() < 0.5
        case "null":
            return None
        case _:
            return words.number(rng)


def open_kind(_folder: Path) -> Schemas:
    """The kind."""
    return Schemas()
