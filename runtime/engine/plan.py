"""What a job will call: its template with models, prices and output readers resolved."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Final

import orjson

from runtime.contract.keys import prices_key
from runtime.domain.errors import ObjectExistsError, TemplateError, TemplateNotFoundError
from runtime.domain.jobs.job import Job
from runtime.domain.models.abilities import Api, refusals
from runtime.domain.models.calls import Message, ModelRequest
from runtime.domain.models.price_table import Price, PriceTable
from runtime.domain.models.timeouts import LONGER, call_timeout
from runtime.domain.ports import ObjectStore, TemplateStore
from runtime.domain.templates.document import resolve_includes
from runtime.domain.templates.grammar_schema import for_grammar
from runtime.domain.templates.judging import judge_step
from runtime.domain.templates.provider_schema import ProviderSchema, in_words
from runtime.domain.templates.service_schema import for_service
from runtime.domain.templates.template import OnTruncation, Step, Template
from runtime.engine.checking import OutputChecks
from runtime.engine.outputs import OutputReader

_FRAMED_MESSAGES: Final = 3
"""Messages whose role headers `FRAMING_TOKENS` has: a prompt, a refused output, its repair."""
_MESSAGE_TOKENS: Final = 16
"""Of the role header and the end mark of any other; those of the models known take 10 at most."""


def framing_of(messages: int) -> int:
    """Input tokens of messages that are in no text, beyond those that a price allows for."""
    return _MESSAGE_TOKENS * max(0, messages - _FRAMED_MESSAGES)


@dataclass(frozen=True, kw_only=True, slots=True)
class StepPlan:
    """One step, ready to be called. `form` is how its schema reaches the model, None without one.
    `raised_max_tokens` is the limit of a second call after a reply that was cut.
    """

    step: Step
    model: str
    price: Price
    reader: OutputReader
    form: ProviderSchema | None
    max_tokens: int
    raised_max_tokens: int
    api: Api
    """The requests that the model is called by."""
    timeout_seconds: float | None = None
    """How long a reply is waited for; None: what its `max_tokens` take."""

    @property
    def may_grow(self) -> bool:
        """Whether a reply that was cut is asked for once more, with a larger limit."""
        asked = self.step.on_truncation is OnTruncation.RETRY
        return asked and self.raised_max_tokens > self.max_tokens

    @property
    def instruction(self) -> str:
        """What the prompt says about the schema; empty if that is nothing."""
        return "" if self.form is None else self.form.instruction

    def in_words(self) -> "StepPlan":
        """The same step with its whole schema in the prompt, for a service that can't compile it.
        The reader stays: a null that stands for nothing is taken out of the reply in any case.
        """
        schema = self.step.output_schema
        return self if schema is None else replace(self, form=in_words(schema))

    def request(
        self,
        messages: tuple[Message, ...],
        *,
        system: str | None,
        model_seed: int,
        raised: bool = False,
        longer: bool = False,
    ) -> ModelRequest:
        """One attempt of this step, with the `raised` limit, or waiting `longer` for the reply."""
        return ModelRequest(
            model=self.model,
            messages=messages,
            system=system,
            max_tokens=self.raised_max_tokens if raised else self.max_tokens,
            temperature=self.step.temperature,
            top_p=self.step.top_p,
            stop=self.step.stop,
            output_schema=None if self.form is None else self.form.schema,
            seed=model_seed,
            timeout_seconds=self._timeout(raised=raised) * (LONGER if longer else 1.0),
            api=self.api,
        )

    @property
    def longest_wait(self) -> float:
        """Seconds that one call of this step may take at most."""
        return self._timeout(raised=self.may_grow) * LONGER

    def _timeout(self, *, raised: bool) -> float:
        tokens = self.raised_max_tokens if raised else self.max_tokens
        return self.timeout_seconds or call_timeout(tokens)

    def worst_case(self, request: ModelRequest) -> int:
        """Most that `request` can cost, nano-USD."""
        texts: Iterable[str] = (message.text for message in request.messages)
        size = sum(len(text.encode()) for text in texts)
        size += len((request.system or "").encode())
        if request.output_schema is not None:
            size += len(orjson.dumps(request.output_schema))
        size += framing_of(len(request.messages))
        return self.price.worst_case(prompt_bytes=size, max_tokens=request.max_tokens)


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """A template whose every step and judge has a model and a price."""

    template: Template
    steps: tuple[StepPlan, ...]
    judges: Mapping[str, StepPlan] = field(default_factory=dict)
    """By the id of the check."""
    warnings: tuple[str, ...] = ()
    """What is odd about the prices, and no reason to refuse them; each in one line."""

    @property
    def calls(self) -> tuple[StepPlan, ...]:
        """Everything that calls a model: its steps, then its judges."""
        return (*self.steps, *self.judges.values())

    @property
    def providers(self) -> tuple[str, ...]:
        """Whose models it calls, each once."""
        return tuple(dict.fromkeys(step.price.provider for step in self.calls))

    @property
    def longest_wait(self) -> float:
        """Seconds that one call may take at most."""
        return max(step.longest_wait for step in self.calls)

    def checked_by(self, checks: OutputChecks) -> "Plan":
        """The same plan, with readers that ask the render child about schemas that need it."""
        return replace(
            self,
            steps=tuple(
                replace(each, reader=checks.reader(each.step.id, each.reader))
                for each in self.steps
            ),
        )


class Templates:
    """Loads the pinned versions of a job's template and of everything it includes."""

    def __init__(self, store: TemplateStore) -> None:
        self._store = store

    def load_template(self, job: Job) -> Template:
        """The template as it was when the job was created: what it includes, and what it requires
        of every seed. Raises `TemplateNotFoundError`, a `ValueError` with "Template not found".
        """

        def load(name: str) -> str:
            ref = job.config.includes.get(name)
            if ref is None:
                raise TemplateNotFoundError(f'Template not found: include "{name}" is not pinned')
            return self._store.load_template(ref).steps[0].prompt

        return resolve_includes(self._store.load_template(job.config.template), load)


