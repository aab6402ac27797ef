"""Judges a template's Jinja2 source by its syntax tree, before anything is compiled or run.

What isn't on an allow-list of `policy` is refused: node types, filters, tests, calls. The
same walk finds what the template needs: the seed paths it reads and the names it includes.

A template sees every top-level field of the seed whose name is an identifier, `seed` (the whole
seed), `samples` where it has samplers, `steps` (`steps.<id>.output` of the steps before it) and
`index` (the record's number); of a batch `seeds`, a list, in place of the seed. A check sees all
steps, `checks` (the verdicts before it), and a judge's condition its `scores`. An included fragment
is walked in place, with the names that are bound where it is included.
"""

from collections.abc import Mapping, Sequence
from functools import cache, partial

from jinja2 import Environment

from runtime.domain.checks.check import NO_CHECKS, Checks
from runtime.domain.errors import TemplateError
from runtime.domain.outputs.values import Text
from runtime.domain.templates import policy
from runtime.domain.templates.check_reads import condition_names
from runtime.domain.templates.judging import sources_of
from runtime.domain.templates.reads import Findings, Problem, sample_problem
from runtime.domain.templates.scope import Scope
from runtime.domain.templates.template import WHEN, Step
from runtime.domain.templates.walk import Walk


def check_template(
    steps: Sequence[Step],
    fragments: Mapping[str, str],
    *,
    texts: Sequence[tuple[str, Text]] = (),
    batch: bool = False,
    samples: tuple[str, ...] = (),
    checks: Checks = NO_CHECKS,
) -> Findings:
    """Check every text and condition of the steps and the `checks`, and the `texts` of rows, each
    with its place. Included names without a fragment are left for later. A `batch` has several
    seeds a record; `samples` are the names of the template's samplers.

    Only steps and checks require something of a seed. Raises `TemplateError` with
    the step or check and the line of the first thing that isn't allowed.
    """
    # A fragment that is included again and again is parsed once.
    parse = cache(Environment(**policy.SYNTAX).parse)  # noqa: S701 - prompts are text, not HTML
    ids = tuple(step.id for step in steps)
    required: set[str] = set()
    read, of_rows = set[str](), set[str]()
    included: set[str] = set()
    nodes_left = policy.MAX_NODES
    everywhere: Mapping[str, Problem] = (
        {"samples": partial(sample_problem, samples=samples)} if samples else {}
    )

    def walk(
        place: str,
        source: str,
        earlier: tuple[str, ...],
        names: Mapping[str, Problem] = everywhere,
    ) -> Walk:
        nonlocal nodes_left
        found = Walk(
            parse=parse,
            place=place,
            earlier=earlier,
            step_ids=ids,
            names=names,
            fragments=fragments,
            nodes_left=nodes_left,
            batch=batch,
        )
        found.source(source, Scope())
        nodes_left = found.nodes_left
        read.update(found.unguarded(), found.whole)
        return found

    for position, step in enumerate(steps):
        for part, source in (*step.sources(), (WHEN, step.condition or "")):
            found = walk(f'step "{step.id}", {part}', source, ids[:position])
            required |= found.unguarded()
            included |= found.included
    for check in checks.of_record:
        for part, source in sources_of(check):
            names = {**everywhere, **condition_names(checks, check, part)}
            found = walk(f'check "{check.id}", {part}', source, ids, names)
            required |= found.unguarded()
            included |= found.included
    for place, text in texts:
        found = walk(f"output, {place}", text.source, ids)
        of_rows |= found.unguarded()
        if found.included:
            raise TemplateError(f"output, {place}: include is for prompts: write the text here")
    unused = sorted(fragments.keys() - included)
    if unused:
        raise TemplateError(f'fragment "{unused[0]}" is not included by any step: remove it')
    return Findings(
        requirements=tuple(sorted(required)),
        seed_reads=tuple(sorted(read)),
        row_reads=tuple(sorted(of_rows)),
        includes=tuple(sorted(included)),
    )
