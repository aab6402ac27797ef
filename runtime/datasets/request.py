"""What a dataset is asked to be, checked before anything is created or paid for."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Self

from runtime.datasets.identity import (
    job_id_of,
    stored_job_id,
    template_digest,
    template_digest_of_before,
)
from runtime.domain.checks.acceptance import Acceptance
from runtime.domain.jobs.delivery import FOR_PEOPLE, Delivery
from runtime.domain.jobs.sampling import IN_ORDER, Draws, SeedStrategy
from runtime.domain.models.call_options import CallOptions
from runtime.domain.models.choice import ModelChoice
from runtime.domain.money.amounts import parse_usd
from runtime.domain.options import identity
from runtime.domain.templates.template import Template
from runtime.files.rows import SeedRows
from runtime.inputs.needs import read_needed_seeds
from runtime.inputs.options import check_count
from runtime.inputs.seed_reading import SeedReading
from runtime.inputs.seeds import SeedFile, SeedSource
from runtime.inputs.templates import TemplateSource, read_template
from runtime.models.registry import Backend

DEFAULT_BUDGET: Final = "1.00"

NO_SEEDS: Final = "none"
"""In the identity of a dataset, in place of a digest."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DatasetRequest:
    """What is asked for. The first part is its identity and can't change in a folder; the number of
    records may grow.
    """

    template: Template
    seeds: SeedFile | None
    """None: the template reads none."""
    draws: Draws
    models: ModelChoice
    calls: CallOptions
    backend: Backend
    num_records: int
    budget_nano: int
    delivery: Delivery
    acceptance: Acceptance
    """Tries, where the template has checks; `max_candidates` None: what the dataset has, or the
    default of a new one.
    """
    strategy_chosen: bool
    """Whether a user named the seed strategy. If not, a folder of an earlier version keeps its
    own.
    """
    retry_failed: bool = False
    """Whether records that failed for a reason of their own are tried again."""
    shards: int | None = None
    """Into how many parts a new dataset is split for workers side by side; None or 1: it is not."""
    begun_as: str | None = None
    """Id of the job that the folder has for this dataset; None: it has none yet."""

    def identity(self) -> dict[str, object]:
        """The choices that make one dataset another, by the words users know them by."""
        return {
            "template": template_digest(self.template),
            "seeds": NO_SEEDS if self.seeds is None else self.seeds.sha256,
            **identity(self.draws, self.models, self.acceptance),
            "--backend": self.backend.name,
        }

    @property
    def rows(self) -> SeedRows | None:
        """The seeds, None without any."""
        return None if self.seeds is None else self.seeds.rows

    def going_on(self, stored: Mapping[str, object]) -> Self:
        """The request as a folder with this stored identity means it: with the id of its job, and
        a folder of before the scheme of draws goes on with the scheme it began with.
        """
        draws, own = self.draws, str(stored.get("--seed-strategy"))
        if "--draws" not in stored:
            draws = replace(draws, scheme=1)
            if not self.strategy_chosen and own in set(SeedStrategy):
                draws = replace(draws, seed_strategy=SeedStrategy(own))
        if {own, draws.seed_strategy} <= IN_ORDER:
            draws = replace(draws, seed_strategy=SeedStrategy(own))
        return replace(self, draws=draws, begun_as=stored_job_id(stored))

    def differs_from(self, stored: Mapping[str, object]) -> list[str]:
        """The choices in which this is another dataset than the stored one."""
        wanted: dict[str, object] = self.identity()
        if stored.get("template") == template_digest_of_before(self.template):
            del wanted["template"]
        return [name for name in wanted if stored.get(name) != wanted[name]]

    def job_id(self) -> str:
        """The id of the dataset's job: the folder's own, or that of a new one."""
        return self.begun_as or job_id_of(self.identity())


def read_request(
    template: TemplateSource,
    seeds: SeedSource | None,
    *,
    num_records: int,
    reading: SeedReading | None = None,
    budget: object = DEFAULT_BUDGET,
    backend: str,
    base_url: str | None = None,
    draws: Draws | None = None,
    strategy_chosen: bool = True,
    models: ModelChoice | None = None,
    calls: CallOptions | None = None,
    delivery: Delivery = FOR_PEOPLE,
    acceptance: Acceptance | None = None,
    retry_failed: bool = False,
    shards: int | None = None,
) -> DatasetRequest:
    """Everything that is asked for, read and checked. `budget` is in USD; `seeds` may be None where
    the template reads none; `base_url` is where the backend `openai` is. Raises `InputError`, or
    `ConfigurationError` for a provider that can't be used.
    """
    chosen = Backend(backend, base_url)
    checked, count = read_template(template), check_count(num_records)
    tries = acceptance or Acceptance()
    tries.pinned(count, has_checks=bool(checked.checks))  # refused before anything is read
    return DatasetRequest(
        template=checked,
        num_records=count,
        budget_nano=parse_usd(budget),
        seeds=read_needed_seeds(seeds, checked, reading),
        draws=draws or Draws(),
        strategy_chosen=draws is not None and strategy_chosen,
        models=models or ModelChoice(),
        calls=calls or CallOptions(),
        backend=chosen,
        delivery=delivery,
        acceptance=tries,
        retry_failed=retry_failed,
        shards=shards,
    )
