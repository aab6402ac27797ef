"""The price table: which models exist, what they cost, and which of them a step runs on.

The packaged table is `prices.json`; `price_file.py` reads and checks it, `price.py` computes.
A model without a valid price is refused before a job starts (requirement N5).
"""

import difflib
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Final

from runtime.domain.errors import PriceError
from runtime.domain.models.abilities import Api
from runtime.domain.models.names import BEDROCK, BUILT_IN, LOCAL, model_id_of, name_at, split_name
from runtime.domain.models.price import FRAMING_TOKENS, Price
from runtime.domain.models.price_file import PriceDocument, Tiers, parse_document, render_document
from runtime.domain.models.reach import WITHOUT_SERVERS, Reach
from runtime.domain.models.regions import own_id
from runtime.domain.templates.template import DEFAULT_TIER, Step

__all__ = ["FRAMING_TOKENS", "Price", "PriceTable", "load_prices"]

_PACKAGED: Final = Path(__file__).with_name("prices.json")
_PINNED: Final = "the job's prices.json"
_SHOWN_CHARACTERS: Final = 100
_OF_THE_TABLE: Final = frozenset({BEDROCK, LOCAL})
"""Providers whose models are those of the table; others serve whatever they are asked for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PriceTable:
    """All prices by model id. `version` is what a job pins."""

    version: str
    prices: Mapping[str, Price]
    tiers: Tiers
    tier_aliases: Mapping[str, str]
    region: str | None = None
    """Where models are called from, and what the rates are of; None: not known, so that nothing is
    refused for it."""
    reach: Reach = WITHOUT_SERVERS
    """Which providers can be called. It belongs to the process, and is not stored with a job."""

    def seen_from(self, region: str | None) -> "PriceTable":
        """The same with the rates of that region, from which not every model can be called."""
        if region is None:
            return self
        prices = {model_id: price.seen_from(region) for model_id, price in self.prices.items()}
        return replace(self, region=region, prices=prices)

    @staticmethod
    def decode(body: bytes, *, reach: Reach = WITHOUT_SERVERS) -> "PriceTable":
        """Inverse of `encode`, for a process with that reach. Raises `PriceError`."""
        document = parse_document(body, file=_PINNED, partial=False)
        return replace(_table(document, file=_PINNED, checked={}), reach=reach)

    def encode(self) -> bytes:
        """The table as a price file of its own, so that a job can keep the one it began with."""
        return render_document(
            version=self.version,
            prices=self.prices.values(),
            tiers=self.tiers,
            tier_aliases=self.tier_aliases,
            region=self.region,
        )

    def price(self, model_id: str, on: date) -> Price:
        """The model's price on that day: its own, else that of its inference profile.

        Raises `PriceError` for a model that the table doesn't have, not on that day, or that can't
        be called from its region by this id.
        """
        price = self.prices.get(model_id) or self._free(model_id)
        if price is None:
            raise PriceError(self._unknown(model_id))
        if price.is_valid(on):
            if not price.is_called_from(self.region):
                raise PriceError(self._elsewhere(model_id, price.provider, on))
            return price
        if price.valid_from and on < price.valid_from:
            raise PriceError(f"model {model_id!r} can be used from {price.valid_from} on")
        raise PriceError(
            f"model {model_id!r} reached its end of life on {price.valid_until}; "
            "choose another one or a model_tier"
        )

    def resolve_tier(self, tier: str, provider: str, on: date) -> str:
        """The first model of a tier (or alias) that this provider has on that day, and that can be
        called from the table's region.

        Raises `PriceError` for an unknown tier, or when no candidate is left.
        """
        name = self.tier_aliases.get(tier, tier)
        if name not in self.tiers:
            known = ", ".join([*self.tiers, *self.tier_aliases])
            raise PriceError(f"unknown model_tier {_shown(tier)}; use one of {known}")
        for model_id in self.tiers[name].get(provider, ()):
            price = self.prices.get(model_id)
            if price is not None and price.is_valid(on) and price.is_called_from(self.region):
                return model_id
        if provider not in _OF_THE_TABLE:
            raise PriceError(
                f"{provider} has no model for model_tier {name!r}: name one, by --model or in the"
                " template, or add it to a tier in a price file"
            )
        when = f"on {on}" if self.region is None else f"on {on} in {self.region}"
        raise PriceError(
            f"model_tier {name!r} has no {provider} model {when}; add one in an override file"
        )

    def warnings(self, model_ids: Iterable[str]) -> tuple[str, ...]:
        """For each of the models whose rates are not known in the table's region, that others are
        used, each in one line.
        """
        known = (self.prices.get(model_id) for model_id in dict.fromkeys(model_ids))
        prices = (price for price in known if price is not None)
        return tuple(
            f"the price of {price.model_id} in {self.region} is not known: that of"
            f" {next(iter(price.priced_in or ()), '')} is used; give your own in a price file"
            " (docs/prices.md)"
            for price in prices
            if not price.is_priced_in(self.region)
        )

    def _elsewhere(self, model_id: str, provider: str, on: date) -> str:
        """The message for a model that can't be called from here by this id."""
        usable = (each for each in self.prices.values() if each.provider == provider)
        callable_ = (each for each in usable if each.is_called_from(self.region))
        here = [each.model_id for each in callable_ if each.is_valid(on)]
        same = [each for each in here if own_id(each) == own_id(model_id)]
        advice = f"call it as {' or '.join(same)}" if same else f"choose one of {', '.join(here)}"
        return f"model {model_id!r} can't be called by this id in {self.region}: {advice}"

    def api_of(self, price: Price) -> Api:
        """By which requests a model is called: its own, or those of its provider."""
        provider = self.reach.find(price.provider)
        usual = Api.CHAT if provider is None else provider.api
        return price.abilities.api or usual

    def resolve_step(
        self,
        step: Step,
        *,
        override: str | None,
        provider: str,
        on: date,
        place: str | None = None,
    ) -> str:
        """The id of the model that a step runs on: `override`, else its model, else its tier. One
        that names no provider is `provider`'s.

        Raises `PriceError` that names the step, or its `place`, also for a provider that can't be
        called.
        """
        text = override if override is not None else step.model
        try:
            if text is None:
                return self.resolve_tier(step.model_tier or DEFAULT_TIER, provider, on)
            named, name = split_name(text, self.reach.names)
            model_id = model_id_of(named or provider, name)
            self._check_callable(named or provider, model_id, text, on)
        except PriceError as exc:
            raise PriceError(f"{place or f'step {step.id!r}'}: {exc}") from exc
        return model_id

    def _check_callable(self, provider: str, model_id: str, text: str, on: date) -> None:
        """Raises `PriceError` for a model that the provider doesn't have, with the one that has."""
        if provider not in self.reach.names:
            raise PriceError(
                f"provider {provider!r} can't be called here: there is"
                f" {', '.join(self.reach.names)}"
            )
        # A name that another provider's row has, and no row or server of this one answers to.
        other = None if self._free(model_id) else self.prices.get(text)
        found = self.prices.get(model_id) or other or self.price(model_id, on)
        if found.provider != provider:
            raise PriceError(self._of_another(found, provider, on))
        self.price(model_id, on)

    def _of_another(self, price: Price, provider: str, on: date) -> str:
        """The message for a model that another provider than the one that is meant has."""
        name = name_at(price.provider, price.model_id)
        exact = model_id_of(price.provider, name)
        message = f"model {exact!r} needs `--backend {price.provider}`"
        if price.provider in self.reach.names:
            whole = f"{price.provider}/{name}" if price.provider == BEDROCK else exact
            message += f" or the name {whole}"
        try:
            usual = self.resolve_tier(DEFAULT_TIER, provider, on)
        except PriceError:
            return f"{message}; to stay on {provider}, name one of its models"
        return f"{message}; to stay on {provider}, choose for example `--model {usual}`"

    def _free(self, model_id: str) -> Price | None:
        provider, _ = split_name(model_id, self.reach.names)
        return None if provider is None else self.reach.free_price(provider, model_id)

    def _unknown(self, model_id: str) -> str:
        """The message for a model without a price: what can be called, or what to write."""
        provider, name = split_name(model_id, self.reach.names)
        if provider is None or provider in _OF_THE_TABLE:
            return f"unknown model {_shown(model_id)}{_similar(model_id, self.prices)}"
        others = [each for each in self.prices.values() if each.provider == provider]
        known = f"; it has {', '.join(each.model_id for each in others)}" if others else ""
        return (
            f"{provider} has no price for {_shown(name)}{known}: give one in a file for --prices,"
            " or under `prices` of that provider in providers.yaml, or say there `free: true` if"
            " no call is billed (docs/models.md)"
        )


