"""What any template document has to be before something walks it: small, flat, and plain JSON."""

import math
from collections.abc import Mapping
from typing import Final

from runtime.domain.errors import TemplateError

MAX_DOCUMENT_BYTES: Final = 256 * 1024
MAX_DOCUMENT_VALUES: Final = 50_000
MAX_DOCUMENT_DEPTH: Final = 64

_INTEGER_BITS: Final = 64


def measure(document: object) -> None:
    """Refuse what is large, deep or isn't JSON before anything walks it: YAML aliases can make a
    few lines stand for gigabytes.
    """
    values = size = 0
    pending = [(document, 0)]
    while pending:
        value, depth = pending.pop()
        values += 1
        if isinstance(value, Mapping):
            if not all(isinstance(key, str) for key in value):
                raise TemplateError("a template holds JSON values only: every key is a text")
            children = [*value.keys(), *value.values()]
        elif isinstance(value, (list, tuple)):
            children = list(value)
        else:
            children = []
            size += _scalar_bytes(value)
        pending += ((child, depth + 1) for child in children)
        if depth > MAX_DOCUMENT_DEPTH:
            raise TemplateError(f"the template is nested deeper than {MAX_DOCUMENT_DEPTH} levels")
        if size > MAX_DOCUMENT_BYTES or values + len(pending) > MAX_DOCUMENT_VALUES:
            raise TemplateError(
                f"the template is too large: {MAX_DOCUMENT_BYTES // 1024} KiB and "
                f"{MAX_DOCUMENT_VALUES} values at most, with everything it includes"
            )


def _scalar_bytes(value: object) -> int:
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
            raise TemplateError("a template holds JSON values only, not NaN or infinity")
        case int() if value.bit_length() >= _INTEGER_BITS:
            raise TemplateError("a template holds whole numbers of at most 64 bits")
        case None | bool() | int() | float():
            return 0
    raise TemplateError(f"a template holds JSON values only, not {type(value).__name__}")
