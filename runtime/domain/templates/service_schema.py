"""From an `output_schema` to the part of JSON Schema that a service constrains its models to.

A service takes types, enum, const, anyOf, properties and items. So references are put in place,
objects are closed, and every property is required: one that may be left out is null instead, and
such a null is taken out of the reply again. Other keywords (minimum, pattern, …) are left to words
and to the validation of the reply.
"""

from collections.abc import Mapping
from typing import Any, Final

import orjson

from runtime.domain.errors import TemplateError
from runtime.domain.references import resolve
from runtime.domain.templates.output_schema import ANNOTATIONS
from runtime.domain.templates.provider_schema import Place, ProviderSchema, Way, in_words

MAX_NODES: Final = 1000
"""Schemas in one form, once references are in place; a service compiles no larger ones either."""

_KEPT: Final = frozenset(
    {"type", "description", "enum", "const", "anyOf", "properties", "required", "items"}
)
_UNFIT: Final = frozenset(
    {
        *("patternProperties", "prefixItems", "additionalItems", "dependentSchemas"),
        *("if", "then", "else", "unevaluatedProperties", "unevaluatedItems"),
        *("$dynamicRef", "$recursiveRef"),
    }
)
"""Beside a closed object or a list of one kind of items these could contradict the form."""


_TOO_LARGE: Final = f"it has more than {MAX_NODES} parts once its references are in place"


def for_service(schema: Mapping[str, object]) -> ProviderSchema:
    """The part of `schema` that Bedrock takes, or the whole in words if that part would say
    nothing or something else (free keys, lists of anything, recursion).
    """
    reduction = _Reduction(schema)
    try:
        reduced = reduction.reduced(schema, (), chain=(), nested=False)
        orjson.dumps(reduced)
    except _UnfitError as exc:
        return in_words(schema, reason=str(exc))
    except (RecursionError, orjson.JSONEncodeError):
        return in_words(schema, reason="its references lead too deep")
    if _refers(list(reduction.left.values())):
        return in_words(schema, reason="a keyword beside the form refers to another part of it")
    return ProviderSchema(
        way=Way.SERVICE,
        schema=reduced,
        instruction=_rest(reduction.left),
        nullable=frozenset(reduction.nullable),
    )


def _rest(left: Mapping[Place, Mapping[str, object]]) -> str:
    if not left:
        return ""
    lines = [f"{_shown(place)}: {orjson.dumps(words).decode()}" for place, words in left.items()]
    return "\n\nThe answer must also satisfy these keywords of JSON Schema:\n" + "\n".join(lines)


def _refers(words: object) -> bool:
    if isinstance(words, Mapping):
        return "$ref" in words or _refers(list(words.values()))
    return isinstance(words, (list, tuple)) and any(_refers(each) for each in words)


def _shown(place: Place) -> str:
    return "/".join("*" if part is None else part for part in place) or "the whole answer"


class _UnfitError(TemplateError):
    """Says why a service can't take the schema."""


