"""HTML: the text that a reader of the page sees, without its menus.

What is not closed is closed as browsers do it, roughly: a paragraph by the next block, an item by
the next item, all else by the end of what it stands in. Only what matters is remembered of the open
elements: blocks, and everything inside of what is hidden.
"""

import re
from collections import Counter
from html.parser import HTMLParser
from typing import Final

from runtime.files.texts.document import (
    MAX_TITLE_CHARACTERS,
    Alive,
    Document,
    TextBuilder,
    UnreadableError,
    one_line,
)

MAX_LEVELS: Final = 1000
"""Open elements that matter."""


def _names(names: str) -> frozenset[str]:
    return frozenset(names.split())


_HIDDEN: Final = _names(
    "script style template noscript nav svg math iframe object embed canvas audio video map select"
    " datalist textarea button dialog noembed noframes"
)
_HEADINGS: Final = _names("h1 h2 h3 h4 h5 h6")
_BLOCKS: Final = _names(
    "address article aside blockquote body center dd details div dl dt fieldset figcaption figure"
    " footer form head header hgroup html li main ol p pre search section summary table tbody td"
    " tfoot th thead title tr ul caption"
)
_VOID: Final = _names("area base br col embed hr img input link meta param source track wbr")
_ONE_LINE: Final = _names("li tr dt dd summary")
"""Blocks with no empty line between them."""
_CELLS: Final = _names("td th")
_CLOSE_LINES: Final = _names("td th li")
"""Inside of them there are no empty lines."""
_ROWS: Final = _names("tr thead tbody tfoot table")
_ENDS: Final = {
    "li": (_names("li"), _names("ul ol menu")),
    "dt": (_names("dt dd"), _names("dl")),
    "dd": (_names("dt dd"), _names("dl")),
    "td": (_CELLS, _ROWS),
    "th": (_CELLS, _ROWS),
    "tr": (_names("tr"), _names("thead tbody tfoot table")),
}
"""What an element ends if it is open, and where the search for that stops."""
_SPACE: Final = re.compile(r"[ \t\n\r\f\xa0]+")
_INVISIBLE: Final = re.compile(
    r"(?:display\s*:\s*none|visibility\s*:\s*hidden)(?:\s|;|!|$)", re.IGNORECASE
)
_MAX_STYLE_CHARACTERS: Final = 2000
_PIECE_CHARACTERS: Final = 1024 * 1024