def load_prices(
    override: Path | None = None,
    *,
    reach: Reach = WITHOUT_SERVERS,
    more: Iterable[tuple[str, bytes]] = (),
) -> PriceTable:
    """The packaged table for a process with that reach, with the rows, tiers and aliases of price
    files in place of its own: of those in `more`, each with its name, and then of `override`.

    A row replaces the row of the same id with all its profiles; a tier is replaced for the
    providers it lists. Raises `PriceError` for a file that can't be read or used.
    """
    last = [] if override is None else [(str(override), _read(override))]
    return load_prices_over([*more, *last], reach=reach)


def load_prices_over(
    files: Iterable[tuple[str, bytes]], *, reach: Reach = WITHOUT_SERVERS
) -> PriceTable:
    """The same with files whose bodies are here already; complaints call them by their names."""
    merged = parse_document(_read(_PACKAGED), file=_PACKAGED.name, partial=False)
    table = replace(_table(merged, file=_PACKAGED.name, checked=merged.tiers), reach=reach)
    known = tuple(dict.fromkeys((*BUILT_IN, *reach.names)))
    for file, body in files:
        own = parse_document(body, file=file, partial=True, providers=known)
        merged = PriceDocument(
            version=f"{merged.version}+{hashlib.sha256(body).hexdigest()[:8]}",
            rows={**merged.rows, **own.rows},
            tiers={
                name: {**merged.tiers.get(name, {}), **own.tiers.get(name, {})}
                for name in {**merged.tiers, **own.tiers}
            },
            tier_aliases={**merged.tier_aliases, **own.tier_aliases},
        )
        table = replace(_table(merged, file=file, checked=own.tiers), reach=reach)
    return table


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as exc:
        raise PriceError(f"{file}: can't be read: {exc.strerror or exc}") from exc


