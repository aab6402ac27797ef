"""Which of the records that passed their checks a dataset takes: no repeats, labels in balance, and
no more than were asked for.

    record ─▶ repeat of a kept one? ─▶ does its label have room? ─▶ are n accepted? ─▶ accepted
                │ repeat                 │ surplus, unlabelled        │ surplus

Each record is decided by those before it alone. Fed in ascending order of index, this is the
decision. Fed in any other order, as records arrive, it is a forecast of how many will be accepted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from runtime.domain.checks.repeats import RepeatIndex
from runtime.domain.errors import InputError


class Choice(StrEnum):
    """What becomes of a record."""

    ACCEPTED = "accepted"
    REPEAT = "repeat"
    """A kept record has the same text, or one that is near."""
    UNLABELLED = "unlabelled"
    """It has none of the values that are balanced."""
    SURPLUS = "surplus"
    """It is good, but its label or the dataset is full."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """What becomes of a record, and why."""

    choice: Choice
    check: str | None = None
    """Of a repeat: the id of the first check that says so."""
    repeats: int | None = None
    """Of a repeat: the index of the record that it repeats."""

    @property
    def words(self) -> str:
        """As it is shown: "accepted", "left out by <check id>", "unlabelled" or "surplus"."""
        return f"left out by {self.check}" if self.choice is Choice.REPEAT else str(self.choice)


class Balance:
    """Room for equally many records of each label.

    Of n records and k labels each label has n // k. The remainder of the division are n % k more
    places, one for a label at most, for the labels that first need one. So counts differ by one at
    most where there are records enough, and how many are accepted depends on how many records each
    label has, not on their order. The labels have to be known ahead: a quota that waits for the
    last label would be known at the end only.
    """

    def __init__(self, *, wanted: int, labels: Sequence[str]) -> None:
        if not labels or len(set(labels)) < len(labels):
            raise InputError("balance needs the values it balances, each once")
        self._quota, self._spare = divmod(wanted, len(labels))
        self._taken = dict.fromkeys(labels, 0)

    def knows(self, label: str | None) -> bool:
        """Whether the label is one of those that are balanced."""
        return label in self._taken

    def take(self, label: str) -> bool:
        """Take a place of the label; False if it has none left."""
        taken = self._taken[label]
        if taken > self._quota or (taken == self._quota and not self._spare):
            return False
        if taken == self._quota:
            self._spare -= 1
        self._taken[label] = taken + 1
        return True


class Chooser:
    """Decides on records one by one. A record is a repeat if, by one of the checks, an earlier
    record that was no repeat itself has the same text or one that is near, whether that one was
    accepted or was surplus: what is a repeat depends neither on balance nor on how many are wanted.

    The number accepted doesn't depend on the order of records if there is one check, it is exact,
    and records with the same text have the same label. Otherwise it may, a little: which of several
    repeats comes first decides which other records repeat it, and which label it fills.
    """

    def __init__(
        self,
        *,
        wanted: int,
        unique: Mapping[str, RepeatIndex],
        labels: Sequence[str] | None = None,
    ) -> None:
        """`wanted` records at most; an empty index for the id of each check of uniqueness; the
        labels to be balanced, None for no balance. Raises `InputError` for labels that are none.
        """
        if wanted < 0:
            raise InputError(f"{wanted} records can't be chosen")
        self._wanted = wanted
        self._unique = dict(unique)
        self._balance = None if labels is None else Balance(wanted=wanted, labels=labels)
        self._accepted = 0

    def choose(self, index: int, *, texts: Mapping[str, str], label: str | None = None) -> Decision:
        """Decide on the next record, which passed all other checks. `texts` has the text of each
        check of uniqueness by its id; a check whose text is absent says nothing of this record.

        Raises what a `RepeatIndex` raises; then a chooser that is fed anew has to go on.
        """
        decision = self._repeat(texts)
        if decision is None:
            for check, text in texts.items():
                self._unique[check].add(index, text)
            decision = Decision(choice=self._room(label))
        self._accepted += decision.choice is Choice.ACCEPTED
        return decision

    @property
    def accepted(self) -> int:
        """Records that are accepted so far: a forecast, unless records came in order of index."""
        return self._accepted

    @property
    def is_complete(self) -> bool:
        """Whether as many are accepted as are wanted."""
        return self.accepted >= self._wanted

    def _repeat(self, texts: Mapping[str, str]) -> Decision | None:
        for check, index in self._unique.items():
            if check in texts:
                found = index.find(texts[check])
                if found is not None:
                    return Decision(choice=Choice.REPEAT, check=check, repeats=found)
        return None

    def _room(self, label: str | None) -> Choice:
        balance = self._balance
        if balance is None:
            return Choice.SURPLUS if self.is_complete else Choice.ACCEPTED
        if label is None or not balance.knows(label):
            return Choice.UNLABELLED
        # The quotas add up to what is wanted.
        return Choice.ACCEPTED if balance.take(label) else Choice.SURPLUS
