"""POST /seed-data/validate.

A file of gigabytes takes longer than a request may: it is read as far as there is time, and
`complete` says whether that was to its end. The job's worker checks all of it before its first
call.

A file that no reader gets through (encoding, JSON or CSV syntax, a damaged Parquet file, no seeds)
answers 400 with line and column. A file that is read, with rows that a job would refuse (no object,
another number of cells, a path that the template needs is missing), answers 200 with what is wrong
in which row. So does a file of which no seed has a field that rows are to have: at its first row.
"""

from collections.abc import Iterator
from http import HTTPStatus
from pathlib import PurePosixPath
from typing import Final

from runtime.domain.errors import InputError, TemplateError
from runtime.domain.jobs.sampling import Draws
from runtime.domain.seeds.absent import AbsentFields
from runtime.domain.seeds.path import check_seed_path
from runtime.domain.seeds.readers import Found, Row
from runtime.domain.seeds.report import MAX_PROBLEMS, RowProblem, SeedReport, inspect_seeds
from runtime.domain.seeds.seeds import check_suffix
from runtime.domain.templates.seed_needs import row_fields
from runtime.domain.templates.template import Template
from runtime.engine.dry_run import render_record
from runtime.engine.rendering.renderer import TemplateEngine
from runtime.lambdas.fields import SeedPath, Uuid
from runtime.lambdas.http import ApiModel, Call, NoBody, endpoint
from runtime.lambdas.templates.template_view import Version
from runtime.service import includes
from runtime.service.access import find_version
from runtime.service.admission import find_seeds
from runtime.service.seed_rows import open_rows

READ_SECONDS: Final = 15.0
"""Of the 29 that a request has: the rest is for finding the file and for the prompts."""
MAX_SHOWN: Final = 2000


class ValidateRequest(ApiModel):
    """Which file, and for which template."""

    s3_key: SeedPath
    """Key of an uploaded seed file of yours."""
    template_id: Uuid | None = None
    """Whose requirements every seed is held to; none by default."""
    template_version: Version | None = None
    """The latest one by default."""


class SeedProblem(ApiModel):
    """Something that a job would refuse."""

    row: int
    """Counts from 1."""
    line: int | None
    """Where the row begins; null for Parquet, and for what no row has."""
    path: str | None
    """The missing path; null: the row is no seed at all."""
    message: str


class FirstPrompt(ApiModel):
    """The texts of a step for the first seed that has what is needed, cut to 2000 characters.
    Outputs of earlier steps are stand-ins.
    """

    step_id: str
    prompt: str
    system: str | None


class SeedValidation(ApiModel):
    """What is in the file."""

    s3_key: str
    version: str | None
    """The version that was read."""
    format: str
    """json, jsonl, csv or parquet."""
    valid: bool
    complete: bool
    """Whether the file was read to its end; else everything here is of its first `records`."""
    records: int
    paths: list[str]
    """Dotted paths that templates can read; of the first 1000 seeds, at most 200."""
    types: dict[str, list[str]]
    """What stands at each path: text, integer, number, boolean, null, list, object. Every cell of a
    CSV file is a text, also `false`, which is true in a condition.
    """
    nulls: dict[str, int]
    """In how many seeds a path that the template needs leads to null, where there is one."""
    unread: dict[str, str]
    """What can't be read and is left out of every seed: its type by dotted path."""
    repeated_ids: int
    """Seeds with an id that an earlier one has."""
    first_prompts: list[FirstPrompt]
    """One for each step; empty without a template, or where no seed has what it needs."""
    warnings: list[str]
    """What is odd, and no reason to refuse the file, such as an id that comes twice."""
    problems: list[SeedProblem]
    """The first 20."""
    total_problems: int
    truncated: bool
    """Whether there are more problems than are listed."""


@endpoint(
    body=ValidateRequest,
    query=NoBody,
    answers={HTTPStatus.OK: SeedValidation},
    errors=(HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND),
)
def lambda_handler(call: Call[ValidateRequest, NoBody]) -> SeedValidation:
    """Read a seed file of yours from end to end and report what is in it and what is wrong."""
    check_seed_path(call.caller, call.body.s3_key)
    template, clock = _template(call), call.ports.clock
    seeds = find_seeds(call.ports, call.body.s3_key)
    until = clock.monotonic() + READ_SECONDS
    absent = AbsentFields(() if template is None else row_fields(template))
    with open_rows(call.ports, seeds) as rows:
        report = inspect_seeds(
            _watched(rows, absent),
            () if template is None else template.schema_requirements,
            enough=lambda: clock.monotonic() >= until,
        )
    prompts, problem = _first_prompts(template, report.first)
    problems, more = _absent_fields(absent, report)
    listed = [*problems, *report.problems][:MAX_PROBLEMS]
    total = len(problems) + report.total_problems
    return SeedValidation(
        s3_key=seeds.key,
        version=seeds.version,
        format=check_suffix(PurePosixPath(seeds.key).name),
        valid=total == 0,
        complete=report.complete,
        records=report.records,
        paths=list(report.paths),
        types={path: list(kinds) for path, kinds in report.types.items()},
        nulls=dict(report.nulls),
        unread=dict(report.unread),
        repeated_ids=report.repeated_ids,
        first_prompts=prompts,
        warnings=[*report.warnings, *problem, *more],
        problems=[
            SeedProblem(row=each.row, line=each.line, path=each.path, message=each.message)
            for each in listed
        ],
        total_problems=total,
        truncated=total > len(listed),
    )


def _watched(rows: Iterator[Found], absent: AbsentFields) -> Iterator[Found]:
    for found in rows:
        if absent and found.row is not None:
            absent.add(found.row)
        yield found


def _absent_fields(absent: AbsentFields, report: SeedReport) -> tuple[list[RowProblem], list[str]]:
    """Of fields of rows that no seed has, at the first seed; warnings, where there may be more
    seeds.
    """
    if not report.complete:
        who = f"none of the first {report.records} seeds"
        return [], [message for _, message in absent.problems(who)]
    return [
        RowProblem(row=1, line=None, path=path, message=message)
        for path, message in absent.problems()
    ], []


def _template(call: Call[ValidateRequest, NoBody]) -> Template | None:
    """The template that a job would have, with its includes."""
    template_id, version = call.body.template_id, call.body.template_version
    if template_id is None:
        if version is not None:
            raise InputError("template_version: says nothing without template_id")
        return None
    _, ref = find_version(call.ports, call.caller, template_id, version)
    template = call.ports.templates.load_template(ref)
    return includes.resolve(call.ports, call.caller, template).template


def _first_prompts(
    template: Template | None, seed: Row | None
) -> tuple[list[FirstPrompt], tuple[str, ...]]:
    """And why there are none, where the template can't be rendered with the seed."""
    if template is None or seed is None:
        return [], ()
    try:
        with TemplateEngine() as engine:
            engine.load(template)
            rendered = render_record(engine, template, [seed], job_id="", index=0, draws=Draws())
    except TemplateError as error:
        return [], (f"the first prompt can't be rendered: {error}",)
    return [
        FirstPrompt(
            step_id=each.step.id,
            prompt=_cut(each.prompt),
            system=None if each.system is None else _cut(each.system),
        )
        for each in rendered
        if not each.skipped
    ], ()


def _cut(text: str) -> str:
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"
