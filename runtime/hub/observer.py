"""What a push reports while it works."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

from runtime.hub.selection import Selection
from runtime.hub.target import Target

OnBytes = Callable[[int], object]
"""Is called with every number of bytes that was sent; a negative one takes back a lost attempt."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PushedFile:
    """A file that is on the Hub now, of `size` bytes."""

    name: str
    size: int
    sent: bool
    """Whether this push has sent it; the Hub had all others already."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pushed:
    """What a push has done. The repository's names are relative to its top."""

    repo: str
    url: str
    commit: str
    """The id of the commit that has it all."""
    private: bool
    files: tuple[PushedFile, ...]
    removed: tuple[str, ...]
    """Older files of the rows, of more parts for example, that the same commit has removed."""
    left_out: tuple[str, ...]
    """What stayed at home of the folder."""


class PushObserver(Protocol):
    """Is called by the thread that pushes. What it raises ends the push, which can go on."""

    def planned(self, selection: Selection, target: Target) -> None:
        """What is about to be pushed where: nothing was sent yet."""

    def notice(self, text: str) -> None:
        """Something to know, in one line."""

    def unchanged(self, size: int) -> None:
        """Files of `size` bytes in all are on the Hub as they are."""

    def transfer(self, name: str, size: int | None) -> AbstractContextManager[OnBytes]:
        """A file of `size` bytes is sent for the length of the block."""


class SilentPush:
    """Reports nothing."""

    def planned(self, selection: Selection, target: Target) -> None:
        pass

    def notice(self, text: str) -> None:
        pass

    def unchanged(self, size: int) -> None:
        pass

    def transfer(self, name: str, size: int | None) -> AbstractContextManager[OnBytes]:
        del name, size
        return nullcontext(lambda _count: None)


class CalledPush(SilentPush):
    """Calls a function with the bytes that are done and those of all files."""

    def __init__(self, function: Callable[[int, int], object]) -> None:
        self._function = function
        self._done = 0
        self._total = 0

    def planned(self, selection: Selection, target: Target) -> None:
        del target
        self._total = selection.size
        self._function(0, self._total)

    def unchanged(self, size: int) -> None:
        self._count(size)

    def transfer(self, name: str, size: int | None) -> AbstractContextManager[OnBytes]:
        del name, size
        return nullcontext(self._count)

    def _count(self, size: int) -> None:
        self._done += size
        self._function(self._done, self._total)
