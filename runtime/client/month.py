"""What the present month has left for jobs and previews, as the API says."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from runtime.client.http import ApiClient, understood
from runtime.domain.money.amounts import from_usd


@dataclass(frozen=True, kw_only=True, slots=True)
class MonthBudget:
    """What jobs and previews may cost together. Amounts are nano-USD."""

    limit_nano: int | None
    """None: there is no limit."""
    nano: int
    """Reserved by jobs that have not ended, or spent."""

    @property
    def left_nano(self) -> int:
        """What is left of the limit; 0 where there is none."""
        return max((self.limit_nano or 0) - self.nano, 0)

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        limit = document["limit_usd"]
        return cls(
            limit_nano=None if limit is None else from_usd(limit),
            nano=from_usd(document["reserved_or_spent_usd"]),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Month:
    """A month as the API showed it when it was read."""

    month: str
    """In UTC, such as `2026-11`."""
    all_users: MonthBudget
    yours: MonthBudget
    document: Mapping[str, Any] = field(repr=False)
    """What the API said."""


def get_month(api: ApiClient) -> Month | None:
    """The present month; None from an older API. Raises `ConfigurationError` for an answer that is
    not understood.
    """
    document = api.get("/dashboard/summary").get("month")
    if document is None:
        return None
    with understood("a month"):
        return Month(
            month=str(document["month"]),
            all_users=MonthBudget.of(document),
            yours=MonthBudget.of(document["yours"]),
            document=document,
        )
