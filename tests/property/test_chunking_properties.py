"""Chunks of documents: whatever the text, they cover it, fit, and tear no character."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.domain.errors import InputError
from runtime.domain.seeds import chunking
from runtime.domain.seeds.chunking import Chunking, Heading, Outline, Span, chunk_spans
from runtime.domain.seeds.clusters import may_cut
from runtime.domain.texts import count_tokens
from runtime.engine.rendering.filters import truncate_tokens

PARTS = (
    *("a", "word", "Mr.", "End. ", "x" * 90, "。", "名前", "กำ", "ผู้", "が", "각", "각"),
    *(" ", "  ", "\n", "\n\n", "\r\n", "\r\n\r\n", "\t", "\u2003", "\x1f", "\n \n"),
    *(
        "e\u0301",
        "\u0301",
        "\U0001f468\u200d\U0001f469",
        "\U0001f44d\U0001f3fd",
        "\U0001f1e9\U0001f1ea",
    ),
    *("\u200d", "\ufe0f", "\U000e0067", "#", "- ", "z\u0300\u0301\u0302" * 30),
)
texts = st.lists(st.sampled_from(PARTS) | st.text(max_size=8), max_size=60).map("".join)
sizes = st.integers(16, 60).flatmap(
    lambda tokens: st.tuples(st.just(tokens), st.integers(0, tokens - 1))
)


@st.composite
def outlines(draw: st.DrawFn, text: str) -> Outline:
    """Some lines of a text as its headings, some ranges as its listings."""
    lines = [0, *(at + 1 for at, each in enumerate(text) if each == "\n" and at + 1 < len(text))]
    chosen = sorted(draw(st.sets(st.sampled_from(lines), max_size=8))) if text else []
    headings = [
        Heading(
            at=at,
            end=end if (end := text.find("\n", at)) >= 0 else len(text),
            level=draw(st.integers(1, 6)),
            title="t",
        )
        for at in chosen
    ]
    places = st.integers(0, len(text))
    marks = sorted(draw(st.sets(places, max_size=4)))
    return Outline(headings=headings, whole=list(zip(marks[::2], marks[1::2], strict=False)))


@given(st.data(), texts, sizes)
def test_chunks_cover_the_text_and_fit(
    data: st.DataObject, text: str, size: tuple[int, int]
) -> None:
    tokens, overlap = size
    outline = data.draw(outlines(text))
    spans = list(chunk_spans(text, outline, Chunking(tokens=tokens, overlap=overlap)))
    assert "".join(text[each.fresh : each.end] for each in spans) == text
    for each in spans:
        chunk = text[each.start : each.end]
        assert each.start <= each.fresh < each.end
        assert truncate_tokens(chunk, tokens) == chunk
        assert truncate_tokens(shared := text[each.start : each.fresh], overlap) == shared
    for before, after in pairwise(spans):
        assert before.end == after.fresh
        assert before.start < after.start <= before.end
        assert after.end > before.end


@given(st.lists(st.sampled_from(PARTS), max_size=60).map("".join), sizes)
def test_a_character_is_torn_only_where_it_is_too_long_itself(
    text: str, size: tuple[int, int]
) -> None:
    regex = pytest.importorskip("regex")
    borders = {0, *(found.end() for found in regex.finditer(r"\X", text))}
    assert {at for at in range(len(text) + 1) if may_cut(text, at)} == borders
    for each in chunk_spans(text, Outline(), Chunking(tokens=size[0], overlap=size[1])):
        assert each.start in borders or each.start == each.fresh
        if each.end not in borders:
            assert not any(each.fresh < border < each.end for border in borders)


class TestBorders:
    """Which border is taken, by words of one token each."""

    @staticmethod
    def cut(text: str, *headings: tuple[str, int], whole: str = "", overlap: int = 0) -> list[str]:
        found = [
            Heading(at=(at := text.index(line)), end=at + len(line), level=level, title=line)
            for line, level in headings
        ]
        at = text.index(whole)
        outline = Outline(headings=found, whole=[(at, at + len(whole))] if whole else [])
        spans = chunk_spans(text, outline, Chunking(tokens=16, overlap=overlap))
        return [text[each.start : each.end] for each in spans]

    def test_what_fits_is_one_chunk(self) -> None:
        text = "# A\n\none\n\n# B\n\ntwo"
        assert self.cut(text, ("# A", 1), ("# B", 1)) == [text]

    def test_the_highest_heading_comes_before_later_ones_and_paragraphs(self) -> None:
        text = "a " * 4 + "\n# B\n" + "b " * 3 + "\n## C\n" + "c\n\n" * 20
        assert self.cut(text, ("# B", 1), ("## C", 2))[0] == "a " * 4 + "\n"
        assert self.cut(text, ("# B", 2), ("## C", 2))[0] == text[: text.index("## C")]

    def test_a_heading_stays_with_what_follows(self) -> None:
        text = "# A\n\n## B\n\n" + "b " * 30
        assert self.cut(text, ("# A", 1), ("## B", 2))[0].startswith("# A\n\n## B\n\nb b")

    def test_paragraphs_before_sentences_before_words(self) -> None:
        text = "a a a a. b b.\n\nc c c. d d d e f g h i j k l m n"
        assert self.cut(text)[0] == "a a a a. b b.\n\n"
        assert self.cut(text.replace("\n\n", " "))[0] == "a a a a. b b. c c c. "
        assert self.cut("a " * 20) == ["a " * 16, "a " * 4]

    def test_a_paragraph_in_the_first_quarter_is_no_place_to_cut(self) -> None:
        assert self.cut("a\n\n" + "b " * 20)[0] == "a\n\n" + "b " * 15

    def test_a_listing_is_not_cut_at_its_empty_lines(self) -> None:
        text = "a " * 6 + "\n\n" + "b\n\n" * 14
        assert self.cut(text)[0] == "a " * 6 + "\n\n" + "b\n\n" * 10
        assert self.cut(text, whole="b\n\n" * 14)[0] == "a " * 6 + "\n\n"

    def test_a_word_is_cut_only_if_it_is_too_long_alone(self) -> None:
        assert self.cut("a " + "x" * 100) == ["a ", "x" * 64, "x" * 36]
        assert self.cut("a " + "x" * 60) == ["a " + "x" * 60]

    def test_an_overlap_is_whole_words(self) -> None:
        assert self.cut("abcde " * 16, overlap=3) == ["abcde " * 8, *["abcde " * 8, "abcde " * 2]]


def test_space_without_end_is_cut_too() -> None:
    text = "a" + " " * (3 * chunking.MAX_CHUNK_CHARACTERS) + "b"
    spans = list(chunk_spans(text, Outline(), Chunking(tokens=16, overlap=15)))
    assert "".join(text[each.fresh : each.end] for each in spans) == text
    assert all(each.end - each.start <= chunking.MAX_CHUNK_CHARACTERS for each in spans)


def test_without_a_size_a_document_is_one_seed() -> None:
    assert list(chunk_spans("a b", Outline(), Chunking())) == [Span(start=0, fresh=0, end=3)]


@pytest.mark.parametrize(
    ("tokens", "overlap"), [(15, 0), (100_001, 0), (16, -1), (16, 16), (None, 1)]
)
def test_sizes_that_can_not_be(tokens: int | None, overlap: int) -> None:
    with pytest.raises(InputError):
        Chunking(tokens=tokens, overlap=overlap)


@given(st.lists(st.sampled_from(PARTS)).map("".join), st.lists(st.sampled_from(PARTS)).map("".join))
def test_the_beginning_of_a_text_has_no_more_tokens_than_all_of_it(one: str, other: str) -> None:
    assert count_tokens(one) <= count_tokens(one + other) <= count_tokens(one) + count_tokens(other)
