"""What the next call of a record says: its texts, past the steps that the record does not take and
the checks that need no call.

when ─▶ false: the step is skipped, and the next one is looked at
     ─▶ true, or there is none: prompt, system and earlier messages ─▶ a call
no step is left ─▶ checks in order ─▶ a judge: its prompt ─▶ a call
                                   ─▶ one is not passed: the next try, from its first step
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from typing import TypeVar

from runtime.domain.checks.check import Balance, RecordCheck
from runtime.domain.errors import RenderError
from runtime.domain.models.calls import Message
from runtime.domain.templates.template import PROMPT, SYSTEM, WHEN
from runtime.engine.deciding import Requests, requests_of, take, truth_of
from runtime.engine.record_task import RecordTask
from runtime.engine.rendering.renderer import RenderRequest, TextRequest

Render = Callable[[Sequence[RenderRequest]], Sequence[str | RenderError]]
"""Gives the text of each request, or why it has none."""
CheckTexts = Callable[[Sequence[TextRequest]], Sequence[bool | RenderError]]
"""Says whether each text passes its check, or why that can't be told."""

Answer = bool | RenderError
_ItemT = TypeVar("_ItemT")
_AnswerT = TypeVar("_AnswerT")


def prepare(
    tasks: Sequence[RecordTask], render: Render, check_texts: CheckTexts
) -> list[RenderError | None]:
    """Give each task the texts of its next call, or end it where no step and no check is left to be
    called: it is finished, or its last try was rejected. What was wrong with its texts, by task.

    All tasks are rendered in one round trip, and in one more for each step that one of them has to
    decide on; a check takes one, too.
    """
    errors: list[RenderError | None] = [None] * len(tasks)
    waiting = [number for number, task in enumerate(tasks) if not task.ended]
    while waiting:
        checks = [tasks[number].check for number in waiting]
        asked = [
            _requests(tasks[number]) if check is None else requests_of(tasks[number], check)
            for number, check in zip(waiting, checks, strict=True)
        ]
        texts = iter(_all(render, [each for some in asked for each in _renders(some)]))
        passed = iter(_all(check_texts, [each for each in asked if isinstance(each, TextRequest)]))
        undecided: list[int] = []
        for number, check, requests in zip(waiting, checks, asked, strict=True):
            task = tasks[number]
            own = list(islice(texts, len(_renders(requests))))
            if isinstance(requests, RenderError):
                errors[number] = requests
            elif check is None:
                errors[number] = _take(task, _renders(requests), own)
            elif isinstance(requests, TextRequest):
                errors[number] = _decide(task, check, next(passed))
            else:
                errors[number] = take(task, check, requests, own)
            if errors[number] is None and task.prompt is None and not task.ended:
                undecided.append(number)
        waiting = undecided
    return errors


def _renders(requests: Requests) -> Sequence[RenderRequest]:
    return () if isinstance(requests, TextRequest | RenderError) else requests


def _decide(task: RecordTask, check: RecordCheck | Balance, answer: Answer) -> RenderError | None:
    if isinstance(answer, RenderError):
        return answer
    task.decide(check, {"passed": answer})
    return None


def _all(
    ask: Callable[[Sequence[_ItemT]], Sequence[_AnswerT]], items: Sequence[_ItemT]
) -> Sequence[_AnswerT]:
    """Asked together, unless there is nothing to ask."""
    return ask(items) if items else ()


def _requests(task: RecordTask) -> list[RenderRequest]:
    """The condition of the task's step where it isn't decided, else all its texts."""
    step = task.step.step
    prompt = RenderRequest(
        step_id=step.id,
        index=task.index,
        seed=task.seed,
        steps=task.results,
        entropy=task.draw.filter_entropy,
        samples=task.samples,
    )
    if step.when is not None and not task.is_taken:
        return [replace(prompt, part=WHEN)]
    return [replace(prompt, part=part) for part, _ in step.sources()]


def _take(
    task: RecordTask, requests: Sequence[RenderRequest], texts: Sequence[str | RenderError]
) -> RenderError | None:
    rendered: dict[str, str] = {}
    for request, text in zip(requests, texts, strict=True):
        if isinstance(text, RenderError):
            return text
        rendered[request.part] = text
    if WHEN in rendered:
        return _take_or_skip(task, rendered[WHEN])
    task.prompt, task.system = rendered.pop(PROMPT), rendered.pop(SYSTEM, None)
    task.messages = tuple(
        Message(role=turn.role, text=text)
        for turn, text in zip(task.step.step.messages, rendered.values(), strict=True)
    )
    return None


def _take_or_skip(task: RecordTask, text: str) -> RenderError | None:
    verdict = truth_of(text, WHEN)
    if isinstance(verdict, RenderError):
        return verdict
    task.is_taken = verdict
    if not verdict:
        task.skip()
    return None
