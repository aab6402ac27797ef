"""A budget at AWS: mails about the bill itself, which knows more than what jobs say they cost."""

from typing import Any, Final

from cdk_app.config import StageConfig

from aws_cdk import aws_budgets as budgets
from constructs import Construct

_THRESHOLDS: Final = (("ACTUAL", 80), ("ACTUAL", 100), ("FORECASTED", 100))
"""What a mail is sent for: percent of the month's amount, spent or to be expected."""

_OF_RESOURCES: Final = "stage"
_OF_MODEL_CALLS: Final = "iamPrincipal/stage"
"""Calls of models are no resource: Bedrock counts them by the role that made them, and its tags."""


def add_monthly_budget(scope: Construct, stage: StageConfig, *, address: str) -> None:
    """Mail `address` when the month's bill nears `monthly_budget_usd`. Nothing is stopped by it."""
    budgets.CfnBudget(
        scope,
        "MonthlyBudget",
        budget=budgets.CfnBudget.BudgetDataProperty(
            budget_type="COST",
            time_unit="MONTHLY",
            budget_limit=budgets.CfnBudget.SpendProperty(
                amount=stage.monthly_budget_usd, unit="USD"
            ),
            filter_expression=_tagged(stage.name) if stage.cost_tags_active else None,
            # An expression wants to know which cost; without one AWS has a kind of its own.
            metrics=["UnblendedCost"] if stage.cost_tags_active else None,
        ),
        notifications_with_subscribers=[
            budgets.CfnBudget.NotificationWithSubscribersProperty(
                notification=budgets.CfnBudget.NotificationProperty(
                    notification_type=kind,
                    comparison_operator="GREATER_THAN",
                    threshold=percent,
                    threshold_type="PERCENTAGE",
                ),
                subscribers=[
                    budgets.CfnBudget.SubscriberProperty(subscription_type="EMAIL", address=address)
                ],
            )
            for kind, percent in _THRESHOLDS
        ],
    )


def _tagged(stage: str) -> Any:
    return budgets.CfnBudget.ExpressionProperty(
        or_=[
            budgets.CfnBudget.ExpressionProperty(
                tags=budgets.CfnBudget.TagValuesProperty(key=key, values=[stage])
            )
            for key in (_OF_RESOURCES, _OF_MODEL_CALLS)
        ]
    )
