"""Checks of outputs in the render child, those of many replies in one round trip."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Final

import orjson

from runtime.domain.errors import OutputCheckError
from runtime.engine.outputs import OutputReader
from runtime.engine.rendering.renderer import CheckRequest, TemplateEngine

_Found = tuple[str, ...] | OutputCheckError


class OutputChecks:
    """What is wrong with outputs, asked ahead where that is known. Owned by one thread, like the
    engine, which has to have the template of the steps loaded.
    """

    def __init__(self, engine: TemplateEngine) -> None:
        self._engine: Final = engine
        self._found: dict[tuple[str, bytes], _Found] = {}

    def reader(self, step_id: str, reader: OutputReader) -> OutputReader:
        """The same reader, which asks here if its schema needs the child."""
        return reader.checked_by(partial(self._check, step_id))

    def ask_ahead(self, replies: Iterable[tuple[str, OutputReader, str]]) -> None:
        """Of replies that are to be read now, each with its step: ask about all of them at once.
        What was asked before and not read is forgotten.
        """
        requests: Sequence[CheckRequest] = [
            CheckRequest(step_id=step_id, value=value)
            for step_id, reader, text in replies
            for value in reader.to_be_checked(text)
        ]
        self._found = {}
        if len(requests) > 1:  # one is asked about when it is read
            keys = [(each.step_id, _key(each.value)) for each in requests]
            self._found = dict(zip(keys, self._engine.check_outputs(requests), strict=True))

    def _check(self, step_id: str, value: object) -> tuple[str, ...]:
        found = self._found.get((step_id, _key(value))) if self._found else None
        if found is None:
            return self._engine.check_output(step_id, value)
        if isinstance(found, OutputCheckError):
            raise found
        return found


def _key(value: object) -> bytes:
    return orjson.dumps(value)
