"""Filters of templates: the project's own, and the ordinary ones that Jinja2 brings.

`random_sentence` one sentence of a text (or one item of a list of texts)
`writing_style`   an instruction such as "Write in a formal register: …"
`random`          one item of a list
`truncate_tokens` the beginning of a text, n tokens by estimate, whole words only
`extract_keywords` the n most frequent words of a text
`quoted`          a text between marks that it can't close
`tojson`          compact JSON; non-ASCII characters stay as they are

Drawing filters take their chance from a generator that the caller keys by record and step, so the
same record draws the same values after every restart. Wrong arguments raise
`FilterArgumentError`, with constant text: a message never quotes the seed.
"""

import heapq
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any, Final

import orjson
from jinja2 import Undefined
from jinja2.exceptions import FilterArgumentError
from jinja2.filters import FILTERS

from runtime.domain.templates.policy import ORDINARY_FILTERS
from runtime.domain.texts import first_tokens, sentences
from runtime.engine.rendering.nulls import with_nulls_refused
from runtime.engine.rendering.quotation import quoted

STYLES: Final[Mapping[str, str]] = {
    "formal": "Write in a formal register: complete sentences, precise words, no contractions.",
    "casual": "Write in a casual register: everyday words, contractions, a relaxed tone.",
    "conversational": "Write as if talking to a friend: short sentences that address the reader.",
    "technical": "Write in a technical style: exact terms, concrete facts and figures.",
    "academic": "Write in an academic style: careful claims, neutral tone, clear argument.",
    "journalistic": "Write in a journalistic style: the main fact first, then the details.",
    "persuasive": "Write in a persuasive style: a clear position with strong reasons.",
    "humorous": "Write in a humorous style: light, playful and good-natured.",
    "poetic": "Write in a poetic style: vivid images and rhythm.",
    "concise": "Write in a concise style: short sentences, no filler.",
    "descriptive": "Write in a descriptive style: rich sensory detail.",
    "narrative": "Write in a narrative style: tell it as a story with a beginning and an end.",
    "empathetic": "Write in an empathetic style: warm, patient and understanding.",
    "enthusiastic": "Write in an enthusiastic style: energetic and positive.",
}
"""The styles that `writing_style` knows; any other word becomes "Write in this style: …"."""

MAX_KEYWORDS: Final = 100

_WORD: Final = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")  # noqa: RUF001 - a typographic apostrophe
_STOP_TEXT: Final = """
a about above after again all also am an and any are as at be because been before being below
between both but by can could did do does doing down during each even few for from further
had has have having he her here hers him his how i if in into is it its itself just me more
most my no nor not now of off on once one only or other our out over own same she should so
some such than that the their them then there these they this those through to too under
until up upon us very was we were what when where which while who whom why will with would
you your it's don't
"""
_STOP_WORDS: Final = frozenset(_STOP_TEXT.split())


def random_sentence(text: object, rng: Random) -> str:
    """One sentence of `text`; of a list of texts, one item."""
    if isinstance(text, str):
        found = sentences(text)
    else:
        found = [str(item) for item in _items("random_sentence", text)]
    if not found:
        raise FilterArgumentError("random_sentence needs a text that is not empty")
    return rng.choice(found)


def writing_style(value: object, rng: Random) -> str:
    """The instruction for a style. Without a value it draws one of `STYLES`; of a list, an item."""
    if value is None or value == "":
        value = rng.choice(list(STYLES))
    elif not isinstance(value, str):
        value = pick(value, rng)
    if not isinstance(value, str):
        raise FilterArgumentError("writing_style needs the name of a style, or a list of names")
    name = value.strip()
    return STYLES.get(name.lower(), f"Write in this style: {name}.")


def pick(items: object, rng: Random) -> object:
    """One item of a list, or one character of a text."""
    choices = items if isinstance(items, str) else _items("random", items)
    if not choices:
        raise FilterArgumentError("random needs a list that is not empty")
    return rng.choice(choices)


def truncate_tokens(text: object, count: object = 256) -> str:
    """The beginning of `text` that is estimated at `count` tokens or less; words stay whole.

    The estimate is that of `runtime.domain.texts`; leave some room for a model's own tokenizer.
    """
    if isinstance(count, bool) or not isinstance(count, int):
        raise FilterArgumentError("truncate_tokens needs a text and a whole number of tokens")
    if count < 0:
        raise FilterArgumentError("truncate_tokens needs a number of tokens that is not negative")
    return first_tokens(str(text), count)


class Keywords(list[str]):
    """A list of words that prints as "one, two, three"."""

    __slots__ = ()

    def __str__(self) -> str:
        return ", ".join(self)


def extract_keywords(text: object, count: object = 5) -> Keywords:
    """The `count` most frequent words, in lower case; of equal ones, the first in the text.

    Words of one or two letters and common English words don't count.
    """
    if not isinstance(text, str) or isinstance(count, bool) or not isinstance(count, int):
        raise FilterArgumentError("extract_keywords needs a text and a whole number of words")
    if not 1 <= count <= MAX_KEYWORDS:
        raise FilterArgumentError(f"extract_keywords gives 1 to {MAX_KEYWORDS} words")
    words = (match[0].lower() for match in _WORD.finditer(text))
    counted = Counter(word for word in words if _counts(word))
    # Not `most_common`: it imports heapq when it is called, and here no file can be opened then.
    return Keywords(heapq.nlargest(count, counted, key=counted.__getitem__))


def _counts(word: str) -> bool:
    # Two letters are a full word in Chinese or Japanese.
    return word not in _STOP_WORDS and (len(word) > 2 or not word.isascii())  # noqa: PLR2004


def tojson(value: object) -> str:
    """`value` as JSON without spaces."""
    try:
        return orjson.dumps(value).decode()
    except TypeError as exc:
        raise FilterArgumentError("tojson needs a value of JSON types") from exc


def quoted_text(value: object) -> str:
    """A text as a quotation."""
    if not isinstance(value, str):
        raise FilterArgumentError("quoted needs a text: put | tojson before it")
    return quoted(value)


def build_filters(current: Callable[[], Random]) -> dict[str, Callable[..., Any]]:
    """Every filter by name. `current()` gives the generator of the record that is rendered."""
    own: dict[str, Callable[..., Any]] = {
        "extract_keywords": extract_keywords,
        "quoted": quoted_text,
        "random": lambda value: pick(value, current()),
        "random_sentence": lambda value: random_sentence(value, current()),
        "tojson": tojson,
        "truncate_tokens": truncate_tokens,
        "writing_style": lambda value: writing_style(value, current()),
    }
    ordinary = {name: FILTERS[name] for name in sorted(ORDINARY_FILTERS)}
    return with_nulls_refused(
        ordinary | {name: _defined(function) for name, function in own.items()}
    )


def _defined(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` for values that exist; a strict undefined value raises when it is printed."""

    def call(value: object, *args: object) -> object:
        if isinstance(value, Undefined):
            str(value)
        return function(value, *args)

    return call


def _items(name: str, value: object) -> Sequence[Any]:
    if isinstance(value, (list, tuple)):
        return value
    raise FilterArgumentError(f"{name} needs a text or a list")
