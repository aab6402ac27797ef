"""How much the account may do at once: machines, functions, tokens.

Service Quotas knows Bedrock's quotas by codes that nobody publishes, so they are found by name. A
name says how a model is called, for which time, and a model's name in one of several spellings.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from shlex import quote
from typing import Any, Final

from runtime.doctor.account import Account
from runtime.doctor.finding import Finding, ok, unknown, wrong
from runtime.doctor.model_names import GLOBAL, base_model, geography, spelling
from runtime.domain.errors import PriceError

FARGATE: Final = "Fargate quotas"
LAMBDA: Final = "Lambda concurrency"
TOKENS: Final = "token quotas"

FEWEST_VCPUS: Final = 1
"""What one worker takes."""
FEWEST_EXECUTIONS: Final = 100
"""Below this few users are enough to be refused, and to keep the sweeper from running. New accounts
have 10, which AWS raises to 1000 on demand."""
FEWEST_TOKENS: Final[Mapping[str, int]] = {"minute": 20_000, "day": 1_000_000}
"""Some thirty calls a minute, some two thousand a day. New accounts may have 0."""

_FARGATE_QUOTAS: Final = (
    ("Fargate Spot vCPUs", "Fargate Spot vCPU resource count"),
    ("Fargate On-Demand vCPUs", "Fargate On-Demand vCPU resource count"),
)
_TOKEN_QUOTA: Final = re.compile(
    r"(?:(?P<way>on-demand|cross-region|global cross-region) model inference"
    r"|model invocation max) tokens per (?P<period>minute|day) for (?P<model>[^()]+)(?:\(.*\))?"
)
_CONSOLE: Final = "https://console.aws.amazon.com/servicequotas/home/services/{service}/quotas"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Quotas:
    """What the account has, and what AWS gives by default where it doesn't say the account's."""

    applied: Mapping[tuple[str, str, str], Any]
    default: Mapping[tuple[str, str, str], Any]


def look_at_fargate(account: Account) -> Iterator[Finding]:
    """How many workers may run at a time."""
    found = {
        each["QuotaName"]: each
        for each in account.pages(
            "service-quotas", "list_service_quotas", "Quotas", ServiceCode="fargate"
        )
    }
    for name, quota_name in _FARGATE_QUOTAS:
        quota = found.get(quota_name)
        if quota is None:
            yield _not_shown(name, f"Service Quotas shows no {quota_name!r}", "fargate")
        elif quota["Value"] < FEWEST_VCPUS:
            says = f"{quota['Value']:g}: no worker can start"
            yield wrong(name, says, mend=_raise_to(account, quota, "fargate", 64))
        else:
            yield ok(name, f"{quota['Value']:g}, so many workers at a time")


def look_at_lambda(account: Account) -> Iterator[Finding]:
    """How many functions may run at a time."""
    limit = account.client("lambda").get_account_settings()["AccountLimit"]["ConcurrentExecutions"]
    if limit >= FEWEST_EXECUTIONS:
        yield ok(LAMBDA, f"{limit} executions at a time")
        return
    yield wrong(
        LAMBDA,
        f"{limit} executions at a time, the sweeper's among them: more requests are refused",
        mend=account.aws(
            "service-quotas request-service-quota-increase --service-code lambda"
            " --quota-code L-B99A9384 --desired-value 1000"
        ),
    )


def look_at_tokens(account: Account) -> Iterator[Finding]:
    """Tokens a minute and a day of each chosen model."""
    quotas = _bedrock_quotas(account)
    for model in account.models:
        for period, fewest in FEWEST_TOKENS.items():
            yield _tokens(account, quotas, model, period, fewest)


def _tokens(account: Account, quotas: _Quotas, model: str, period: str, fewest: int) -> Finding:
    name = f"{model}: tokens a {period}"
    keys = _keys(account, model, period)
    for key in keys:
        quota = quotas.applied.get(key)
        if quota is None:
            continue
        says = f"{quota['Value']:,.0f}".replace(",", " ")
        if quota["Value"] < fewest:
            mend = _raise_to(account, quota, "bedrock", 100 * fewest)
            return wrong(name, f"{says}: too few for a dataset", mend=mend)
        return ok(name, says)
    for key in keys:
        quota = quotas.default.get(key)
        if quota is not None:
            value = f"{quota['Value']:,.0f}".replace(",", " ")
            says = f"AWS shows its default, {value}, and not what this account has"
            return _not_shown(name, says, "bedrock")
    return _not_shown(name, "Service Quotas shows none by this model's name", "bedrock")


def _keys(account: Account, model: str, period: str) -> tuple[tuple[str, str, str], ...]:
    """How quotas may be found that hold for calls of this model, the best one first."""
    try:
        name = account.prices.price(model, account.now().date()).name
    except PriceError:
        name = base_model(model)
    where = geography(model)
    way = "on-demand" if where is None else "cross-region"
    if where == GLOBAL:
        way = "global cross-region"
    return (way, period, spelling(name)), ("", period, spelling(name))


def _bedrock_quotas(account: Account) -> _Quotas:
    """The account's own, and AWS's where one that is wanted isn't among them."""
    applied = _by_key(account, "list_service_quotas")
    wanted = [_keys(account, model, period) for model in account.models for period in FEWEST_TOKENS]
    if all(any(key in applied for key in keys) for keys in wanted):
        return _Quotas(applied=applied, default={})
    return _Quotas(applied=applied, default=_by_key(account, "list_aws_default_service_quotas"))


def _by_key(account: Account, operation: str) -> dict[tuple[str, str, str], Any]:
    found = {}
    for quota in account.pages("service-quotas", operation, "Quotas", ServiceCode="bedrock"):
        match = _TOKEN_QUOTA.fullmatch(quota["QuotaName"].lower())
        if match:
            found[match["way"] or "", match["period"], spelling(match["model"])] = quota
    return found


def _raise_to(account: Account, quota: Any, service: str, value: int) -> str:
    if not quota.get("Adjustable"):
        return (
            f"ask AWS Support, in {_CONSOLE.format(service=service)}: it can't be raised by a call"
        )
    return account.aws(
        f"service-quotas request-service-quota-increase --service-code {service}"
        f" --quota-code {quote(quota['QuotaCode'])} --desired-value {value}"
    )


def _not_shown(name: str, says: str, service: str) -> Finding:
    return unknown(name, says, mend=_CONSOLE.format(service=service))
