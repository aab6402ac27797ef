"""Records that give no row: how many there are, and what is said of the first of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

SHOWN_PROBLEMS: Final = 10
_MANY_PROBLEMS: Final = 1000
"""Different ones that are kept until the first of them are known."""


class Problem(Protocol):
    """Why a record gives no row; the message holds no value of the record."""

    @property
    def index(self) -> int: ...
    @property
    def column(self) -> str: ...
    @property
    def message(self) -> str: ...


@dataclass(kw_only=True, slots=True)
class Missing:
    """Records that give no row, in whatever order they come."""

    count: int = 0
    found: dict[str, tuple[int, int]] = field(default_factory=dict)
    """By what is said of it: the first index, and how many there are."""

    def add(self, problem: Problem) -> None:
        self.count += 1
        text = f"{problem.column}: {problem.message}"
        first, count = self.found.get(text, (problem.index, 0))
        self.found[text] = min(first, problem.index), count + 1
        if len(self.found) > _MANY_PROBLEMS:
            self.found = dict(self._ordered()[:SHOWN_PROBLEMS])

    def merge(self, other: "Missing") -> None:
        """Add those of other records."""
        self.count += other.count
        for text, (index, more) in other.found.items():
            first, count = self.found.get(text, (index, 0))
            self.found[text] = min(first, index), count + more

    def document(self) -> dict[str, Any]:
        """As JSON has it; inverse of `parse_missing`."""
        return {"count": self.count, "found": self.found}

    def texts(self) -> tuple[str, ...]:
        """What is said of the first of them."""
        return tuple(
            text if count == 1 else f"{text} ({count} times)"
            for text, (_, count) in self._ordered()[:SHOWN_PROBLEMS]
        )

    def _ordered(self) -> list[tuple[str, tuple[int, int]]]:
        return sorted(self.found.items(), key=lambda item: item[1])


def parse_missing(document: Mapping[str, Any]) -> Missing:
    """Inverse of `Missing.document`. Raises what damage raises."""
    found = {text: (int(first), int(count)) for text, (first, count) in document["found"].items()}
    return Missing(count=int(document["count"]), found=found)
