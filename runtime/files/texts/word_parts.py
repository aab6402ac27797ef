"""The parts of a Word file: XML as a stream of elements with short names, and the small parts that
say where the text is and which of its paragraphs are headings.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, Protocol
from xml.parsers import expat

from runtime.files.texts.document import MAX_TITLE_CHARACTERS, Alive, UnreadableError

MAX_LEVELS: Final = 1000

_SHORT: Final = {
    "http://schemas.openxmlformats.org/wordprocessingml/2006/main": "w",
    "http://purl.oclc.org/ooxml/wordprocessingml/main": "w",
    "http://schemas.openxmlformats.org/markup-compatibility/2006": "mc",
    "http://purl.org/dc/elements/1.1/": "dc",
    "http://schemas.openxmlformats.org/package/2006/relationships": "rel",
}
_HEADING: Final = re.compile(r"heading ([1-9])", re.IGNORECASE)
_MAX_BASES: Final = 20
_MAX_STYLES: Final = 10_000
_LEVELS: Final = 9

Attributes = Mapping[str, str]


class Handler(Protocol):
    """What becomes of a part. Names are short: `w:p`, `mc:Fallback`; those of others have none."""

    def start(self, name: str, attributes: Attributes) -> None: ...
    def end(self, name: str) -> None: ...
    def data(self, text: str) -> None: ...


class Part:
    """Feeds the XML of a part to its handler. There are no entities to expand: a document type is
    refused.
    """

    def __init__(self, handler: Handler, alive: Alive) -> None:
        self._handler = handler
        self._alive = alive
        self._levels = 0
        self._parser = expat.ParserCreate(namespace_separator=" ")
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = handler.data
        self._parser.StartDoctypeDeclHandler = self._refuse
        self._parser.buffer_text = True

    def feed(self, body: bytes, *, last: bool = False) -> None:
        """The next bytes. Raises `UnreadableError` and `expat.ExpatError`."""
        self._parser.Parse(body, last)
        self._alive()

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._levels += 1
        if self._levels > MAX_LEVELS:
            raise UnreadableError(f"elements are nested deeper than {MAX_LEVELS}")
        self._handler.start(
            _short_name(name), {each.rpartition(" ")[2]: told for each, told in attributes.items()}
        )

    def _end(self, name: str) -> None:
        self._levels -= 1
        self._handler.end(_short_name(name))

    @staticmethod
    def _refuse(*_: object) -> None:
        raise UnreadableError("damaged: its XML has a document type")


@lru_cache(maxsize=1024)
def _short_name(name: str) -> str:
    space, _, local = name.rpartition(" ")
    return f"{_SHORT[space]}:{local}" if space in _SHORT else ""


class Relations:
    """Where the text is: the part that the package says is the document."""

    def __init__(self) -> None:
        self.document = ""

    def start(self, name: str, attributes: Attributes) -> None:
        if name == "rel:Relationship" and attributes.get("Type", "").endswith("/officeDocument"):
            self.document = self.document or attributes.get("Target", "").lstrip("/")

    def end(self, name: str) -> None:
        pass

    def data(self, text: str) -> None:
        pass


class Properties:
    """The title that the file's properties give it."""

    def __init__(self) -> None:
        self.title = ""
        self._inside = False

    def start(self, name: str, attributes: Attributes) -> None:  # noqa: ARG002 - as handlers are
        self._inside = name == "dc:title"

    def end(self, name: str) -> None:  # noqa: ARG002
        self._inside = False

    def data(self, text: str) -> None:
        if self._inside and len(self.title) < MAX_TITLE_CHARACTERS:
            self.title += text[:MAX_TITLE_CHARACTERS]


class Styles:
    """The level of heading that each style gives its paragraphs."""

    def __init__(self) -> None:
        self._levels: dict[str, int] = {}
        self._bases: dict[str, str] = {}
        self._style = ""

    def level(self, style: str) -> int | None:
        """1 to 9, or None where paragraphs of the style are no headings."""
        for _ in range(_MAX_BASES):
            if style in self._levels:
                return self._levels[style] or None
            style = self._bases.get(style, "")
        return None

    def start(self, name: str, attributes: Attributes) -> None:
        told = attributes.get("val", "")
        if name == "w:style":
            self._style = attributes.get("styleId", "")
            if len(self._levels) + len(self._bases) > _MAX_STYLES:
                raise UnreadableError(f"more than {_MAX_STYLES} styles")
        elif name == "w:name" and (found := _HEADING.fullmatch(told)):
            self._levels[self._style] = int(found[1])
        elif name == "w:basedOn":
            self._bases[self._style] = told
        elif name == "w:outlineLvl":
            self._levels.setdefault(self._style, outline_level(told))

    def end(self, name: str) -> None:
        pass

    def data(self, text: str) -> None:
        pass


def outline_level(told: str) -> int:
    """The level of heading (1 to 9) of an outline level ("0" to "8"); 0 for body text."""
    return int(told) + 1 if told in {str(each) for each in range(_LEVELS)} else 0
