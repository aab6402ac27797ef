"""How a dataset is written: in which formats, and in how many files."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from runtime.domain.errors import InputError
from runtime.domain.options import option


class OutputFormat(StrEnum):
    JSONL = "JSONL"
    PARQUET = "PARQUET"
    CSV = "CSV"


class PartitionStrategy(StrEnum):
    NONE = "none"
    TIMESTAMP = "timestamp"


_NAME: Final = {"type": "string", "enum": list(OutputFormat)}
_NAMES: Final = {"type": "array", "items": _NAME, "minItems": 1, "uniqueItems": True}
_KNOWN: Final = f"use one of {', '.join(OutputFormat)}, or a list of them without repetitions"


def read_formats(value: object) -> tuple[OutputFormat, ...]:
    """One format or a list of several. Raises `ValueError` that lists them."""
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, (list, tuple)) or not names:
        raise ValueError(_KNOWN)
    if not all(isinstance(name, str) and name in set(OutputFormat) for name in names):
        raise ValueError(f"not a format: {_KNOWN}")
    if len(set(names)) < len(names):
        raise ValueError(f"a format is listed twice: {_KNOWN}")
    return tuple(OutputFormat(name) for name in names)


def parse_formats(names: list[str]) -> tuple[OutputFormat, ...]:
    """Formats from repeated or comma-separated flags. Raises `InputError`."""
    formats: list[OutputFormat] = []
    for name in ",".join(names).split(","):
        try:
            formats.append(OutputFormat(name.strip().upper()))
        except ValueError as exc:
            known = ", ".join(each.lower() for each in OutputFormat)
            raise InputError(f"format {name.strip()!r} is unknown: use {known}") from exc
    return tuple(dict.fromkeys(formats))


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """What is written of a dataset."""

    output_formats: tuple[OutputFormat, ...] = option(
        (OutputFormat.JSONL,),
        help="Formats of the dataset: JSONL, PARQUET, CSV.",
        name="output_format",
        flag="--format",
        hint="Repeat, or separate by commas.",
        read=read_formats,
        read_flag=parse_formats,
        schema={"anyOf": [_NAME, _NAMES]},
    )
    partition_strategy: PartitionStrategy = option(
        PartitionStrategy.NONE, help="timestamp: JSONL in one file a day.", flag="--partition"
    )
    byte_order_mark: bool = option(
        False,
        help="CSV begins with a byte order mark, by which spreadsheets know UTF-8.",
        flag="--bom",
        late=True,
    )


FOR_PEOPLE: Final = Delivery(output_formats=(OutputFormat.JSONL, OutputFormat.PARQUET))
"""What the command and Python write where nothing is said: one to read, one to load."""
