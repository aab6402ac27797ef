"""What a dataset is asked to be, checked before anything is created or paid for."""

import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import orjson

from runtime.datasets.engine_parts import check_backend
from runtime.domain.errors import InputError
from runtime.domain.jobs.job import OutputFormat, SeedStrategy
from runtime.domain.money.amounts import parse_usd
from runtime.domain.templates.document import document_of
from runtime.domain.templates.template import Template
from runtime.inputs.options import check_count, parse_formats, parse_strategy
from runtime.inputs.seeds import SeedFile, SeedSource, read_seeds
from runtime.inputs.templates import TemplateSource, read_template

DEFAULT_BUDGET: Final = "1.00"
DEFAULT_FORMATS: Final = ("jsonl", "parquet")

_NAMESPACE: Final = uuid.UUID("6a1f1c0e-6d0f-4a43-9f0b-6a3c5f8a7c11")


@dataclass(frozen=True, kw_only=True, slots=True)
class DatasetRequest:
    """What is asked for. The first part is its identity and can't change in a folder."""

    template: Template
    seeds: SeedFile
    num_records: int
    seed_strategy: SeedStrategy
    random_seed: int
    model: str | None
    backend: str
    budget_nano: int
    formats: tuple[OutputFormat, ...]

    def identity(self) -> dict[str, object]:
        """The choices that make one dataset another, by the words users know them by."""
        document = orjson.dumps(document_of(self.template), option=orjson.OPT_SORT_KEYS)
        return {
            "template": hashlib.sha256(document).hexdigest(),
            "seeds": hashlib.sha256(self.seeds.body).hexdigest(),
            "-n": self.num_records,
            "--seed-strategy": str(self.seed_strategy),
            "--random-seed": self.random_seed,
            "--model": self.model,
            "--backend": self.backend,
        }

    def job_id(self) -> str:
        """Depends on what decides the prompts, and not on how many or by which model."""
        identity = self.identity()
        drawn = ("template", "seeds", "--seed-strategy", "--random-seed")
        return str(uuid.uuid5(_NAMESPACE, orjson.dumps([identity[key] for key in drawn]).decode()))


def read_request(
    template: TemplateSource,
    seeds: SeedSource,
    *,
    num_records: int,
    budget: object = DEFAULT_BUDGET,
    model: str | None = None,
    backend: str,
    formats: str | Sequence[str] = DEFAULT_FORMATS,
    seed_strategy: str = SeedStrategy.RANDOM,
    random_seed: int = 0,
) -> DatasetRequest:
    """Everything that is asked for, read and checked. `budget` is in USD. Raises `InputError`."""
    if isinstance(random_seed, bool) or not isinstance(random_seed, int):
        raise InputError(f"the random seed is a whole number, not {random_seed!r}")
    checked = read_template(template)
    return DatasetRequest(
        template=checked,
        num_records=check_count(num_records),
        budget_nano=parse_usd(budget),
        formats=parse_formats(formats),
        seeds=read_seeds(seeds, checked.schema_requirements),
        seed_strategy=parse_strategy(seed_strategy),
        random_seed=random_seed,
        model=model,
        backend=check_backend(backend),
    )
