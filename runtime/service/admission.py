"""What a job is checked against before it is stored, and an estimate before it is created."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice
from pathlib import PurePosixPath
from typing import Final

from runtime.domain.errors import InputError, NotFoundError, SeedError
from runtime.domain.jobs.sampling import Draws
from runtime.domain.money.accounts import too_many_jobs
from runtime.domain.money.estimate import Estimate
from runtime.domain.ports import ObjectStat
from runtime.domain.seeds.absent import AbsentFields
from runtime.domain.seeds.readers import Row
from runtime.domain.seeds.seeds import check_suffix, check_upload_size, lacks
from runtime.domain.service_ports import ApiPorts
from runtime.domain.templates.seed_needs import named, row_fields, seed_needs
from runtime.domain.templates.template import Template, TemplateRef
from runtime.engine.estimating import estimate_cost
from runtime.engine.plan import Plan, make_plan
from runtime.engine.rendering.renderer import TemplateEngine
from runtime.service import includes
from runtime.service.access import find_version
from runtime.service.seed_rows import open_rows

MAX_ROWS: Final = 1000
"""Seeds that are read: more change the average little, and a request has seconds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PreparedTemplate:
    """A template with pinned versions, and a model with a price for each step."""

    ref: TemplateRef
    includes: Mapping[str, TemplateRef]
    plan: Plan


def prepare_template(
    ports: ApiPorts, caller: str, *, template_id: str, version: int | None, model: str | None
) -> PreparedTemplate:
    """The latest version, or `version`, of the caller's own or a public template.

    Raises `TemplateNotFoundError` (also for an include), `TemplateError`, `PriceError`.
    """
    _, ref = find_version(ports, caller, template_id, version)
    resolved = includes.resolve(ports, caller, ports.templates.load_template(ref))
    plan = make_plan(
        resolved.template,
        ports.prices,
        provider=ports.provider,
        model=model,
        on=ports.clock.now().date(),
    )
    return PreparedTemplate(ref=ref, includes=resolved.includes, plan=plan)


def find_seeds(ports: ApiPorts, key: str) -> ObjectStat:
    """The seed object under a key that was checked to be the caller's, with its present version.

    Raises `NotFoundError` that names the key, `SeedError`.
    """
    name = PurePosixPath(key).name
    check_suffix(name)
    try:
        stat = ports.objects.stat(key)
    except NotFoundError as exc:
        raise NotFoundError(f"no seed data under {key}: upload it first") from exc
    check_upload_size(stat.size, name)
    if stat.size == 0:
        raise SeedError(f"{name}: there are no seeds in it")
    return stat


def find_needed_seeds(ports: ApiPorts, key: str | None, template: Template) -> ObjectStat | None:
    """The seed object under a key, or None for no key, where the template reads nothing of a seed.
    Its includes are resolved.

    Raises `InputError` that names the field `seed_data_path` where there is no key, and what
    `find_seeds` raises.
    """
    if key is not None:
        return find_seeds(ports, key)
    needs = seed_needs(template)
    if needs:
        raise InputError(
            f"seed_data_path: is required: the template reads {named(needs)} of a seed",
            problems=[("seed_data_path", "is required")],
        )
    return None


def estimate(
    ports: ApiPorts,
    plan: Plan,
    seeds: ObjectStat | None,
    *,
    records: int,
    draws: Draws,
    acceptance: Fraction | None = None,
) -> tuple[Estimate, int]:
    """What a job would cost, with or without seeds, and how many seeds were read to tell.
    `acceptance` is the share of tries that its checks are taken to accept.

    Raises `SeedError` for a row that is no seed, or lacks what the template needs, and for a field
    of rows that no seed has; `TemplateError` for a prompt that can't be rendered.
    """
    needs = plan.template.schema_requirements
    rows = None if seeds is None else _first_rows(ports, seeds, requirements=needs)
    absent = _absent_fields(plan.template, rows or ())
    with TemplateEngine() as engine:
        engine.load(plan.template)
        found = estimate_cost(
            engine, plan, rows, records=records, draws=draws, acceptance=acceptance
        )
    return replace(found, warnings=(*found.warnings, *absent)), 0 if rows is None else len(rows)


def check_active_jobs(ports: ApiPorts, caller: str) -> None:
    """Raises `LimitError` when the caller has as many queued and running jobs as they may."""
    limit = ports.settings.max_active_jobs
    if ports.job_catalog.count_active(caller, at_most=limit) >= limit:
        raise too_many_jobs(limit)


def _absent_fields(template: Template, rows: Sequence[Row]) -> list[str]:
    """What to say of fields of rows that none of the first seeds has, where there may be more.
    Raises `SeedError` where these are all seeds.
    """
    looked = AbsentFields(row_fields(template) if rows else ())
    for row in rows:
        looked.add(row)
    if len(rows) < MAX_ROWS:
        looked.check()
    who = f"none of the first {len(rows)} seeds"
    return [message for _, message in looked.problems(who)]


def _first_rows(ports: ApiPorts, seeds: ObjectStat, *, requirements: Sequence[str]) -> list[Row]:
    name = PurePosixPath(seeds.key).name
    rows: list[Row] = []
    missing = ""
    with open_rows(ports, seeds) as found:
        for number, each in enumerate(islice(found, MAX_ROWS), start=1):
            if each.row is None:
                raise SeedError(f"{name}, record {number}: {each.problem}")
            rows.append(each.row)
            for _, message in lacks(each, requirements):
                missing = missing or f"{name}, record {number}: {message}"
    if missing:
        raise SeedError(missing)
    return rows
