"""Orders of a range that can be asked at any place: nothing is shuffled, and nothing is kept."""

import hashlib
import math
from typing import Final

_ROUNDS: Final = 8
"""Of the network that shuffles: four would make it pseudorandom for many seeds."""
_FEW: Final = 1000
_ROUNDS_OF_FEW: Final = 16
"""With few seeds it takes more until every order is as likely as any other."""


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
    keyed = hashlib.blake2b(key=hashlib.blake2b(key, digest_size=32).digest(), digest_size=8)
    while True:
        left, right = divmod(position, low)
        for number in range(0, rounds, 2):
            left = (left + _shift(keyed, number, right)) % high
            right = (right + _shift(keyed, number + 1, left)) % low
        position = left * low + right
        if position < count:
            return position


def _shift(keyed: "hashlib.blake2b", number: int, digit: int) -> int:
    mixed = keyed.copy()
    mixed.update(b"%d/%d" % (number, digit))
    return int.from_bytes(mixed.digest(), "big")
