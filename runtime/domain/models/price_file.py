"""The price file: its shape, checked field by field. docs/prices.md describes it.

The packaged file and an override file go through the same code; only the former must be complete.
Every complaint is a `PriceError` that names the file, the row and the field.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any, Final, NoReturn

from runtime.domain.errors import PriceError
from runtime.domain.fields import is_number, is_text
from runtime.domain.models.price import REFUSABLE, Price
from runtime.domain.models.regions import PROFILE_PLACES

PROVIDERS: Final = ("bedrock", "local")
PROFILE_PREFIXES: Final = tuple(PROFILE_PLACES)
MAX_RATE: Final = 1_000_000_000
"""One USD per token: more than that is a slip of the unit."""

_SECTIONS: Final = ("version", "models", "tiers", "tier_aliases")
_RATES: Final = ("input", "output", "cache_read", "cache_write")
_ROW: Final = (
    *("id", "provider", "name", *_RATES, "profiles", "structured_output", "context_tokens"),
    *("max_output_tokens", "valid_from", "valid_until", "source", "checked"),
)
_PLACES: Final = ("regions", "priced_in", "regional")
"""Fields of a row and of its profiles that files of before don't have."""

_ADDED: Final = (*_PLACES, "refuses")
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


def parse_document(body: bytes, *, file: str, partial: bool) -> PriceDocument:
    """Parse a price file; a `partial` one (an override) may leave sections out.

    That tiers name existing models is checked once both files are merged. Raises `PriceError`.
    """
    document = _object(
        _load(body, file),
        file,
        required=() if partial else _SECTIONS,
        optional=_SECTIONS if partial else (*_SECTIONS, "region"),
    )
    rows: dict[str, Mapping[str, Price]] = {}
    for position, row in enumerate(_list(document.get("models", []), f"{file}: models")):
        row_id, prices = _row(row, f"{file}: models[{position}]", file)
        if row_id in rows:
            _fail(f"{file}: model {row_id!r}", "is listed twice; keep one row")
        rows[row_id] = prices
    aliases = _object(document.get("tier_aliases", {}), f"{file}: tier_aliases")
    return PriceDocument(
        version=_text(document.get("version", file), f"{file}: version"),
        rows=rows,
        tiers=_tiers(document.get("tiers", {}), f"{file}: tiers"),
        tier_aliases={
            alias: _text(tier, f"{file}: tier_aliases: {alias!r}")
            for alias, tier in aliases.items()
        },
        region=_optional_text(document.get("region"), f"{file}: region"),
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
        rows.append({"id": row.pop("model_id"), **row, "profiles": {}})
    document = {
        "version": version,
        "models": rows,
        "tiers": tiers,
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


def _row(value: object, where: str, file: str) -> tuple[str, Mapping[str, Price]]:
    """A row's id and its prices by model id."""
    row = _object(value, where, required=("id",), optional=(*_ROW, *_ADDED))
    row_id = _text(row["id"], f"{where}: field 'id'")
    where = f"{file}: model {row_id!r}"
    row = _object(row, where, required=_ROW, optional=_ADDED)
    base = {field: _rate(row[field], f"{where}: field {field!r}") for field in _RATES}
    prices: dict[str, Price] = {}
    if base["input"] is not None or base["output"] is not None:
        prices[row_id] = _price(row_id, base, row, _places(row, where), where)
    profiles = f"{where}: field 'profiles'"
    for prefix, value_of in _object(row["profiles"], profiles, optional=PROFILE_PREFIXES).items():
        at, model_id = f"{profiles}: {prefix!r}", f"{prefix}{row_id}"
        own = _object(value_of, at, optional=(*_RATES, *_PLACES))
        rates = base | _rates(own, at)
        places = {"priced_in": row.get("priced_in"), "regions": PROFILE_PLACES[prefix]} | own
        prices[model_id] = _price(model_id, rates, row, _places(places, at), where)
    if not prices:
        _fail(where, "has neither rates nor profiles; give 'input' and 'output'")
    return row_id, prices


def _rates(value: Mapping[str, object], where: str) -> dict[str, int | None]:
    return {field: _rate(value[field], f"{where}: {field!r}") for field in _RATES if field in value}


def _places(value: Mapping[str, object], where: str) -> dict[str, Any]:
    """The fields that say where a price holds, as `Price` has them."""
    at = f"{where}: field 'regional'"
    regional = _object(value.get("regional", {}), at)
    return {
        "regions": _optional_texts(value.get("regions"), f"{where}: field 'regions'"),
        "priced_in": _optional_texts(value.get("priced_in"), f"{where}: field 'priced_in'"),
        "regional": {
            region: _rates(
                _object(rates, f"{at}: {region!r}", optional=_RATES), f"{at}: {region!r}"
            )
            for region, rates in regional.items()
        },
    }


def _price(
    model_id: str,
    rates: Mapping[str, int | None],
    row: Mapping[str, object],
    places: Mapping[str, Any],
    where: str,
) -> Price:
    def at(field: str) -> str:
        return f"{where}: field {field!r}"

    if rates["input"] is None or rates["output"] is None:
        _fail(where, f"{model_id!r} needs both 'input' and 'output', as integers")
    structured_output = row["structured_output"]
    if not isinstance(structured_output, bool):
        _fail(at("structured_output"), "must be true or false")
    price = Price(
        model_id=model_id,
        name=_text(row["name"], at("name")),
        provider=_one_of(PROVIDERS, row["provider"], at("provider")),
        input=rates["input"],
        output=rates["output"],
        cache_read=rates["cache_read"],
        cache_write=rates["cache_write"],
        structured_output=structured_output,
        context_tokens=_integer(row["context_tokens"], at("context_tokens"), low=1),
        max_output_tokens=_integer(row["max_output_tokens"], at("max_output_tokens"), low=1),
        valid_from=_optional_day(row["valid_from"], at("valid_from")),
        valid_until=_optional_day(row["valid_until"], at("valid_until")),
        source=_text(row["source"], at("source")),
        checked=_day(row["checked"], at("checked")),
        refuses=_optional_texts(row.get("refuses"), at("refuses")) or (),
        **places,
    )
    for each in price.refuses:
        _one_of(REFUSABLE, each, at("refuses"))
    for region, own in price.regional.items():
        if None in (own.get("input", 0), own.get("output", 0)):
            _fail(at("regional"), f"{region!r}: 'input' and 'output' can't be null")
    if price.valid_from and price.valid_until and price.valid_until < price.valid_from:
        _fail(at("valid_until"), "must not be before 'valid_from'")
    return price


def _tiers(value: object, where: str) -> Tiers:
    tiers: dict[str, dict[str, tuple[str, ...]]] = {}
    for name, providers in _object(value, where).items():
        tiers[name] = {}
        for provider, ids in _object(providers, f"{where}: {name!r}", optional=PROVIDERS).items():
            at = f"{where}: {name!r}: {provider!r}"
            tiers[name][provider] = tuple(_text(each, at) for each in _list(ids, at))
            if not tiers[name][provider]:
                _fail(at, "must name at least one model id")
    return tiers


def _fail(where: str, problem: str) -> NoReturn:
    raise PriceError(f"{where}: {problem}")


def _object(
    value: object,
    where: str,
    *,
    required: Iterable[str] = (),
    optional: Iterable[str] | None = None,
) -> dict[str, object]:
    """A JSON object with these fields; without `required` and `optional`, any."""
    if not isinstance(value, dict):
        _fail(where, "must be an object")
    required = tuple(required)
    for field in required:
        if field not in value:
            _fail(where, f"field {field!r} is missing")
    if required or optional is not None:
        allowed = (*required, *(optional or ()))
        for field in value:
            if field not in allowed:
                known = ", ".join(dict.fromkeys(allowed))
                _fail(where, f"unknown field {field!r}; known are {known}")
    return value


def _list(value: object, where: str) -> list[object]:
    if not isinstance(value, list):
        _fail(where, "must be a list")
    return value


def _text(value: object, where: str) -> str:
    if not isinstance(value, str) or not is_text(value):
        _fail(where, "must be a text that isn't empty")
    return value


def _optional_text(value: object, where: str) -> str | None:
    return None if value is None else _text(value, where)


def _optional_texts(value: object, where: str) -> tuple[str, ...] | None:
    if value is None:
        return None
    texts = value if isinstance(value, tuple) else _list(value, where)
    return tuple(_text(each, where) for each in texts)


def _one_of(values: Iterable[str], value: object, where: str) -> str:
    if not isinstance(value, str) or value not in values:
        _fail(where, f"must be one of {', '.join(values)}")
    return value


def _integer(value: object, where: str, *, low: int) -> int:
    if not isinstance(value, int) or not is_number(value, low=low, whole=True):
        _fail(where, f"must be an integer of at least {low}")
    return value


def _rate(value: object, where: str) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or not is_number(value, low=0, high=MAX_RATE, whole=True):
        _fail(
            where, "must be null or whole nano-USD per token (1000 is 1 USD per million); round up"
        )
    return value


def _optional_day(value: object, where: str) -> date | None:
    return None if value is None else _day(value, where)


def _day(value: object, where: str) -> date:
    try:
        return date.fromisoformat(_text(value, where))
    except ValueError as exc:
        raise PriceError(f"{where}: must be a date such as 2027-03-30") from exc
