"""All checks of an account, side by side and within a time."""

import re
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread
from typing import Final

from runtime.doctor.account import Account
from runtime.doctor.check import Check
from runtime.doctor.finding import Finding, State, unknown
from runtime.doctor.models import models_of_tiers
from runtime.doctor.registry import CHECKS, CREDENTIALS
from runtime.domain.errors import InputError
from runtime.domain.models.price_table import load_prices
from runtime.sdk import region_here

LONGEST_SECONDS: Final = 90.0
"""For all checks together. They mostly take some five seconds: Bedrock has many quotas to list."""

_STAGE: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,39}")
_REGION: Final = re.compile(r"[a-z]{2,}(?:-[a-z]+)+-\d+")
_SHOWN: Final = 60


def doctor(
    *,
    stage: str = "dev",
    region: str | None = None,
    profile: str | None = None,
    models: Sequence[str] = (),
    prices: str | Path | None = None,
) -> tuple[Finding, ...]:
    """Look at an AWS account and region, before or after a deployment, with calls that only read.

        for finding in seedwright.doctor(stage="prod"):
            print(finding.state, finding.name, finding.says, finding.mend)

    `stage` is what was, or will be, deployed. `region` and `profile` are AWS's, by default those of
    the environment. The models of all tiers are looked at, and the `models` that are named. A look
    that fails, or may not be made, is a finding of its state `unknown`. No model is called.

    Raises `InputError` for what can't be a stage or a region, and `PriceError` for a price file
    that can't be used.
    """
    if _STAGE.fullmatch(stage) is None:
        raise InputError(
            f"stage {stage[:_SHOWN]!r}: use letters, digits and hyphens, 40 at most, and begin with"
            " a letter"
        )
    if region and _REGION.fullmatch(region) is None:
        raise InputError(f"region {region[:_SHOWN]!r} is not the name of one, such as us-east-1")
    seen_from = region or region_here(profile)
    table = load_prices(None if prices is None else Path(prices)).seen_from(seen_from)
    chosen = (*models_of_tiers(table, datetime.now(UTC).date()), *models)
    account = Account(
        stage=stage,
        region=region or None,
        profile=profile or None,
        prices=table,
        models=tuple(dict.fromkeys(chosen)),
        now=lambda: datetime.now(UTC),
    )
    return examine(account)


def examine(
    account: Account, checks: Sequence[Check] = CHECKS, *, seconds: float = LONGEST_SECONDS
) -> tuple[Finding, ...]:
    """The findings of all checks, in their order. What has no answer after `seconds` is unknown."""
    end = time.monotonic() + seconds
    first = _within(account, [CREDENTIALS], end)[CREDENTIALS]
    nobody = all(each.state is State.WRONG for each in first)
    found = {CREDENTIALS: first}
    if nobody:
        for check in checks:
            if check.actions and check is not CREDENTIALS:
                found[check] = [unknown(check.name, "not asked: there are no credentials")]
    rest = [check for check in checks if check not in found]
    found.update(_within(account, rest, end))
    return tuple(finding for check in checks for finding in found[check])


def _within(account: Account, checks: Sequence[Check], end: float) -> dict[Check, list[Finding]]:
    """Each in a thread of its own, which is left behind when the time is over."""
    found: dict[Check, list[Finding]] = {}

    def look(check: Check) -> None:
        found[check] = check.findings(account)

    threads = [Thread(target=look, args=(check,), daemon=True) for check in checks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    answered = dict(found)
    return {
        check: answered.get(check) or [unknown(check.name, "gave no answer in time")]
        for check in checks
    }
