"""Servers of models on AWS: the stage names them, and functions and workers are given what it says
in a variable. Workers alone have the keys.
"""

from collections.abc import Mapping
from datetime import date
from functools import partial
from pathlib import Path
from typing import Final

import orjson

from runtime.contract.environment import SERVERS
from runtime.domain.addresses import is_loopback
from runtime.domain.errors import ConfigurationError
from runtime.domain.models.calls import BackgroundModels
from runtime.domain.models.names import BEDROCK
from runtime.domain.models.price_table import load_prices
from runtime.domain.models.reach import ON_BEDROCK, Reach, Reachable
from runtime.models.base_urls import check_secrecy
from runtime.models.provider_file import ServerSettings, parse_providers, price_document

_UNDATED: Final = date.min
"""Of prices: a variable doesn't say when it was written."""


def servers_in(environment: Mapping[str, str]) -> dict[str, ServerSettings]:
    """The servers that the environment names. Raises `ConfigurationError`, `PriceError`."""
    text = environment.get(SERVERS)
    if not text:
        return {}
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError as exc:
        raise ConfigurationError(f"{SERVERS} is not valid JSON") from exc
    return parse_providers(document, file=SERVERS, dated=_UNDATED)


def reach_over(servers: Mapping[str, ServerSettings]) -> Reach:
    """What a function or a worker can call: Bedrock, and these."""
    named = (
        Reachable(name=name, api=each.api, is_free=each.is_free, by_workers_only=True)
        for name, each in servers.items()
    )
    return Reach(providers=(ON_BEDROCK, *named))


def price_files(servers: Mapping[str, ServerSettings]) -> list[tuple[str, bytes]]:
    """What the stage says of their prices, as a price file with its name; none where it doesn't."""
    document = price_document(servers)
    return [] if document is None else [(SERVERS, document)]


def calls_at_a_time(environment: Mapping[str, str]) -> dict[str, int]:
    """The most calls of a worker to each server at a time. Raises as `servers_in` does."""
    return {name: each.calls_at_a_time for name, each in servers_in(environment).items()}


def open_models(
    servers: Mapping[str, ServerSettings], environment: Mapping[str, str]
) -> BackgroundModels:
    """A client over Bedrock and the servers: these are opened by the first call of each. Raises
    `ConfigurationError`.
    """
    from runtime.models.bedrock_loop import open_bedrock  # noqa: PLC0415 - functions open none

    if not servers:
        return open_bedrock()
    from runtime.models.routing import RoutedModels  # noqa: PLC0415
    from runtime.models.servers import open_server  # noqa: PLC0415

    openers = {name: partial(open_server, each, environment) for name, each in servers.items()}
    return RoutedModels({BEDROCK: open_bedrock, **openers}, opened=[BEDROCK], unnamed=BEDROCK)


def check_stage(text: str, price_file: Path | None) -> None:
    """Whether a stage with these servers, none if empty, and this price file of its own can work.
    Raises `ConfigurationError` or `PriceError` for what its first job would find.
    """
    servers = servers_in({SERVERS: text})
    prices = load_prices(price_file, reach=reach_over(servers), more=price_files(servers))
    priced = {price.provider for price in prices.prices.values()}
    for name, each in servers.items():
        if is_loopback(each.base_url):
            raise ConfigurationError(
                f"servers: {name!r}: {each.base_url} is a worker itself, where no server runs"
            )
        if each.key is not None:
            check_secrecy(each.base_url, where=f"servers: {name!r}")
        if not each.free and name not in priced:
            raise ConfigurationError(
                f"servers: {name!r} has no price: give `prices` by the names of its models, rows in"
                " the price file of the stage, or `free: true` if no call is billed"
            )
