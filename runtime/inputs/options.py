"""Options that more than one way into a dataset has, checked by the same rules."""

from collections.abc import Sequence
from typing import Final

from runtime.domain.errors import InputError
from runtime.domain.jobs.job import MAX_RECORDS, OutputFormat, SeedStrategy

MAX_CONCURRENCY: Final = 512


def check_count(count: object) -> int:
    """`num_records` within its range. Raises `InputError`."""
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MAX_RECORDS:
        raise InputError(f"-n is {count}: a dataset has 1 to {MAX_RECORDS} records")
    return count


def parse_formats(names: str | Sequence[str]) -> tuple[OutputFormat, ...]:
    """Formats, each once, from names that may hold several by commas. Raises `InputError`."""
    formats: list[OutputFormat] = []
    listed = names if isinstance(names, str) else ",".join(names)
    for name in listed.split(","):
        try:
            formats.append(OutputFormat(name.strip().upper()))
        except ValueError as exc:
            known = ", ".join(each.lower() for each in OutputFormat)
            raise InputError(f"format {name.strip()!r} is unknown: use {known}") from exc
    return tuple(dict.fromkeys(formats))


def parse_strategy(name: str) -> SeedStrategy:
    """A seed strategy by its name. Raises `InputError`."""
    try:
        return SeedStrategy(name)
    except ValueError as exc:
        known = ", ".join(SeedStrategy)
        raise InputError(f"seed strategy {name!r} is unknown: use {known}") from exc


def check_concurrency(calls: object) -> int | None:
    """Model calls at a time within their range; None leaves it to the backend.

    Raises `InputError`.
    """
    if calls is None:
        return None
    if isinstance(calls, bool) or not isinstance(calls, int) or not 1 <= calls <= MAX_CONCURRENCY:
        raise InputError(f"concurrency is {calls}: 1 to {MAX_CONCURRENCY} calls at a time")
    return calls
