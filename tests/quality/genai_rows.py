"""The rates of genai-prices as JSON lines, for `price_check.py`. It runs in an environment of its
own, where that package is (`make prices`).
"""

import json
import sys
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

_NAMES = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cache_read": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
}


def main() -> None:
    """Print a line for each model of Bedrock: its id, and rates in USD per million tokens."""
    from genai_prices.data import providers  # type: ignore[import-not-found]  # noqa: PLC0415

    now = datetime.now(UTC)
    (aws,) = (each for each in providers if each.id == "aws")
    for model in aws.models:
        prices = model.get_prices(now)
        rates = {name: _steps(getattr(prices, field, None)) for name, field in _NAMES.items()}
        sys.stdout.write(json.dumps({"id": model.id, "rates": rates}, default=str) + "\n")


def _steps(price: Any) -> list[list[Any]] | None:
    """Where each rate begins, in tokens of the prompt, and the rate."""
    if price is None or isinstance(price, Decimal):
        return None if price is None else [[0, price]]
    return [[0, price.base], *([tier.start, tier.price] for tier in price.tiers)]


if __name__ == "__main__":
    main()
