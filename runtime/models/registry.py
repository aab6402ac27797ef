"""Which providers of models there are, and how a client of one is opened."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from runtime.domain.errors import InputError
from runtime.domain.models.calls import ModelClient
from runtime.domain.models.price_table import PriceTable, load_prices

BEDROCK: Final = "bedrock"
LOCAL: Final = "local"


@dataclass(frozen=True, kw_only=True, slots=True)
class Provider:
    """A provider: how many calls at a time are usual, and what opens its client for so many.

    A client's own module is imported when one is opened: SDKs and weights are heavy.
    """

    concurrency: int
    loads: bool = False
    """Whether its first call loads the model, which may take a while."""
    open: Callable[[int], ModelClient]


def _bedrock(_: int) -> ModelClient:
    from runtime.models.bedrock_loop import open_bedrock  # noqa: PLC0415

    return open_bedrock()


def _embedded(concurrency: int) -> ModelClient:
    from runtime.models.llama import LlamaModels  # noqa: PLC0415

    return LlamaModels(slots=concurrency)


PROVIDERS: Final[Mapping[str, Provider]] = {
    # With the credentials and region that boto3 finds.
    BEDROCK: Provider(concurrency=32, open=_bedrock),
    # The model that comes with the package. More slots would only share the same cores.
    LOCAL: Provider(concurrency=2, loads=True, open=_embedded),
}


def check_provider(name: str) -> str:
    """The name of a provider. Raises `InputError` that says which there are."""
    if name not in PROVIDERS:
        raise InputError(
            f"there is no provider {name!r} of models: choose {' or '.join(PROVIDERS)}"
        )
    return name


def open_models(provider: str, concurrency: int | None = None) -> tuple[int, ModelClient]:
    """How many calls at a time, the provider's usual number by default, and the client that makes
    them. Raises `InputError` for an unknown provider, `ConfigurationError` for one that can not be
    used here.
    """
    found = PROVIDERS[check_provider(provider)]
    calls = concurrency or found.concurrency
    return calls, found.open(calls)


def prices_here(provider: str, override: Path | None = None) -> PriceTable:
    """The price table, with an override file, as seen from where this process calls the provider's
    models. Raises `PriceError`.
    """
    from runtime.sdk import region_here  # noqa: PLC0415 - as above

    prices = load_prices(override)
    return prices.seen_from(region_here()) if provider == BEDROCK else prices
