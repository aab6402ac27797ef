"""Which split a row is in: a keyed draw, the same after restarts, for any number of records and on
any number of workers.

With `by` the draw is on a seed's field, so that what comes of one source stays in one split, which
keeps near copies of training rows out of the test. The shares are then those of the sources.
"""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

REST: Final = "train"
"""The split of everything that no other split gets."""

_UNIT: Final = 2**64


def split_of(
    fractions: Mapping[str, float], *, random_seed: int, by: bool
) -> Callable[[int, Any], str]:
    """The split of a row by the record's index, or with `by` by the value of the seed's field.

    `fractions` are those of all splits but `REST`, in their order; together they are below 1.
    """
    if not fractions:
        return lambda _index, _value: REST
    bounds: list[tuple[int, str]] = []
    total = 0.0
    for name, fraction in fractions.items():
        total += fraction
        bounds.append((int(total * _UNIT), name))

    def choose(index: int, value: Any) -> str:
        # Equal values have equal JSON: 1 and 1.0 differ in a file, too.
        key = orjson.dumps(value, option=orjson.OPT_SORT_KEYS) if by else b"%d" % index
        digest = hashlib.blake2b(key, key=b"split/%d" % random_seed, digest_size=8).digest()
        drawn = int.from_bytes(digest, "big")
        return next((name for bound, name in bounds if drawn < bound), REST)

    return choose
