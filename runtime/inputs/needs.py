"""Seeds, where a template needs any."""

from runtime.domain.errors import SeedError
from runtime.domain.seeds.absent import AbsentFields
from runtime.domain.templates.seed_needs import named, row_fields, seed_needs
from runtime.domain.templates.template import Template
from runtime.inputs.seed_reading import SeedReading
from runtime.inputs.seeds import SeedFile, SeedSource, read_seeds


def read_needed_seeds(
    source: SeedSource | None, template: Template, reading: SeedReading | None = None
) -> SeedFile | None:
    """The seeds of a source, of which each has what the template needs; None for no source, where
    the template reads nothing of a seed.

    Raises `SeedError`, and what `read_seeds` raises.
    """
    if source is not None:
        return read_seeds(source, template.schema_requirements, reading or SeedReading())
    check_needs_none(template)
    return None


def check_needs_none(template: Template) -> None:
    """Raises `SeedError` that names what a template reads of its seeds."""
    needs = seed_needs(template)
    if needs:
        raise SeedError(f"the template reads {named(needs)} of a seed: give it seeds (--seeds)")


def check_row_fields(seeds: SeedFile | None, template: Template) -> None:
    """Raises `SeedError` that names what rows read of a seed and no seed has. Reads no further than
    to the first seed with all of it.
    """
    if seeds is None:
        return
    looked = AbsentFields(row_fields(template))
    for row in seeds.rows if looked else ():
        looked.add(row)
        if not looked:
            return
    looked.check()
