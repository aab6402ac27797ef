"""Checks of a text's language, by the model that is loaded in the render process."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from runtime.domain.checks.words import LANGUAGES
from runtime.domain.errors import TemplateError
from runtime.domain.templates.document import parse_template
from runtime.engine.rendering import languages
from runtime.engine.rendering.renderer import TemplateEngine, TextRequest

TEMPLATE = parse_template(
    {
        "name": "n",
        "steps": [{"id": "a", "prompt": "x"}],
        "checks": [
            {"id": "en", "language": "en"},
            {"id": "de", "language": "de"},
            {"id": "ja", "language": "ja"},
            {"id": "few", "max_words": 2},
        ],
    }
)
TEXTS = {
    "en": "The kettle boils quickly and the handle stays cool, but it is a little heavy to lift.",
    "de": "Der Wasserkocher ist schnell, und der Griff bleibt kühl, aber er ist etwas schwer.",
    "ja": "このケトルはすぐに沸きますが、少し重いです。",
}


@pytest.fixture(scope="module")
def engine() -> Iterator[TemplateEngine]:
    with TemplateEngine(TEMPLATE) as engine:
        yield engine


def asked(check_id: str, text: str) -> TextRequest:
    return TextRequest(check_id=check_id, text=text)


def test_a_text_passes_in_its_own_language_only(engine: TemplateEngine) -> None:
    pairs = [(code, text) for code in TEXTS for text in TEXTS]
    found = engine.check_texts([asked(code, TEXTS[text]) for code, text in pairs])
    assert found == [code == text for code, text in pairs]


@pytest.mark.parametrize("text", ["", "ok", "42", "3.14 + 2", "🙂", "\0", "   "])
def test_a_text_that_is_too_short_to_tell_passes(engine: TemplateEngine, text: str) -> None:
    assert engine.check_texts([asked("en", text)]) == [True]


def test_a_long_text_is_told_by_its_beginning(engine: TemplateEngine) -> None:
    assert engine.check_texts([asked("de", TEXTS["de"] * 5_000)]) == [True]


def test_a_child_that_died_is_followed_by_one_that_knows_languages(engine: TemplateEngine) -> None:
    engine.close()
    assert engine.check_texts([asked("en", TEXTS["de"]), asked("few", "a b c")]) == [False, False]


def test_every_code_is_one_that_the_model_has() -> None:
    program = "import py3langid.langid as l; print(*l._load_identifier().labels)"
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    labels = done.stdout.split()
    assert set(labels) - {"zxx"} == LANGUAGES


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(languages, "find_spec", lambda _name: None)
    with (
        TemplateEngine(TEMPLATE) as engine,
        pytest.raises(TemplateError, match=r'pip install "seedwright\[language\]"'),
    ):
        engine.check_texts([asked("en", "x")])
    with pytest.raises(TemplateError, match="which is not installed"):
        languages.check_languages(TEMPLATE.checks)
    languages.check_languages(
        parse_template({"name": "n", "steps": [{"id": "a", "prompt": "x"}]}).checks
    )
