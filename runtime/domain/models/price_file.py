"""The price file: its shape, checked field by field. docs/prices.md describes it.

The packaged file and an override file go through the same code; only the former must be complete.
Every complaint is a `PriceError` that names the file, the row and the field.
"""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any, Final

from runtime.domain.errors import PriceError
from runtime.domain.models.abilities import REFUSABLE, Abilities, Api
from runtime.domain.models.names import model_id_of, name_at
from runtime.domain.models.price import LongPrompt, Price
from runtime.domain.models.price_fields import (
    fail,
    one_of,
    optional_day,
    optional_text,
    optional_texts,
    read_day,
    read_flag,
    read_integer,
    read_items,
    read_list,
    read_object,
    read_provider,
    read_range,
    read_rate,
    read_text,
)
from runtime.domain.models.regions import PROFILE_PLACES

PROFILE_PREFIXES: Final = tuple(PROFILE_PLACES)
_SECTIONS: Final = ("version", "models", "tiers", "tier_aliases")
_RATES: Final = ("input", "output", "cache_read", "cache_write")
_ROW: Final = (
    *("id", "provider", "name", *_RATES, "profiles", "structured_output", "context_tokens"),
    *("max_output_tokens", "valid_from", "valid_until", "source", "checked"),
)
_PLACES: Final = ("regions", "priced_in", "regional")
"""Fields of a row and of its profiles that files of before don't have."""

_ABILITIES: Final = ("api", "refuses", "temperature", "always_thinks", "efforts", "tools")
_ADDED: Final = (*_PLACES, *_ABILITIES, "long_prompts")
"""Fields of a row that files of before don't have."""

Tiers = Mapping[str, Mapping[str, tuple[str, ...]]]
"""Tier → provider → model ids, the preferred one first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PriceDocument:
    """A parsed file. `rows` maps a row's id to the prices it gives: its own, and its profiles'."""

    version: str
    rows: Mapping[str, Mapping[str, Price]]
    tiers: Tiers
    tier_aliases: Mapping[str, str]
    region: str | None = None
    """The region from which a job sees the table that it keeps; files that people write have none.
    """


def parse_document(
    body: bytes, *, file: str, partial: bool, providers: Collection[str] | None = None
) -> PriceDocument:
    """Parse a price file; a `partial` one (an override) may leave sections out. `providers` are
    those that it may name, None: any.

    That tiers name existing models is checked once both files are merged. Raises `PriceError`.
    """
    document = read_object(
        _load(body, file),
        file,
        required=() if partial else _SECTIONS,
        optional=_SECTIONS if partial else (*_SECTIONS, "region"),
    )
    rows: dict[str, Mapping[str, Price]] = {}
    for position, row in enumerate(read_list(document.get("models", []), f"{file}: models")):
        row_id, prices = _row(row, f"{file}: models[{position}]", file, providers)
        if row_id in rows:
            fail(f"{file}: model {row_id!r}", "is listed twice; keep one row")
        rows[row_id] = prices
    aliases = read_object(document.get("tier_aliases", {}), f"{file}: tier_aliases")
    return PriceDocument(
        version=read_text(document.get("version", file), f"{file}: version"),
        rows=rows,
        tiers=_tiers(document.get("tiers", {}), f"{file}: tiers", providers),
        tier_aliases={
            alias: read_text(tier, f"{file}: tier_aliases: {alias!r}")
            for alias, tier in aliases.items()
        },
        region=optional_text(document.get("region"), f"{file}: region"),
    )


def render_document(
    *,
    version: str,
    prices: Iterable[Price],
    tiers: Tiers,
    tier_aliases: Mapping[str, str],
    region: str | None,
) -> bytes:
    """A price file with one row for each price; `parse_document` reads it back."""
    rows = []
    for price in prices:
        row = asdict(price)
        name = name_at(price.provider, row.pop("model_id"))
        abilities = row.pop("abilities")
        rows.append({"id": name, **row, **abilities, "profiles": {}})
    document = {
        "version": version,
        "models": rows,
        "tiers": {
            name: {
                provider: [name_at(provider, model_id) for model_id in ids]
                for provider, ids in candidates.items()
            }
            for name, candidates in tiers.items()
        },
        "tier_aliases": tier_aliases,
        "region": region,
    }
    return json.dumps(document, default=date.isoformat).encode()


def _load(body: bytes, file: str) -> object:
    try:
        return json.loads(body)
    except json.JSONDecodeError as exc:
        message = f"{file}: not JSON at line {exc.lineno} column {exc.colno}: {exc.msg}"
        raise PriceError(message) from exc
    except (ValueError, RecursionError) as exc:  # not UTF-8, an endless number, endless nesting
        raise PriceError(f"{file}: not a JSON text that can be read: {exc}") from exc


def _row(
    value: object, where: str, file: str, providers: Collection[str] | None
) -> tuple[str, Mapping[str, Price]]:
    """A row's id and its prices by model id."""
    row = read_object(value, where, required=("id",), optional=(*_ROW, *_ADDED))
    name = read_text(row["id"], f"{where}: field 'id'")
    where = f"{file}: model {name!r}"
    row = read_object(row, where, required=_ROW, optional=_ADDED)
    provider = read_provider(row["provider"], f"{where}: field 'provider'", providers)
    row_id = model_id_of(provider, name)
    base = {field: read_rate(row[field], f"{where}: field {field!r}") for field in _RATES}
    prices: dict[str, Price] = {}
    if base["input"] is not None or base["output"] is not None:
        long_prompts = _long_prompts(row.get("long_prompts"), base, where)
        prices[row_id] = _price(
            row_id, base, row, {"long_prompts": long_prompts, **_places(row, where)}, where
        )
    profiles = f"{where}: field 'profiles'"
    for prefix, value_of in read_object(
        row["profiles"], profiles, optional=PROFILE_PREFIXES
    ).items():
        at, model_id = f"{profiles}: {prefix!r}", f"{prefix}{row_id}"
        own = read_object(value_of, at, optional=(*_RATES, *_PLACES, "long_prompts"))
        rates = base | _rates(own, at)
        places = {"priced_in": row.get("priced_in"), "regions": PROFILE_PLACES[prefix]} | own
        longer = _long_prompts(own.get("long_prompts", row.get("long_prompts")), rates, at)
        prices[model_id] = _price(
            model_id, rates, row, {"long_prompts": longer, **_places(places, at)}, where
        )
    if not prices:
        fail(where, "has neither rates nor profiles; give 'input' and 'output'")
    return row_id, prices


