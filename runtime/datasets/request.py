"""What a dataset is asked to be, checked before anything is created or paid for."""

import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Self

import orjson

from runtime.domain.jobs.delivery import FOR_PEOPLE, Delivery
from runtime.domain.jobs.sampling import IN_ORDER, Draws, SeedStrategy
from runtime.domain.models.choice import ModelChoice
from runtime.domain.money.amounts import parse_usd
from runtime.domain.options import identity
from runtime.domain.templates.document import complete_document
from runtime.domain.templates.template import Template
from runtime.inputs.options import check_count
from runtime.inputs.seeds import SeedFile, SeedSource, read_seeds
from runtime.inputs.templates import TemplateSource, read_template
from runtime.models.registry import check_provider

DEFAULT_BUDGET: Final = "1.00"
_NAMESPACE: Final = uuid.UUID("6a1f1c0e-6d0f-4a43-9f0b-6a3c5f8a7c11")


@dataclass(frozen=True, kw_only=True, slots=True)
class DatasetRequest:
    """What is asked for. The first part is its identity and can't change in a folder."""

    template: Template
    seeds: SeedFile
    num_records: int
    draws: Draws
    models: ModelChoice
    backend: str
    budget_nano: int
    delivery: Delivery
    strategy_chosen: bool
    """Whether a user named the seed strategy. If not, a folder of an earlier version keeps its
    own.
    """

    def identity(self) -> dict[str, object]:
        """The choices that make one dataset another, by the words users know them by."""
        document = orjson.dumps(complete_document(self.template), option=orjson.OPT_SORT_KEYS)
        return {
            "template": hashlib.sha256(document).hexdigest(),
            "seeds": self.seeds.sha256,
            "-n": self.num_records,
            **identity(self.draws, self.models),
            "--backend": self.backend,
        }

    def going_on(self, stored: Mapping[str, object]) -> Self:
        """The request as a folder with this stored identity means it: a folder of before the
        scheme of draws goes on with the scheme it began with.
        """
        draws, own = self.draws, str(stored.get("--seed-strategy"))
        if "--draws" not in stored:
            draws = replace(draws, scheme=1)
            if not self.strategy_chosen and own in set(SeedStrategy):
                draws = replace(draws, seed_strategy=SeedStrategy(own))
        if {own, draws.seed_strategy} <= IN_ORDER:
            draws = replace(draws, seed_strategy=SeedStrategy(own))
        return replace(self, draws=draws)

    def job_id(self) -> str:
        """Depends on what decides the prompts, and not on how many or by which model."""
        identity = self.identity()
        drawn = ("template", "seeds", "--seed-strategy", "--random-seed")
        return str(uuid.uuid5(_NAMESPACE, orjson.dumps([identity[key] for key in drawn]).decode()))


def read_request(
    template: TemplateSource,
    seeds: SeedSource,
    *,
    num_records: int,
    budget: object = DEFAULT_BUDGET,
    backend: str,
    draws: Draws | None = None,
    strategy_chosen: bool = True,
    models: ModelChoice | None = None,
    delivery: Delivery = FOR_PEOPLE,
) -> DatasetRequest:
    """Everything that is asked for, read and checked. `budget` is in USD. Raises `InputError`."""
    checked = read_template(template)
    return DatasetRequest(
        template=checked,
        num_records=check_count(num_records),
        budget_nano=parse_usd(budget),
        seeds=read_seeds(seeds, checked.schema_requirements),
        draws=draws or Draws(),
        strategy_chosen=draws is not None and strategy_chosen,
        models=models or ModelChoice(),
        backend=check_provider(backend),
        delivery=delivery,
    )
