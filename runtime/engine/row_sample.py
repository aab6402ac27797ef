"""The first row of a template before anything is paid for: of made-up outputs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from runtime.domain.jobs.drawing import draw_record
from runtime.domain.jobs.sampling import Draws
from runtime.domain.outputs.shape import Shape
from runtime.domain.outputs.types import Type
from runtime.domain.seeds.seeds import Row, seed_id
from runtime.domain.templates.template import Template
from runtime.engine.dry_run import example_outputs
from runtime.engine.rendering.renderer import TemplateEngine
from runtime.engine.rows import RowMaker, RowProblem
from runtime.engine.seeds import DrawnSeed


@dataclass(frozen=True, kw_only=True, slots=True)
class RowSample:
    """A row as `output:` makes it. `columns` are the columns and their types, none for records.
    `problem` says why there is no row.
    """

    shape: Shape
    columns: Mapping[str, Type] = field(default_factory=dict)
    seed_fields: tuple[str, ...] = ()
    """The seed fields in it, by their dotted paths: the seeds say their types."""
    row: Mapping[str, Any] | None = None
    problem: str | None = None


def sample_row(
    engine: TemplateEngine,
    template: Template,
    seed: Row,
    *,
    seeds: Mapping[str, Type] | None = None,
    results: Mapping[str, Mapping[str, object]] | None = None,
    samples: Mapping[str, Any] | None = None,
) -> RowSample:
    """The row of a record that sees `seed` and has these results of its steps, or made-up outputs.
    `seeds` are the types of seed fields: without them these are json. Without `samples` the first
    ones are drawn.
    """
    shape = template.output.shape
    if shape is Shape.RECORDS:
        return RowSample(shape=shape)
    maker = RowMaker(template, engine, seeds=seeds)
    record = {
        "id": "example-0",
        "index": 0,
        "seed_data_id": seed_id(seed, 0),
        "generation_result": example_outputs(template) if results is None else results,
        "checks": _example_scores(template) if results is None else {},
    }
    problems: list[RowProblem] = []
    drawn = DrawnSeed(
        row=seed,
        entropy=0,
        samples=first_samples(template) if samples is None else samples,
    )
    # Of a pair both sides are the same here: no other try was made.
    found = list(maker.rows([record], lambda _index: drawn, problems.append, lambda _index: record))
    problem = f"{problems[0].column}: {problems[0].message}" if problems else None
    return RowSample(
        shape=shape,
        columns=maker.schema,
        seed_fields=template.output.seed_paths(),
        row=found[0][1] if found else None,
        problem=problem,
    )


def _example_scores(template: Template) -> Mapping[str, Any]:
    """What judges might say: the first option of each score."""
    return {
        judge.id: {
            "scores": {
                each.name: {"reasoning": "…", "score": next(iter(each.options))}
                for each in judge.scores
            }
        }
        for judge in template.checks.judges
    }


def first_samples(template: Template) -> Mapping[str, Any]:
    """What the samplers of a template draw for the first record of a job with one seed."""
    return draw_record(template.samplers, "", 0, rows=1, draws=Draws()).samples
