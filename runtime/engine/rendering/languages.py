"""Which language a text is in, told by py3langid, an extra, in the render process."""

import os
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from runtime.domain.checks.check import Checks, TextKind
from runtime.domain.errors import TemplateError

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

LANGUAGE: Final = "language"
"""The render process is started with this word where a template needs it."""
MODEL_BYTES: Final = 128 * 1024 * 1024
"""What numpy and the model take in all, some 100 MiB of it while it starts."""

_CHARACTERS: Final = 20_000
"""The beginning of a text tells; 360 000 take 0.9 s."""
_SURE: Final = 0.5
"""How likely another language has to be: a text that is too short to tell passes."""
_NO_LANGUAGE: Final = "zxx"


def needs_language(checks: Checks) -> bool:
    """Whether one of the checks asks for a language."""
    return any(each.kind is TextKind.LANGUAGE for each in checks.texts)


def check_languages(checks: Checks) -> None:
    """Raises `TemplateError` where they ask for a language and the extra is not installed."""
    if needs_language(checks) and find_spec("py3langid") is None:
        raise TemplateError(
            "language checks need the extra language where records are made, which is not"
            ' installed: pip install "seedwright[language]"'
        )


def load_languages() -> "LanguageIdentifier":
    """The model, which is read from a file. Raises `ImportError`."""
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # no more threads can be started later
    from py3langid.langid import MODEL_FILE, LanguageIdentifier  # noqa: PLC0415 - takes 2 s

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.classify("What is loaded on first use is loaded now.")
    return identifier


def is_in(identifier: "LanguageIdentifier", text: str, code: str) -> bool:
    """Whether a text is in the language of a code, as far as it tells."""
    found, likely = identifier.classify(text[:_CHARACTERS])
    return found in {code, _NO_LANGUAGE} or likely < _SURE
