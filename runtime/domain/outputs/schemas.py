"""From an `output_schema` to types: what stands at a path of every output that fits the schema.

A place in an output is described by all the schemas that apply to it: its own, what `$ref` and
`allOf` add, and the one branch of `anyOf` or `oneOf` that isn't null. Where there are several such
branches, or where names aren't known before, the type is json. It never depends on an output, and
every output that fits the schema fits the type.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from runtime.domain.outputs.types import (
    INT64_MAX,
    INT64_MIN,
    ListOf,
    Scalar,
    Type,
    joined,
    struct_of,
)
from runtime.domain.references import resolve

MAX_DEPTH: Final = 24
"""Levels of a type: what lies deeper is json."""
MAX_VISITS: Final = 5_000
"""Schemas that are looked at for one type: where references multiply there are more, and the type
is json.
"""

_CHOICES: Final = ("anyOf", "oneOf")
_CONDITIONAL: Final = ("then", "else")
_NAMES_OF_TYPES: Final[Mapping[str, Scalar]] = {
    "string": Scalar.STRING,
    "integer": Scalar.INT64,
    "number": Scalar.FLOAT64,
    "boolean": Scalar.BOOL,
}
_OLD_DRAFTS: Final = ("draft-04", "draft-06", "draft-07")

Schemas = tuple[Mapping[str, Any], ...]
"""All that apply to one place."""


class _TooLargeError(Exception):
    """More than `MAX_VISITS`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Place:
    """The schemas that certainly apply, and the branches of which only some do."""

    schemas: Schemas
    choices: tuple[Schemas, ...]
    conditional: Schemas


