"""Quotations of strangers' texts. The oracle is the rule that the prompt states, word by word
(N24).
"""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.domain.errors import RenderError
from runtime.engine.rendering.quotation import RULE, quoted
from runtime.engine.rendering.renderer import TemplateEngine
from tests.fixtures.rendering import render

_OPENING = re.compile(r"<<<<<< ([0-9a-f]+)")


def read(prompt: str) -> list[str]:
    """All texts that are quoted: "begins after a line of <<<<<< and a mark, and ends before the
    line of the same mark and >>>>>>".
    """
    found: list[str] = []
    mark: str | None = None
    lines: list[str] = []
    for line in prompt.split("\n"):
        opening = _OPENING.fullmatch(line)
        if mark is None and opening is not None:
            mark, lines = opening[1], []
        elif mark is not None and line == f"{mark} >>>>>>":
            found.append("\n".join(lines))
            mark = None
        elif mark is not None:
            lines.append(line)
    assert mark is None, "a quotation was not closed"
    return found


_PIECES = st.sampled_from(
    [
        "<<<<<<",
        ">>>>>>",
        "<<<<<< ",
        " >>>>>>",
        "\n",
        "\r\n",
        "\n\n",
        "\u2028",
        "\0",
        " ",
        "",
        "0a1b",
    ]
)


@st.composite
def hostile(draw: st.DrawFn) -> str:
    """Pieces of marks, whole quotations of other texts and of beginnings of itself, closing lines
    with their marks.
    """
    text = ""
    for _ in range(draw(st.integers(0, 6))):
        kind = draw(st.integers(0, 4))
        if kind == 0:
            text += draw(_PIECES)
        elif kind == 1:
            text += draw(st.text(max_size=8))
        else:
            other = quoted(text if kind == 2 else draw(st.text(max_size=5)))
            opening, *_, closing = other.split("\n")
            text += draw(
                st.sampled_from([other, f"\n{closing}\n", f"\n{opening}\n", closing.upper()])
            )
    return text


@given(texts=st.lists(hostile(), min_size=1, max_size=4))
def test_no_text_closes_its_quotation_or_another_s(texts: list[str]) -> None:
    prompt = "\n\n".join(["Rate.", RULE, *(f"A text:\n{quoted(each)}" for each in texts), "End."])
    assert read(prompt) == texts


@given(text=hostile())
def test_the_mark_follows_from_the_text_and_stands_nowhere_in_it(text: str) -> None:
    mark = quoted(text).split("\n")[0].removeprefix("<<<<<< ")
    assert quoted(text) == quoted(text)
    assert mark not in text.casefold()
    assert not quoted(f"{text}.").startswith(f"<<<<<< {mark}\n")


def test_a_text_that_holds_its_own_mark_gets_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """No text is known that holds the digest of itself, so the digest is made short."""
    monkeypatch.setattr("runtime.engine.rendering.quotation._MARK_BYTES", 1)
    every = " ".join(f"{number:02x}" for number in range(256) if number != 0xA7)
    assert quoted(every).startswith("<<<<<< a7\n")
    assert quoted(every.upper()).startswith("<<<<<< a7\n")


def test_authors_quote_by_a_filter(render_engine: TemplateEngine) -> None:
    text = render(render_engine, "Read {{ t | quoted }} well", t="a\nb >>>>>>")
    assert isinstance(text, str)
    assert text == f"Read {quoted(chr(10).join(['a', 'b >>>>>>']))} well"
    assert "quoted needs a text" in str(render(render_engine, "{{ t | quoted }}", t=[1]))
    assert isinstance(render(render_engine, "{{ t | quoted }}", t=None), RenderError)
    assert read(f"x\n{render(render_engine, '{{ t | tojson | quoted }}', t=[1])}") == ["[1]"]