def _rates(value: Mapping[str, object], where: str) -> dict[str, int | None]:
    return {
        field: read_rate(value[field], f"{where}: {field!r}") for field in _RATES if field in value
    }


def _places(value: Mapping[str, object], where: str) -> dict[str, Any]:
    """The fields that say where a price holds, as `Price` has them."""
    at = f"{where}: field 'regional'"
    regional = read_object(value.get("regional", {}), at)
    return {
        "regions": optional_texts(value.get("regions"), f"{where}: field 'regions'"),
        "priced_in": optional_texts(value.get("priced_in"), f"{where}: field 'priced_in'"),
        "regional": {
            region: _rates(
                read_object(rates, f"{at}: {region!r}", optional=_RATES), f"{at}: {region!r}"
            )
            for region, rates in regional.items()
        },
    }


def _price(
    model_id: str,
    rates: Mapping[str, int | None],
    row: Mapping[str, object],
    more: Mapping[str, Any],
    where: str,
) -> Price:
    def at(field: str) -> str:
        return f"{where}: field {field!r}"

    if rates["input"] is None or rates["output"] is None:
        fail(where, f"{model_id!r} needs both 'input' and 'output', as integers")
    price = Price(
        model_id=model_id,
        name=read_text(row["name"], at("name")),
        provider=read_text(row["provider"], at("provider")),
        input=rates["input"],
        output=rates["output"],
        cache_read=rates["cache_read"],
        cache_write=rates["cache_write"],
        structured_output=read_flag(row["structured_output"], at("structured_output")),
        context_tokens=read_integer(row["context_tokens"], at("context_tokens"), low=1),
        max_output_tokens=read_integer(row["max_output_tokens"], at("max_output_tokens"), low=1),
        valid_from=optional_day(row["valid_from"], at("valid_from")),
        valid_until=optional_day(row["valid_until"], at("valid_until")),
        source=read_text(row["source"], at("source")),
        checked=read_day(row["checked"], at("checked")),
        abilities=_abilities(row, where),
        **more,
    )
    for region, own in price.regional.items():
        if None in (own.get("input", 0), own.get("output", 0)):
            fail(at("regional"), f"{region!r}: 'input' and 'output' can't be null")
    if price.valid_from and price.valid_until and price.valid_until < price.valid_from:
        fail(at("valid_until"), "must not be before 'valid_from'")
    return price


def _abilities(row: Mapping[str, object], where: str) -> Abilities:
    def at(field: str) -> str:
        return f"{where}: field {field!r}"

    api = row.get("api")
    return Abilities(
        api=None if api is None else Api(one_of(tuple(Api), api, at("api"))),
        refuses=tuple(
            one_of(REFUSABLE, each, at("refuses"))
            for each in optional_texts(row.get("refuses"), at("refuses")) or ()
        ),
        temperature=read_range(row.get("temperature"), at("temperature")),
        always_thinks=read_flag(row.get("always_thinks", False), at("always_thinks")),
        efforts=optional_texts(row.get("efforts"), at("efforts")),
        tools=None if row.get("tools") is None else read_flag(row["tools"], at("tools")),
    )


def _long_prompts(
    value: object, base: Mapping[str, int | None], where: str
) -> tuple[LongPrompt, ...]:
    """Rates by the size of the prompt; those that one doesn't name are the row's."""
    where = f"{where}: field 'long_prompts'"
    found = []
    for position, each in enumerate([] if value is None else read_items(value, where)):
        at = f"{where}[{position}]"
        own = read_object(each, at, required=("above",), optional=_RATES)
        rates: dict[str, Any] = {**base, **_rates(own, at)}
        if rates["input"] is None or rates["output"] is None:
            fail(at, "'input' and 'output' can't be null")
        found.append(LongPrompt(above=read_integer(own["above"], f"{at}: 'above'", low=1), **rates))
    if [each.above for each in found] != sorted({each.above for each in found}):
        fail(where, "must be in ascending order of 'above', each once")
    return tuple(found)


def _tiers(value: object, where: str, known: Collection[str] | None) -> Tiers:
    tiers: dict[str, dict[str, tuple[str, ...]]] = {}
    for name, providers in read_object(value, where).items():
        tiers[name] = {}
        for provider, ids in read_object(providers, f"{where}: {name!r}").items():
            at = f"{where}: {name!r}: {provider!r}"
            read_provider(provider, at, known)
            tiers[name][provider] = tuple(
                model_id_of(provider, read_text(each, at)) for each in read_list(ids, at)
            )
            if not tiers[name][provider]:
                fail(at, "must name at least one model id")
    return tiers
