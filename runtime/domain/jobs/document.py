"""A job's configuration as the plain document that tables store, and back."""

from collections.abc import Mapping
from typing import Any

from runtime.domain.jobs.job import (
    JobConfig,
    OutputFormat,
    PartitionStrategy,
    SeedStrategy,
    TemplateRef,
)


def config_document(config: JobConfig) -> dict[str, Any]:
    """JSON-compatible: strings, integers, booleans, None, lists and maps."""
    return {
        "template_id": config.template.template_id,
        "template_version": config.template.version,
        "seed_data_path": config.seed_data_path,
        "seed_version": config.seed_version,
        "num_records": config.num_records,
        "output_format": [str(each) for each in config.output_formats],
        "partition_strategy": str(config.partition_strategy),
        "seed_strategy": str(config.seed_strategy),
        "model": config.model,
        "includes": {
            name: {"template_id": ref.template_id, "version": ref.version}
            for name, ref in config.includes.items()
        },
        "price_table_version": config.price_table_version,
        "allow_on_demand": config.allow_on_demand,
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
    formats = document["output_format"]
    return JobConfig(
        template=TemplateRef(
            template_id=document["template_id"], version=int(document["template_version"])
        ),
        seed_data_path=document["seed_data_path"],
        seed_version=document.get("seed_version"),
        num_records=int(document["num_records"]),
        output_formats=tuple(
            OutputFormat(each) for each in ([formats] if isinstance(formats, str) else formats)
        ),
        partition_strategy=PartitionStrategy(document.get("partition_strategy") or "none"),
        seed_strategy=SeedStrategy(document.get("seed_strategy") or "random"),
        model=document.get("model"),
        includes={
            name: TemplateRef(template_id=ref["template_id"], version=int(ref["version"]))
            for name, ref in (document.get("includes") or {}).items()
        },
        price_table_version=document.get("price_table_version"),
        allow_on_demand=document.get("allow_on_demand") is True,
    )
