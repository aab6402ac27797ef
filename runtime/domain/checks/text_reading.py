"""Reads the short forms of checks, each of which looks at one text."""

from collections.abc import Callable, Mapping
from typing import Final

from runtime.domain.checks.check import TextCheck, TextKind
from runtime.domain.checks.known import Known
from runtime.domain.checks.words import CODE, LANGUAGES, PII, PII_UNLESS_NAMED
from runtime.domain.fields import MAX_NAME_CHARACTERS, Refuse, is_number
from runtime.domain.hints import hint_for

MAX_WORDS: Final = 100_000
MAX_PATTERN_CHARACTERS: Final = 1000

Argument = int | str | tuple[str, ...]
_Problem = Callable[[str], None]


def read_text_check(
    place: str,
    check_id: str,
    kind: TextKind,
    document: Mapping[object, object],
    known: Known,
    refuse: Refuse,
) -> TextCheck | None:
    """The check; None: there was a problem."""
    argument = _READERS[kind](document.get(kind), lambda problem: refuse(place, problem))
    of = known.text_path(place, document.get("of"), refuse, name="of")
    if argument is None or of is None:
        return None
    return TextCheck(id=check_id, kind=kind, of=of, argument=argument)


def _max_words(value: object, refuse: _Problem) -> Argument | None:
    if isinstance(value, int) and is_number(value, low=1, high=MAX_WORDS, whole=True):
        return value
    refuse(f"max_words must be a whole number from 1 to {MAX_WORDS}")
    return None


def _matches(value: object, refuse: _Problem) -> Argument | None:
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_PATTERN_CHARACTERS:
        refuse(f"matches must be a regular expression of 1 to {MAX_PATTERN_CHARACTERS} characters")
        return None
    return value  # the render child compiles it: that may take seconds


def _language(value: object, refuse: _Problem) -> Argument | None:
    if isinstance(value, str) and value in LANGUAGES:
        return value
    if value is False:  # what YAML makes of a plain no
        refuse('language: no is false to YAML: write "no", in quotes, for Norwegian')
        return None
    hint = (
        hint_for(value[:MAX_NAME_CHARACTERS].lower(), LANGUAGES) if isinstance(value, str) else ""
    )
    refuse(f"language must be a code of ISO 639 that can be told, such as en{hint}")
    return None


def _no_pii(value: object, refuse: _Problem) -> Argument | None:
    if value is True:
        return PII_UNLESS_NAMED
    names = value if isinstance(value, list | tuple) else ()
    unknown = [str(each)[:MAX_NAME_CHARACTERS] for each in names if each not in PII]
    if not names or len(names) > len(PII) or unknown:
        hint = hint_for(unknown[0], PII) if unknown else ""
        refuse(f"no_pii must be true, or list some of {', '.join(PII)}{hint}")
        return None
    return tuple(dict.fromkeys(str(each) for each in names))


def _code(value: object, refuse: _Problem) -> Argument | None:
    if isinstance(value, str) and value in CODE:
        return value
    hint = hint_for(value[:MAX_NAME_CHARACTERS], CODE) if isinstance(value, str) else ""
    refuse(f"code must be one of {', '.join(CODE)}{hint}")
    return None


_READERS: Final[Mapping[TextKind, Callable[[object, _Problem], Argument | None]]] = {
    TextKind.MAX_WORDS: _max_words,
    TextKind.MATCHES: _matches,
    TextKind.LANGUAGE: _language,
    TextKind.NO_PII: _no_pii,
    TextKind.CODE: _code,
}
