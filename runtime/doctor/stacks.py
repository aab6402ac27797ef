"""The stacks of the stage."""

from collections.abc import Iterator
from typing import Final

from runtime.contract.stacks import STACKS, stack_name
from runtime.doctor.account import Account
from runtime.doctor.finding import Finding, deployment, not_deployed, ok, unknown, wrong

STACK_NAMES: Final = "stacks"

_NEVER_THERE: Final = frozenset({"REVIEW_IN_PROGRESS", "DELETE_COMPLETE"})
"""A change set that was never carried out, or a stack that is gone."""

_TO_DELETE: Final = frozenset(
    {"CREATE_FAILED", "DELETE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED"}
)
"""Nothing can be deployed over these."""


def look_at_stacks(account: Account) -> Iterator[Finding]:
    """A line for each."""
    found = {what: status for what, status in account.stacks().items() if _is_there(status)}
    for what in STACKS:
        name = stack_name(account.stage, what)
        if what in found:
            yield _judged(account, name, str(found[what]))
        elif found:
            yield wrong(
                name, "is not there, though others of its stage are", mend=deployment(account.stage)
            )
        else:
            yield not_deployed(name, account.stage)


def _is_there(status: str | None) -> bool:
    return status is not None and status not in _NEVER_THERE


def _judged(account: Account, name: str, status: str) -> Finding:
    why = account.aws(f"cloudformation describe-stack-events --stack-name {name} --max-items 20")
    if status in _TO_DELETE:
        gone = account.aws(f"cloudformation delete-stack --stack-name {name}")
        return wrong(name, f"{status}: see why ({why}), delete it, deploy again", mend=gone)
    if status == "UPDATE_ROLLBACK_COMPLETE":
        says = f"{status}: it is as before the last deployment, which failed; see why ({why})"
        return wrong(name, says, mend=deployment(account.stage))
    if status == "UPDATE_ROLLBACK_FAILED":
        on = account.aws(f"cloudformation continue-update-rollback --stack-name {name}")
        return wrong(name, f"{status}: see why ({why})", mend=on)
    if status.endswith("_FAILED"):
        return wrong(name, f"{status}: see why ({why})", mend=deployment(account.stage))
    if status.endswith("_IN_PROGRESS"):
        return unknown(name, f"{status}: look again when that has ended", mend=why)
    return ok(name, status)