class SchemaTypes:
    """The types of one schema."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._root = schema
        self._alone = any(draft in str(schema.get("$schema", "")) for draft in _OLD_DRAFTS)
        self._left = MAX_VISITS

    def type_at(self, path: Sequence[str] = ()) -> Type:
        """The type of the value at a path. Raises `LookupError`, with the first part that the
        schema doesn't give and the names that it does.
        """
        self._left = MAX_VISITS
        try:
            return self._type_at(path)
        except _TooLargeError:
            return Scalar.JSON

    def values_at(self, path: Sequence[str] = ()) -> list[object] | None:
        """The values, without null, of which the one at a path is always one; None: the schema
        lists none. Raises `LookupError` as above.
        """
        self._left = MAX_VISITS
        try:
            schemas = self._schemas_at(path)
            return None if schemas is None else _listed(self._place(schemas).schemas)
        except _TooLargeError:
            return None

    def names(self) -> tuple[str, ...]:
        """The properties of an output that is an object whatever it is, and of which the schema
        says all that matter; else none.
        """
        self._left = MAX_VISITS
        try:
            place = self._place((self._root,))
            is_object = _kinds(place.schemas) == {"object"} and self._is_closed(place)
        except _TooLargeError:
            return ()
        return tuple(_own_names(place.schemas)) if is_object else ()

    def _type_at(self, path: Sequence[str]) -> Type:
        schemas = self._schemas_at(path)
        return Scalar.JSON if schemas is None else self._type(schemas, frozenset(), MAX_DEPTH)

    def _schemas_at(self, path: Sequence[str]) -> Schemas | None:
        """What certainly applies at a path; None: only some outputs have it."""
        schemas: Schemas = (self._root,)
        for position, name in enumerate(path):
            place = self._place(schemas)
            inner = _property(place.schemas, name)
            if inner:
                schemas = inner
                continue
            names = self._all_names(place)
            if name in names or ((_is_map(place.schemas) or not names) and _may_be_object(place)):
                return None
            raise LookupError(".".join(path[: position + 1]), names)
        return schemas

    # ── what applies ───────────────────────────────────────────────────────────────────────────

    def _place(self, schemas: Schemas) -> _Place:
        found: dict[int, Mapping[str, Any]] = {}
        choices: list[Schemas] = []
        conditional: list[Mapping[str, Any]] = []
        pending = list(reversed(schemas))
        while pending:
            schema = pending.pop()
            if id(schema) in found:
                continue
            self._left -= 1
            if self._left < 0:
                raise _TooLargeError
            target = self._target(schema)
            found[id(schema)] = {} if self._alone and "$ref" in schema else schema
            pending += [] if target is None else [target]
            if self._alone and "$ref" in schema:
                continue  # drafts of before 2019 read nothing beside a reference
            pending += _schemas(schema.get("allOf"))
            for name in _CHOICES:
                branches = schema.get(name)
                if not isinstance(branches, list | tuple):
                    continue
                real = [each for each in branches if not self._is_null(each)]
                if len(real) == 1:
                    pending += _schemas(real)
                else:
                    choices.append(tuple(_schemas(real)) if all(map(_is_schema, real)) else ({},))
            conditional += [each for name in _CONDITIONAL for each in _schemas([schema.get(name)])]
            dependent = schema.get("dependentSchemas", schema.get("dependencies"))
            if isinstance(dependent, Mapping):
                conditional += _schemas(list(dependent.values()))
        return _Place(
            schemas=tuple(found.values()), choices=tuple(choices), conditional=tuple(conditional)
        )

    def _target(self, schema: Mapping[str, Any]) -> Mapping[str, Any] | None:
        reference = schema.get("$ref")
        if not isinstance(reference, str):
            return None
        try:
            target = resolve(self._root, reference)
        except (LookupError, ValueError):
            return None
        return target if isinstance(target, Mapping) else None

    def _is_null(self, schema: object) -> bool:
        if not isinstance(schema, Mapping):
            return schema is False
        if "$ref" in schema:
            schema = self._target(schema) or schema
        return schema.get("type") in ("null", ["null"]) or (
            "const" in schema and schema["const"] is None
        )

    def _all_names(self, place: _Place) -> list[str]:
        """The properties that some output may have, of those that are declared."""
        names = dict.fromkeys(_own_names(place.schemas))
        for branch in (*(each for choice in place.choices for each in choice), *place.conditional):
            names |= dict.fromkeys(_own_names(self._place((branch,)).schemas))
        return list(names)

    def _is_closed(self, place: _Place) -> bool:
        """Whether the names of an object are those that certainly apply."""
        own = _own_names(place.schemas)
        return bool(own) and not _is_map(place.schemas) and set(self._all_names(place)) == set(own)

    # ── types ──────────────────────────────────────────────────────────────────────────────────

    def _type(self, schemas: Schemas, above: frozenset[int], levels: int) -> Type:
        place = self._place(schemas)
        if levels == 0 or not above.isdisjoint(map(id, place.schemas)):
            return Scalar.JSON  # a schema within itself
        inside = above | {id(each) for each in place.schemas}
        values = _listed(place.schemas)
        if values is not None:
            return joined(map(_type_of_value, values))
        kinds = _kinds(place.schemas)
        if kinds is None:
            return self._chosen(place, inside, levels)
        if kinds == {"object"}:
            return self._object(place, inside, levels)
        if kinds == {"array"}:
            return self._list(place, inside, levels)
        return joined(_NAMES_OF_TYPES.get(kind, Scalar.JSON) for kind in sorted(kinds))

    def _chosen(self, place: _Place, inside: frozenset[int], levels: int) -> Type:
        """What all branches of a choice have in common."""
        for choice in place.choices:
            found = joined(self._type((each,), inside, levels - 1) for each in choice)
            if found is not Scalar.JSON:
                return found
        return Scalar.JSON

    def _object(self, place: _Place, inside: frozenset[int], levels: int) -> Type:
        if not self._is_closed(place):
            return Scalar.JSON
        return struct_of(
            {
                name: self._type(_property(place.schemas, name) or ({},), inside, levels - 1)
                for name in _own_names(place.schemas)
            }
        )

    def _list(self, place: _Place, inside: frozenset[int], levels: int) -> Type:
        items = [schema["items"] for schema in place.schemas if "items" in schema]
        tuples = any("prefixItems" in schema for schema in place.schemas)
        if tuples or not items or not all(map(_is_schema, items)):
            return ListOf(Scalar.JSON)
        return ListOf(self._type(tuple(items), inside, levels - 1))


def _is_schema(value: object) -> bool:
    return isinstance(value, Mapping)


def _schemas(values: object) -> list[Mapping[str, Any]]:
    if not isinstance(values, list | tuple):
        return []
    return [each for each in values if isinstance(each, Mapping)]


def _properties(schemas: Schemas) -> Iterator[Mapping[str, Any]]:
    for schema in schemas:
        properties = schema.get("properties")
        if isinstance(properties, Mapping):
            yield properties


def _is_map(schemas: Schemas) -> bool:
    """Whether the schema says that there may be other names, and perhaps what they lead to."""
    return any(
        schema.get("patternProperties")
        or schema.get("additionalProperties", False) is not False
        or schema.get("unevaluatedProperties", False) is not False
        or "$dynamicRef" in schema
        for schema in schemas
    )


def _own_names(schemas: Schemas) -> list[str]:
    return list(dict.fromkeys(name for each in _properties(schemas) for name in each))


def _property(schemas: Schemas, name: str) -> Schemas:
    """What applies to a property; a schema that is true or false says nothing of its type."""
    found = [each[name] for each in _properties(schemas) if name in each]
    return tuple(each if isinstance(each, Mapping) else {} for each in found)


def _kinds(schemas: Schemas) -> set[str] | None:
    """The types that JSON Schema leaves, without null; None: any."""
    found: set[str] | None = None
    for schema in schemas:
        named = schema.get("type")
        if named is None:
            continue
        kinds = set(named) if isinstance(named, list | tuple) else {str(named)}
        if "number" in kinds:
            kinds.add("integer")
        found = kinds if found is None else found & kinds
    if found is None:
        return None
    if "number" in found:
        found.discard("integer")
    return found - {"null"} or {"null"}


def _listed(schemas: Schemas) -> list[object] | None:
    """The values of which every output is one, without null; None: they aren't listed."""
    for schema in schemas:
        if "const" in schema:
            return [each for each in [schema["const"]] if each is not None]
        if isinstance(schema.get("enum"), list | tuple):
            return [each for each in schema["enum"] if each is not None]
    return None


def _type_of_value(value: object) -> Type:
    match value:
        case str():
            return Scalar.STRING
        case bool():
            return Scalar.BOOL
        case int() if INT64_MIN <= value <= INT64_MAX:
            return Scalar.INT64
        case float():
            return Scalar.FLOAT64
    return Scalar.JSON


def _may_be_object(place: _Place) -> bool:
    kinds = _kinds(place.schemas)
    return kinds is None or "object" in kinds
