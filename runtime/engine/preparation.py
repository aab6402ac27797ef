"""What the next call of a record says: its texts, past the steps that the record does not take.

when ─▶ false: the step is skipped, and the next one is looked at
     ─▶ true, or there is none: prompt, system and earlier messages ─▶ a call
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Final

from runtime.domain.errors import RenderError
from runtime.domain.models.calls import Message
from runtime.domain.templates.template import PROMPT, SYSTEM, WHEN
from runtime.engine.record_task import RecordTask
from runtime.engine.rendering.renderer import RenderRequest

Render = Callable[[Sequence[RenderRequest]], Sequence[str | RenderError]]
"""Gives the text of each request, or why it has none."""

_VERDICTS: Final[Mapping[str, bool]] = {"true": True, "false": False}


def prepare(tasks: Sequence[RecordTask], render: Render) -> list[RenderError | None]:
    """Give each task the texts of its next call, or end it where no step is left to be called.
    What was wrong with its texts, by task. All tasks are rendered in one round trip, and in one
    more for each step that one of them has to decide on.
    """
    errors: list[RenderError | None] = [None] * len(tasks)
    waiting = [
        number for number, task in enumerate(tasks) if not (task.finished or task.is_rejected)
    ]
    while waiting:
        asked = {number: _requests(tasks[number]) for number in waiting}
        texts = iter(render([each for requests in asked.values() for each in requests]))
        undecided: list[int] = []
        for number, requests in asked.items():
            task, own = tasks[number], list(islice(texts, len(requests)))
            errors[number] = _take(task, requests, own)
            if (
                errors[number] is None
                and task.prompt is None
                and not (task.finished or task.is_rejected)
            ):
                undecided.append(number)
        waiting = undecided
    return errors


def _requests(task: RecordTask) -> list[RenderRequest]:
    """The condition of the task's step where it isn't decided, else all its texts."""
    if task.has_results:
        return [
            RenderRequest(
                step_id=task.check or "",
                part="keep_if",
                index=task.index,
                seed=task.seed,
                steps=task.results,
                entropy=task.draw.filter_entropy + task.attempt,
                samples=task.samples,
            )
        ]
    step = task.step.step
    prompt = RenderRequest(
        step_id=step.id,
        index=task.index,
        seed=task.seed,
        steps=task.results,
        entropy=task.draw.filter_entropy + task.attempt,
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
    if "keep_if" in rendered:
        task.judged(verdict_of(rendered["keep_if"]) is True)
        return None
    if WHEN in rendered:
        return _decide(task, rendered[WHEN])
    task.prompt, task.system = rendered.pop(PROMPT), rendered.pop(SYSTEM, None)
    task.messages = tuple(
        Message(role=turn.role, text=text)
        for turn, text in zip(task.step.step.messages, rendered.values(), strict=True)
    )
    return None


def _decide(task: RecordTask, text: str) -> RenderError | None:
    verdict = verdict_of(text)
    if isinstance(verdict, RenderError):
        return verdict
    task.is_taken = verdict
    if not verdict:
        task.skip()
    return None


def verdict_of(text: str) -> bool | RenderError:
    """What a rendered `when` says."""
    verdict = _VERDICTS.get(text.strip().casefold())
    if verdict is None:
        # The text itself may hold what the seed says, which failures never show.
        return RenderError(
            "when gave neither true nor false: compare something, such as"
            ' steps.<id>.output == "yes"'
        )
    return verdict
