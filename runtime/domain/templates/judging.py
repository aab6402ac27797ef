"""What checks render and call: the sources of conditions and judges, and a judge as a step.

A judge is a step of its own, with the check's id: its prompt is the author's instructions or these,
its output an object of {score: {reasoning, score}}. What it judges is added to the prompt by
`runtime.engine.judge_prompt`.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

from runtime.domain.checks.check import Checks, Condition, Judge, RecordCheck, Score
from runtime.domain.hints import hint_for
from runtime.domain.outputs.values import as_condition
from runtime.domain.templates.reads import Problem
from runtime.domain.templates.template import DEFAULT_MAX_TOKENS, Step

KEEP_IF: Final = "keep_if"
"""The part of a check that decides."""
INSTRUCTIONS: Final = (
    "You are a strict and fair judge of texts for a dataset. Rate one text by each score below."
)
"""Of a judge without a prompt of its own."""

_TOKENS_A_SCORE: Final = 256
_VERDICT_PARTS: Final = ("passed", "scores")
_SCORE_PARTS: Final = ("score", "reasoning")


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


def condition_names(checks: Checks, check: RecordCheck, part: str) -> dict[str, Problem]:
    """The names that a part of a check sees besides those of a step."""
    earlier = checks.of_record[: checks.of_record.index(check)]
    names: dict[str, Problem] = {
        "checks": partial(_check_problem, earlier=earlier, ids=[each.id for each in checks])
    }
    if part == KEEP_IF and isinstance(check, Judge):
        names["scores"] = partial(_score_problem, place="scores", scores=check.scores)
    return names


def _check_problem(
    path: Sequence[str], *, earlier: Sequence[RecordCheck], ids: Sequence[str]
) -> str | None:
    known = {each.id: each for each in earlier}
    shown = ", ".join(known) or "none"
    if not path:
        return f"write checks.<id>.passed; checks before this one: {shown}"
    name, *rest = path
    if name not in known:
        problem = "is decided later" if name in ids else f"does not exist{hint_for(name, known)}"
        return f'check "{name}" {problem}; checks before this one: {shown}'
    check = known[name]
    scores = check.scores if isinstance(check, Judge) else ()
    if rest[:1] == ["scores"] and scores:
        return _score_problem(rest[1:], place=f"checks.{name}.scores", scores=scores)
    if rest != ["passed"]:
        more = f" or checks.{name}.scores.<name>.score" if scores else ""
        hint = hint_for(rest[0], _VERDICT_PARTS) if rest else ""
        return f"write checks.{name}.passed{more}{hint}"
    return None


def _score_problem(path: Sequence[str], *, place: str, scores: Sequence[Score]) -> str | None:
    names = [each.name for each in scores]
    if path and path[0] not in names:
        known = ", ".join(names)
        return f'there is no score "{path[0]}"{hint_for(path[0], names)}; the scores are {known}'
    if len(path) != len(("name", "part")) or path[1] not in _SCORE_PARTS:
        name = path[0] if path else "<name>"
        hint = hint_for(path[1], _SCORE_PARTS) if path[1:] else ""
        return f"write {place}.{name}.score{hint}"
    return None
