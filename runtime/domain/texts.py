"""What counts as a token and as a sentence, in texts of any script: one rule for prompts and seeds.

A token is an estimate. A word, with the punctuation that touches it, is one token for every four
characters begun; a character of a script without spaces is one token. Every model has its own
tokenizer.
"""

import re
from collections.abc import Iterator
from typing import Final

CHARACTERS_PER_TOKEN: Final = 4

# Scripts without spaces between words: each character counts as a word and as a token.
_UNSPACED: Final = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"


def word_pattern(longest: str = "") -> re.Pattern[str]:
    """Finds words; longer ones in parts of `longest` characters."""
    return re.compile(rf"[{_UNSPACED}]|[^\s{_UNSPACED}]{{1,{longest}}}")


WORD: Final = word_pattern()
# A sentence ends with its closing quotes and space, or with a line; the stops of Chinese and
# Japanese need no space after them.
_SENTENCE_END: Final = re.compile(r"(?<=[.!?…])[\"'”’)\]]*\s+|(?<=[。！？])|\n+")  # noqa: RUF001
_NOT_AN_END: Final = re.compile(
    r"(?:^|[\s(\"'])(?:[A-Z]|Mr|Mrs|Ms|Dr|Prof|St|Jr|Sr|vs|etc|e\.g|i\.e|cf|No|Inc|Ltd|approx)\.$"
)
_LONGEST_ABBREVIATION: Final = 10
"""Characters, with what stands before it."""


def word_tokens(characters: int) -> int:
    """Tokens of a word of so many characters."""
    return -(-characters // CHARACTERS_PER_TOKEN)


def count_tokens(text: str) -> int:
    """Tokens of a text."""
    return sum(map(word_tokens, map(len, WORD.findall(text))))


def first_tokens(text: str, count: int) -> str:
    """The beginning of `text` of `count` tokens or fewer; words stay whole."""
    end = used = 0
    for word in WORD.finditer(text):
        used += word_tokens(len(word[0]))
        if used > count:
            return text[:end]
        end = word.end()
    return text


def sentence_ends(text: str, start: int, end: int) -> Iterator[int]:
    """Where sentences that begin in `text[start:end]` end, with the space behind them.
    Abbreviations and initials don't end one.
    """
    begun = start
    for found in _SENTENCE_END.finditer(text, start, end):
        if "\n" not in found[0] and not found[0].strip():
            words = text[max(begun, found.start() - _LONGEST_ABBREVIATION) : found.start()]
            if _NOT_AN_END.search(words):
                continue
        begun = found.end()
        yield begun


def sentences(text: str) -> list[str]:
    """The sentences of `text`."""
    found: list[str] = []
    start = 0
    for end in sentence_ends(text, 0, len(text)):
        found.append(text[start:end].strip())
        start = end
    return [sentence for sentence in (*found, text[start:].strip()) if sentence]
