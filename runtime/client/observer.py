"""What a client of the API reports while it works: it prints nothing and asks nobody."""

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from runtime.client.jobs import Job
from runtime.client.transfer import OnBytes


class Observer(Protocol):
    """Is called by the thread that works. What it raises ends the work."""

    def notice(self, text: str) -> None:
        """A step on the way to the result was done."""

    def warning(self, text: str) -> None:
        """Something that matters also to those who want the result only."""

    def transfer(self, name: str, size: int | None) -> AbstractContextManager[OnBytes]:
        """A file of `size` bytes (None: not known) moves for the length of the block, which calls
        what it is given with every number of bytes.
        """

    def progress(self, job: Job) -> None:
        """A job that is watched, as it was last read."""


class SilentObserver:
    """Reports nothing."""

    def notice(self, text: str) -> None:
        pass

    def warning(self, text: str) -> None:
        pass

    def transfer(self, name: str, size: int | None) -> AbstractContextManager[OnBytes]:
        del name, size
        return nullcontext(lambda _count: None)

    def progress(self, job: Job) -> None:
        pass
