"""An estimate as people read it: the same lines before a run, before a submission and alone."""

from collections.abc import Sequence
from typing import Final

from runtime.domain.money.amounts import usd
from runtime.domain.money.estimate import Estimate
from runtime.domain.wording import counted

LIKELY_ASSUMES: Final = (
    "4 characters of prompt a token, answers of half their max_tokens, and no repairs"
)


def estimate_lines(found: Estimate, *, models: Sequence[str]) -> list[str]:
    """The three figures, each on a line, and what they are made of."""
    return [
        f"{counted(found.records, 'record')} with {', '.join(models)}:",
        f"  lowest   {usd(found.lowest_nano)}",
        f"  likely   {usd(found.likely_nano)}   (about {counted(found.likely_tokens, 'token')})",
        f"  highest  {usd(found.highest_nano)}   ({_enough(found)})",
        *_details(found),
    ]


def _enough(found: Estimate) -> str:
    if found.checks_assume is None:
        return "enough as a budget"
    return "enough as a budget if no more tries are rejected than that"


def estimate_notices(found: Estimate, *, models: Sequence[str], budget_nano: int) -> list[str]:
    """What is said before a job begins: the figures beside its budget, and what they are made
    of.
    """
    likely, highest = usd(found.likely_nano), usd(found.highest_nano)
    costs = f"estimate: likely {likely}, at most {highest} with {', '.join(models)}"
    return [
        f"{costs}; the budget is {usd(budget_nano)}",
        f"  lowest   {usd(found.lowest_nano)}",
        *_details(found),
    ]


def _details(found: Estimate) -> list[str]:
    """What "likely" assumes, and each step with its model."""
    return [
        f"  likely assumes {LIKELY_ASSUMES}",
        *([] if found.checks_assume is None else [f"  checks: {found.checks_assume}"]),
        *(
            f"  {each.step} ({each.model}): likely {usd(each.likely_nano)}, at most"
            f" {usd(each.highest_nano)}; about {counted(each.tokens_in, 'token')} in,"
            f" {each.tokens_out} out"
            for each in found.steps
        ),
        *(f"  warning: {each}" for each in (*found.warnings, *too_long(found))),
    ]


def too_long(found: Estimate) -> list[str]:
    """Which steps have prompts that their model can't take, each in one line."""
    return [
        f"step {each.step}: the prompts of about {each.too_long} of"
        f" {counted(found.records, 'record')} and their max_tokens are more than {each.model}"
        " takes: shorten them, lower max_tokens, or choose a model with a larger context"
        for each in found.steps
        if each.too_long
    ]
