"""The short forms of checks, as the render process decides them: patterns and parsers may take for
ever on what strangers wrote.
"""

import ast
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from time import process_time
from typing import TYPE_CHECKING, Any, Final

import orjson

from runtime.domain.checks.check import TextKind
from runtime.domain.checks.shingles import words_of
from runtime.engine.rendering.languages import is_in
from runtime.engine.rendering.personal import PATTERNS

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

TextTest = Callable[[str], bool]

COMPILE_SECONDS: Final = 5
"""Processor time for all patterns of a template: a thousand characters may take two seconds."""

_TOO_LARGE: Final = "it is too large or nested too deeply"
_FENCED: Final = re.compile(r"\s*(```+|~~~+)[^\n`]*\n(.*?)\n?\s*\1\s*", re.DOTALL)
"""A block of Markdown, in which models like to put code."""


class PatternError(Exception):
    """A pattern that can't be compiled, as it is told."""


def text_tests(
    checks: Mapping[str, Sequence[Any]],
    languages: "LanguageIdentifier | None" = None,
    *,
    seconds: float = COMPILE_SECONDS,
) -> dict[str, TextTest]:
    """What decides each check, by its id, from its kind and argument. Raises `PatternError`, also
    where that takes longer than so many seconds of the processor.
    """
    tests = {}
    end = process_time() + seconds
    for check, (kind, argument) in checks.items():
        try:
            tests[check] = _text_test(kind, argument, languages)
        except (re.error, ValueError, OverflowError, RecursionError) as exc:
            reason = str(exc) if isinstance(exc, re.error) else _TOO_LARGE
            raise PatternError(
                f'check "{check}": matches is no regular expression of Python: {reason}'
            ) from exc
        if process_time() > end:
            raise PatternError(
                f'check "{check}": reading the patterns of matches takes longer than'
                f" {seconds} seconds: make them shorter"
            )
    return tests


def _text_test(kind: str, argument: Any, languages: "LanguageIdentifier | None") -> TextTest:
    """What decides one check. Without `languages` asking for one raises `LookupError`."""
    match TextKind(kind):
        case TextKind.MAX_WORDS:
            return partial(_has_words, most=argument)
        case TextKind.MATCHES:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of what a later Python will read otherwise
                pattern = re.compile(argument)
            return lambda text: pattern.search(text) is not None
        case TextKind.NO_PII:
            tests = [PATTERNS[name] for name in argument]
            return lambda text: not any(test(text) for test in tests)
        case TextKind.CODE:
            return _CODE[argument]
        case TextKind.LANGUAGE:
            return partial(_is_in_language, languages=languages, code=argument)


def _has_words(text: str, *, most: int) -> bool:
    return len(words_of(text)) <= most


def _is_in_language(text: str, *, languages: "LanguageIdentifier | None", code: str) -> bool:
    if languages is None:
        raise LookupError("no language can be told")
    return is_in(languages, text, code)


def _is_python(text: str) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes that a later Python refuses
            ast.parse(_unfenced(text))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def _is_json(text: str) -> bool:
    try:
        orjson.loads(_unfenced(text))
    except orjson.JSONDecodeError:
        return False
    return True


def _unfenced(text: str) -> str:
    found = _FENCED.fullmatch(text)
    return text if found is None else found[2]


_CODE: Final[Mapping[str, TextTest]] = {"python": _is_python, "json": _is_json}
