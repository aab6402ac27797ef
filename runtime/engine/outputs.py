"""From a model's text to a step's output: plain text, or data that fits the step's schema."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import orjson

from runtime.domain.errors import ConfigurationError, OutputCheckError, OutputError
from runtime.domain.templates.output_schema import is_plain

REFUSED_STOP_REASONS: Final = frozenset(
    {
        "content_filtered",
        "guardrail_intervened",
        "malformed_model_output",
        "malformed_tool_use",
        "model_context_window_exceeded",
    }
)
"""Converse's stop reasons after which there is no usable completion, though it was billed."""

MAX_DEPTH: Final = 100
"""Levels of lists and objects in an output: what can be read deeper can't all be written."""


Check = Callable[[object], Sequence[str]]
"""Says what is wrong with a value; raises `OutputCheckError` where that can't be told in time."""


class OutputReader:
    """Reads the output of one step.

    A schema that is not plain is checked in the render child: `check` asks it. A reader that was
    made without it gives instructions only.
    """

    def __init__(self, schema: Mapping[str, object] | None, *, check: Check | None = None) -> None:
        self._schema = schema
        self._check = check
        self.needs_child = schema is not None and not is_plain(schema)
        if check is None and schema is not None and not self.needs_child:
            self._check = _check_here(schema)

    def checked_by(self, check: Check) -> "OutputReader":
        """The same reader; where its schema needs the child, one that asks it by `check`."""
        return OutputReader(self._schema, check=check) if self.needs_child else self

    def read(self, text: str) -> object:
        """The output to store. Raises `OutputError`, whose message tells the model what is wrong,
        or `OutputCheckError`. The message may quote the output, so it is never logged.
        """
        if not text.strip():
            raise OutputError("the reply was empty")
        if self._schema is None:
            return text
        if self._check is None:
            raise ConfigurationError("this output_schema is checked in the render child: ask it")
        value = _parse_json(text)
        if not _is_within(value, MAX_DEPTH):
            raise OutputError(f"the value is nested deeper than {MAX_DEPTH} levels")
        errors = self._check(value)
        if errors:
            raise OutputError("; ".join(errors))
        return value

    def instruction(self) -> str:
        """What to add to a prompt for a model that can't be constrained to the schema."""
        if self._schema is None:
            return ""
        return (
            "\n\nAnswer with one JSON value and nothing else. It must be valid under this JSON "
            f"Schema:\n{orjson.dumps(self._schema).decode()}"
        )


def _check_here(schema: Mapping[str, object]) -> Check:
    from runtime.engine.schema_check import SchemaCheck  # noqa: PLC0415 - loads a library

    return SchemaCheck(schema).errors


def repair_instruction(error: OutputError | OutputCheckError) -> str:
    """The user's turn that asks for a corrected output."""
    return (
        f"That answer can't be used: {error}.\nAnswer again with the corrected value only, "
        "without any explanation."
    )


def _parse_json(text: str) -> object:
    """JSON, alone or as the first object or list inside prose or a code fence, as chat models write
    it. One that is cut off is refused: a part of it would be wrong data.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as exc:
        whole = exc
    starts = [at for at in (text.find("{"), text.find("[")) if at >= 0]
    if starts:
        rest = text[min(starts) :]
        try:
            return orjson.loads(rest)
        except orjson.JSONDecodeError as exc:
            end = exc.pos
        try:
            # If the parser stopped behind a complete value, what it has read so far is one.
            return orjson.loads(rest[:end])
        except orjson.JSONDecodeError:
            pass
    raise OutputError(f"not valid JSON: {whole.msg}")


def _is_within(value: object, levels: int) -> bool:
    """Whether lists and objects in `value` are nested at most `levels` deep."""
    if isinstance(value, dict):
        return levels > 0 and all(_is_within(each, levels - 1) for each in value.values())
    if isinstance(value, list):
        return levels > 0 and all(_is_within(each, levels - 1) for each in value)
    return True
