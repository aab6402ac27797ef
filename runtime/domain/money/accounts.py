"""Accounts, and what a child takes out of its parent: one rule at every level.

    stage and month ─┐
    user and month ──┴▶ job ─▶ slice of a shard ─▶ hold of a worker
                                                       committed + limit of the child <= limit

Only a sharded job has slices; else its worker's hold comes out of the job's own account. A job
takes its whole limit out of the accounts of the month in which it is queued. When it ends they get
back what it has not committed, and each account of the chain is changed in the write that changes
the child: nobody has to add up children to know what is left. What is committed is spent, or may
be being spent now.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final, Protocol

from runtime.domain.errors import ConfigurationError, LimitError, MonthlyBudgetError
from runtime.domain.money.amounts import NANO_PER_USD, usd

# ── a job and the holds of its workers ─────────────────────────────────────────────────────────


@dataclass(frozen=True, kw_only=True, slots=True)
class Hold:
    """Part of the budget that one worker may spend without asking again."""

    fence: int
    sequence: int
    nano: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """A job's budget: `spent + all holds + limits of all slices <= limit`, always."""

    limit_nano: int
    spent_nano: int
    holds: Mapping[str, Hold]
    slices_nano: int = 0

    @property
    def committed_nano(self) -> int:
        """Spent, or held by somebody who may be spending it now, or in a slice."""
        return self.spent_nano + sum(hold.nano for hold in self.holds.values()) + self.slices_nano

    @property
    def left_nano(self) -> int:
        """What nobody has yet."""
        return max(self.limit_nano - self.committed_nano, 0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Slice:
    """A shard's part of its job's budget: `spent + hold <= limit`, always. It outlives its worker,
    whose successor goes on with it. `revision` counts the changes of the limit.
    """

    limit_nano: int
    spent_nano: int = 0
    hold: Hold | None = None
    revision: int = 1

    @property
    def committed_nano(self) -> int:
        """Spent, or held by a worker who may be spending it now."""
        return self.spent_nano + (self.hold.nano if self.hold else 0)

    @property
    def free_nano(self) -> int:
        """What certainly nobody spends: it may be taken out of the slice at any time."""
        return self.limit_nano - self.committed_nano


class BudgetStore(Protocol):
    """One counter a job and one a shard, changed by conditional writes."""

    def open_account(self, job_id: str, limit_nano: int) -> Account:
        """Create the account, or set the limit of the existing one; a limit below what is
        committed only stops new holds.
        """
        ...

    def get_account(self, job_id: str) -> Account:
        """Strongly consistent read. Raises `NotFoundError`."""
        ...

    def change_hold(
        self,
        job_id: str,
        work_id: str,
        *,
        expected: Hold | None,
        new: Hold,
        spent_nano: int,
        owed: bool = False,
    ) -> Account:
        """Replace the hold `expected` by `new` and add `spent_nano` to the spent sum, at once.

        The race it excludes: two workers that both see room for the last dollar. When the
        commitment would grow past the limit, or the job has ended and given back the rest to the
        accounts of its month, it raises `BudgetExceededError`; a change that doesn't let it grow is
        always allowed, and so is one within the limit that is `owed`, because it was billed. When
        the stored hold isn't `expected` it raises `ConflictError`, unless it equals `new` already
        (a lost reply, retried). A stored hold with a newer fence than `new` raises
        `LeaseLostError`, no account `NotFoundError`.
        """
        ...

    def get_slices(self, job_id: str, shards: Iterable[int]) -> Mapping[str, Slice]:
        """Strongly consistent reads, by work id; a shard that has no slice yet is missing."""
        ...

    def resize_slice(
        self,
        job_id: str,
        work_id: str,
        *,
        expected: Slice | None,
        limit_nano: int,
        fence: int | None = None,
        owed: bool = False,
    ) -> Slice:
        """Move money between the job's account and a slice, in one write to both; None is a slice
        that is to be opened. The slice as it is then, if its hold is the expected one.

        The races it excludes: two shards that both see room for the last dollar, and money taken
        out of a slice that its worker has begun to hold. Growth past the job's limit, or for a job
        that has ended and given back its rest, raises `BudgetExceededError`, unless it is `owed`:
        billed already, whatever the limit is. A slice of another revision, or with less that is
        free than is to be taken out, raises `ConflictError`, unless it has this limit already by
        the next revision (a lost reply, retried); a hold with a newer fence than `fence`
        `LeaseLostError`; no account of the job, or a slice that is gone, `NotFoundError`.
        """
        ...

    def change_slice_hold(
        self, job_id: str, work_id: str, *, expected: Hold | None, new: Hold, spent_nano: int
    ) -> Slice:
        """`change_hold` inside a slice, which is the one thing that is written: beyond the slice's
        limit it raises `BudgetExceededError`, and the job's limit and status don't matter, since
        what is in the slice is committed. No slice raises `NotFoundError`.
        """
        ...


# ── the accounts of a month ────────────────────────────────────────────────────────────────────


def month_of(moment: datetime) -> str:
    """The month in UTC, such as `2026-11`."""
    return f"{moment.astimezone(UTC):%Y-%m}"


def stage_account(month: str) -> str:
    """Id of the account of all jobs and previews of a month."""
    return f"stage#{month}"


def user_account(user_id: str, month: str) -> str:
    """Id of the account of one user's jobs and previews of a month."""
    return f"user#{user_id}#{month}"


@dataclass(frozen=True, kw_only=True, slots=True)
class MonthUse:
    """What the accounts of a month say: nano-USD reserved or spent by all, and by one user, and
    that user's previews that called models.
    """

    stage_nano: int = 0
    user_nano: int = 0
    previews: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What a month and a user have. Nano-USD; None: it is counted, and nothing is refused."""

    month: str
    stage_nano: int | None
    user_nano: int | None

    def of_accounts(self, user_id: str) -> dict[str, int | None]:
        """The limit of each account that this user's money comes out of, by its id."""
        return {
            stage_account(self.month): self.stage_nano,
            user_account(user_id, self.month): self.user_nano,
        }

    def check(self, user_id: str, use: MonthUse, child_nano: int) -> None:
        """Raises `MonthlyBudgetError` where an account has no room for a child's limit."""
        committed = (use.stage_nano, use.user_nano)
        for (account_id, limit), nano in zip(
            self.of_accounts(user_id).items(), committed, strict=True
        ):
            if limit is not None and not fits(nano, child_nano, limit):
                raise no_room(
                    account_id, committed_nano=nano, child_nano=child_nano, limit_nano=limit
                )


@dataclass(frozen=True, kw_only=True, slots=True)
class Admission:
    """On which terms a job is queued: within `limits`, and with at most `max_active_jobs` of its
    user queued and running, itself included.
    """

    limits: Limits
    max_active_jobs: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Share:
    """What a job has in the accounts of a month. `base_nano` is what its own account had committed
    when it was first queued in that month: that was paid for before.
    """

    month: str
    reserved_nano: int
    base_nano: int


def active_share(
    before: Share | None, *, month: str, limit_nano: int, committed_nano: int
) -> Share:
    """The share of a job that is queued now: all that it may still commit, and what it has
    committed in this month. A job belongs to the month in which it was queued last.
    """
    base = before.base_nano if before is not None and before.month == month else committed_nano
    reserved = max(limit_nano, committed_nano) - base
    return Share(month=month, reserved_nano=max(reserved, 0), base_nano=base)


def ended_share(before: Share, *, committed_nano: int) -> Share:
    """The share of a job that has ended: what it has committed in its month."""
    return replace(before, reserved_nano=max(committed_nano - before.base_nano, 0))


def growth_of(before: Share | None, after: Share) -> int:
    """By how much the accounts of `after.month` change; below zero: they get something back. Of an
    earlier month the job leaves there what it had.
    """
    known = before.reserved_nano if before is not None and before.month == after.month else 0
    return after.reserved_nano - known


def fits(committed_nano: int, child_nano: int, limit_nano: int | None) -> bool:
    """The rule of every level: whether an account has room for a child's limit."""
    return limit_nano is None or child_nano <= 0 or committed_nano + child_nano <= limit_nano


def no_room(
    account_id: str, *, committed_nano: int, child_nano: int, limit_nano: int
) -> MonthlyBudgetError:
    """What a user reads whose job or preview an account has no room for."""
    kind, month = account_id.partition("#")[0], account_id.rpartition("#")[2]
    whose, setting = (
        ("your budget", "user_monthly_budget_usd (serve --user-monthly-budget)")
        if kind == "user"
        else ("the budget of all users", "monthly_budget_usd (serve --monthly-budget)")
    )
    left = max(limit_nano - committed_nano, 0)
    return MonthlyBudgetError(
        f"{whose} of {usd(limit_nano)} for {month} has {usd(left)} left, and this may cost"
        f" {usd(child_nano)}: ask for less, wait for a job to end, which gives back what it did not"
        f" spend, or for {_next_month(month)} (UTC), or have {setting} raised"
    )


def too_many_jobs(limit: int) -> LimitError:
    """What a user reads who has as many queued and running jobs as they may."""
    return LimitError(
        f"you have {limit} queued or running jobs, which is the limit: wait for one to end,"
        " or cancel one"
    )


def _next_month(month: str) -> str:
    year, number = map(int, month.split("-"))
    return f"{year + number // 12:04d}-{number % 12 + 1:02d}-01"


class MonthlyBudgets(Protocol):
    """The accounts of a month, for what isn't a job. A job's share changes with its status, see
    `ports.JobStore`.
    """

    def get_use(self, user_id: str, month: str) -> MonthUse:
        """Strongly consistent reads, one after the other."""
        ...

    def reserve_preview(self, user_id: str, limits: Limits, nano: int, *, first: bool) -> None:
        """Take the worst case of one call out of the accounts. `first` counts the preview. Raises
        `MonthlyBudgetError`. What is never settled counts as spent.
        """
        ...

    def settle_preview(self, user_id: str, month: str, *, reserved_nano: int, nano: int) -> None:
        """The call cost `nano`: give back the rest. To be called once for a reservation."""
        ...


DEFAULT_MONTHLY_NANO: Final = 1000 * NANO_PER_USD
"""What all jobs of a month may cost together where nobody says otherwise."""

NO_LIMIT: Final = "off"
_MAX_USD: Final = 10**9


def parse_limit(text: str, *, name: str) -> int | None:
    """Nano-USD of a setting, whole US dollars or `off`, which is None. Raises `ConfigurationError`
    that names it.
    """
    if text == NO_LIMIT:
        return None
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= _MAX_USD):
        raise ConfigurationError(
            f"{name} must be whole US dollars from 1 to {_MAX_USD}, or {NO_LIMIT}"
        )
    return int(text) * NANO_PER_USD
