"""What is in a seed file and what is wrong with it, row by row, in the memory of a few."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from runtime.domain.seeds.ids import Ids
from runtime.domain.seeds.readers import Found, Row
from runtime.domain.seeds.seeds import lacks, seed_id, value_at
from runtime.domain.wording import counted

MAX_PROBLEMS: Final = 20
MAX_PATHS: Final = 200
MAX_SAMPLED: Final = 1000
"""Rows whose paths are collected."""

_MAX_PATH_CHARACTERS: Final = 200
_NOTHING: Final = object()


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
    """A file that was read, as far as there was time. `problems` are the first `MAX_PROBLEMS`."""

    records: int
    types: Mapping[str, tuple[str, ...]]
    """Dotted paths of the first rows that a template can read, in order of appearance, each with
    what stands there: text, integer, number, boolean, null, list or object.
    """
    nulls: Mapping[str, int]
    """In how many rows a required path leads to null, where there is one."""
    unread: Mapping[str, str]
    """What rows lack because it can't be read: its type by dotted path."""
    repeated_ids: int
    """Seeds with an id that an earlier one has."""
    warnings: tuple[str, ...]
    """What is odd about the seeds, and no reason to refuse them."""
    first: Row | None
    """The first row that has what is required."""
    complete: bool
    """Whether the file was read to its end."""
    problems: tuple[RowProblem, ...]
    total_problems: int

    @property
    def paths(self) -> tuple[str, ...]:
        return tuple(self.types)


def inspect_seeds(
    rows: Iterable[Found],
    requirements: Sequence[str],
    *,
    enough: Callable[[], bool] = lambda: False,
) -> SeedReport:
    """Look at every row, until `enough`, which is asked now and then, says that the rest can wait.
    Raises what reading `rows` raises.
    """
    records = total = 0
    first: Row | None = None
    complete = True
    types: dict[str, dict[str, None]] = {}
    nulls: Counter[str] = Counter()
    unread: Mapping[str, str] = {}
    problems: list[RowProblem] = []
    ids = Ids()
    for records, found in enumerate(rows, start=1):
        row, unread = found.row or {}, found.unread
        ids.add(seed_id(row, records - 1))
        nulls.update(null_paths(row, requirements))
        if records <= MAX_SAMPLED:
            for path, kind in value_paths(row):
                if path in types or len(types) < MAX_PATHS:
                    types.setdefault(path, {})[kind] = None
        before = total
        for lacking, message in _problems(found, requirements):
            total += 1
            if len(problems) < MAX_PROBLEMS:
                problems.append(
                    RowProblem(row=records, line=found.line, path=lacking, message=message)
                )
        if first is None and total == before:
            first = found.row
        if records % MAX_SAMPLED == 0 and enough():
            complete = False
            break
    repeats = ids.repeats()
    return SeedReport(
        records=records,
        types={path: tuple(kinds) for path, kinds in types.items()},
        nulls=dict(nulls),
        unread=unread,
        repeated_ids=repeats.count,
        warnings=repeats.warnings(),
        first=first,
        complete=complete,
        problems=tuple(problems),
        total_problems=total,
    )


def null_paths(row: Row, requirements: Sequence[str]) -> Iterator[str]:
    """The required paths that lead to null: a prompt that prints one fails its record."""
    return (path for path in requirements if value_at(row, path, _NOTHING) is None)


def null_lines(nulls: Mapping[str, int], *, seeds: int) -> list[str]:
    """How many of all seeds have a null on which path, for people."""
    return [
        f"{path} is null in {count} of {counted(seeds, 'seed')}: a prompt that prints it without a"
        " default fails their records"
        for path, count in nulls.items()
        if count
    ]


def _problems(found: Found, requirements: Sequence[str]) -> Iterator[tuple[str | None, str]]:
    if found.row is None:
        yield None, found.problem
    yield from lacks(found, requirements)


def value_paths(row: Row) -> Iterator[tuple[str, str]]:
    """Paths and types of values that are no objects, and of empty objects; as many as a report
    shows.
    """
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
        yield path, _type_of(value)


def _type_of(value: object) -> str:
    return "null" if value is None else _TYPES[type(value)]


_TYPES: Final[Mapping[type, str]] = {
    str: "text",
    bool: "boolean",
    int: "integer",
    float: "number",
    list: "list",
    dict: "object",
}
