"""All checks of an account, side by side and within a time."""

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

_STAGE_CHARACTERS: Final = 40


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

    Raises `InputError` for what can't be a stage, and for a price file that can't be used.
    """
    plain = stage.isascii() and stage.replace("-", "").isalnum()
    if not plain or len(stage) > _STAGE_CHARACTERS:
        raise InputError(f"stage {stage[:_STAGE_CHARACTERS]!r}: use letters, digits and hyphens")
    table = load_prices(None if prices is None else Path(prices)).seen_from(region or region_here())
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
