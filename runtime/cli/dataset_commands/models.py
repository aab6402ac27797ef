"""`seedwright models`: the price table."""

from typing import Final

from runtime.cli.options import (
    JsonOption,
    PricesOption,
)

EXAMPLE: Final = "Example: seedwright models | grep nova"


def models(prices: PricesOption = None, *, json: JsonOption = False) -> None:
    """List models with prices, tiers and the last day they can be used."""
    from runtime.cli.tables import show_models  # noqa: PLC0415
    from runtime.domain.models.price_table import load_prices  # noqa: PLC0415

    show_models(load_prices(prices), json=json)
