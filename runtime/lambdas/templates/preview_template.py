"""POST /templates/{template_id}/preview: what one record would send, and what would come back.

Without `run_model` nothing is called and nothing costs: a later step sees stand-ins for the outputs
of earlier ones.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import Any, Final

import orjson

from runtime.domain.errors import InputError, TemplateError, TooLargeError
from runtime.domain.jobs.sampling import Draws
from runtime.domain.models.calls import Message
from runtime.domain.money.amounts import to_usd
from runtime.domain.outputs.types import type_text
from runtime.domain.seeds.readers import Row
from runtime.domain.seeds.seeds import has_path
from runtime.engine.dry_run import example_seed, render_calls
from runtime.engine.plan import Plan
from runtime.engine.rendering.renderer import TemplateEngine
from runtime.engine.row_sample import RowSample, first_samples, sample_row
from runtime.engine.seeds import as_seen
from runtime.engine.trial import TrialCall, try_record
from runtime.lambdas.answers import MAX_DETAILS
from runtime.lambdas.http import ApiModel, Call, NoBody, endpoint
from runtime.lambdas.templates.template_view import Version
from runtime.service.admission import prepare_template
from runtime.service.preview_money import PreviewMoney

MAX_ANSWER_CHARACTERS: Final = 1_000_000
"""Of all texts: Lambda answers with 6 MB at most, and JSON may take six bytes for a character."""


class PreviewRequest(ApiModel):
    """What to render, and whether to call the models."""

    data: Mapping[str, Any] | None = None
    """One seed; by default one that is made up from what the template requires. With `batch_of` the
    record has it so many times.
    """
    version: Version | None = None
    """The latest one by default."""
    run_model: bool = False
    """Whether to call the model of each step, which costs what the answer says: 1 USD at most, out
    of what the month has left.
    """


class PreviewUsage(ApiModel):
    """Billed tokens."""

    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int


class PreviewReply(ApiModel):
    """What a model answered."""

    text: str
    output: Any
    """What later steps see; null: the text doesn't fit the output_schema, and is repaired once."""
    stop_reason: str
    usage: PreviewUsage | None
    """null: the provider did not say, and the worst case counts."""
    cost_usd: float


class PreviewMessage(ApiModel):
    """A turn before the prompt."""

    role: str
    content: str


class PreviewStep(ApiModel):
    """One call."""

    step_id: str
    model: str
    max_tokens: int
    """At most 1024 where models are called."""
    prompt: str
    system: str | None
    messages: list[PreviewMessage]
    """The turns before the prompt."""
    skipped: bool
    """Whether the record does not take this step, by its `when`: nothing would be called."""
    reply: PreviewReply | None
    """null: no model was called."""


class PreviewVerdict(ApiModel):
    """What a check said of the record."""

    check_id: str
    passed: bool | None
    """false: a job would try this record again. null: it decides nothing, as a judge without
    keep_if, or had nothing to look at."""
    scores: Mapping[str, Mapping[str, Any]] | None
    """Of a judge: reasoning and score by the name of each score."""
    value: str | None
    """Of a balance: what it counts."""


class PreviewRow(ApiModel):
    """What `output` makes of the record, with made-up outputs where no model was called."""

    shape: str
    columns: Mapping[str, str]
    """Their types, such as string, int64 or list<string>; empty for records."""
    row: Mapping[str, Any] | None
    """null: there is none, and `problem` says why."""
    problem: str | None


class Preview(ApiModel):
    """One record. With `run_model` the steps are the calls that were made."""

    template_id: str
    version: int
    data: Mapping[str, Any]
    """The seed that was rendered."""
    samples: Mapping[str, Any]
    """What the template's samplers draw for the first record."""
    steps: list[PreviewStep]
    """The judges of its checks follow, each with the id of its check."""
    checks: list[PreviewVerdict]
    """Verdicts on the record, up to the first check that it did not pass; empty where no model was
    called."""
    row: PreviewRow
    stopped: str | None
    """Why later steps were not called."""
    cost_usd: float


