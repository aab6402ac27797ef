"""What any template document has to be before something walks it: small, flat, and plain JSON."""

import math
from collections.abc import Mapping
from datetime import date
from typing import Final

from runtime.domain.errors import TemplateError

MAX_DOCUMENT_BYTES: Final = 256 * 1024
MAX_DOCUMENT_VALUES: Final = 50_000
MAX_DOCUMENT_DEPTH: Final = 64

_INTEGER_BITS: Final = 64
_SHOWN_PARTS: Final = 8
_SHOWN_CHARACTERS: Final = 40

_OPTIONS: Final = ("checks", "", "judge", "scores", "", "options")
"""The way to the options of a score; an empty part is a number in a list."""

Place = tuple["Place", str | int] | None
"""Where a value is: where what holds it is, and its name or number there. None: the document."""


def measure(document: object) -> None:
    """Refuse what is large, deep or isn't JSON before anything walks it: YAML aliases can make a
    few lines stand for gigabytes.
    """
    values = size = 0
    # Of each value: how deep it is, and where: the place of what holds it, and its name there.
    pending: list[tuple[object, int, Place]] = [(document, 0, None)]
    while pending:
        value, depth, place = pending.pop()
        values += 1
        if isinstance(value, Mapping):
            for key in value:
                if not isinstance(key, str) and not (type(key) is int and _is_options(place)):
                    raise TemplateError(
                        f"{_where(place)}every key is a text, and {key!s:.40} is none: put it into"
                        " quotes"
                    )
                size += _scalar_bytes(key, place)
            values += len(value)
            pending += ((each, depth + 1, (place, key)) for key, each in value.items())
        elif isinstance(value, (list, tuple)):
            pending += ((each, depth + 1, (place, at)) for at, each in enumerate(value))
        else:
            size += _scalar_bytes(value, place)
        if depth > MAX_DOCUMENT_DEPTH:
            raise TemplateError(f"the template is nested deeper than {MAX_DOCUMENT_DEPTH} levels")
        if size > MAX_DOCUMENT_BYTES or values + len(pending) > MAX_DOCUMENT_VALUES:
            raise TemplateError(
                f"the template is too large: {MAX_DOCUMENT_BYTES // 1024} KiB and "
                f"{MAX_DOCUMENT_VALUES} values at most, with everything it includes"
            )


def _scalar_bytes(value: object, place: Place) -> int:
    """Bytes of a text, 0 for another scalar. Raises `TemplateError` for what JSON can't hold."""
    match value:
        case str():
            try:
                return len(value.encode())
            except UnicodeEncodeError as exc:
                raise TemplateError(
                    "a text holds half of a surrogate pair, which is no character"
                ) from exc
        case float() if not math.isfinite(value):
            where = _where(place)
            raise TemplateError(f"{where}a template holds JSON values only, not NaN or infinity")
        case int() if value.bit_length() >= _INTEGER_BITS:
            raise TemplateError(f"{_where(place)}a template holds whole numbers of at most 64 bits")
        case None | bool() | int() | float():
            return 0
    what = f"not {type(value).__name__}"
    if isinstance(value, date):  # YAML takes a plain 2026-02-03 for one
        what = f'and this is a date: put it into quotes, "{value}"'
    raise TemplateError(f"{_where(place)}a template holds JSON values only, {what}")


def _is_options(place: Place) -> bool:
    """Whether a judge's score has its options there, which YAML may number."""
    names: list[str | int] = []
    while place is not None and len(names) <= len(_OPTIONS):
        place, name = place
        names.append(name)
    return len(names) == len(_OPTIONS) and all(
        name == wanted or (wanted == "" and isinstance(name, int))
        for name, wanted in zip(reversed(names), _OPTIONS, strict=True)
    )


def _where(place: Place) -> str:
    """`steps[0].output_schema.default: `, without what is in the middle of a long one."""
    parts: list[str] = []
    while place is not None:
        place, part = place
        parts.append(f"[{part}]" if isinstance(part, int) else f".{part[:_SHOWN_CHARACTERS]}")
    if len(parts) > _SHOWN_PARTS:
        parts[_SHOWN_PARTS // 2 : -_SHOWN_PARTS // 2] = ["…"]
    shown = "".join(reversed(parts)).removeprefix(".")
    return f"{shown}: " if shown else ""
