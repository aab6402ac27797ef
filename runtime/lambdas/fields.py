"""Types of fields that several operations share, with their checks and their words."""

from datetime import datetime
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from runtime.domain.errors import InputError
from runtime.domain.identifiers import is_uuid
from runtime.domain.jobs.job import MAX_RECORDS, OutputFormat
from runtime.domain.money.amounts import parse_usd

_FORMATS: Final = ", ".join(OutputFormat)


def _uuid(text: str) -> str:
    if not is_uuid(text):
        raise ValueError("must be a UUID")
    return text.lower()


def _budget(value: object) -> int:
    try:
        return parse_usd(value)
    except InputError as exc:
        raise ValueError(str(exc)) from exc


def _formats(value: object) -> tuple[OutputFormat, ...]:
    names = [value] if isinstance(value, str) else value
    known = f"use one of {_FORMATS}, or a list of them without repetitions"
    if not isinstance(names, list) or not names:
        raise ValueError(known)
    if not all(isinstance(name, str) and name in set(OutputFormat) for name in names):
        raise ValueError(f"not a format: {known}")
    if len(set(names)) < len(names):
        raise ValueError(f"a format is listed twice: {known}")
    return tuple(OutputFormat(name) for name in names)


Uuid = Annotated[str, AfterValidator(_uuid), WithJsonSchema({"type": "string", "format": "uuid"})]
"""An id, in lower case."""

SeedPath = Annotated[str, Field(min_length=1, max_length=1024)]
"""A key of the caller's seed data; `check_seed_path` judges it, since a foreign one is a 403."""

ModelId = Annotated[str, Field(min_length=1, max_length=200)]
"""A model of the price table."""

RecordCount = Annotated[int, Field(ge=1, le=MAX_RECORDS)]
"""How many records a job generates."""

BudgetNano = Annotated[
    int,
    BeforeValidator(_budget),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "exclusiveMinimum": 0, "maximum": 1000},
                {"type": "string", "pattern": r"^[0-9]+(\.[0-9]{1,9})?$"},
            ]
        }
    ),
]
"""USD as a number or a decimal text, more than 0 and at most 1000; nano-USD once it is read."""

OutputFormats = Annotated[
    tuple[OutputFormat, ...],
    BeforeValidator(_formats),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "enum": list(OutputFormat)},
                {
                    "type": "array",
                    "items": {"type": "string", "enum": list(OutputFormat)},
                    "minItems": 1,
                    "uniqueItems": True,
                },
            ]
        }
    ),
]
"""One format or several."""

Timestamp = Annotated[datetime, Field(strict=True)]
"""RFC 3339, in UTC."""