class _Reduction:
    """One schema on its way into a service's form.

    `left` collects by place the keywords that the form leaves out.
    """

    def __init__(self, root: Mapping[str, object]) -> None:
        self._root = root
        self._nodes = 0
        self.left: dict[Place, dict[str, object]] = {}
        self.nullable: set[Place] = set()

    def reduced(
        self, schema: object, place: Place, *, chain: tuple[str, ...], nested: bool
    ) -> dict[str, Any]:
        """`chain` are the references that led here; `nested`: inside a branch of several."""
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise _UnfitError(
                f"it has more than {MAX_NODES} parts once its references are in place"
            )
        merged, chain = self._merged(schema, place, chain)
        unfit = sorted(merged.keys() & _UNFIT)
        if unfit:
            raise _UnfitError(f"{_shown(place)}: {unfit[0]} can't be expressed")
        kept: dict[str, Any] = {
            name: merged[name] for name in ("type", "description") if name in merged
        }
        kept |= _choices(merged, place)
        types = _types(merged)
        branches = self._branches(merged, types, place, chain)
        if branches is not None:
            kept.pop("type", None)
            kept["anyOf"] = branches
        else:
            if types:
                kept["type"] = types if len(types) > 1 else types[0]
            if "object" in types:
                kept |= self._members(merged, place, chain, nested=nested)
            if "array" in types:
                kept["items"] = self.reduced(
                    merged.get("items"), (*place, None), chain=chain, nested=nested
                )
        if not kept.keys() & {"type", "enum", "const", "anyOf"}:
            raise _UnfitError(f"{_shown(place)}: anything is allowed")
        self._leave(merged, place)
        return kept

    def _merged(
        self, schema: object, place: Place, chain: tuple[str, ...]
    ) -> tuple[dict[str, object], tuple[str, ...]]:
        """`schema` with its reference and the parts of its allOf put in place."""
        if not isinstance(schema, Mapping):
            raise _UnfitError(f"{_shown(place)}: anything is allowed, or nothing")
        merged = {name: each for name, each in schema.items() if name not in {"$ref", "allOf"}}
        parts: list[object] = []
        reference = schema.get("$ref")
        if isinstance(reference, str):
            if reference in chain:
                raise _UnfitError(f"{_shown(place)}: it contains itself ({reference})")
            chain = (*chain, reference)
            try:
                parts.append(resolve(self._root, reference))
            except LookupError:
                raise _UnfitError(f"{reference} is not a pointer to a part of it") from None
        pieces = schema.get("allOf", ())
        parts += pieces if isinstance(pieces, (list, tuple)) else [pieces]
        inside = chain
        for part in parts:
            self._nodes += 1
            if self._nodes > MAX_NODES:
                raise _UnfitError(_TOO_LARGE)
            inner, below = self._merged(part, place, chain)
            inside = tuple(dict.fromkeys((*inside, *below)))
            _merge(merged, inner, place)
        return merged, inside

    def _branches(
        self,
        schema: Mapping[str, object],
        types: list[str],
        place: Place,
        chain: tuple[str, ...],
    ) -> list[dict[str, Any]] | None:
        """The branches of anyOf or oneOf, each with the type that stands beside them."""
        names = [name for name in ("anyOf", "oneOf") if name in schema]
        if not names:
            return None
        branches = schema[names[0]]
        if len(names) > 1 or not isinstance(branches, (list, tuple)):
            raise _UnfitError(f"{_shown(place)}: anyOf and oneOf stand side by side")
        if schema.keys() & {"properties", "required", "items"}:
            raise _UnfitError(f"{_shown(place)}: {names[0]} stands beside other forms")
        others, self.left = self.left, {}
        reduced = []
        for branch in branches:
            if types and isinstance(branch, Mapping) and "$ref" not in branch:
                branch = {"type": schema["type"], **branch}  # noqa: PLW2901 - the branch in full
            reduced.append(self.reduced(branch, place, chain=chain, nested=True))
        several = sum(form.get("type") != "null" for form in reduced) > 1
        if self.left and several:
            raise _UnfitError(f"{_shown(place)}: the forms of {names[0]} differ by other keywords")
        if several and names == ["oneOf"]:
            self.left = {place: {"oneOf": "exactly one of the forms fits"}}
        self.left = {**others, **self.left}
        return reduced

    def _members(
        self,
        schema: Mapping[str, object],
        place: Place,
        chain: tuple[str, ...],
        *,
        nested: bool,
    ) -> dict[str, Any]:
        properties, required = schema.get("properties"), schema.get("required", ())
        if not isinstance(properties, Mapping) or not properties:
            raise _UnfitError(f"{_shown(place)}: an object with free names")
        if isinstance(schema.get("additionalProperties"), Mapping):
            raise _UnfitError(f"{_shown(place)}: an object with free names beside its own")
        if not isinstance(required, (list, tuple)) or not set(required) <= properties.keys():
            raise _UnfitError(f"{_shown(place)}: it requires names that it doesn't describe")
        reduced: dict[str, Any] = {}
        for name, member in properties.items():
            inside = (*place, name)
            form = self.reduced(member, inside, chain=chain, nested=nested)
            # Which branch of several a value belongs to can't be told when nulls are taken out.
            if name not in required and not nested and not _takes_null(form):
                self.nullable.add(inside)
                form = {"anyOf": [*_forms(form), {"type": "null"}]}
            reduced[name] = form
        return {
            "properties": reduced,
            "required": list(required) if nested else list(reduced),
            "additionalProperties": False,
        }

    def _leave(self, schema: Mapping[str, object], place: Place) -> None:
        taken = _KEPT | ANNOTATIONS | {"oneOf", "additionalProperties"}
        left = {name: each for name, each in schema.items() if name not in taken}
        if left:
            self.left.setdefault(place, {}).update(left)


def _merge(merged: dict[str, object], part: Mapping[str, object], place: Place) -> None:
    """Add the keywords of `part`, which hold beside those of `merged`."""
    for name, value in part.items():
        known = merged.get(name)
        if name not in merged:
            merged[name] = value
        elif name == "required" and isinstance(known, list) and isinstance(value, list):
            merged[name] = list(dict.fromkeys([*known, *value]))
        elif name == "properties" and isinstance(known, Mapping) and isinstance(value, Mapping):
            if any(known[key] != value[key] for key in known.keys() & value.keys()):
                raise _UnfitError(f"{_shown(place)}: a property is described twice")
            merged[name] = {**known, **value}
        elif name not in ANNOTATIONS and name != "description" and known != value:
            raise _UnfitError(f"{_shown(place)}: {name} stands there twice")


def _types(schema: Mapping[str, object]) -> list[str]:
    """The types of `schema`; without one, those that its other keywords are about."""
    named = schema.get("type")
    if isinstance(named, str):
        return [named]
    if isinstance(named, (list, tuple)):
        return [str(each) for each in named]
    if "enum" in schema or "const" in schema or "anyOf" in schema or "oneOf" in schema:
        return []
    if "properties" in schema:
        return ["object"]
    return ["array"] if "items" in schema else []


def _choices(schema: Mapping[str, object], place: Place) -> dict[str, object]:
    """The keywords enum and const, which may hold no lists and objects."""
    choices = {name: schema[name] for name in ("enum", "const") if name in schema}
    values = choices.get("enum", ())
    listed = values if isinstance(values, (list, tuple)) else ()
    if any(isinstance(each, (Mapping, list, tuple)) for each in (*listed, choices.get("const"))):
        raise _UnfitError(f"{_shown(place)}: a choice that is a list or an object")
    return choices


def _forms(form: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return form["anyOf"] if form.keys() == {"anyOf"} else [form]


def _takes_null(form: Mapping[str, Any]) -> bool:
    if "anyOf" in form:
        return any(_takes_null(branch) for branch in form["anyOf"])
    if "enum" in form or "const" in form:
        return None in form.get("enum", (None,)) and form.get("const") is None
    return "null" in _types(form)
