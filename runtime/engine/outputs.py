"""From a model's text to a step's output: plain text, or data that fits the step's schema."""

from collections.abc import Iterable, Mapping
from typing import Final

from runtime.domain.errors import OutputError
from runtime.domain.templates.output_schema import compile_schema, with_64_bits
from runtime.domain.templates.provider_schema import Places
from runtime.engine.answers import Answer, answer_of_data, answer_of_text, candidates

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

CUT_STOP_REASON: Final = "max_tokens"
"""Converse's word for a reply that was cut at its limit."""

MAX_ERRORS_SHOWN: Final = 5
MAX_ERROR_CHARACTERS: Final = 300
"""Of one error. Errors quote the output, and a repair pays for every word of them."""


class OutputReader:
    """Reads the output of one step.

    `nullable` are the places at which a null of the model means that the member isn't there.
    """

    def __init__(
        self, schema: Mapping[str, object] | None, *, nullable: Places = frozenset()
    ) -> None:
        self._validator = None if schema is None else compile_schema(with_64_bits(schema))
        self._nullable = nullable

    def answer(self, text: str) -> Answer:
        """The reply without its reasoning, and the reasoning."""
        return answer_of_text(text) if self._validator is None else answer_of_data(text)

    def read(self, text: str, *, cut: bool = False) -> object:
        """The output to store. `cut` says that the text ends where the model had to stop.

        Raises `OutputError`, whose message tells the model what is wrong. The message may quote
        the output, so it is never logged.
        """
        answer = self.answer(text)
        if not answer.text.strip():
            raise OutputError("the reply was empty")
        if self._validator is None:
            return answer.text
        return self._fitting(candidates(answer.text), cut=cut)

    def _fitting(self, values: Iterable[object], *, cut: bool) -> object:
        """The one of `values` that fits the schema."""
        problem = ""
        fitting: list[object] = []
        for each in values:
            value = _without_nulls(each, self._nullable, ())
            errors = self._errors(value)
            if errors:
                problem = errors
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

    def _errors(self, value: object) -> str:
        """What is wrong with `value`, the first problems of it; empty if it fits."""
        errors: list[str] = []
        if self._validator is not None:
            for error in self._validator.iter_errors(value):
                path = "/".join(str(part) for part in error.instance_path)
                errors.append(f"{path or 'the document'}: {error.message}"[:MAX_ERROR_CHARACTERS])
                if len(errors) == MAX_ERRORS_SHOWN:
                    break
        return "; ".join(errors)


def repair_instruction(error: OutputError) -> str:
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
