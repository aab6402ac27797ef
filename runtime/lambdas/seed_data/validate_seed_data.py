"""POST /seed-data/validate.

A file that no reader gets through (encoding, JSON or CSV syntax, a damaged Parquet file, no seeds)
answers 400 with line and column. A file that is read, with rows that a job would refuse (no object,
another number of cells, a path that the template needs is missing), answers 200 with what is wrong
in which row.
"""

from http import HTTPStatus
from pathlib import PurePosixPath

from runtime.domain.errors import InputError
from runtime.domain.seeds.path import check_seed_path
from runtime.domain.seeds.report import inspect_seeds
from runtime.domain.seeds.seeds import check_suffix
from runtime.lambdas.fields import SeedPath, Uuid
from runtime.lambdas.http import ApiModel, Call, NoBody, endpoint
from runtime.lambdas.templates.template_view import Version
from runtime.service import includes
from runtime.service.access import find_version
from runtime.service.admission import find_seeds
from runtime.service.seed_rows import open_rows


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
    """Where the row begins; null for Parquet."""
    path: str | None
    """The missing path; null: the row is no seed at all."""
    message: str


class SeedValidation(ApiModel):
    """What is in the file."""

    s3_key: str
    version: str | None
    """The version that was read."""
    format: str
    """json, jsonl, csv or parquet."""
    valid: bool
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
    requirements = _requirements(call)
    seeds = find_seeds(call.ports, call.body.s3_key)
    with open_rows(call.ports, seeds) as rows:
        report = inspect_seeds(rows, requirements)
    return SeedValidation(
        s3_key=seeds.key,
        version=seeds.version,
        format=check_suffix(PurePosixPath(seeds.key).name),
        valid=report.total_problems == 0,
        records=report.records,
        paths=list(report.paths),
        types={path: list(kinds) for path, kinds in report.types.items()},
        nulls=dict(report.nulls),
        unread=dict(report.unread),
        warnings=list(report.warnings),
        problems=[
            SeedProblem(row=each.row, line=each.line, path=each.path, message=each.message)
            for each in report.problems
        ],
        total_problems=report.total_problems,
        truncated=report.total_problems > len(report.problems),
    )


def _requirements(call: Call[ValidateRequest, NoBody]) -> tuple[str, ...]:
    """What a job of the template would ask of every seed, for its includes too."""
    template_id, version = call.body.template_id, call.body.template_version
    if template_id is None:
        if version is not None:
            raise InputError("template_version: says nothing without template_id")
        return ()
    _, ref = find_version(call.ports, call.caller, template_id, version)
    template = call.ports.templates.load_template(ref)
    return includes.resolve(call.ports, call.caller, template).template.schema_requirements
