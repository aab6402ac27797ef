"""What a check reads of verdicts and scores, and what is wrong with a path into them."""

from collections.abc import Sequence
from functools import partial
from typing import Final

from runtime.domain.checks.check import Checks, Judge, RecordCheck, Score
from runtime.domain.hints import hint_for
from runtime.domain.templates.judging import KEEP_IF
from runtime.domain.templates.reads import Problem

_VERDICT_PARTS: Final = ("passed", "scores")
_SCORE_PARTS: Final = ("score", "reasoning")


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