def make_plan(
    template: Template,
    prices: PriceTable,
    *,
    provider: str,
    model: str | None,
    on: date,
    call_timeout: int | None = None,
) -> Plan:
    """Resolve every step and judge; `model` runs all of them but judges that name their own, and
    replies are waited for `call_timeout` seconds, where they are given. Raises `PriceError` for a
    model that has no valid price on that day, `TemplateError` for a step that its model refuses,
    and where samplers need an extra that is not installed.
    """
    template.samplers.check()

    def plan(step: Step, override: str | None, place: str) -> StepPlan:
        planned = _plan_step(step, prices, place, provider=provider, model=override, on=on)
        return replace(planned, timeout_seconds=call_timeout)

    found = Plan(
        template=template,
        steps=tuple(plan(step, model, f"step {step.id!r}") for step in template.steps),
        judges={
            judge.id: _at_zero(
                plan(
                    judge_step(judge),
                    None if judge.names_model else model,
                    f"check {judge.id!r}",
                )
            )
            for judge in template.checks.judges
        },
    )
    return replace(found, warnings=prices.warnings(each.model for each in found.calls))


def _at_zero(plan: StepPlan) -> StepPlan:
    """A judge that says no temperature: as little chance as its model allows."""
    refused = refusals(plan.price.abilities, plan.api, stop=False, top_p=False, temperature=0.0)
    if plan.step.temperature is not None or refused:
        return plan
    return replace(plan, step=replace(plan.step, temperature=0.0))


def check_steps(template: Template, prices: PriceTable, *, provider: str, on: date) -> None:
    """Raises what `make_plan` does, for a template whose model a job may still name: a step that
    the provider has no model for by itself passes.
    """
    template.samplers.check()
    named = [(f"step {step.id!r}", step) for step in template.steps]
    named += [(f"check {judge.id!r}", judge_step(judge)) for judge in template.checks.judges]
    for place, step in named:
        if not prices.is_open(step, provider):
            _plan_step(step, prices, place, provider=provider, model=None, on=on)


def _plan_step(
    step: Step, prices: PriceTable, place: str, *, provider: str, model: str | None, on: date
) -> StepPlan:
    model_id = prices.resolve_step(step, override=model, provider=provider, on=on, place=place)
    price = prices.price(model_id, on)
    api = prices.api_of(price)
    _check_taken(step, price, api, place)
    form = _form(step.output_schema, price, api)
    return StepPlan(
        step=step,
        model=model_id,
        price=price,
        reader=OutputReader(
            step.output_schema, nullable=frozenset() if form is None else form.nullable
        ),
        form=form,
        api=api,
        max_tokens=min(step.max_tokens, price.max_output_tokens),
        raised_max_tokens=min(2 * step.max_tokens, price.max_output_tokens),
    )


def _check_taken(step: Step, price: Price, api: Api, place: str) -> None:
    """Raises `TemplateError` for what the model is known to refuse: every call would fail."""
    refused = refusals(
        price.abilities,
        api,
        stop=bool(step.stop),
        top_p=step.top_p is not None,
        temperature=step.temperature,
    )
    if refused:
        raise TemplateError(
            f"{place}: {price.model_id} takes no {refused[0]}: leave it out or use another model"
        )


def _form(schema: Mapping[str, object] | None, price: Price, api: Api) -> ProviderSchema | None:
    """How `schema` reaches a model of that price; None if there is no schema."""
    if schema is None:
        return None
    if not price.structured_output:
        return in_words(schema)
    return for_grammar(schema) if api is Api.EMBEDDED else for_service(schema)


def pin_prices(objects: ObjectStore, job_id: str, prices: PriceTable) -> PriceTable:
    """The table this job began with: the first worker stores its own, later ones read that."""
    key = prices_key(job_id)
    try:
        objects.put_if_absent(key, prices.encode(), content_type="application/json")
    except ObjectExistsError:
        return PriceTable.decode(objects.get(key), reach=prices.reach)
    return prices
