"""What a job generates: what it has pinned, and the options it was given. As the plain document
that tables store, and back.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from runtime.domain.checks.acceptance import Acceptance
from runtime.domain.jobs.delivery import Delivery
from runtime.domain.jobs.machines import Machines
from runtime.domain.jobs.naming import Naming
from runtime.domain.jobs.sampling import Draws
from runtime.domain.jobs.sharding import Sharding, parse_sharding
from runtime.domain.models.call_options import CallOptions
from runtime.domain.models.choice import ModelChoice
from runtime.domain.options import options_document, parse_options
from runtime.domain.templates.template import TemplateRef


@dataclass(frozen=True, kw_only=True, slots=True)
class JobConfig:
    """What a job generates. Everything it depends on is pinned when it is created; the rest are
    options, each owned by the module of its configuration.
    """

    template: TemplateRef
    seed_data_path: str | None
    """None: its template reads no seeds, and it has none."""
    seed_version: str | None
    num_records: int
    includes: Mapping[str, TemplateRef] = field(default_factory=dict)
    """Pinned versions of the templates that the template includes, by the name it uses."""
    price_table_version: str | None = None
    sharding: Sharding | None = None
    """None: one worker generates all of it."""
    naming: Naming = field(default_factory=Naming)
    draws: Draws = field(default_factory=Draws)
    delivery: Delivery = field(default_factory=Delivery)
    models: ModelChoice = field(default_factory=ModelChoice)
    calls: CallOptions = field(default_factory=CallOptions)
    machines: Machines = field(default_factory=Machines)
    acceptance: Acceptance = field(default_factory=Acceptance)
    """`max_candidates` is set for a template with checks, and for no other."""

    @property
    def has_checks(self) -> bool:
        """Whether `num_records` counts the records that pass the template's checks."""
        return self.acceptance.max_candidates is not None

    @property
    def size(self) -> int:
        """Every index of the job is below it: as many as records, or as tries where those are
        checked.
        """
        return self.acceptance.max_candidates or self.num_records


OPTIONS: Final[Mapping[str, type]] = {
    "naming": Naming,
    "draws": Draws,
    "delivery": Delivery,
    "models": ModelChoice,
    "calls": CallOptions,
    "machines": Machines,
    "acceptance": Acceptance,
}
"""The configurations of options that are stored with a job, by their attribute of `JobConfig`."""


def config_document(config: JobConfig) -> dict[str, Any]:
    """JSON-compatible: strings, integers, booleans, None, lists and maps."""
    return {
        "template_id": config.template.template_id,
        "template_version": config.template.version,
        "seed_data_path": config.seed_data_path,
        "seed_version": config.seed_version,
        "num_records": config.num_records,
        "includes": {
            name: {"template_id": ref.template_id, "version": ref.version}
            for name, ref in config.includes.items()
        },
        "price_table_version": config.price_table_version,
        # Left out of a job without shards: its document stays what it always was.
        **({} if config.sharding is None else {"sharding": config.sharding.document()}),
        **options_document(*(getattr(config, name) for name in OPTIONS)),
    }


def parse_config(document: Mapping[str, Any]) -> JobConfig:
    """Inverse of `config_document`; whole numbers may be Decimal. A single output format may be a
    bare string. Raises `KeyError` or `ValueError` on a document this project didn't write.
    """
    try:
        return _parse(document)
    except (TypeError, AttributeError, OverflowError) as exc:
        raise ValueError("not the configuration of a job") from exc


def _parse(document: Mapping[str, Any]) -> JobConfig:
    return JobConfig(
        template=TemplateRef(
            template_id=document["template_id"], version=int(document["template_version"])
        ),
        seed_data_path=document["seed_data_path"],
        seed_version=document.get("seed_version"),
        num_records=int(document["num_records"]),
        includes={
            name: TemplateRef(template_id=ref["template_id"], version=int(ref["version"]))
            for name, ref in (document.get("includes") or {}).items()
        },
        price_table_version=document.get("price_table_version"),
        sharding=parse_sharding(document.get("sharding")),
        **{name: parse_options(group, document) for name, group in OPTIONS.items()},
    )
