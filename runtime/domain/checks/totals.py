"""What checks have done so far, as counted while a job runs, and what was chosen when it ended."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckTotals:
    """Counters of a job with checks, or of one of its shards. All zero for any other."""

    tries: int = 0
    """Tries that have ended: passed, rejected or failed."""
    rejected: int = 0
    """Indices whose every try was rejected."""
    rejected_by: Mapping[str, int] = field(default_factory=dict)
    """Rejected tries by the check that did it."""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """Records that have passed and that the dataset's own checks are likely to leave out, by check:
    a forecast, in the order in which records end.
    """

    def __bool__(self) -> bool:
        return self != CheckTotals()

    def __add__(self, other: "CheckTotals") -> "CheckTotals":
        return CheckTotals(
            tries=self.tries + other.tries,
            rejected=self.rejected + other.rejected,
            rejected_by=_sums(self.rejected_by, other.rejected_by),
            left_out=_sums(self.left_out, other.left_out),
        )

    def document(self) -> dict[str, Any]:
        """As checkpoints and tables hold it; inverse of `check_totals_of`."""
        return {
            "tries": self.tries,
            "rejected": self.rejected,
            "rejected_by": dict(self.rejected_by),
            "left_out": dict(self.left_out),
        }


def check_totals_of(document: object) -> CheckTotals:
    """Inverse of `CheckTotals.document`; None, or what is not there, is 0. Numbers may be decimals.
    Raises `ValueError` or `TypeError` on damage.
    """
    if document is None:
        return CheckTotals()
    if not isinstance(document, Mapping):
        raise ValueError("counts of checks that are no object")  # noqa: TRY004 - damage
    return CheckTotals(
        tries=_count(document.get("tries", 0)),
        rejected=_count(document.get("rejected", 0)),
        rejected_by=_counts(document.get("rejected_by", {})),
        left_out=_counts(document.get("left_out", {})),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """Which of a job's records are in its dataset, in numbers: decided in the order of the indices
    from what is stored. `records` is how many had passed, `wanted` how many were asked for then.
    """

    wanted: int
    records: int
    accepted: int
    left_out: Mapping[str, int] = field(default_factory=dict)
    """Records that a check of the dataset has left out, by its id."""

    @property
    def surplus(self) -> int:
        """Records beyond those that were asked for: kept, and used first when there are to be
        more.
        """
        return self.records - self.accepted - sum(self.left_out.values())

    def document(self) -> dict[str, Any]:
        """As tables hold it; inverse of `selection_of`."""
        return {
            "wanted": self.wanted,
            "records": self.records,
            "accepted": self.accepted,
            "left_out": dict(self.left_out),
        }


def selection_of(document: object) -> Selection | None:
    """Inverse of `Selection.document`; None stays None. Raises `ValueError` or `KeyError` on
    damage.
    """
    if document is None:
        return None
    if not isinstance(document, Mapping):
        raise ValueError("a selection that is no object")  # noqa: TRY004 - damage
    return Selection(
        wanted=_count(document["wanted"]),
        records=_count(document["records"]),
        accepted=_count(document["accepted"]),
        left_out=_counts(document["left_out"]),
    )


def _sums(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {name: one.get(name, 0) + other.get(name, 0) for name in dict.fromkeys((*one, *other))}


def _counts(document: object) -> dict[str, int]:
    if not isinstance(document, Mapping):
        raise ValueError("counts that are no object")  # noqa: TRY004 - damage
    return {str(name): _count(count) for name, count in document.items()}


def _count(value: Any) -> int:
    count = int(value)
    if count != value or isinstance(value, bool) or count < 0:
        raise ValueError("not a count")
    return count
