"""What the stores of a job's account and of its slices have in common.

Attributes of a job's item, all integer nano-USD: budget_account_limit, budget_spent,
budget_committed (spent, held, and in slices), and budget_holds, a map of work id to {fence,
sequence, nano}.
"""

from typing import Any, Final

from runtime.aws.table import Item
from runtime.domain.errors import BudgetExceededError, NotFoundError
from runtime.domain.jobs.job import ACTIVE, JobStatus
from runtime.domain.money.accounts import Account, Hold
from runtime.domain.money.amounts import usd

# Excludes a worker that goes on after its job has ended: the rest was given back to the accounts of
# the month, and others may have it by now.
IS_OPEN: Final = "(attribute_not_exists(#budget_month) OR #status IN (:queued, :run))"
OPEN_VALUES: Final = {":queued": JobStatus.QUEUED, ":run": JobStatus.RUNNING}


def is_open(item: Item | None) -> bool:
    """Whether `IS_OPEN` holds of what was read."""
    return item is None or "budget_month" not in item or item["status"] in ACTIVE


def room_clauses(growth: int, limit: int) -> tuple[list[str], dict[str, Any]]:
    """What must still be true of a job's account that commits `growth` more."""
    return [
        # Excludes two workers that both saw room for the last dollar: committed + growth <= limit.
        "#budget_committed <= :room",
        # Excludes room computed from a limit that was lowered meanwhile.
        "#budget_account_limit = :limit",
    ], {":room": limit - growth, ":limit": limit}


def hold_clauses(
    path: str, parent: str, expected: Hold | None, fence: int
) -> tuple[list[str], dict[str, Any]]:
    """What must still be true of a hold that an owner with `fence` replaces."""
    if expected is None:
        # Excludes a predecessor's hold that appeared meanwhile: its money would be forgotten.
        return [f"attribute_exists({parent})", f"attribute_not_exists({path})"], {}
    return [
        # Excludes the same change made twice, and a change by another owner of this work.
        f"{path}.#fence = :expected_fence",
        f"{path}.#sequence = :expected_sequence",
        f"{path}.#nano = :expected_nano",
        # Excludes an owner that lost its lease and read the account after its successor.
        f"{path}.#fence <= :fence",
    ], {
        ":expected_fence": expected.fence,
        ":expected_sequence": expected.sequence,
        ":expected_nano": expected.nano,
        ":fence": fence,
    }


def stored_hold(hold: Hold) -> dict[str, int]:
    """A hold as an attribute."""
    return {"fence": hold.fence, "sequence": hold.sequence, "nano": hold.nano}


def parse_hold(stored: Item) -> Hold:
    """Inverse of `stored_hold`."""
    return Hold(
        fence=int(stored["fence"]), sequence=int(stored["sequence"]), nano=int(stored["nano"])
    )


def parse_account(item: Item | None, job_id: str) -> Account:
    """The account on a job's item. Raises `NotFoundError` where there is none."""
    if item is None or "budget_holds" not in item:
        raise no_account(job_id)
    holds = {work_id: parse_hold(hold) for work_id, hold in item["budget_holds"].items()}
    spent = int(item["budget_spent"])
    own = spent + sum(hold.nano for hold in holds.values())
    return Account(
        limit_nano=int(item["budget_account_limit"]),
        spent_nano=spent,
        holds=holds,
        slices_nano=int(item["budget_committed"]) - own,
    )


def no_account(job_id: str) -> NotFoundError:
    """The job has no account yet."""
    return NotFoundError(f"job {job_id} has no budget account: start the job first")


def no_room(limit_nano: int) -> BudgetExceededError:
    """The job's account has no room."""
    return BudgetExceededError(
        f"the budget of {usd(limit_nano)} leaves no room for another call: raise the budget to go"
        " on"
    )


def has_ended() -> BudgetExceededError:
    """The job has given back its rest."""
    return BudgetExceededError("the job has ended: nothing more is begun")
