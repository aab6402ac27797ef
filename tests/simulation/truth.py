"""What really happened, beside what the engine believes: calls paid for, and replies lost."""

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from runtime.domain.errors import NotFoundError
from tests.fixtures.memory_budgets import MemoryBudgets

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
    """Paid replies that a process took with it when it ended, or of failures tried again."""
    asked: Counter[int] = field(default_factory=Counter)
    """Calls by index, whatever became of them."""
    given_back: dict[int, int] = field(default_factory=dict)
    """Of failures that are to be tried again, how often they had been asked for."""
    refused_while_out: int = 0
    outages: list[tuple[float, float]] = field(default_factory=list)
    """When the provider answers nothing, virtual seconds."""

    def draw_outages(self, now: float, chance: float, rng: random.Random) -> None:
        """Perhaps one outage of seconds, or of minutes, in the time that comes."""
        if rng.random() < chance:
            begin = now + 20 * rng.random()
            self.outages.append((begin, begin + rng.choice((12.0, 60.0, 1500.0)) * rng.random()))

    def is_out(self, now: float) -> bool:
        """Whether the provider is down."""
        return any(begin <= now < end for begin, end in self.outages)

    def give_back(self, indices: Iterable[int]) -> None:
        """These records are begun anew: what their replies had cost is paid for again."""
        again = set(indices)
        self.lost += sum(count for call, count in self.replies.items() if call[0] in again)
        self.given_back = {index: self.asked[index] for index in again}

    @property
    def not_tried_again(self) -> list[int]:
        """What was given back and not asked of the provider since."""
        return [index for index, asked in self.given_back.items() if self.asked[index] == asked]

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