@endpoint(
    body=PreviewRequest,
    query=NoBody,
    answers={HTTPStatus.OK: Preview},
    errors=(
        HTTPStatus.PAYMENT_REQUIRED,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.BAD_GATEWAY,
    ),
)
def lambda_handler(call: Call[PreviewRequest, NoBody]) -> Preview:
    """Render every prompt of a template with one seed, and call the models only when asked to."""
    body, ports = call.body, call.ports
    prepared = prepare_template(
        ports,
        call.caller,
        template_id=call.path["template_id"],
        version=body.version,
        model=None,
    )
    plan = prepared.plan
    data = _seed(body.data, plan.template.schema_requirements)
    seed = as_seen([data], plan.template.batch_of)
    with TemplateEngine() as engine:
        engine.load(plan.template)
        if body.run_model:
            trial = try_record(
                engine,
                plan,
                seed,
                models=ports.models,
                clock=ports.clock,
                purse=PreviewMoney(ports, call.caller),
            )
            steps, stopped = [_called(each) for each in trial.calls], trial.stopped
            cost, results, verdicts = trial.cost_nano, trial.results, trial.verdicts
        else:
            steps = _rendered(engine, plan, data, given=body.data is not None)
            stopped, cost, results, verdicts = None, 0, None, {}
        sample = sample_row(engine, plan.template, seed, results=results)
    row = _row(sample, stopped)
    _check_size(steps, row)
    return Preview(
        template_id=prepared.ref.template_id,
        version=prepared.ref.version,
        data=data,
        samples=first_samples(plan.template),
        steps=steps,
        checks=[_verdict(name, each) for name, each in verdicts.items()],
        row=row,
        stopped=stopped,
        cost_usd=to_usd(cost),
    )


def _seed(data: Row | None, requirements: Sequence[str]) -> Row:
    if data is None:
        return example_seed(requirements)
    missing = [path for path in requirements if not has_path(data, path)]
    if missing:
        shown, more = missing[:MAX_DETAILS], len(missing) - MAX_DETAILS
        names = ", ".join(shown) + (f" and {more} more" if more > 0 else "")
        raise InputError(
            f"data: the template needs {names}, which this seed lacks",
            problems=[(f"data.{path}", "is required by the template") for path in shown],
        )
    return data


def _rendered(engine: TemplateEngine, plan: Plan, seed: Row, *, given: bool) -> list[PreviewStep]:
    try:
        texts = render_calls(engine, plan, [seed], job_id="", index=0, draws=Draws())
    except TemplateError as exc:
        if given:
            raise
        # Made-up texts are not what every filter takes.
        raise TemplateError(f"{exc} (with made-up data: give a seed as `data`)") from exc
    return [
        PreviewStep(
            step_id=step.step.id,
            model=step.model,
            max_tokens=step.max_tokens,
            prompt=each.prompt,
            system=each.system,
            messages=_messages(each.messages),
            skipped=each.skipped,
            reply=None,
        )
        for step, each in zip(plan.calls, texts, strict=True)
    ]


def _messages(turns: Sequence[Message]) -> list[PreviewMessage]:
    return [PreviewMessage(role=turn.role.value, content=turn.text) for turn in turns]


def _called(call: TrialCall) -> PreviewStep:
    usage = call.reply.usage
    return PreviewStep(
        step_id=call.step.step.id,
        model=call.step.model,
        max_tokens=call.step.max_tokens,
        prompt=call.prompt,
        system=call.system,
        messages=_messages(call.messages),
        skipped=False,
        reply=PreviewReply(
            text=call.reply.text,
            output=call.output,
            stop_reason=call.reply.stop_reason,
            usage=None
            if usage is None
            else PreviewUsage(
                input_tokens=usage.input_tokens,
                output_tokens=usage.output_tokens,
                cache_read_tokens=usage.cache_read_tokens,
                cache_write_tokens=usage.cache_write_tokens,
            ),
            cost_usd=to_usd(call.cost_nano),
        ),
    )


def _verdict(check_id: str, verdict: Mapping[str, Any]) -> PreviewVerdict:
    return PreviewVerdict(
        check_id=check_id,
        passed=verdict["passed"],
        scores=verdict.get("scores"),
        value=verdict.get("value"),
    )


def _row(sample: RowSample, stopped: str | None) -> PreviewRow:
    """A record that isn't complete gives no row."""
    if stopped is not None:
        sample = replace(sample, row=None, problem="the record is not complete")
    return PreviewRow(
        shape=str(sample.shape),
        columns={name: type_text(kind) for name, kind in sample.columns.items()},
        row=sample.row,
        problem=sample.problem,
    )


def _check_size(steps: Sequence[PreviewStep], row: PreviewRow) -> None:
    size = sum(len(step.prompt) + len(step.system or "") for step in steps)
    size += sum(len(turn.content) for step in steps for turn in step.messages)
    size += len(orjson.dumps(row.row)) + sum(map(len, row.columns.values()))
    if size > MAX_ANSWER_CHARACTERS:
        raise TooLargeError(
            f"prompts and row have {size} characters, and a preview shows"
            f" {MAX_ANSWER_CHARACTERS} at most: give less data"
        )
