"""Checks a value against a JSON Schema, and says what is wrong in a bounded number of words.

The library builds every error before it gives the first one, and each holds a copy of what it is
about: thousands of them take seconds and gigabytes. So errors are collected only where there can't
be many; of a large value the first one is told.
"""

from collections.abc import Mapping
from typing import Final

import jsonschema_rs

from runtime.domain.templates.output_schema import compile_schema, with_64_bits

MAX_ERRORS_SHOWN: Final = 5
MAX_ERROR_CHARACTERS: Final = 300
"""Of one error. Errors quote the output, and a repair pays for every word of them."""

MAX_COLLECTED: Final = 20_000
"""Values of an output times values of its schema, up to which errors are collected: there are no
more errors than that. They take some 100 ms.
"""


class SchemaCheck:
    """A compiled schema, whose integers have 64 bits. Raises what `compile_schema` raises."""

    def __init__(self, schema: Mapping[str, object]) -> None:
        bounded = with_64_bits(schema)
        self._validator = compile_schema(bounded)
        self._size = _count(bounded, MAX_COLLECTED)

    def errors(self, value: object) -> tuple[str, ...]:
        """What is wrong with `value`, each with its place in it; nothing when it fits."""
        if self._validator.is_valid(value):
            return ()
        if self._size * _count(value, MAX_COLLECTED // self._size) < MAX_COLLECTED:
            found = list(self._validator.iter_errors(value))[:MAX_ERRORS_SHOWN]
            return tuple(map(_described, found))
        try:
            self._validator.validate(value)
        except jsonschema_rs.ValidationError as error:
            return (_described(error),)
        return ()


def _described(error: jsonschema_rs.ValidationError) -> str:
    path = "/".join(str(part) for part in error.instance_path)
    return f"{path or 'the document'}: {error.message}"[:MAX_ERROR_CHARACTERS]


def _count(value: object, most: int) -> int:
    """How many values are in `value`, itself included; counting ends behind `most`."""
    count = 0
    pending = [value]
    while pending and count <= most:
        each = pending.pop()
        count += 1
        if isinstance(each, Mapping):
            pending += each.values()
        elif isinstance(each, (list, tuple)):
            pending += each
    return count