def read_html(text: str, alive: Alive) -> Document:
    """An HTML page. Raises `UnreadableError` where it is nested too deep or too long."""
    page = _Page()
    for at in range(0, len(text), _PIECE_CHARACTERS):
        page.feed(text[at : at + _PIECE_CHARACTERS])
        alive()
    page.close()
    return page.document()


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._text = TextBuilder()
        self._open: list[tuple[str, bool]] = []
        self._counts: Counter[str] = Counter()
        self._hidden = 0
        self._title: list[str] = []
        self._title_characters = 0
        self._space = False
        self._item = False
        self._cell = False
        self._row_begun = False

    def document(self) -> Document:
        """What was read."""
        return self._text.document(one_line("".join(self._title)) or None)

    # ── elements ───────────────────────────────────────────────────────────────────────────────

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._counts["title"]:
            self._close("title")
        if tag in _VOID:
            self._void(tag)
            return
        if tag in _BLOCKS or tag in _HEADINGS:
            self._close_before(tag)
        hidden = tag in _HIDDEN or _is_hidden(attrs)
        if self._hidden or hidden or tag in _BLOCKS or tag in _HEADINGS:
            self._push(tag, hidden=hidden)

    def handle_endtag(self, tag: str) -> None:
        if self._counts[tag]:
            self._close(tag)
        elif tag == "p" and not self._hidden:
            self._text.gap(2)

    def _void(self, tag: str) -> None:
        if self._hidden:
            return
        if tag == "br":
            self._break(1)
        elif tag == "hr":
            self._break(2)
        elif tag == "wbr":
            self._space = False

    def _close_before(self, tag: str) -> None:
        """End what `tag` ends without a closing tag."""
        if self._counts["p"] and tag not in {"head", "body", "html", "title"}:
            self._close("p")
        if tag in _ENDS:
            ended, scope = _ENDS[tag]
            for name, _ in reversed(self._open):
                if name in ended:
                    self._close(name)
                    break
                if name in scope:
                    break

    def _push(self, tag: str, *, hidden: bool) -> None:
        if len(self._open) >= MAX_LEVELS:
            raise UnreadableError(f"elements are nested deeper than {MAX_LEVELS}: simplify it")
        self._open.append((tag, hidden))
        self._counts[tag] += 1
        self._hidden += hidden
        if self._hidden:
            return
        if tag in _HEADINGS:
            self._break(2)
            self._text.begin_heading(int(tag[1]))
        elif tag == "pre":
            self._break(2)
            self._text.begin_listing()
        elif tag in _CELLS:
            self._cell = self._row_begun
            self._space = False
        elif tag in _BLOCKS and tag != "title":
            self._break(1 if tag in _ONE_LINE else 2)
            self._row_begun = self._row_begun and tag != "tr"
        self._item = self._item or tag == "li"

    def _close(self, tag: str) -> None:
        """End the innermost `tag` and what is open in it."""
        while self._open:
            name, hidden = self._open.pop()
            self._counts[name] -= 1
            was_hidden, self._hidden = self._hidden, self._hidden - hidden
            if not was_hidden:
                self._ended(name)
            if name == tag:
                return

    def _ended(self, tag: str) -> None:
        if tag in _HEADINGS:
            self._break(2)
            self._text.end_heading()
        elif tag == "pre":
            self._text.end_listing()
        elif tag in _CELLS:
            self._cell = False
        elif tag == "title" and self._title:
            self._title_characters = MAX_TITLE_CHARACTERS  # another one is none
        elif tag == "li":
            self._item = False
            self._break(1)
        elif tag in _BLOCKS and tag != "title":
            self._break(1 if tag in _ONE_LINE else 2)

    def _break(self, lines: int) -> None:
        self._space = False
        inside = any(self._counts[name] for name in _CLOSE_LINES)
        self._text.gap(1 if inside else lines)

    # ── text ───────────────────────────────────────────────────────────────────────────────────

    def handle_data(self, data: str) -> None:
        if self._hidden:
            return
        if self._counts["title"]:
            if self._title_characters < MAX_TITLE_CHARACTERS:
                self._title.append(data[:MAX_TITLE_CHARACTERS])
                self._title_characters += len(data)
        elif self._counts["pre"]:
            self._write_listing(data.replace("\r\n", "\n"))
        else:
            self._write(data)

    def _write_listing(self, data: str) -> None:
        if self._text.at_line_start:
            data = data.removeprefix("\n")
        if data:
            self._text.write(data)

    def _write(self, data: str) -> None:
        words = _SPACE.sub(" ", data)
        if words.startswith(" "):
            self._space, words = True, words[1:]
        if not words:
            return
        ends_in_space = words.endswith(" ")
        lead = ""
        if self._cell:
            self._text.rejoin()
            lead = " | "
        elif self._text.at_line_start:
            lead = "- " if self._item else ""
        elif self._space:
            lead = " "
        self._text.write(lead + words.rstrip(" "))
        self._space, self._cell, self._item = ends_in_space, False, False
        self._row_begun = True


def _is_hidden(attributes: list[tuple[str, str | None]]) -> bool:
    for name, value in attributes:
        words = (value or "").strip().lower()
        if name == "hidden" and words != "until-found":
            return True
        if name == "aria-hidden" and words == "true":
            return True
        if name == "role" and words == "navigation":
            return True
        if name == "style" and _INVISIBLE.search(words[:_MAX_STYLE_CHARACTERS]):
            return True
    return False
