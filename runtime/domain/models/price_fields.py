"""Fields of a price file, each read or refused with the file, the row and the field's name."""

from collections.abc import Collection, Iterable
from datetime import date
from typing import Final, NoReturn

from runtime.domain.errors import PriceError
from runtime.domain.fields import is_number, is_text
from runtime.domain.models.abilities import MAX_TEMPERATURE
from runtime.domain.models.names import BUILT_IN, PROVIDER_NAME

MAX_RATE: Final = 1_000_000_000
"""One USD per token: more than that is a slip of the unit."""


def fail(where: str, problem: str) -> NoReturn:
    """Refuse the file. Raises `PriceError`."""
    raise PriceError(f"{where}: {problem}")


def read_object(
    value: object,
    where: str,
    *,
    required: Iterable[str] = (),
    optional: Iterable[str] | None = None,
) -> dict[str, object]:
    """A JSON object with these fields; without `required` and `optional`, any."""
    if not isinstance(value, dict):
        fail(where, "must be an object")
    required = tuple(required)
    for field in required:
        if field not in value:
            fail(where, f"field {field!r} is missing")
    if required or optional is not None:
        allowed = (*required, *(optional or ()))
        for field in value:
            if field not in allowed:
                known = ", ".join(dict.fromkeys(allowed))
                fail(where, f"unknown field {field!r}; known are {known}")
    return value


def read_items(value: object, where: str) -> list[object]:
    """A list of a file, or of a table that is written out."""
    return list(value) if isinstance(value, tuple) else read_list(value, where)


def read_list(value: object, where: str) -> list[object]:
    """A JSON list."""
    if not isinstance(value, list):
        fail(where, "must be a list")
    return value


def read_text(value: object, where: str) -> str:
    """A text that isn't empty."""
    if not isinstance(value, str) or not is_text(value):
        fail(where, "must be a text that isn't empty")
    return value


def optional_text(value: object, where: str) -> str | None:
    """The same, or null."""
    return None if value is None else read_text(value, where)


def optional_texts(value: object, where: str) -> tuple[str, ...] | None:
    """A list of texts, or null."""
    if value is None:
        return None
    return tuple(read_text(each, where) for each in read_items(value, where))


def one_of(values: Collection[str], value: object, where: str) -> str:
    """One of the values."""
    if not isinstance(value, str) or value not in values:
        fail(where, f"must be one of {', '.join(values)}")
    return value


def read_integer(value: object, where: str, *, low: int) -> int:
    """A whole number of at least `low`."""
    if not isinstance(value, int) or not is_number(value, low=low, whole=True):
        fail(where, f"must be an integer of at least {low}")
    return value


def read_rate(value: object, where: str) -> int | None:
    """Nano-USD per token, or null."""
    if value is None:
        return None
    if not isinstance(value, int) or not is_number(value, low=0, high=MAX_RATE, whole=True):
        fail(
            where, "must be null or whole nano-USD per token (1000 is 1 USD per million); round up"
        )
    return value


def optional_day(value: object, where: str) -> date | None:
    """A day, or null."""
    return None if value is None else read_day(value, where)


def read_day(value: object, where: str) -> date:
    """A day as ISO 8601 writes it."""
    try:
        return date.fromisoformat(read_text(value, where))
    except ValueError as exc:
        raise PriceError(f"{where}: must be a date such as 2027-03-30") from exc


def read_range(value: object, where: str) -> tuple[float, float] | None:
    """The lowest and the highest temperature, or null."""
    if value is None:
        return None
    ends = read_items(value, where)
    if len(ends) != 2 or not all(  # noqa: PLR2004 - a lowest and a highest
        isinstance(end, int | float) and is_number(end, low=0, high=MAX_TEMPERATURE) for end in ends
    ):
        fail(where, f"must be the lowest and the highest, from 0 to {MAX_TEMPERATURE:g}")
    lowest, highest = (float(str(end)) for end in ends)
    return lowest, highest


def read_flag(value: object, where: str) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        fail(where, "must be true or false")
    return value


def read_provider(value: object, where: str, known: Collection[str] | None) -> str:
    """The name of a provider, one of those `known` where they are."""
    if not isinstance(value, str) or not PROVIDER_NAME.fullmatch(value):
        fail(where, f"must be one of {', '.join(known or BUILT_IN)}")
    return value if known is None else one_of(known, value, where)
