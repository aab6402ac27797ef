"""Texts that are nearly the same: candidates by MinHash and bands, each compared in full.

    text ─▶ the same? ─▶ signature ─▶ bands agree ─▶ sketches agree ─▶ the text, from the disk
            (exact)      (rensa)      (bands)        (64 bits)         (Jaccard, decides)

The sketch is one bit of each of 64 places of the signature. It keeps nearly all texts that are
unlike from being read, and says in which order the others are: the most alike first.
"""

import zlib
from array import array
from math import sqrt
from typing import Final

from runtime.domain.checks.shingles import normal_form, shingles, similarity
from runtime.domain.errors import ConfigurationError
from runtime.engine.repeats.bands import BandTables, banding_for
from runtime.engine.repeats.exact import ExactIndex
from runtime.engine.repeats.spool import TextSpool

try:
    from rensa import RMinHash
except ImportError as exc:
    raise ConfigurationError(
        "near repeats need the package rensa, which is not installed: pip install rensa==0.5.0"
    ) from exc

MAX_COMPARED: Final = 10_000
"""Texts of agreeing bands whose sketches are compared with that of one text, over all its bands:
some two milliseconds' worth.
"""
MAX_READ: Final = 32
"""Texts that one text is compared with in full, the most alike by their sketches."""

_SEED: Final = 1
_SKETCH_BITS: Final = 64
_DEVIATIONS: Final = 4
"""Of the sketch of a text that is just near, one in 30 000 differs by more."""

_PLACE_BYTES: Final = 4
_LOW_BITS: Final = int.from_bytes(b"\x01" * _SKETCH_BITS, "little")
_LAST_BITS: Final = 2**_SKETCH_BITS - 1


class _Prepared:
    """What is compared of one text."""

    __slots__ = ("keys", "normal", "shingles", "sketch", "text")

    def __init__(self, text: str, normal: str) -> None:
        self.text = text
        self.normal = normal
        self.shingles = shingles(normal)
        self.keys: list[int] = []
        self.sketch = 0


class NearIndex:
    """A `RepeatIndex` of texts that are alike by a threshold or more."""

    def __init__(self, threshold: float) -> None:
        banding = banding_for(threshold)
        self._threshold = threshold
        self._band_bytes = _PLACE_BYTES * banding.rows
        self._signature_bytes = self._band_bytes * banding.bands
        self._places = max(banding.bands * banding.rows, _SKETCH_BITS)
        # Places of signatures agree by s, so their bits differ by (1 - s) / 2.
        differs = (1 - threshold) / 2
        self._differing = int(
            _SKETCH_BITS * differs + _DEVIATIONS * sqrt(_SKETCH_BITS * differs * (1 - differs))
        )
        self._at_most = MAX_COMPARED // banding.bands
        self._exact = ExactIndex()
        self._tables = BandTables(banding.bands)
        self._texts = TextSpool()
        self._last: _Prepared | None = None
        self._incomplete = 0

    @property
    def incomplete(self) -> int:
        return self._incomplete

    def find(self, text: str) -> int | None:
        normal = normal_form(text)
        same = self._exact.find_normal(normal)
        if same is not None:
            return same
        prepared = self._prepare(text, normal)
        found, complete = self._tables.candidates(
            prepared.keys, prepared.sketch, differing=self._differing, at_most=self._at_most
        )
        closest = sorted(found, key=lambda place: (found[place], place))
        for place in closest[:MAX_READ]:
            other = shingles(self._texts.read(place))
            if similarity(prepared.shingles, other) >= self._threshold:
                return self._exact.number_at(place)
        if not complete or len(closest) > MAX_READ:
            self._incomplete += 1
        return None

    def add(self, number: int, text: str) -> None:
        last = self._last
        if last is None or last.text != text:
            last = self._prepare(text, normal_form(text))
        # All parts count alike: a text is in each of them, or in none.
        if self._exact.find_normal(last.normal) is not None:
            return
        # The disk first: where it is full, nothing was added.
        self._texts.append(last.normal)
        self._tables.add(last.keys, last.sketch)
        self._exact.add_normal(number, last.normal)

    def _prepare(self, text: str, normal: str) -> _Prepared:
        prepared = _Prepared(text, normal)
        minhash = RMinHash(num_perm=self._places, seed=_SEED)
        minhash.update(list(prepared.shingles))
        signature = array("I", minhash.digest()).tobytes()
        step = self._band_bytes
        prepared.keys = [
            zlib.crc32(signature[start : start + step])
            for start in range(0, self._signature_bytes, step)
        ]
        prepared.sketch = _sketch(signature)
        self._last = prepared
        return prepared


def _sketch(signature: bytes) -> int:
    """The lowest bit of each of the first 64 places."""
    low = signature[: _PLACE_BYTES * _SKETCH_BITS : _PLACE_BYTES]
    bits = int.from_bytes(low, "little") & _LOW_BITS
    sketch = 0
    for place in range(8):
        sketch |= (bits >> _SKETCH_BITS * place & _LAST_BITS) << place
    return sketch
