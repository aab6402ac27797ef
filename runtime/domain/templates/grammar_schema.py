"""From an `output_schema` to the schema that the embedded model's grammar follows."""

from collections.abc import Iterator, Mapping
from typing import Final

from runtime.domain.references import resolve
from runtime.domain.templates.output_schema import ANNOTATIONS
from runtime.domain.templates.provider_schema import (
    ProviderSchema,
    Way,
    in_words,
    whole_in_words,
)

_OF_GRAMMAR: Final = frozenset(
    {
        *ANNOTATIONS,
        *("type", "enum", "const", "description", "anyOf", "allOf", "$ref"),
        *("properties", "required", "additionalProperties", "patternProperties"),
        *("items", "prefixItems"),
        *("minItems", "maxItems", "minLength", "maxLength", "pattern"),
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    }
)
"""Keywords that LLGuidance follows."""

_MAPS_OF_SCHEMAS: Final = ("properties", "$defs", "definitions")
_LISTS_OF_SCHEMAS: Final = ("anyOf", "oneOf", "prefixItems")

_INTERSECTING: Final = frozenset(
    {"allOf", "not", "if", "dependentSchemas", "unevaluatedProperties"}
)
"""Where one of these is about, an object may be described in several places, and closing one of
them could forbid what another one requires."""

_BESIDE_PROPERTIES: Final = frozenset(
    {"$ref", "$dynamicRef", "anyOf", "oneOf", "patternProperties"}
)
"""These do the same when they stand beside `properties`."""


def for_grammar(schema: Mapping[str, object]) -> ProviderSchema:
    """The schema as the embedded model's grammar takes it; what that doesn't follow is also said
    in words, and so is a schema with a reference that leads nowhere.
    """
    for name, value in _keywords(schema):
        if name == "$ref" and isinstance(value, str):
            try:
                resolve(schema, value)
            except LookupError:
                return in_words(schema, reason=f"{value} is not a pointer to a part of it")
    followed = all(name in _OF_GRAMMAR for name, _ in _keywords(schema))
    return ProviderSchema(
        way=Way.GRAMMAR,
        schema=dict(schema) if _intersects(schema) else _closed(schema),
        instruction="" if followed else whole_in_words(schema),
    )


def _closed(schema: Mapping[str, object]) -> dict[str, object]:
    """`schema` with objects that have no other members than the named ones.

    It allows a part of what `schema` allows. A small model that may add members goes on adding
    them until its tokens are spent.
    """
    closed = dict(schema)
    for name in _MAPS_OF_SCHEMAS:
        members = schema.get(name)
        if isinstance(members, Mapping):
            closed[name] = {key: _closed_member(member) for key, member in members.items()}
    for name in _LISTS_OF_SCHEMAS:
        branches = schema.get(name)
        if isinstance(branches, list):
            closed[name] = [_closed_member(branch) for branch in branches]
    if "items" in schema:
        closed["items"] = _closed_member(schema["items"])
    if "properties" in schema:
        closed.setdefault("additionalProperties", False)
    return closed


def _closed_member(member: object) -> object:
    return _closed(member) if isinstance(member, Mapping) else member


def _intersects(schema: Mapping[str, object]) -> bool:
    """Whether any object of the document may be described in more than one place.

    It also looks at names and values that are no keywords: too cautious, and never wrong.
    """
    return any(
        bool(node.keys() & _INTERSECTING)
        or ("properties" in node and bool(node.keys() & _BESIDE_PROPERTIES))
        for node in _mappings(schema)
    )


def _mappings(node: object) -> Iterator[Mapping[str, object]]:
    if isinstance(node, Mapping):
        yield node
        for value in node.values():
            yield from _mappings(value)
    elif isinstance(node, list):
        for value in node:
            yield from _mappings(value)


def _keywords(schema: object) -> Iterator[tuple[str, object]]:
    """Every keyword of `schema` and of the schemas in it, with its value."""
    if not isinstance(schema, Mapping):
        return
    for name, value in schema.items():
        yield name, value
        if name in (*_MAPS_OF_SCHEMAS, "patternProperties") and isinstance(value, Mapping):
            for member in value.values():
                yield from _keywords(member)
        elif name in {*_LISTS_OF_SCHEMAS, "allOf"} and isinstance(value, list):
            for branch in value:
                yield from _keywords(branch)
        elif name in {"items", "additionalProperties"}:
            yield from _keywords(value)
