"""Orders of a range that can be asked at any place: nothing is shuffled, and little is kept."""

import hashlib
import math
from collections.abc import Callable
from functools import lru_cache
from typing import Final

_ROUNDS: Final = 8
"""Of the network that shuffles: four would make it pseudorandom for many seeds."""
_FEW: Final = 1000
_ROUNDS_OF_FEW: Final = 16
"""With few seeds it takes more until every order is as likely as any other."""
_SHIFTS_KEPT: Final = 8192
"""About all of the most seeds that a file has: a million, of two digits below a thousand each."""


def shuffled(position: int, count: int, *, key: bytes) -> int:
    """Where a permutation of `range(count)`, one for each key, sends `position`.

    Places are written as pairs of digits, and each round shifts one digit by a number that only key
    and other digit decide, which can be undone: so no two positions meet (a Feistel network). There
    may be a few more pairs than places; who lands on one of those walks on, and comes home again.
    """
    high = math.isqrt(count - 1) + 1
    high += high % 2  # else only even permutations of the pairs would come up
    low = -(-count // high)
    rounds = _ROUNDS_OF_FEW if count < _FEW else _ROUNDS
    shift = _shifts(key)
    while True:
        left, right = divmod(position, low)
        for number in range(0, rounds, 2):
            left = (left + shift(number, right)) % high
            right = (right + shift(number + 1, left)) % low
        position = left * low + right
        if position < count:
            return position


@lru_cache(maxsize=4)
def _shifts(key: bytes) -> Callable[[int, int], int]:
    """By round and digit. Who goes through a whole pass asks for few of them again and again."""
    keyed = hashlib.blake2b(key=hashlib.blake2b(key, digest_size=32).digest(), digest_size=8)

    @lru_cache(maxsize=_SHIFTS_KEPT)
    def shift(number: int, digit: int) -> int:
        mixed = keyed.copy()
        mixed.update(b"%d/%d" % (number, digit))
        return int.from_bytes(mixed.digest(), "big")

    return shift
