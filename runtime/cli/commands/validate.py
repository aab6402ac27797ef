"""`seedwright validate`: what a template does and, with seeds, its first prompts."""

from collections.abc import Mapping
from textwrap import indent
from typing import Annotated, Any, Final

import orjson
import typer

from runtime.cli.job_options import takes
from runtime.cli.options import (
    BackendOption,
    BaseUrlOption,
    PricesOption,
    TemplateArgument,
)
from runtime.cli.output import print_line, print_text, print_titled
from runtime.cli.seed_sources import seed_sources, shown_sources
from runtime.datasets.checks import StepCheck, check_template
from runtime.domain.models.choice import ModelChoice
from runtime.domain.outputs.types import Scalar, Type, type_text
from runtime.domain.seeds.report import null_lines
from runtime.domain.wording import counted
from runtime.engine.row_sample import RowSample
from runtime.inputs.options import PRICED_BACKEND
from runtime.inputs.seed_reading import SeedReading
from runtime.models.registry import Backend

EXAMPLE: Final = "Example: seedwright validate template.yaml --seeds seeds.csv"


@takes(SeedReading, ModelChoice)
def validate(
    template: TemplateArgument,
    reading: SeedReading,
    models: ModelChoice,
    seeds: Annotated[
        list[str] | None,
        typer.Option("--seeds", help="Check these seeds too, and render with the first."),
    ] = None,
    backend: BackendOption = PRICED_BACKEND,
    base_url: BaseUrlOption = None,
    prices: PricesOption = None,
) -> None:
    """Check a template. With seeds, or if it reads none, show the first prompts. Calls no model."""
    chosen = Backend(backend, base_url)
    found = check_template(
        template,
        seed_sources(seeds),
        reading=reading,
        prices=chosen.prices(prices),
        backend=chosen.name,
        models=models,
    )
    needs = f"needs {', '.join(found.needs) or 'nothing'} of every seed"
    batch = "" if found.batch_of is None else f", {counted(found.batch_of, 'seed')} a record"
    print_line(f"{template}: {counted(len(found.steps), 'step')}, {needs}{batch}")
    for step in found.steps:
        form = f", schema by {step.schema_by}" if step.schema_by else ""
        print_line(f"  {step.id}: {step.model}, at most {counted(step.max_tokens, 'token')}{form}")
        if step.schema_reason is not None:
            print_line(f"    in the prompt only: {step.schema_reason}")
        if step.when is not None:
            print_line(f"    when: {' '.join(step.when.split())}")
    for check in found.checks:
        model = "" if check.judge is None else f", by {check.judge.model}"
        print_line(f"  check {check.id}: {check.text}{model}")
    _print_samples(found.samples)
    if found.seeds is not None:
        named = shown_sources(seeds or ())
        print_line(f"{named}: {counted(found.seeds, 'seed')}, each has what the template needs")
    for needed, kinds in found.types.items():
        print_line(f"  {needed}: {' or '.join(kinds)}")
    _print_rows(found.sample, seeds=found.seeds is not None)
    _warn(*null_lines(found.nulls, seeds=found.seeds or 0), *found.warnings)
    judges = [each.judge for each in found.checks if each.judge is not None]
    for step in (*found.steps, *judges):
        _print_texts(step)


def _print_texts(step: StepCheck) -> None:
    """What is sent for the first record."""
    if step.skipped:
        print_line("")
        print_line(f"{step.id}: skipped with this seed, by its when")
        return
    if step.system:
        print_titled(f"{step.id}: system", step.system)
    for turn in step.messages:
        print_titled(f"{step.id}: {turn.role}, before the prompt", turn.text)
    if step.prompt is not None:
        print_titled(f"{step.id}: prompt", step.prompt)


def _print_samples(samples: Mapping[str, Any]) -> None:
    """What is drawn for the first record."""
    if samples:
        print_line("samples of the first record:")
    for name, value in samples.items():
        print_line(f"  {name}: {orjson.dumps(value).decode()}")


def _print_rows(sample: RowSample, *, seeds: bool) -> None:
    """The columns of a row with their types, and the first row, of texts that stand for outputs."""
    if not sample.columns:
        print_line(f"rows: {sample.shape}, as they are stored")
        return
    print_line(f"rows: {sample.shape}")
    for name, kind in sample.columns.items():
        print_line(f"  {name}: {type_text(kind)}{_note(kind)}")
    if sample.seed_fields and not seeds:
        print_line("  (--seeds says the types of seed fields)")
    if sample.problem is not None:
        print_line(f"warning: with made-up outputs there is no row: {sample.problem}")
    elif sample.row is not None:
        # Indented, so that no line of it is taken for one of this command.
        row = orjson.dumps(sample.row, option=orjson.OPT_INDENT_2).decode()
        print_line("  the first one, with made-up outputs:")
        print_text(indent(row, "    "))


def _note(kind: Type) -> str:
    return " (any value; JSON text in files without such a type)" if kind is Scalar.JSON else ""


def _warn(*warnings: str) -> None:
    for warning in warnings:
        print_line(f"warning: {warning}")
