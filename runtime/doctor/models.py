"""The chosen models: may they be called, in which way, and until when. Nothing is called."""

from collections.abc import Iterator
from datetime import date
from shlex import quote
from typing import Any, Final

from runtime.aws.failures import error_code
from runtime.doctor.account import Account
from runtime.doctor.finding import Finding, ok, unknown, wrong
from runtime.doctor.model_names import base_model, geography
from runtime.domain.errors import PriceError
from runtime.domain.models.price_table import PriceTable

PRICES: Final = "prices of models"
ACCESS: Final = "access to models"
WAYS: Final = "ways to call models"
LIFE: Final = "life of models"

PROVIDER: Final = "bedrock"
_ABSENT: Final = frozenset({"ResourceNotFoundException", "ValidationException"})
_ANOTHER: Final = "choose another model: seedwright models"
_CONSOLE: Final = "https://console.aws.amazon.com/bedrock/home#/model-catalog"


def models_of_tiers(prices: PriceTable, on: date) -> tuple[str, ...]:
    """What a template gets that names tiers: the first model of each that can be used that day."""
    found = []
    for tier in prices.tiers:
        try:
            found.append(prices.resolve_tier(tier, PROVIDER, on))
        except PriceError:
            continue
    return tuple(dict.fromkeys(found))


def look_at_prices(account: Account) -> Iterator[Finding]:
    """A model without a price is refused before a job starts. Asks nobody."""
    for model in account.models:
        name = f"{model}: price"
        try:
            price = account.prices.price(model, account.now().date())
        except PriceError as error:
            yield wrong(name, str(error), mend="docs/prices.md")
            continue
        warnings = account.prices.warnings([model])
        if warnings:
            yield unknown(name, warnings[0], mend="https://aws.amazon.com/bedrock/pricing/")
        else:
            yield ok(name, f"{price.name}, checked {price.checked}")


def look_at_access(account: Account) -> Iterator[Finding]:
    """What Bedrock says of agreement, authorization and entitlement."""
    for model in account.models:
        yield _access(account, model)


def look_at_ways(account: Account) -> Iterator[Finding]:
    """Whether the model can be called by its id, or through the profile that was chosen."""
    for model in account.models:
        name = f"{model}: way to call it"
        if geography(model) is None:
            yield _direct(account, name, model)
        elif model in account.inference_profiles():
            yield ok(name, "the profile is there")
        else:
            yield _no_way(account, name, model, f"no such profile in {account.region_name}")


def look_at_life(account: Account) -> Iterator[Finding]:
    """When AWS ends the model."""
    for model in account.models:
        name = f"{model}: end of life"
        found = account.foundation_models().get(base_model(model))
        if found is None or not found.get("modelLifecycle"):
            yield unknown(name, f"Bedrock in {account.region_name} doesn't say")
        elif found["modelLifecycle"]["status"] == "LEGACY":
            yield wrong(name, f"legacy{_dates(found['modelLifecycle'])}", mend=_ANOTHER)
        else:
            yield ok(name, f"active{_dates(found['modelLifecycle'])}")


def _access(account: Account, model: str) -> Finding:
    from botocore.exceptions import ClientError  # noqa: PLC0415 - as in runtime/sdk.py

    name = f"{model}: access"
    try:
        found = account.client("bedrock").get_foundation_model_availability(
            modelId=base_model(model)
        )
    except ClientError as error:
        if error_code(error) not in _ABSENT:
            raise
        return wrong(name, f"Bedrock in {account.region_name} doesn't know it", mend=_ANOTHER)
    agreement = found["agreementAvailability"]["status"]
    if agreement == "PENDING":
        says = "the subscription is on its way, which takes up to 15 minutes"
        return unknown(name, says, mend="look again then")
    if found["authorizationStatus"] != "AUTHORIZED":
        says = "the account is not authorized: a policy of the organization, perhaps"
        return wrong(name, says, mend=_CONSOLE)
    if agreement != "AVAILABLE" or found["entitlementAvailability"] != "AVAILABLE":
        return wrong(
            name,
            f"not subscribed (agreement {agreement}, entitlement"
            f" {found['entitlementAvailability']}): an administrator calls it once, after the use"
            " case form for a model of Anthropic",
            mend=_first_call(account, model),
        )
    if found["regionAvailability"] != "AVAILABLE" and geography(model) is None:
        return wrong(name, f"not available in {account.region_name}", mend=_ANOTHER)
    return ok(name, "subscribed and authorized")


def _first_call(account: Account, model: str) -> str:
    """Costs next to nothing, and is left to people: this room calls no model."""
    return account.aws(
        f"bedrock-runtime converse --model-id {quote(model)} --inference-config maxTokens=1"
        """ --messages '[{"role":"user","content":[{"text":"hi"}]}]'"""
    )


def _direct(account: Account, name: str, model: str) -> Finding:
    found: Any = account.foundation_models().get(model)
    if found is None:
        return _no_way(account, name, model, f"not offered in {account.region_name}")
    if "ON_DEMAND" not in found.get("inferenceTypesSupported", ()):
        return _no_way(account, name, model, "it can't be called by its own id")
    return ok(name, "by its own id")


def _no_way(account: Account, name: str, model: str, says: str) -> Finding:
    """With the profiles that lead to the same model."""
    base = base_model(model)
    others = sorted(each for each in account.inference_profiles() if base_model(each) == base)
    there = f"; there is {', '.join(others)}" if others else ""
    return wrong(name, f"{says}{there}", mend=_ANOTHER)


def _dates(life: Any) -> str:
    named = {"legacyTime": "legacy from", "endOfLifeTime": "last day"}
    told = [f"{word} {life[key]:%Y-%m-%d}" for key, word in named.items() if life.get(key)]
    return f", {', '.join(told)}" if told else ""
