"""What a template reads of its seeds: without any of it, it needs none."""

from collections.abc import Sequence
from typing import Final

from runtime.domain.templates.document import findings_of
from runtime.domain.templates.template import Template

_SHOWN: Final = 5


def seed_needs(template: Template) -> tuple[str, ...]:
    """The dotted paths that prompts, rows and split read of a seed, sorted; `seed` where it is read
    as a whole or multiplied by a product. Nothing: the template needs no seeds. What has a
    fallback, such as `| default(…)`, is not needed. Its includes are resolved.
    """
    whole = template.samplers.multiplies_seeds or template.batch_of
    return tuple(
        sorted(
            {
                *template.schema_requirements,
                *findings_of(template, template.fragments).seed_reads,
                *(path or "seed" for path in row_paths(template)),
                *(["seed"] if whole else []),
            }
        )
    )


def row_paths(template: Template) -> tuple[str, ...]:
    """The dotted paths of seed fields that become values of rows, or decide in which split a row
    is; the empty path is the whole seed.
    """
    by = None if template.split is None else template.split.by
    more = [".".join(by.parts[1:])] if by is not None and by.is_seed_field else []
    return tuple(dict.fromkeys([*template.output.seed_paths(), *more]))


def row_fields(template: Template) -> tuple[str, ...]:
    """The same, and what the texts of rows read, without the whole seed. Of a batch these are
    several seeds, and the fields of none. Its includes are resolved.
    """
    if template.batch_of is not None:
        return ()
    texts = (
        findings_of(template, template.fragments).row_reads if template.output.rendered() else ()
    )
    return tuple(path for path in dict.fromkeys([*row_paths(template), *texts]) if path)


def named(needs: Sequence[str]) -> str:
    """The first of these paths, for messages."""
    more = len(needs) - _SHOWN
    return ", ".join(needs[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
