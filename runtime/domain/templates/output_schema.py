"""Whether a step's `output_schema` is a JSON Schema that its outputs can be checked with.

Patterns have to be regular expressions that run in linear time (no look-around, no
back-references), and references stay inside the schema: nothing is ever downloaded.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final, NoReturn

if TYPE_CHECKING:
    import jsonschema_rs

MAX_REASON_CHARACTERS: Final = 300

_REFERENCES: Final = frozenset({"$ref", "$dynamicRef", "$recursiveRef"})


def schema_problem(schema: object) -> str | None:
    """Why this isn't a JSON Schema that a record can be checked with; None when it is."""
    if not isinstance(schema, Mapping):
        return "must be a JSON Schema object"
    if any(not reference.startswith("#") for reference in _references(schema)):
        return "may refer to itself only: begin every $ref with #"
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


def _references(schema: object) -> Iterator[str]:
    pending = [schema]
    while pending:
        value = pending.pop()
        if isinstance(value, Mapping):
            pending += value.values()
            yield from (
                target
                for name, target in value.items()
                if name in _REFERENCES and isinstance(target, str)
            )
        elif isinstance(value, (list, tuple)):
            pending += value


def _refuse_download(uri: str) -> NoReturn:
    raise ValueError(f"{uri} would have to be downloaded")
