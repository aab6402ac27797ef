"""What judges of a template would be asked about a record whose outputs are made up."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from runtime.domain.checks.check import Check, Checks, Judge
from runtime.domain.errors import RenderError, TemplateError
from runtime.domain.jobs.sampling import Draw
from runtime.engine.plan import Plan
from runtime.engine.preparation import prepare
from runtime.engine.record_task import RecordTask
from runtime.engine.rendering.renderer import TemplateEngine, TextRequest
from runtime.engine.seeds import DrawnSeed


def render_judges(
    engine: TemplateEngine,
    plan: Plan,
    drawn: DrawnSeed,
    outputs: Mapping[str, Mapping[str, Any]],
    *,
    index: int,
) -> list[tuple[str, str | None]]:
    """The prompt and the system text of each judge's call, as if the record were judged and had
    passed the checks before. A prompt is empty where the outputs lack what is judged.

    Raises `TemplateError` that names the check.
    """
    tasks = [
        RecordTask(
            job_id="",
            index=index,
            seed=drawn.row,
            seed_id="",
            draw=Draw(row=0, filter_entropy=drawn.entropy, model_seed=0),
            samples=drawn.samples,
            plan=_alone(plan, judge),
            results=dict(outputs),
            verdicts=_before(plan.template.checks, judge),
        )
        for judge in plan.template.checks.judges
    ]
    errors = prepare(tasks, engine.execute_template, _no_tests)
    for task, error in zip(tasks, errors, strict=True):
        if error is not None:
            raise TemplateError(f"check {task.place!r} can't be rendered: {error}") from error
    return [(task.prompt or "", task.system) for task in tasks]


def _alone(plan: Plan, judge: Judge) -> Plan:
    """A template that has this check only, and asks it of every record."""
    checks = Checks((replace(judge, sample=None, keep_if=None),))
    return replace(plan, template=replace(plan.template, checks=checks))


def _before(checks: Checks, judge: Judge) -> dict[str, Mapping[str, object]]:
    earlier = checks.of_record[: checks.of_record.index(judge)]
    return {check.id: example_verdict(check) for check in earlier}


def example_verdict(check: Check) -> dict[str, object]:
    """A verdict as a record that passed may have it."""
    if not isinstance(check, Judge):
        return {"passed": True}
    scores = {
        score.name: {"reasoning": "«reasoning»", "score": next(iter(score.options))}
        for score in check.scores
    }
    return {"passed": True, "scores": scores}


def _no_tests(requests: Sequence[TextRequest]) -> Sequence[bool | RenderError]:
    return [True for _ in requests]
