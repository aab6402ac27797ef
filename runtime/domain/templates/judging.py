"""What checks render and call: the sources of conditions and judges, and a judge as a step.

A judge is a step of its own, with the check's id: its prompt is the author's instructions or these,
its output an object of {score: {reasoning, score}}. What it judges is added to the prompt by
`runtime.engine.judge_prompt`.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from runtime.domain.checks.check import Condition, Judge, RecordCheck, Score
from runtime.domain.outputs.values import as_condition
from runtime.domain.templates.template import DEFAULT_MAX_TOKENS, Step

KEEP_IF: Final = "keep_if"
"""The part of a check that decides."""
INSTRUCTIONS: Final = (
    "You are a strict and fair judge of texts for a dataset. Rate one text by each score below."
)
"""Of a judge without a prompt of its own."""

_TOKENS_A_SCORE: Final = 256


def judge_step(judge: Judge) -> Step:
    """The judge as a step that can be planned, rendered and called."""
    tokens = judge.max_tokens or max(DEFAULT_MAX_TOKENS, _TOKENS_A_SCORE * len(judge.scores))
    return Step(
        id=judge.id,
        prompt=INSTRUCTIONS if judge.prompt is None else judge.prompt,
        system=judge.system,
        model=judge.model,
        model_tier=judge.model_tier,
        max_tokens=tokens,
        temperature=judge.temperature,
        output_schema=_object({each.name: _score_schema(each) for each in judge.scores}),
    )


def _score_schema(score: Score) -> dict[str, Any]:
    values = list(score.options)
    kind = "integer" if all(isinstance(each, int) for each in values) else "string"
    # The reasoning comes first, so that the score follows from it.
    return _object({"reasoning": {"type": "string"}, "score": {"type": kind, "enum": values}})


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


def sources_of(check: RecordCheck) -> Iterator[tuple[str, str]]:
    """The part and the Jinja2 source of every text that a check renders."""
    if isinstance(check, Judge):
        yield from judge_step(check).sources()
    if isinstance(check, Condition | Judge) and check.keep_if is not None:
        yield KEEP_IF, as_condition(check.keep_if)