def _table(document: PriceDocument, *, file: str, checked: Tiers) -> PriceTable:
    """Flatten the rows. A row of its own for a profile's id goes before the derived one. The tiers
    in `checked` name models that there are; others may not, since a row of one's own can lack a
    profile that a packaged tier names.
    """
    derived: dict[str, Price] = {}
    exact: dict[str, Price] = {}
    for row_id, prices in document.rows.items():
        for model_id, price in prices.items():
            (exact if model_id == row_id else derived)[model_id] = price
    prices = {**derived, **exact}
    for name, candidates in checked.items():
        for provider, model_ids in candidates.items():
            for model_id in model_ids:
                if provider not in _OF_THE_TABLE:
                    continue  # it may have a model without a row, and be free
                if model_id not in prices or prices[model_id].provider != provider:
                    raise PriceError(
                        f"{file}: tiers: {name!r}: {_shown(model_id)} is no {provider} model of "
                        f"the table{_similar(model_id, prices)}"
                    )
    for alias, name in document.tier_aliases.items():
        if name not in document.tiers or alias in document.tiers:
            raise PriceError(f"{file}: tier_aliases: {alias!r} must be a new name for a tier")
    return PriceTable(
        version=document.version,
        prices=prices,
        tiers=document.tiers,
        tier_aliases=document.tier_aliases,
        region=document.region,
    )


def _similar(model_id: str, known: Iterable[str]) -> str:
    """The end of a message: what the user may have meant."""
    close = difflib.get_close_matches(model_id[:_SHOWN_CHARACTERS], list(known))
    return f"; did you mean {', '.join(close)}?" if close else "; docs/prices.md says how to add it"


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…")
