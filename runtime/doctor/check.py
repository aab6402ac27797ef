"""One check, and what a look that failed means."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from runtime.aws.failures import error_code
from runtime.doctor.account import Account
from runtime.doctor.finding import Finding, unknown
from runtime.domain.errors import SeedwrightError

_DENIED: Final = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "AuthorizationError",
        "NotAuthorized",
        "UnauthorizedOperation",
    }
)
"""How services say that the caller may not ask."""

_ACTION_OF: Final = {
    "DescribeBudgets": "ViewBudget",
    "DescribeBudgetNotificationsForAccount": "ViewBudget",
}
"""Operations whose permission has another name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """Looks at one thing. `actions` are the IAM actions that `look` needs; none is a look at this
    machine, which needs no credentials.
    """

    name: str
    look: Callable[[Account], Iterable[Finding]]
    actions: tuple[str, ...] = ()

    def findings(self, account: Account) -> list[Finding]:
        """What was found; *unknown* for a look that failed, whatever it was."""
        try:
            return list(self.look(account))
        except Exception as error:  # noqa: BLE001 - no look may stop the others
            return [unknown(self.name, *self._why(error))]

    def _why(self, error: Exception) -> tuple[str]:
        code = error_code(error)
        if code in _DENIED:
            return (f"you may not look: {self._action_of(error)} is missing",)
        if isinstance(error, SeedwrightError):
            return (str(error),)
        return (f"could not be looked at ({code})",)

    def _action_of(self, error: Exception) -> str:
        operation = getattr(error, "operation_name", "")
        name = _ACTION_OF.get(operation, operation)
        return next((each for each in self.actions if each.endswith(f":{name}")), name)
