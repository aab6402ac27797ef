"""The port of an index of texts: which text was there before, the same or nearly the same."""

from typing import Protocol


class RepeatIndex(Protocol):
    """Texts that were kept, each under the number of its record.

    Two texts are the same if they have one `shingles.normal_form`. With a threshold they are near
    if `shingles.similarity` of their `shingles` is at least that; of near texts a few are missed,
    but none is called near that isn't.

    An index is built anew from what is stored: feed it the same texts in the same order, and it
    answers the same.
    """

    @property
    def incomplete(self) -> int:
        """How many times `find` gave up before it had compared all candidates, so that it may have
        missed one: many texts that share much without being near.
        """
        ...

    def find(self, text: str) -> int | None:
        """The number of a text that `text` repeats, the same before a near one; None for none.

        Raises `StorageError` if the disk can't be read.
        """
        ...

    def add(self, number: int, text: str) -> None:
        """Keep a text, of which `find` said that it repeats none, under the number of its record,
        from 0 on. Quick right after `find` of the same text.

        Raises `StorageError`, as `StorageFullError` if the disk is full.
        """
        ...
