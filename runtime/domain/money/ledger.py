"""The hard budget: reserve the worst case before a call, settle what it cost after it.

Two levels. The durable account of a job (`ports.BudgetStore`) keeps `spent + all holds <= limit`.
A worker takes a *hold* from it, and inside that hold this ledger reserves and settles call by call
without asking anybody:

    hold  ≥  settled (not yet written to the account)  +  reserved (calls in flight)

So the true spend is at every moment at most `spent + hold`, and never above the limit. A worker
that dies leaves its hold behind; its successor books all of it as spent, because calls that were in
flight may have been paid. Nothing here is a float.
"""

from dataclasses import dataclass

from runtime.domain.money.accounts import Hold


@dataclass(frozen=True, kw_only=True, slots=True)
class HoldChange:
    """Arguments of `BudgetStore.change_hold`: one write that books `spent_nano` and replaces the
    hold.
    """

    expected: Hold | None
    new: Hold
    spent_nano: int


def take_over(left_behind: Hold | None, *, fence: int) -> HoldChange:
    """The first change under a new claim: a predecessor's hold is presumed spent."""
    return HoldChange(
        expected=left_behind,
        new=Hold(fence=fence, sequence=1, nano=0),
        spent_nano=left_behind.nano if left_behind else 0,
    )


class Ledger:
    """One worker's share of a budget. Amounts are nano-USD; calls are named by the caller."""

    def __init__(self, hold: Hold) -> None:
        self._hold = hold
        self._sequence = hold.sequence
        self._reserved: dict[int, int] = {}
        self._reserved_total = 0
        self._settled = 0

    @property
    def hold(self) -> Hold:
        """The hold as the account knows it."""
        return self._hold

    @property
    def reserved_nano(self) -> int:
        """Worst case of all calls in flight."""
        return self._reserved_total

    @property
    def settled_nano(self) -> int:
        """Spent out of the hold and not yet booked on the account."""
        return self._settled

    def covers(self, nano: int) -> bool:
        """Whether a call of this worst case may start without a larger hold."""
        return self._settled + self._reserved_total + nano <= self._hold.nano

    def reserve(self, call: int, nano: int) -> None:
        """Set the worst case aside. The caller has asked `covers`; `ValueError` if it is not so,
        or if the call has a reservation.
        """
        if call in self._reserved or nano < 0 or not self.covers(nano):
            raise ValueError(f"call {call} can't be reserved")
        self._reserved[call] = nano
        self._reserved_total += nano

    def release(self, call: int) -> None:
        """The call was certainly not billed."""
        self._reserved_total -= self._reserved.pop(call)

    def settle(self, call: int, nano: int) -> bool:
        """The call cost `nano`. False if that is more than was reserved: the true cost is booked
        all the same, and the estimate was wrong.
        """
        reserved = self._reserved.pop(call)
        self._reserved_total -= reserved
        self._settled += nano
        return nano <= reserved

    def presume_spent(self, call: int) -> int:
        """The call's fate is unknown: it is booked at its worst case, which is returned."""
        nano = self._reserved[call]
        self.settle(call, nano)
        return nano

    def presume_all_spent(self) -> int:
        """Book every call in flight at its worst case; the sum."""
        return sum(self.presume_spent(call) for call in list(self._reserved))

    def change(self, room: int) -> HoldChange:
        """The write that books what is settled and leaves `room` beyond the calls in flight.

        While nobody knows whether a change that shrinks the hold was made, reserve nothing.
        """
        # No two changes are alike: one whose reply was lost is never taken for the next one, which
        # books another sum. To send a change again, send the very same one.
        self._sequence += 1
        return HoldChange(
            expected=self._hold,
            new=Hold(
                fence=self._hold.fence,
                sequence=self._sequence,
                nano=self._reserved_total + room,
            ),
            spent_nano=self._settled,
        )

    def changed(self, change: HoldChange) -> None:
        """The account accepted `change`."""
        self._hold = change.new
        self._settled -= change.spent_nano
