"""Seed data: what a seed file is, what its rows are called, and what they have to have.

A seed is an object. Its id is its own `id` field where that is a string or a whole number, else
`row-N` with N counted from 1. `readers.py` reads the formats of text, and runtime/files all.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, Final

from runtime.domain.errors import SeedError
from runtime.domain.seeds.readers import Found, Row

__all__ = ["Found", "Row"]

MAX_SEED_BYTES: Final = 4 * 1024**3
"""Largest seed file: S3 takes no more than 5 GB in one upload."""
MAX_UPLOADED_PARQUET_BYTES: Final = 1024**3
"""Of one that is uploaded: the API has to copy it whole, within a request, to read its first row.
"""
MAX_SEEDS: Final = 4_000_000
"""Most seeds of a file, of which one takes 20 bytes of memory; a job has fewer records."""

_SUFFIXES: Final[Mapping[str, str]] = {
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".parquet": "parquet",
}
FORMATS: Final = tuple(dict.fromkeys(_SUFFIXES.values()))


def check_suffix(name: str) -> str:
    """Which of `FORMATS` a file of this name holds. Raises `SeedError`."""
    kind = _SUFFIXES.get(PurePosixPath(name).suffix.lower())
    if kind is None:
        raise SeedError(f"{name}: seeds are .json, .jsonl, .csv or .parquet files")
    return kind


def check_upload_size(size: int | None, name: str) -> int:
    """The most bytes that an uploaded file of this name may have. Raises `SeedError` for more."""
    most = MAX_SEED_BYTES
    if check_suffix(name) == "parquet":
        most = MAX_UPLOADED_PARQUET_BYTES
        if size is not None and size > most:
            raise SeedError(
                f"{name}: {size} bytes; of Parquet the API takes {most}: upload JSON lines (.jsonl)"
                f" of at most {MAX_SEED_BYTES}"
            )
    if size is not None:
        check_seed_size(size, name)
    return most


def check_seed_size(size: int, name: str) -> None:
    """Raises `SeedError` for a file of more than `MAX_SEED_BYTES`."""
    if size > MAX_SEED_BYTES:
        raise SeedError(f"{name}: {size} bytes; the limit is {MAX_SEED_BYTES}")


def seed_id(row: Row, position: int) -> str:
    """The id of the seed at `position` (from 0)."""
    own = row.get("id")
    if isinstance(own, str) and own:
        return own
    if isinstance(own, int) and not isinstance(own, bool):
        return str(own)
    return f"row-{position + 1}"


def repeated_id(row: Row, position: int) -> str:
    """The id of a seed whose own id an earlier one has: both can be told apart."""
    return f"{seed_id(row, position)} (row {position + 1})"


def lacks(found: Found, requirements: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Every required path that a row lacks, and how to say so. An empty value is not missing."""
    if found.row is not None:
        for path in requirements:
            if not has_path(found.row, path):
                yield path, _lack(found, path)


def _lack(found: Found, path: str) -> str:
    for unread, kind in found.unread.items():
        if f"{path}.".startswith(f"{unread}."):
            return f"the template needs {path!r}, and {unread!r} ({kind}) can't be read"
    missing = f"the template needs {path!r}, which this seed lacks"
    names = list(found.row or ())
    if len(names) == 1 and _SEPARATORS.search(names[0]):
        return f"{missing}: the header is {_shown(names[0])}; separate its columns by commas"
    alike = _alike(found.row, path)
    return missing if alike is None else f"{missing}: it has {_shown(alike)}, which differs"


def _alike(row: Row | None, path: str) -> str | None:
    """A name that differs from the first part that is missing by case or white space alone."""
    value: Any = row
    for part in path.split("."):
        if not isinstance(value, Mapping):
            return None
        if part not in value:
            return next((name for name in value if _folded(name) == _folded(part)), None)
        value = value[part]
    return None


_SEPARATORS: Final = re.compile(r"[;\t|]")
_SHOWN_CHARACTERS: Final = 80


def _folded(name: str) -> str:
    return name.strip().casefold()


def _shown(name: str) -> str:
    return repr(name if len(name) <= _SHOWN_CHARACTERS else f"{name[:_SHOWN_CHARACTERS]}…")


def has_path(row: Row, path: str) -> bool:
    """Whether a dotted path leads to a value, also to an empty one."""
    return value_at(row, path, _NOTHING) is not _NOTHING


_NOTHING: Final = object()


def value_at(row: Row, path: str, default: object) -> Any:
    """The value that a dotted path leads to."""
    value: Any = row
    for part in path.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return default
        value = value[part]
    return value
