"""Which split a row is in: a keyed draw, the same after restarts, for any number of records and on
any number of workers.

With `by` the draw is on a seed's field, so that what comes of one source stays in one split, which
keeps near copies of training rows out of the test. The shares are then those of the sources.
"""

import hashlib
from collections.abc import Callable
from typing import Any, Final

import orjson

from runtime.domain.outputs.split import TRAIN, Split

_UNIT: Final = 2**64


def chooser(split: Split | None, *, random_seed: int) -> Callable[[int, Any], str]:
    """The split of a row, by the record's index or by the value that `split.by` leads to."""
    if split is None:
        return lambda _index, _value: TRAIN
    by = split.by is not None
    bounds: list[tuple[int, str]] = []
    total = 0.0
    for name, share in split.shares.items():
        total += share
        bounds.append((int(total * _UNIT), name))

    def choose(index: int, value: Any) -> str:
        # Equal values have equal JSON: 1 and 1.0 differ in a file, too.
        key = orjson.dumps(value, option=orjson.OPT_SORT_KEYS) if by else b"%d" % index
        digest = hashlib.blake2b(key, key=b"split/%d" % random_seed, digest_size=8).digest()
        drawn = int.from_bytes(digest, "big")
        return next((name for bound, name in bounds if drawn < bound), TRAIN)

    return choose
