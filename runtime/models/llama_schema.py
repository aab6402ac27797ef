"""From a JSON Schema to the grammar that constrains the embedded model.

The grammar is LLGuidance's, which llama.cpp has built in. It knows most of JSON Schema; keywords
that it doesn't know are ignored, and a schema that it can't follow at all (a `$ref` that leads
nowhere, a `type` that doesn't exist) leaves the model unconstrained. Neither is an error here: the
reply is validated against the whole schema wherever it came from, and repaired once.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Final

_OPTIONS: Final = {
    "lenient": True,
    # A small model loses itself in white space; without it every token is content.
    "whitespace_flexible": False,
    "item_separator": ", ",
    "key_separator": ": ",
}

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


def grammar_of(schema: Mapping[str, object]) -> str:
    """The grammar of all documents that `schema` allows, as far as a grammar can say it."""
    document = dict(schema) if _intersects(schema) else _closed(schema)
    document["x-guidance"] = _OPTIONS
    # A YAML template may hold dates in an enum; `default` writes them as the text they were.
    return "%llguidance {}\nstart: %json " + json.dumps(document, default=str)


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
