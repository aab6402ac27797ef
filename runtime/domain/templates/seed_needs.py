"""What a template reads of its seeds: without any of it, it needs none."""

from collections.abc import Sequence
from typing import Final

from runtime.domain.templates.template import Template

_SHOWN: Final = 5


def seed_needs(template: Template) -> tuple[str, ...]:
    """The dotted paths that prompts, rows and split read of a seed, sorted; `seed` where it is read
    as a whole or multiplied by a product. Nothing: the template needs no seeds. What has a
    fallback, such as `| default(…)`, is not needed. Its includes are resolved.
    """
    from runtime.domain.templates.check import check_template  # noqa: PLC0415 - imports Jinja2

    found = check_template(
        template.steps,
        template.fragments,
        texts=template.output.texts(),
        batch=template.batch_of is not None,
        samples=tuple(template.samplers.types()),
    )
    by = None if template.split is None else template.split.by
    return tuple(
        sorted(
            {
                *template.schema_requirements,
                *found.seed_reads,
                *(path or "seed" for path in template.output.seed_paths()),
                *([".".join(by.parts[1:])] if by is not None and by.is_seed_field else []),
                *(["seed"] if template.samplers.multiplies_seeds or template.batch_of else []),
            }
        )
    )


def named(needs: Sequence[str]) -> str:
    """The first of these paths, for messages."""
    more = len(needs) - _SHOWN
    return ", ".join(needs[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
