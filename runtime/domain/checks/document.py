"""Checks as the plain document that users write and stores keep."""

from typing import Any

from runtime.domain.checks.check import (
    Balance,
    Check,
    Checks,
    Condition,
    Judge,
    Score,
    TextCheck,
    Unique,
)


def checks_document(checks: Checks) -> list[dict[str, Any]]:
    """Inverse of `read_checks`, with all that follows from the template written out."""
    return [{"id": each.id, **_fields(each)} for each in checks]


def _fields(check: Check) -> dict[str, Any]:
    match check:
        case Condition():
            return {"keep_if": check.keep_if}
        case TextCheck(argument=tuple() as names):
            return {check.kind.value: list(names), "of": check.of}
        case TextCheck():
            return {check.kind.value: check.argument, "of": check.of}
        case Judge():
            beside = {"keep_if": check.keep_if, "sample": check.sample}
            return {"judge": _judge(check), **_given(beside)}
        case Unique():
            return {"unique": {"by": check.by, **_given({"near": check.near})}}
        case Balance():
            return {"balance": {"by": check.by, "values": list(check.values)}}


def _judge(judge: Judge) -> dict[str, Any]:
    optional = {
        "prompt": judge.prompt,
        "system": judge.system,
        "model": judge.model,
        "model_tier": judge.model_tier,
        "max_tokens": judge.max_tokens,
        "temperature": judge.temperature,
        "budget": judge.budget,
    }
    return {"of": judge.of, **_given(optional), "scores": [_score(each) for each in judge.scores]}


def _score(score: Score) -> dict[str, Any]:
    # JSON has no other keys than texts.
    options = {str(value): meaning for value, meaning in score.options.items()}
    return {"name": score.name, "description": score.description, "options": options}


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
