"""Types of fields that several operations share, with their checks and their words."""

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, WithJsonSchema
from pydantic_core import PydanticCustomError

from runtime.domain.errors import InputError
from runtime.domain.identifiers import is_uuid
from runtime.domain.jobs.job import MAX_RECORDS
from runtime.domain.money.amounts import parse_usd


def _uuid(text: str) -> str:
    if not is_uuid(text):
        raise ValueError("must be a UUID")
    return text.lower()


def _budget(value: object) -> int:
    try:
        return parse_usd(value)
    except InputError as exc:
        raise ValueError(str(exc)) from exc


def _seeds_of_no_template(path: str | None, info: ValidationInfo) -> str | None:
    if path is None and "template_id" not in info.data:
        raise PydanticCustomError("missing", "is required")
    return path


Uuid = Annotated[str, AfterValidator(_uuid), WithJsonSchema({"type": "string", "format": "uuid"})]
"""An id, in lower case."""

SeedPath = Annotated[str, Field(min_length=1, max_length=1024)]
"""A key of the caller's seed data; `check_seed_path` judges it, since a foreign one is a 403."""

NeededSeedPath = Annotated[SeedPath | None, AfterValidator(_seeds_of_no_template)]
"""A key, or none where the template reads no seeds; the default is checked, too. It comes after the
field `template_id`: without that it is required.
"""

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

Timestamp = Annotated[datetime, Field(strict=True)]
"""RFC 3339, in UTC."""
