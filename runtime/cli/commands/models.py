"""`seedwright models`: the price table."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, date, datetime
from typing import Final

from runtime.cli.options import JsonOption, PricesOption
from runtime.cli.output import print_json, print_line
from runtime.domain.models.price_table import PriceTable
from runtime.domain.money.amounts import usd
from runtime.inputs.options import PRICED_BACKEND
from runtime.models.registry import Backend

EXAMPLE: Final = "Example: seedwright models | grep nova"


def models(prices: PricesOption = None, *, json: JsonOption = False) -> None:
    """List models with prices, tiers and the last day they can be used."""
    backend = Backend(PRICED_BACKEND)
    show_models(backend.prices(prices), servers=backend.servers(), json=json)


def model_rows(prices: PriceTable, today: date) -> list[dict[str, object]]:
    """Every model as a plain row: USD per million tokens, tiers, last day, and its abilities."""
    return [
        {
            "model": model_id,
            "provider": price.provider,
            "input": usd(price.input * 1_000_000),
            "output": usd(price.output * 1_000_000),
            "tiers": prices.tiers_of(model_id),
            "schema": price.structured_output,
            "valid_until": price.valid_until.isoformat() if price.valid_until else None,
            "usable": price.is_valid(today),
            **asdict(price.abilities),
            "api": str(prices.api_of(price)),
        }
        for model_id, price in sorted(prices.prices.items())
    ]


def show_models(prices: PriceTable, *, servers: Mapping[str, str], json: bool) -> None:
    """The price table as lines that can be searched and copied from, or as JSON; and the servers by
    name, which have models that no row names.
    """
    rows = model_rows(prices, datetime.now(UTC).date())
    if json:
        print_json({"version": prices.version, "models": rows, "servers": dict(servers)})
        return
    width = max(len(str(row["model"])) for row in rows)
    print_line(f"{'model':<{width}} {'input':>7} {'output':>7}  {'last day':<10}  tiers")
    for row in rows:
        tiers = row["tiers"]
        line = (
            f"{row['model']:<{width}} {row['input']:>7} {row['output']:>7}"
            f"  {row['valid_until'] or '':<10}"
            f"  {', '.join(tiers) if isinstance(tiers, list) else ''}"
            f"{'' if row['usable'] else ' (not usable today)'}"
        )
        print_line(line.rstrip())
    for name, server in servers.items():
        print_line(f"{name}/… at {server}")
    print_line(
        f"Prices {prices.version}, USD per million tokens. docs/prices.md says how to add more."
    )
