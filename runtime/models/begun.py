"""A call that was begun in the background, wherever it is on its way."""

from collections.abc import Callable

from runtime.domain.errors import ModelError
from runtime.domain.models.calls import ModelReply, ModelRequest

Ended = Callable[[ModelReply | ModelError], None]


class Begun:
    """A `BegunCall`. Either it is withdrawn or it is made and ends: whoever claims it first
    decides, on whatever thread.
    """

    __slots__ = ("_unclaimed", "ended", "request")

    def __init__(self, request: ModelRequest, ended: Ended) -> None:
        self.request = request
        self.ended = ended
        self._unclaimed = [True]

    def withdraw(self) -> bool:
        """Take it back. False: a byte of it may have been written, or it has ended."""
        return self.claim()

    def claim(self) -> bool:
        """Whether nobody has claimed it before. To pop is one step, whatever threads do."""
        try:
            return self._unclaimed.pop()
        except IndexError:
            return False
