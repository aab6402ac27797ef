"""Whether anybody hears of what the account costs: AWS Budgets, beside the budgets of jobs."""

from collections.abc import Iterator
from typing import Final

from runtime.doctor.account import Account
from runtime.doctor.finding import Finding, ok, wrong
from runtime.domain.wording import counted

BUDGETS: Final = "AWS Budgets"


def look_at_budgets(account: Account) -> Iterator[Finding]:
    """Every budget of the account notifies somebody. To have none is right, too."""
    asked = {"AccountId": account.identity()["Account"]}
    names = {
        each["BudgetName"]
        for each in account.pages("budgets", "describe_budgets", "Budgets", **asked)
    }
    if not names:
        yield ok(BUDGETS, "none; every job has a budget of its own")
        return
    heard = {
        each["BudgetName"]
        for each in account.pages(
            "budgets",
            "describe_budget_notifications_for_account",
            "BudgetNotificationsForAccount",
            **asked,
        )
        if each.get("Notifications")
    }
    silent = sorted(names - heard)
    if silent:
        yield wrong(
            BUDGETS,
            f"nobody is notified: {', '.join(silent)}",
            mend="https://console.aws.amazon.com/costmanagement/home#/budgets",
        )
    else:
        yield ok(BUDGETS, f"{counted(len(names), 'budget')} with notifications")
