"""Whether a step's `output_schema` is a JSON Schema that its outputs can be checked with.

Patterns have to be regular expressions that run in linear time (no look-around, no
back-references), and references stay inside the schema: nothing is ever downloaded. Compiling a
schema is bounded by limits on what takes long to compile. Checking a value may still take for ever
where a schema applies several subschemas to one value; `is_plain` tells which schemas never do.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, NoReturn

from runtime.domain.outputs.types import INT64_MAX, INT64_MIN

if TYPE_CHECKING:
    import jsonschema_rs

MAX_REASON_CHARACTERS: Final = 300
MAX_PATTERNS: Final = 50
MAX_PATTERN_CHARACTERS: Final = 1000
"""Of one pattern. A pattern compiles in some 50 ms at most, and fifty of them in three seconds."""

MAX_JINJA_CHARACTERS: Final = 60

ANNOTATIONS: Final = frozenset(
    {
        *("$schema", "$id", "$anchor", "$comment", "$defs", "definitions", "$vocabulary"),
        *("title", "default", "examples", "deprecated", "readOnly", "writeOnly"),
    }
)
"""Keywords that say nothing about which values are valid."""

_REFERENCES: Final = frozenset({"$ref", "$dynamicRef", "$recursiveRef"})
_MAPS_OF_SCHEMAS: Final = frozenset({"properties", "patternProperties", "$defs", "definitions"})
_VALUES: Final = frozenset({"enum", "const", "default", "examples"})
_NEGATED: Final = frozenset({"not", "if"})
_JINJA: Final = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)
_UNEVALUATED: Final = frozenset({"unevaluatedItems", "unevaluatedProperties"})
_PLAIN_KEYWORDS: Final = frozenset(
    {
        *("type", "enum", "const", "required", "properties", "additionalProperties"),
        *("items", "prefixItems", "minItems", "maxItems", "minProperties", "maxProperties"),
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength"),
        *("$schema", "$comment", "title", "description", "default", "examples", "deprecated"),
    }
)
"""Keywords that look at a value once, and hand each part of it to one subschema."""


def schema_problem(schema: object) -> str | None:
    """Why this isn't a JSON Schema that a record can be checked with; None when it is."""
    if not isinstance(schema, Mapping):
        return "must be a JSON Schema object"
    jinja = next((found[0] for text in _texts(schema) if (found := _JINJA.search(text))), None)
    if jinja is not None:
        return (
            f"holds {jinja[:MAX_JINJA_CHARACTERS]}, and a schema is the same for every record:"
            " write the value itself, or ask for it in the prompt"
        )
    problem = _costly(schema)
    if problem is not None:
        return problem
    import jsonschema_rs  # noqa: PLC0415 - as below

    try:
        compile_schema(schema)
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as exc:
        reason = exc.message if isinstance(exc, jsonschema_rs.ValidationError) else str(exc)
        return f"is not a valid JSON Schema: {' '.join(reason.split())[:MAX_REASON_CHARACTERS]}"
    return None


def compile_schema(schema: Mapping[str, object]) -> "jsonschema_rs.Validator":
    """A validator that runs in linear time and downloads nothing. Raises what jsonschema_rs
    raises for a schema that `schema_problem` would refuse.
    """
    import jsonschema_rs  # noqa: PLC0415 - few templates have a schema, and every start would pay

    return jsonschema_rs.validator_for(
        dict(schema), retriever=_refuse_download, pattern_options=jsonschema_rs.RegexOptions()
    )


def with_64_bits(schema: Mapping[str, object]) -> dict[str, object]:
    """`schema` with whole numbers of 64 bits wherever it asks for an integer.

    JSON Schema calls 1e29 an integer, and no column of integers holds it.
    """
    bounded = {name: _bounded_keyword(name, value) for name, value in schema.items()}
    named = schema.get("type")
    types = named if isinstance(named, (list, tuple)) else (named,)
    if "integer" in types and "number" not in types:
        bounded["minimum"] = _limit(max, schema.get("minimum"), INT64_MIN)
        bounded["maximum"] = _limit(min, schema.get("maximum"), INT64_MAX)
    return bounded


def _bounded_keyword(name: str, value: object) -> object:
    if name in _VALUES or name in _NEGATED:
        return value
    if name in _MAPS_OF_SCHEMAS and isinstance(value, Mapping):
        return {key: _bounded(each) for key, each in value.items()}
    return _bounded(value)


def _bounded(value: object) -> object:
    if isinstance(value, Mapping):
        return with_64_bits(value)
    if isinstance(value, (list, tuple)):
        return [_bounded(each) for each in value]
    return value


def _limit(choose: Callable[[float, float], float], given: object, limit: int) -> object:
    """`given` or the nearer `limit`."""
    if isinstance(given, bool) or not isinstance(given, (int, float)):
        return limit
    return choose(given, limit)


def _texts(schema: object) -> Iterator[str]:
    """Every name and every text in `schema`."""
    pending = [schema]
    while pending:
        value = pending.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, Mapping):
            pending += [*value.keys(), *value.values()]
        elif isinstance(value, (list, tuple)):
            pending += value


def is_plain(schema: object) -> bool:
    """Whether checking takes time in proportion to the value, whatever the value is: the schema
    has no reference, combinator, pattern or other keyword that looks at a value again.
    """
    pending = [schema]
    while pending:
        value = pending.pop()
        if isinstance(value, bool):
            continue
        if not isinstance(value, Mapping) or not value.keys() <= _PLAIN_KEYWORDS:
            return False
        properties = value.get("properties", {})
        if not isinstance(properties, Mapping):
            return False
        pending += properties.values()
        for name in ("additionalProperties", "items", "prefixItems"):
            each = value.get(name, True)
            pending += each if isinstance(each, (list, tuple)) else [each]
    return True


def _costly(schema: Mapping[Any, Any]) -> str | None:
    """What would be downloaded, or could take too long to compile."""
    references = unevaluated = False
    patterns: list[str] = []
    for name, value in _members(schema):
        if name in _REFERENCES and isinstance(value, str):
            references = True
            if not value.startswith("#"):
                return "may refer to itself only: begin every $ref with #"
        unevaluated = unevaluated or name in _UNEVALUATED
        if name == "pattern" and isinstance(value, str):
            patterns.append(value)
        if name == "patternProperties" and isinstance(value, Mapping):
            patterns += map(str, value)
    if unevaluated and references:
        return "may not have both $ref and unevaluated…: write additionalProperties or items"
    if len(patterns) > MAX_PATTERNS:
        return f"has {len(patterns)} patterns: {MAX_PATTERNS} are allowed"
    if any(len(pattern) > MAX_PATTERN_CHARACTERS for pattern in patterns):
        return f"has a pattern of more than {MAX_PATTERN_CHARACTERS} characters: shorten it"
    return None


def _members(schema: object) -> Iterator[tuple[object, object]]:
    """Every name with its value, at every depth."""
    pending = [schema]
    while pending:
        value = pending.pop()
        if isinstance(value, Mapping):
            pending += value.values()
            yield from value.items()
        elif isinstance(value, (list, tuple)):
            pending += value


def _refuse_download(uri: str) -> NoReturn:
    raise ValueError(f"{uri} would have to be downloaded")
