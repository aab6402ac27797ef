"""What texts are compared by: one normal form for texts that are the same, and sets of words and of
pairs of neighbouring words for texts that are nearly the same.
"""

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from itertools import pairwise
from string import punctuation
from typing import Final
from unicodedata import normalize

from runtime.domain.texts import WORD

_EDGES: Final = punctuation + "“”„‘’‚«»‹›…–—·¿¡、。，．！？：；「」『』（）【】《》〈〉"  # noqa: RUF001


def normal_form(text: str) -> str:
    """A text as it is compared. Texts are the same if these are equal.

    Unicode's compatibility form (NFKC), then case folded, then each run of white space is one
    space, with none at the ends. What can't be encoded (half of a surrogate pair) is a "?".
    """
    folded = " ".join(normalize("NFKC", text).casefold().split())
    return folded if folded.isascii() else folded.encode("utf-8", "replace").decode()


def words_of(text: str) -> list[str]:
    """The words of a text. Punctuation around a word is no part of it, unless it is all of it. In a
    script without spaces each character is a word.
    """
    found = text.split() if text.isascii() else WORD.findall(text)
    return [word.strip(_EDGES) or word for word in found]


def word_pairs(words: Iterable[str]) -> Iterator[str]:
    """Each two neighbours, with a space between them."""
    return map(" ".join, pairwise(words))


def shingles(normal: str) -> set[str]:
    """The different words of a text in normal form, and its pairs of neighbouring words."""
    words = words_of(normal)
    found = set(words)
    found.update(word_pairs(words))
    return found


def similarity(one: AbstractSet[str], other: AbstractSet[str]) -> float:
    """The share of all that either has which both have (Jaccard): 0 to 1; 1 for two empty sets."""
    common = len(one & other)
    either = len(one) + len(other) - common
    return common / either if either else 1.0
