"""What really happened, beside what the engine believes: calls paid for, and replies lost."""

from collections import Counter
from dataclasses import dataclass, field

from runtime.domain.errors import NotFoundError
from tests.fixtures.memory_ports import MemoryBudgets

Call = tuple[int, str, bool]
"""(index, step, whether it was a repair): work that should be paid for once."""


class InvariantError(AssertionError):
    """A promise of the engine was broken."""


@dataclass
class Truth:
    """Kept by the simulated provider, which no crash of a worker can confuse."""

    job_id: str
    budgets: MemoryBudgets
    spent_nano: int = 0
    replies: Counter[Call] = field(default_factory=Counter)
    attempts: Counter[Call] = field(default_factory=Counter)
    lost: int = 0
    """Paid replies that a process took with it when it ended."""

    def pay(self, call: Call, nano: int, *, replied: bool) -> None:
        """The provider bills a call."""
        self.spent_nano += nano
        self.attempts[call] += 1
        if replied:
            self.replies[call] += 1
        self.check_money()

    def check_money(self) -> None:
        """I3: true spend ≤ spent and held ≤ limit, at every moment."""
        try:
            account = self.budgets.get_account(self.job_id)
        except NotFoundError:
            if self.spent_nano:
                raise InvariantError("money was spent without an account") from None
            return
        if self.spent_nano > account.committed_nano:
            raise InvariantError(
                f"true spend {self.spent_nano} is above the ledger {account.committed_nano}"
            )
        if account.committed_nano > account.limit_nano:
            raise InvariantError(
                f"the ledger {account.committed_nano} is above the limit {account.limit_nano}"
            )

    @property
    def paid_twice(self) -> int:
        """Replies paid for again although the same work had been answered before."""
        return sum(self.replies.values()) - len(self.replies)
