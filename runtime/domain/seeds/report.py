"""What is in a seed file and what is wrong with it, row by row, in constant memory."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from runtime.domain.seeds.readers import Found, Row
from runtime.domain.seeds.seeds import has_path

MAX_PROBLEMS: Final = 20
MAX_PATHS: Final = 200
MAX_SAMPLED: Final = 1000
"""Rows whose paths are collected."""

_MAX_PATH_CHARACTERS: Final = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class RowProblem:
    """Why a job would refuse a row. `row` counts from 1; `path` is what the row lacks, None: it is
    no seed.
    """

    row: int
    line: int | None
    path: str | None
    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class SeedReport:
    """A file that was read to its end. `problems` are the first `MAX_PROBLEMS`."""

    records: int
    paths: tuple[str, ...]
    """Dotted paths of the first rows that a template can read, in order of appearance."""
    problems: tuple[RowProblem, ...]
    total_problems: int


def inspect_seeds(rows: Iterable[Found], requirements: Sequence[str]) -> SeedReport:
    """Look at every row. Raises what reading `rows` raises."""
    records = total = 0
    paths: dict[str, None] = {}
    problems: list[RowProblem] = []
    for records, found in enumerate(rows, start=1):
        if found.row is not None and records <= MAX_SAMPLED and len(paths) < MAX_PATHS:
            paths.update(dict.fromkeys(_paths(found.row)))
        for path, message in _problems(found, requirements):
            total += 1
            if len(problems) < MAX_PROBLEMS:
                problems.append(
                    RowProblem(row=records, line=found.line, path=path, message=message)
                )
    return SeedReport(
        records=records,
        paths=tuple(paths)[:MAX_PATHS],
        problems=tuple(problems),
        total_problems=total,
    )


def _problems(found: Found, requirements: Sequence[str]) -> Iterator[tuple[str | None, str]]:
    if found.row is None:
        yield None, found.problem
        return
    for path in requirements:
        if not has_path(found.row, path):
            yield path, f"the template needs {path!r}, which this seed lacks"


def _paths(row: Row) -> Iterator[str]:
    """Paths of values that are no objects, and of empty objects; as many as a report shows."""
    pending = list(reversed(list(row.items())))
    count = 0
    while pending and count < MAX_PATHS:
        path, value = pending.pop()
        if len(path) > _MAX_PATH_CHARACTERS:
            continue
        if isinstance(value, dict) and value:
            pending += [(f"{path}.{name}", each) for name, each in reversed(value.items())]
            continue
        count += 1
        yield path
