"""What the sources of a template read, and what is wrong with a path that one of them reads."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from runtime.domain.hints import hint_for
from runtime.domain.templates.scope import NO_FIELDS

Problem = Callable[[Sequence[str]], str | None]
"""Why a path below a name can't be read; None: it can."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Findings:
    """What the sources of a template read: dotted seed paths and included names, sorted.
    `seed_reads` are the paths that texts of rows read, too; `seed` is the whole seed. `row_reads`
    are those of texts of rows alone.
    """

    requirements: tuple[str, ...]
    seed_reads: tuple[str, ...]
    row_reads: tuple[str, ...]
    includes: tuple[str, ...]


def step_problem(
    path: Sequence[str], earlier: Sequence[str], step_ids: Sequence[str]
) -> str | None:
    """Why `steps.<path>` can't be read after the `earlier` steps; None: it can."""
    known = ", ".join(earlier) or "none"
    if not path:
        return f"write steps.<id>.output; steps before this one: {known}"
    if path[0] not in earlier:
        problem = "runs later" if path[0] in step_ids else "does not exist"
        return f'step "{path[0]}" {problem}; steps before this one: {known}'
    if tuple(path[1:2]) != ("output",):
        return f"write steps.{path[0]}.output"
    return None


def sample_problem(path: Sequence[str], samples: Sequence[str]) -> str | None:
    """Why `samples.<path>` can't be read; None: it can, as can all of them together."""
    if not path or path[0] in samples:
        return None
    known = ", ".join(samples)
    hint = hint_for(path[0], samples)
    return f'there is no sampler "{path[0]}"{hint}; the samplers are {known}'


def batch_problem(name: str) -> str | None:
    """Why a name can't be read where a record has several seeds; None: it can."""
    if name in ("seeds", *NO_FIELDS):
        return None
    field = "title" if name == "seed" else name
    return (
        f'"{name}": with batch_of a record has several seeds: write seeds[0].{field}, or a loop'
        " over seeds"
    )
