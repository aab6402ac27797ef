"""Where a text may be cut without tearing a character as people see it: an accent from its letter,
an emoji from its skin tone, one half of a flag from the other.

The rules are those of Unicode's extended grapheme clusters (UAX #29) that the standard library's
data can decide; clusters of Indic conjuncts are cut as in Unicode before 15.1.
"""

import unicodedata
from typing import Final

_ZERO_WIDTH_JOINER: Final = "\u200d"
_EXTENDING: Final = frozenset("\u200c\u200d\uff9e\uff9f")
"""Joiners, and the voiced marks of narrow kana."""
_SKIN_TONES: Final = range(0x1F3FB, 0x1F400)
_TAGS: Final = range(0xE0020, 0xE0080)
_FLAG_LETTERS: Final = range(0x1F1E6, 0x1F200)
_LEADING: Final = frozenset((*range(0x1100, 0x1160), *range(0xA960, 0xA97D)))
_VOWELS: Final = frozenset((*range(0x1160, 0x11A8), *range(0xD7B0, 0xD7C7)))
_TRAILING: Final = frozenset((*range(0x11A8, 0x1200), *range(0xD7CB, 0xD7FC)))
"""Letters of Hangul, which make syllables, and the syllables that are made already."""
_SYLLABLES: Final = range(0xAC00, 0xD7A4)
_SYLLABLE_FORMS: Final = 28
"""Syllables with one leading consonant and one vowel: without and with each trailing one."""
_THAI_AND_LAO_AM: Final = frozenset("\u0e33\u0eb3")
"""Vowels that stand beside their consonant and belong to it."""
_FAR_BACK: Final = 1024
"""Characters to look back at most."""


def may_cut(text: str, at: int) -> bool:
    """Whether `text` can be cut before the character `at`; at both ends it can."""
    if not 0 < at < len(text):
        return True
    before, after = text[at - 1], text[at]
    if before.isascii():
        # Controls, as line ends, are never extended.
        return (before, after) != ("\r", "\n") and (before < " " or not _extends(after))
    if _extends(after):
        return False
    if before == _ZERO_WIDTH_JOINER and _is_picture(after):
        return not _picture_before(text, at - 1)
    if ord(before) in _FLAG_LETTERS and ord(after) in _FLAG_LETTERS:
        return _flag_letters_before(text, at) % 2 == 0
    return not _joins_hangul(ord(before), ord(after))


def _extends(character: str) -> bool:
    if character.isascii():
        return False
    code = ord(character)
    return (
        unicodedata.category(character)[0] == "M"
        or character in _EXTENDING
        or character in _THAI_AND_LAO_AM
        or code in _SKIN_TONES
        or code in _TAGS
    )


def _is_picture(character: str) -> bool:
    return unicodedata.category(character) == "So" and ord(character) not in _FLAG_LETTERS


def _picture_before(text: str, at: int) -> bool:
    """Whether a picture stands before `at`, with what extends it."""
    for back in range(at - 1, max(at - _FAR_BACK, 0) - 1, -1):
        if not _extends(text[back]) or text[back] == _ZERO_WIDTH_JOINER:
            return _is_picture(text[back])
    return False


def _flag_letters_before(text: str, at: int) -> int:
    count = 0
    while count < min(at, _FAR_BACK) and ord(text[at - 1 - count]) in _FLAG_LETTERS:
        count += 1
    return count


def _joins_hangul(before: int, after: int) -> bool:
    syllable = before in _SYLLABLES
    open_syllable = syllable and (before - _SYLLABLES.start) % _SYLLABLE_FORMS == 0
    if before in _LEADING:
        return after in _LEADING or after in _VOWELS or after in _SYLLABLES
    if before in _VOWELS or open_syllable:
        return after in _VOWELS or after in _TRAILING
    return (before in _TRAILING or syllable) and after in _TRAILING
