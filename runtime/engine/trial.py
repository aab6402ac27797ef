"""One record with real calls, for whoever writes a template: the engine's own steps, within limits
of a request. Nothing is stored, and there is no job whose budget could hold: a purse does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from runtime.domain.checks.check import Checks, Judge
from runtime.domain.errors import (
    ModelError,
    MonthlyBudgetError,
    PriceError,
    RenderError,
    SchemaRefusedError,
    SeedwrightError,
    StorageError,
    TemplateError,
)
from runtime.domain.jobs.drawing import draw_record
from runtime.domain.jobs.sampling import Draws
from runtime.domain.models.calls import Message, ModelClient, ModelReply, ModelRequest
from runtime.domain.models.retry import RULES
from runtime.domain.money.amounts import NANO_PER_USD, usd
from runtime.domain.ports import Clock
from runtime.domain.seeds.seeds import Row, seed_id
from runtime.engine.checking import OutputChecks
from runtime.engine.plan import Plan, StepPlan
from runtime.engine.preparation import prepare
from runtime.engine.record_task import RecordTask
from runtime.engine.rendering.renderer import TemplateEngine

MAX_OUTPUT_TOKENS: Final = 1024
"""Of one call: a model takes some 15 seconds to write more."""
MAX_COST_NANO: Final = NANO_PER_USD
"""Of all calls: before each, its worst case has to fit."""
MAX_START_SECONDS: Final = 15.0
"""How late a call may begin, so that it ends before the request is given up."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialCall:
    """One call that was answered."""

    step: StepPlan
    prompt: str
    system: str | None
    messages: Sequence[Message]
    """The turns before the prompt."""
    reply: ModelReply
    cost_nano: int
    output: object
    """What later steps see, of a judge its scores; None: the answer doesn't fit its schema."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """The calls of one record in order. `stopped` says why the record isn't complete."""

    calls: Sequence[TrialCall]
    results: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    """What the record holds of each step that is done."""
    verdicts: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    """Of each check that is decided; the one that is not passed is the last."""
    stopped: str | None = None

    @property
    def cost_nano(self) -> int:
        """What all calls cost."""
        return sum(call.cost_nano for call in self.calls)


class Purse(Protocol):
    """What calls are paid from."""

    def reserve(self, nano: int) -> None:
        """Set the worst case of a call aside. Raises `MonthlyBudgetError`, `StorageError`."""
        ...

    def settle(self, *, reserved_nano: int, nano: int) -> None:
        """The call for which so much was reserved cost `nano`. Raises nothing."""
        ...


def try_record(
    engine: TemplateEngine,
    plan: Plan,
    seed: Row,
    *,
    models: ModelClient,
    clock: Clock,
    purse: Purse,
) -> Trial:
    """Generate one record from `seed`, what its texts see. An output that doesn't fit its schema is
    repaired once, as in a job. It has one try, and every judge judges it, whatever its sample.

    Raises `TemplateError`, `ModelError` or `MonthlyBudgetError` where not even one call was made
    and paid for.
    """
    started = clock.monotonic()
    checked = plan.checked_by(OutputChecks(engine))
    capped = replace(
        checked,
        template=replace(plan.template, checks=_all_judging(plan.template.checks)),
        steps=tuple(_capped(step) for step in checked.steps),
        judges={name: _capped(judge) for name, judge in checked.judges.items()},
    )
    drawn = draw_record(plan.template.samplers, "", 0, rows=1, draws=Draws())
    task = RecordTask(
        job_id="",
        index=0,
        seed=seed,
        seed_id=seed_id(seed, 0),
        draw=drawn,
        samples=drawn.samples,
        plan=capped,
    )
    trial = Trial(calls=())
    while not task.ended:
        try:
            if not _render(engine, task):
                break
            stopped = _limit(task, spent=trial.cost_nano, seconds=clock.monotonic() - started)
            if stopped is None:
                call, stopped = _call(task, models, purse)
                trial = replace(trial, calls=(*trial.calls, call))
        except RenderError as error:
            stopped = f"can't be rendered: {error}"
            if not trial.calls:
                raise TemplateError(f"{_place(task)} {stopped}") from error
        except SchemaRefusedError:
            task.in_words = True  # and once more, as a job does
            continue
        except (ModelError, MonthlyBudgetError, StorageError, TemplateError) as error:
            if not trial.calls:
                raise
            stopped = _why(error)
        if stopped is not None:
            trial = replace(trial, stopped=f"{_place(task)}: {stopped}")
            break
    return replace(trial, results=dict(task.results), verdicts=dict(task.verdicts))


def _all_judging(checks: Checks) -> Checks:
    return Checks(
        tuple(replace(each, sample=None) if isinstance(each, Judge) else each for each in checks)
    )


def _place(task: RecordTask) -> str:
    kind = "step" if any(each.step.id == task.place for each in task.plan.steps) else "check"
    return f"{kind} {task.place!r}"


def _why(error: SeedwrightError) -> str:
    if isinstance(error, ModelError):
        return f"the model gave no answer ({error.kind})"
    return str(error)


def _capped(step: StepPlan) -> StepPlan:
    return replace(
        step,
        max_tokens=min(step.max_tokens, MAX_OUTPUT_TOKENS),
        raised_max_tokens=min(step.raised_max_tokens, MAX_OUTPUT_TOKENS),
    )


def _render(engine: TemplateEngine, task: RecordTask) -> bool:
    """The texts of the next call; a repair has them already. False: there is no step left."""
    if task.prompt is None:
        (error,) = prepare([task], engine.execute_template, engine.check_texts)
        if error is not None:
            raise error
    return not task.ended


def _limit(task: RecordTask, *, spent: int, seconds: float) -> str | None:
    """Why the next call is not made; None: it is."""
    if seconds > MAX_START_SECONDS:
        return "no time is left for this call: run a job of one record"
    if spent + task.step.worst_case(task.request()) > MAX_COST_NANO:
        return f"the calls could cost more than {usd(MAX_COST_NANO)}: run a job of one record"
    return None


def _call(task: RecordTask, models: ModelClient, purse: Purse) -> tuple[TrialCall, str | None]:
    """One call, and why there can't be another one."""
    step, request = task.step, task.request()
    prompt, system, messages = task.prompt or "", task.system, task.messages
    reserved = step.worst_case(request)
    purse.reserve(reserved)
    try:
        reply = models.converse(request)
    except ModelError as error:
        billed = reserved if RULES[error.kind].presume_spent else 0
        purse.settle(reserved_nano=reserved, nano=billed)
        raise
    cost = _cost(step, request, reply)
    purse.settle(reserved_nano=reserved, nano=cost)
    task.calls += 1
    failure = task.answered(reply)
    output = task.results.get(step.step.id, {}).get("output")
    scores = task.verdicts.get(step.step.id, {}).get("scores")
    call = TrialCall(
        step=step,
        prompt=prompt,
        system=system,
        messages=messages,
        reply=reply,
        cost_nano=cost,
        output=output if scores is None else scores,
    )
    return call, None if failure is None else failure.message


def _cost(step: StepPlan, request: ModelRequest, reply: ModelReply) -> int:
    """What was billed, or else the worst case, as a job's budget has it."""
    if reply.usage is not None:
        try:
            return step.price.cost(reply.usage)
        except PriceError:
            pass
    return step.worst_case(request)
