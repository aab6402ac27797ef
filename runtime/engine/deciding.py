"""What the next check of a record asks of the render process, and what its answer decides.

    keep_if       its condition            ─▶ a verdict
    short form    a test of its text       ─▶ a verdict
    judge         the texts of its prompt  ─▶ a call, and after it
                  its condition, if any    ─▶ a verdict

A text that isn't there, since its step was skipped or left it out, has nothing to be checked: the
check decides nothing. So does one that looks at a share of the records and not at this one.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from runtime.domain.checks.check import Balance, Condition, Judge, RecordCheck, TextCheck
from runtime.domain.errors import RenderError
from runtime.domain.jobs.sampling import is_sampled
from runtime.domain.outputs.values import Path
from runtime.domain.samplers.kinds import as_text
from runtime.domain.templates.judging import KEEP_IF
from runtime.domain.templates.template import PROMPT, SYSTEM, Step
from runtime.engine.judge_prompt import judge_prompt
from runtime.engine.record_task import RecordTask
from runtime.engine.rendering.renderer import RenderRequest, TextRequest

NOT_LOOKED_AT: Final[Mapping[str, object]] = {"passed": None, "skipped": True}
"""The verdict of a check that had nothing to decide."""
MAX_LABEL_CHARACTERS: Final = 200

Requests = Sequence[RenderRequest] | TextRequest | RenderError
"""Texts to render, or one to test, or why neither can be; nothing: it is decided without."""

_TRUTH: Final[Mapping[str, bool]] = {"true": True, "false": False}
_CONTEXT: Final[Mapping[str, str]] = {
    SYSTEM: "It was written under these instructions",
    PROMPT: "It was written for this request",
}


def requests_of(task: RecordTask, check: RecordCheck | Balance) -> Requests:
    """What has to be asked for the task's next check. What needs no asking is decided here."""
    match check:
        case Balance():
            task.decide(check, {"passed": None, "value": _label(_value_at(task, check.by))})
        case Condition():
            return [_request(task, check.id, KEEP_IF)]
        case TextCheck():
            text = _value_at(task, check.of)
            if isinstance(text, str):
                return TextRequest(check_id=check.id, text=text)
            if text is not None:
                return RenderError(f"{check.of} is no text in this record")
            task.decide(check, NOT_LOOKED_AT)
        case Judge() if check.id in task.verdicts:
            return [_request(task, check.id, KEEP_IF, scores=task.verdicts[check.id]["scores"])]
        case Judge():
            if _is_looked_at(task, check):
                return _prompt_requests(task, check)
            task.decide(check, NOT_LOOKED_AT)
    return []


def take(
    task: RecordTask,
    check: RecordCheck | Balance,
    requests: Sequence[RenderRequest],
    answers: Sequence[str | RenderError],
) -> RenderError | None:
    """Take the texts of `requests_of` in. What was wrong with them."""
    texts: list[str] = []
    for text in answers:
        if isinstance(text, RenderError):
            return text
        texts.append(text)
    if requests and requests[0].part == KEEP_IF:
        passed = truth_of(texts[0], KEEP_IF)
        if isinstance(passed, RenderError):
            return passed
        task.decide(check, {"passed": passed})
    elif requests and isinstance(check, Judge):
        _ask(task, check, requests, texts)
    return None


def truth_of(text: str, part: str) -> bool | RenderError:
    """What a rendered condition says; `part` is the field it stands in."""
    truth = _TRUTH.get(text.strip().casefold())
    if truth is None:
        # The text itself may hold what the seed says, which failures never show.
        return RenderError(
            f"{part} gave neither true nor false: compare something, such as"
            ' steps.<id>.output == "yes"'
        )
    return truth


def _is_looked_at(task: RecordTask, judge: Judge) -> bool:
    if judge.sample is not None and not is_sampled(
        judge.id, judge.sample, task.job_id, task.index, task.draws
    ):
        return False
    return _value_at(task, judge.of) is not None


def _prompt_requests(task: RecordTask, judge: Judge) -> list[RenderRequest]:
    """The judge's own texts; for one without instructions also what the text was written for."""
    step = task.plan.judges[judge.id].step
    requests = [_request(task, judge.id, part) for part, _ in step.sources()]
    if judge.prompt is None:
        requests += [
            _request(task, written.id, part)
            for written in [_step_of(task, judge)]
            for part, _ in written.sources()
            if part in _CONTEXT
        ]
    return requests


def _ask(
    task: RecordTask, judge: Judge, requests: Sequence[RenderRequest], texts: Sequence[str]
) -> None:
    own = {
        request.part: text
        for request, text in zip(requests, texts, strict=True)
        if request.step_id == judge.id
    }
    context = {
        request.part: text
        for request, text in zip(requests, texts, strict=True)
        if request.step_id != judge.id and text.strip()
    }
    task.prompt = judge_prompt(
        judge,
        own[PROMPT],
        _value_at(task, judge.of),
        [(name, context[part]) for part, name in _CONTEXT.items() if part in context],
    )
    task.system = own.get(SYSTEM)


def _step_of(task: RecordTask, judge: Judge) -> Step:
    """The step whose output it judges."""
    step_id = Path(judge.of).parts[1]
    return next(each.step for each in task.plan.steps if each.step.id == step_id)


def _request(task: RecordTask, owner: str, part: str, **names: object) -> RenderRequest:
    is_step = any(each.step.id == owner for each in task.plan.steps)
    return RenderRequest(
        step_id=owner,
        part=part,
        index=task.index,
        seed=task.seed,
        steps=task.results,
        entropy=task.draw.filter_entropy,
        samples=task.samples,
        names={} if is_step else {"checks": task.verdicts, **names},
    )


def _value_at(task: RecordTask, path: str) -> object:
    """The value at a path into steps or samples; None: it isn't there."""
    root, *parts = Path(path).parts
    value: object = task.results if root == "steps" else task.samples
    for part in parts:
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _label(value: object) -> str | None:
    """What a balance counts. One that is longer than any of its values is cut."""
    if not isinstance(value, str | int | float):
        return None
    return as_text(value)[: MAX_LABEL_CHARACTERS + 1]
