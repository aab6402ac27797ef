"""What a job will call: its template with models, prices and output readers resolved."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from functools import partial

import orjson

from runtime.contract.keys import prices_key
from runtime.domain.errors import ObjectExistsError, TemplateNotFoundError
from runtime.domain.jobs.job import Job
from runtime.domain.models.calls import Message, ModelRequest
from runtime.domain.models.price_table import Price, PriceTable
from runtime.domain.ports import ObjectStore, TemplateStore
from runtime.domain.templates.document import resolve_includes
from runtime.domain.templates.template import Step, Template
from runtime.engine.outputs import OutputReader
from runtime.engine.rendering.renderer import TemplateEngine


@dataclass(frozen=True, kw_only=True, slots=True)
class StepPlan:
    """One step, ready to be called. `constrained` models are given the schema itself; others are
    told about it in the prompt.
    """

    step: Step
    model: str
    price: Price
    reader: OutputReader
    constrained: bool
    max_tokens: int

    def request(
        self, messages: tuple[Message, ...], *, system: str | None, model_seed: int
    ) -> ModelRequest:
        """One attempt of this step."""
        return ModelRequest(
            model=self.model,
            messages=messages,
            system=system,
            max_tokens=self.max_tokens,
            temperature=self.step.temperature,
            output_schema=self.step.output_schema if self.constrained else None,
            seed=model_seed,
        )

    def worst_case(self, request: ModelRequest) -> int:
        """Most that `request` can cost, nano-USD."""
        texts: Iterable[str] = (message.text for message in request.messages)
        size = sum(len(text.encode()) for text in texts)
        size += len((request.system or "").encode())
        if request.output_schema is not None:
            size += len(orjson.dumps(request.output_schema))
        return self.price.worst_case(prompt_bytes=size, max_tokens=request.max_tokens)


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """A template whose every step has a model and a price."""

    template: Template
    steps: tuple[StepPlan, ...]

    def checked_by(self, engine: TemplateEngine) -> "Plan":
        """The same plan, with readers that ask the engine's child about schemas that need it.
        The engine has to have the plan's template loaded when they read.
        """
        return replace(
            self,
            steps=tuple(
                replace(
                    each, reader=each.reader.checked_by(partial(engine.check_output, each.step.id))
                )
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
    template: Template, prices: PriceTable, *, provider: str, model: str | None, on: date
) -> Plan:
    """Resolve every step. Raises `PriceError` for a model that has no valid price on that day."""
    return Plan(
        template=template,
        steps=tuple(
            _plan_step(step, prices, provider=provider, model=model, on=on)
            for step in template.steps
        ),
    )


def _plan_step(
    step: Step, prices: PriceTable, *, provider: str, model: str | None, on: date
) -> StepPlan:
    model_id = prices.resolve_step(step, override=model, provider=provider, on=on)
    price = prices.price(model_id, on)
    return StepPlan(
        step=step,
        model=model_id,
        price=price,
        reader=OutputReader(step.output_schema),
        constrained=step.output_schema is not None and price.structured_output,
        max_tokens=min(step.max_tokens, price.max_output_tokens),
    )


def pin_prices(objects: ObjectStore, job_id: str, prices: PriceTable) -> PriceTable:
    """The table this job began with: the first worker stores its own, later ones read that."""
    key = prices_key(job_id)
    try:
        objects.put_if_absent(key, prices.encode(), content_type="application/json")
    except ObjectExistsError:
        return PriceTable.decode(objects.get(key))
    return prices
