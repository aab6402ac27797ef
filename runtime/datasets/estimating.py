"""What a dataset would cost: from its prompts alone, or with a pilot, which calls its models."""

from dataclasses import dataclass, fields, replace
from decimal import Decimal

from runtime.datasets.checks import plan_of
from runtime.datasets.pilot import Pilot, RunPilot, check_pilot, run_pilot
from runtime.datasets.request import DatasetRequest
from runtime.domain.jobs.sampling import Draws
from runtime.domain.models.choice import ModelChoice
from runtime.domain.models.price_table import PriceTable
from runtime.domain.money.acceptance_rate import read_acceptance
from runtime.domain.money.amounts import usd_decimal
from runtime.domain.money.estimate import Estimate
from runtime.domain.money.estimate_text import LIKELY_ASSUMES
from runtime.engine.estimating import estimate_cost, sample_costs, scale_costs
from runtime.engine.rendering.renderer import TemplateEngine
from runtime.inputs.needs import check_row_fields, read_needed_seeds
from runtime.inputs.options import check_count
from runtime.inputs.seed_reading import SeedReading
from runtime.inputs.seeds import SeedFile, SeedSource
from runtime.inputs.templates import TemplateSource, read_template


@dataclass(frozen=True, kw_only=True, slots=True)
class CostEstimate(Estimate):
    """What a dataset would cost, in all and by step. The highest is enough as a budget; money is in
    nano-USD, and in USD by the properties.
    """

    pilot: Pilot | None = None
    """What a pilot has shown; None: there was none."""

    @property
    def lowest_usd(self) -> Decimal:
        """If every answer is short."""
        return Decimal(usd_decimal(self.lowest_nano))

    @property
    def likely_usd(self) -> Decimal:
        """If answers take half of their tokens."""
        return Decimal(usd_decimal(self.likely_nano))

    @property
    def highest_usd(self) -> Decimal:
        """If every answer takes all of its tokens."""
        return Decimal(usd_decimal(self.highest_nano))

    def document(self) -> dict[str, object]:
        """The figures for scripts, as JSON has them; money is a decimal text."""
        return {
            "records": self.records,
            "tries": self.records if self.tries is None else self.tries,
            "models": list(self.models),
            "lowest_usd": usd_decimal(self.lowest_nano),
            "likely_usd": usd_decimal(self.likely_nano),
            "highest_usd": usd_decimal(self.highest_nano),
            "likely_tokens": self.likely_tokens,
            "likely_assumes": LIKELY_ASSUMES,
            "checks_assume": self.checks_assume,
            **({} if self.pilot is None else {"pilot": self.pilot.document()}),
            "warnings": list(self.warnings),
            "steps": {
                each.step: {
                    "model": each.model,
                    "tokens_in": each.tokens_in,
                    "tokens_out": each.tokens_out,
                    "lowest_usd": usd_decimal(each.lowest_nano),
                    "likely_usd": usd_decimal(each.likely_nano),
                    "highest_usd": usd_decimal(each.highest_nano),
                    "too_long": each.too_long,
                }
                for each in self.steps
            },
        }


def estimate_dataset(
    template: TemplateSource,
    seeds: SeedSource | None,
    *,
    num_records: int,
    prices: PriceTable,
    backend: str,
    models: ModelChoice,
    draws: Draws,
    reading: SeedReading | None = None,
    acceptance: object = None,
) -> CostEstimate:
    """What a dataset would cost, from a spread of rendered records. `acceptance` is the share of
    tries that checks accept, such as 0.4 or "40%"; None: each record is accepted at once.

    Raises `TemplateError`, `SeedError`, `PriceError` or another `InputError`.
    """
    count = check_count(num_records)
    rate = None if acceptance is None else read_acceptance(acceptance, records=count)
    checked = read_template(template)
    file = read_needed_seeds(seeds, checked, reading)
    check_row_fields(file, checked)
    plan = plan_of(checked, prices, backend=backend, models=models)
    rows = None if file is None else file.rows
    with TemplateEngine() as engine:
        engine.load(checked)
        found = estimate_cost(engine, plan, rows, records=count, draws=draws, acceptance=rate)
    return _cost_estimate(found, file)


def estimate_by_pilot(
    request: DatasetRequest, *, prices: PriceTable, tries: int, budget: object, run: RunPilot
) -> CostEstimate:
    """The same, with the acceptance rate of a pilot: so many tries that `run` makes for real,
    within the request's budget. `budget` is what the user said of it: None is refused where a model
    bills. The request's seeds are closed by it.

    Raises what `estimate_dataset` raises before anything is paid, and what `run_pilot` does.
    """
    check_row_fields(request.seeds, request.template)
    plan = plan_of(request.template, prices, backend=request.backend.name, models=request.models)
    check_pilot(plan, tries, budget)
    records = request.num_records
    with TemplateEngine() as engine:
        engine.load(request.template)
        # Before the pilot: it takes the seeds.
        priced = sample_costs(engine, plan, request.rows, records=records, draws=request.draws)
    pilot = run_pilot(request, tries=tries, run=run)
    found = scale_costs(plan, priced, records=records, acceptance=pilot.acceptance)
    return replace(_cost_estimate(found, request.seeds), pilot=pilot)


def _cost_estimate(found: Estimate, file: SeedFile | None) -> CostEstimate:
    own = {each.name: getattr(found, each.name) for each in fields(Estimate)}
    own["warnings"] = (*([] if file is None else file.notices), *found.warnings)
    return CostEstimate(**own)
