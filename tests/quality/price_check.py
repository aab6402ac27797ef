"""Every row of the price table that differs from genai-prices: `make prices`.

It is another opinion and nothing more. Ids are compared as they stand, never by what they begin
with, and whatever it says, no budget depends on it: people read the list, look at the provider's
page, and change a row or leave it.
"""

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import ROUND_CEILING, Decimal
from pathlib import Path
from typing import Any, Final

from runtime.domain.models.names import BEDROCK
from runtime.domain.models.price import Price
from runtime.domain.models.price_table import load_prices
from runtime.domain.models.regions import own_id

_RATES: Final = ("input", "output", "cache_read", "cache_write")
_NANO: Final = Decimal(1000)
"""Nano-USD a token for each USD a million tokens."""

Rates = Mapping[str, list[list[Any]] | None]


def differences(prices: Iterable[Price], theirs: Mapping[str, Rates]) -> Iterator[str]:
    """A line for each rate that is not the same, and for each model that they don't have."""
    for price in prices:
        rates = next((theirs[each] for each in _their_ids(price.model_id) if each in theirs), None)
        if rates is None:
            yield f"{price.model_id}: not in genai-prices"
            continue
        for begin in sorted({0, *_begins(rates), *(each.above for each in price.long_prompts)}):
            own = next(
                (each for each in reversed(price.long_prompts) if each.above <= begin), price
            )
            for name in _RATES:
                ours, other = getattr(own, name), _rate(rates.get(name), begin)
                # They leave out what is not billed apart, and we may leave out what is not known.
                if other is not None and ours != other:
                    longer = f" above {begin} tokens" if begin else ""
                    yield f"{price.model_id}: {name}{longer}: {ours} here, {other} there"


def missing(prices: Iterable[Price], theirs: Iterable[str]) -> list[str]:
    """Their models that the table doesn't have."""
    return sorted({*theirs} - {each for price in prices for each in _their_ids(price.model_id)})


def _their_ids(model_id: str) -> tuple[str, ...]:
    """What they may call the model. They have one price for all profiles of a geography, and none
    where it is the model's own.
    """
    name = own_id(model_id)
    if name == model_id or model_id.startswith("global."):
        return (model_id,)
    return f"regional.{name}", name


def _begins(rates: Rates) -> set[int]:
    return {int(begin) for steps in rates.values() for begin, _ in steps or ()}


def _rate(steps: list[list[Any]] | None, begin: int) -> int | None:
    """Nano-USD a token, rounded up as the table's are."""
    if steps is None:
        return None
    usd = [Decimal(str(rate)) for at, rate in steps if at <= begin][-1]
    return int((usd * _NANO).to_integral_value(ROUND_CEILING))


def main(python: str) -> None:
    """Print the list; `python` is the interpreter that has genai-prices."""
    script = Path(__file__).with_name("genai_rows.py")
    done = subprocess.run([python, str(script)], check=True, capture_output=True, text=True)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    theirs = {row["id"]: row["rates"] for row in rows}
    today = datetime.now(UTC).date()
    every = load_prices().prices.values()
    ours = [each for each in every if each.provider == BEDROCK and each.is_valid(today)]
    lines = [*differences(ours, theirs)]
    lines.append(f"{len(ours)} rows compared; {len(missing(ours, theirs))} models only there")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
