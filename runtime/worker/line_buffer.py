"""Lines of one kind that wait to be saved: records, failures, rejected tries."""

from collections.abc import Callable

from runtime.domain.ports import Claim
from runtime.export.batches import Batch, Batches


class LineBuffer:
    """Saves its lines as one numbered object at a time. `adopt` counts what an earlier owner has
    saved under a number that was to be ours; `before` and `after` are told of each attempt and of
    its success.
    """

    def __init__(
        self,
        objects: Batches,
        claim: Claim,
        *,
        adopt: Callable[[Batch], None],
        before: Callable[[], None] = lambda: None,
        after: Callable[[], None],
    ) -> None:
        self._objects = objects
        self._claim = claim
        self._adopt = adopt
        self._before = before
        self._after = after
        self.lines: list[bytes] = []
        self.number = 1
        """The number that the next object gets."""

    def __len__(self) -> int:
        return len(self.lines)

    def save(self) -> None:
        """Save what waits, if anything does. Raises `StorageError`; then it waits still."""
        while self.lines:
            self._before()
            others = self._objects.save_batch(
                self._claim.job_id, self.number, self.lines, shard=self._claim.shard
            )
            self.number += 1
            if others is None:
                self.lines = []
                self._after()
            else:
                # It is paid for and stays; ours goes under the next number, and each index is kept
                # once by whoever reads all.
                self._adopt(others)
