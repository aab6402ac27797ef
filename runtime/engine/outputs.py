"""From a model's text to a step's output: plain text, or data that fits the step's schema."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from runtime.domain.errors import ConfigurationError, OutputCheckError, OutputError
from runtime.domain.jobs.record import clean_text
from runtime.domain.templates.output_schema import is_plain
from runtime.domain.templates.provider_schema import Places
from runtime.engine.answers import Answer, answer_of_data, answer_of_text, candidates

REFUSED_STOP_REASONS: Final = frozenset(
    {
        "content_filtered",
        "guardrail_intervened",
        "malformed_model_output",
        "malformed_tool_use",
        "model_context_window_exceeded",
        "refusal",
    }
)
"""Stop reasons, in Converse's words, after which there is no usable completion, though it was
billed."""

CUT_STOP_REASON: Final = "max_tokens"
"""Converse's word for a reply that was cut at its limit."""

MAX_CHECKED: Final = 20
"""Values of one reply that the render child is asked about: each may take all of its time."""

Check = Callable[[object], Sequence[str]]
"""Says what is wrong with a value; raises `OutputCheckError` where that can't be told in time."""


class OutputReader:
    """Reads the output of one step.

    `nullable` are the places at which a null of the model means that the member isn't there. A
    schema that is not plain is checked in the render child: `check` asks it. A reader of such a
    schema that was made without it reads no output.
    """

    def __init__(
        self,
        schema: Mapping[str, object] | None,
        *,
        nullable: Places = frozenset(),
        check: Check | None = None,
    ) -> None:
        self._schema = schema
        self._nullable = nullable
        self._check = check
        self.needs_child = schema is not None and not is_plain(schema)
        if check is None and schema is not None and not self.needs_child:
            self._check = _check_here(schema)

    def checked_by(self, check: Check) -> "OutputReader":
        """The same reader; where its schema needs the child, one that asks it by `check`."""
        if not self.needs_child:
            return self
        return OutputReader(self._schema, nullable=self._nullable, check=check)

    def answer(self, text: str) -> Answer:
        """The reply without its reasoning, and the reasoning."""
        return answer_of_text(text) if self._schema is None else answer_of_data(text)

    def read(self, text: str, *, cut: bool = False) -> object:
        """The output to store. `cut` says that the text ends where the model had to stop.

        Raises `OutputError`, whose message tells the model what is wrong, or `OutputCheckError`.
        The message may quote the output, so it is never logged.
        """
        answer = self.answer(text)
        if not answer.text.strip():
            raise OutputError("the reply was empty")
        if self._schema is None:
            return answer.text
        if self._check is None:
            raise ConfigurationError("this output_schema is checked in the render child: ask it")
        values = candidates(answer.text)
        if self.needs_child and len(values) > MAX_CHECKED:
            raise OutputError(f"the reply holds {len(values)} values: give one of them only")
        return self._fitting(values, self._check, cut=cut)

    def to_be_checked(self, text: str) -> list[object]:
        """The values that reading a reply, as the model gave it, asks the render child about."""
        if not self.needs_child:
            return []
        try:
            values = candidates(self.answer(self.answer(clean_text(text)).text).text)
        except OutputError:
            return []  # refused as it is
        if len(values) > MAX_CHECKED:
            return []
        return [_without_nulls(each, self._nullable, ()) for each in values]

    def _fitting(self, values: Sequence[object], check: Check, *, cut: bool) -> object:
        """The one of `values` that fits the schema."""
        problem = ""
        fitting: list[object] = []
        for each in values:
            value = _without_nulls(each, self._nullable, ())
            errors = check(value)
            if errors:
                problem = "; ".join(errors)
            elif fitting:
                raise OutputError("the reply holds several values that fit: give one of them only")
            else:
                fitting.append(value)
        if not fitting:
            raise OutputError(problem)
        # Of all values only a number doesn't show where it ends.
        if cut and isinstance(fitting[0], int | float) and not isinstance(fitting[0], bool):
            raise OutputError("the number may have more digits")
        return fitting[0]


def _check_here(schema: Mapping[str, object]) -> Check:
    from runtime.engine.schema_check import SchemaCheck  # noqa: PLC0415 - loads a library

    return SchemaCheck(schema).errors


def repair_instruction(error: OutputError | OutputCheckError) -> str:
    """The user's turn that asks for a corrected output."""
    return (
        f"That answer can't be used: {error}.\nAnswer again with the corrected value only, "
        "without any explanation."
    )


def _without_nulls(value: object, nullable: Places, path: tuple[str | None, ...]) -> object:
    if not nullable:
        return value
    if isinstance(value, dict):
        return {
            name: _without_nulls(each, nullable, (*path, name))
            for name, each in value.items()
            if each is not None or (*path, name) not in nullable
        }
    if isinstance(value, list):
        return [_without_nulls(each, nullable, (*path, None)) for each in value]
    return value
