"""The budget at AWS: mails about the bill."""

from dataclasses import replace
from pathlib import Path

from cdk_app.config import DEV
from tests.infra.conftest import Synthesized, synthesize

STACK = "monitoring"


def test_the_bill_has_a_budget_where_there_is_an_address(
    dev: Synthesized, private: Synthesized
) -> None:
    assert not dev.resources(STACK, "AWS::Budgets::Budget")
    properties = private.one(STACK, "AWS::Budgets::Budget")
    budget = properties["Budget"]
    assert (budget["BudgetType"], budget["TimeUnit"]) == ("COST", "MONTHLY")
    assert budget["BudgetLimit"] == {"Amount": 50, "Unit": "USD"}
    told = properties["NotificationsWithSubscribers"]
    assert [
        (each["Notification"]["NotificationType"], each["Notification"]["Threshold"])
        for each in told
    ] == [("ACTUAL", 80), ("ACTUAL", 100), ("FORECASTED", 100)]
    for each in told:
        assert each["Subscribers"] == [{"SubscriptionType": "EMAIL", "Address": "ops@example.com"}]


def test_a_budget_counts_by_tags_only_where_they_are_active(
    private: Synthesized, tmp_path: Path
) -> None:
    """A tag that is not activated is on no bill: the budget would stay at nothing."""
    by_tag = private.one(STACK, "AWS::Budgets::Budget")["Budget"]
    assert by_tag["Metrics"] == ["UnblendedCost"]
    assert by_tag["FilterExpression"] == {
        "Or": [
            {"Tags": {"Key": key, "Values": ["private"]}} for key in ("stage", "iamPrincipal/stage")
        ]
    }
    whole = synthesize(replace(DEV, alarm_email="ops@example.com"), tmp_path)
    assert "FilterExpression" not in whole.one(STACK, "AWS::Budgets::Budget")["Budget"]
