"""The chance of one sampler in one record: a function of random seed, name and index, no more."""

import hashlib
from typing import Final

_BITS: Final = 52
"""Of a uniform number: each, and the half that is added, is exact as a float."""
_NUMBERS: Final = float(2**_BITS)


class Chance:
    """What a sampler draws with. The same whenever it is asked for, whatever else is drawn."""

    __slots__ = ("_digest",)

    def __init__(self, *, random_seed: int, name: str, index: int) -> None:
        text = f"samples 1/{random_seed}/{name}/{index}"
        self._digest = hashlib.blake2b(text.encode(), digest_size=24).digest()

    @property
    def uniform(self) -> float:
        """Above 0 and below 1, neither of which it ever is."""
        number = int.from_bytes(self._digest[:8], "big") >> (64 - _BITS)
        return (number + 0.5) / _NUMBERS

    @property
    def bits(self) -> int:
        """128 bits that are independent of `uniform`."""
        return int.from_bytes(self._digest[8:], "big")
