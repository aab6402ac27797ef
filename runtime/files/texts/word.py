"""Word files (.docx): a ZIP archive of XML, read as a stream, so that neither a bomb of the one nor
of the other is ever unpacked into memory.

Text that was deleted, hidden text, notes, headers, footers and pictures are left out. Styles say
which paragraphs are headings, in every language of Word.
"""

import posixpath
import zipfile
from typing import BinaryIO, Final

from runtime.files.texts.document import Alive, Document, TextBuilder, UnreadableError, one_line
from runtime.files.texts.word_parts import (
    Attributes,
    Handler,
    Part,
    Properties,
    Relations,
    Styles,
    outline_level,
)

MAX_PART_BYTES: Final = 128 * 1024 * 1024
"""Of the text, unpacked."""
MAX_SMALL_PART_BYTES: Final = 16 * 1024 * 1024
"""Of styles and properties."""

_CHUNK_BYTES: Final = 1024 * 1024
_COMPOUND_FILE: Final = bytes.fromhex("d0cf11e0a1b11ae1")
_USUAL: Final = "word/document.xml"
_ENCRYPTED: Final = 0x1
_LEFT_OUT: Final = frozenset(
    ("mc:Fallback", "w:del", "w:moveFrom", "w:pPrChange", "w:rPrChange", "w:instrText")
)
"""What stands in a document twice, or no more."""
_CHARACTERS: Final = {"w:tab": "\t", "w:br": "\n", "w:cr": "\n", "w:noBreakHyphen": "-"}
_GAPS: Final = {"w:tr": 1, "w:tbl": 2}


def read_word(file: BinaryIO, alive: Alive) -> Document:
    """The text of a Word file. Raises `UnreadableError`, and what zipfile and expat raise."""
    if file.read(len(_COMPOUND_FILE)) == _COMPOUND_FILE:
        raise UnreadableError(
            "encrypted, or of an old version of Word: save it as .docx without a password"
        )
    with zipfile.ZipFile(file) as archive:
        relations, styles, properties = Relations(), Styles(), Properties()
        _read_part(archive, "_rels/.rels", relations, MAX_SMALL_PART_BYTES, alive)
        name = relations.document or _USUAL
        beside = posixpath.join(posixpath.dirname(name), "styles.xml")
        _read_part(archive, beside, styles, MAX_SMALL_PART_BYTES, alive)
        _read_part(archive, "docProps/core.xml", properties, MAX_SMALL_PART_BYTES, alive)
        body = _Body(styles)
        if not _read_part(archive, name, body, MAX_PART_BYTES, alive):
            raise UnreadableError("not a Word file: it has no document in it")
    return body.document(one_line(properties.title) or None)


def _read_part(
    archive: zipfile.ZipFile, name: str, handler: Handler, limit: int, alive: Alive
) -> bool:
    """Read a part; False if there is none."""
    try:
        found = archive.getinfo(name)
    except KeyError:
        return False
    if found.flag_bits & _ENCRYPTED:
        raise UnreadableError("encrypted: save it without a password")
    part, size = Part(handler, alive), 0
    with archive.open(found) as unpacked:
        while chunk := unpacked.read(_CHUNK_BYTES):
            size += len(chunk)
            if size > limit:
                raise UnreadableError(f"it unpacks to more than {limit} bytes")
            part.feed(chunk)
    part.feed(b"", last=True)
    return True


class _Body:
    """Puts the text of the document together, paragraph by paragraph."""

    def __init__(self, styles: Styles) -> None:
        self._text = TextBuilder()
        self._styles = styles
        self._left_out = 0
        self._in_text = False
        self._hidden_run = False
        self._run_properties = False
        self._level = 0
        self._item = False
        self._heading = False
        self._begun = False
        self._cells = 0
        self._next_cell = False
        self._row_begun = False

    def document(self, title: str | None) -> Document:
        """What was read."""
        return self._text.document(title)

    def start(self, name: str, attributes: Attributes) -> None:
        if self._left_out or name in _LEFT_OUT:
            self._left_out += 1
            return
        match name:
            case "w:p":
                self._end_paragraph()
            case "w:r":
                self._hidden_run = False
            case "w:rPr":
                self._run_properties = True
            case "w:t":
                self._in_text = True
            case "w:tc":
                self._cells += 1
                self._next_cell = True
            case _ if name in _GAPS:
                self._text.gap(_GAPS[name])
            case _ if name in _CHARACTERS:
                self._character(_CHARACTERS[name])
            case _:
                self._property(name, attributes.get("val", ""))

        if name == "w:tr":
            self._row_begun = False

    def _character(self, character: str) -> None:
        # Tabs stand in properties, too; before the first word they are layout.
        if self._begun and not self._hidden_run and not self._run_properties:
            self._text.write(character)

    def _property(self, name: str, told: str) -> None:
        match name:
            case "w:pStyle":
                self._level = self._level or self._styles.level(told) or 0
            case "w:outlineLvl":
                self._level = self._level or outline_level(told)
            case "w:numPr":
                self._item = True
            case "w:vanish" if self._run_properties and told not in {"0", "false", "off"}:
                self._hidden_run = True

    def end(self, name: str) -> None:
        if self._left_out:
            self._left_out -= 1
            return
        match name:
            case "w:p":
                self._end_paragraph()
            case "w:rPr":
                self._run_properties = False
            case "w:t":
                self._in_text = False
            case "w:tc":
                self._cells = max(self._cells - 1, 0)
                self._next_cell = False
            case _ if name in _GAPS:
                self._text.gap(_GAPS[name])

    def data(self, text: str) -> None:
        if not self._in_text or self._left_out or self._hidden_run:
            return
        if not self._begun:
            text = text.lstrip()
            if not text:
                return
            self._begin_paragraph()
        self._text.write(text)

    def _begin_paragraph(self) -> None:
        self._begun = True
        if self._next_cell and self._row_begun:
            self._text.rejoin()
            self._text.write(" | ")
        elif self._level and not self._cells:
            self._text.begin_heading(self._level)
            self._heading = True
        elif self._item and self._text.at_line_start:
            self._text.write("- ")
        self._next_cell, self._row_begun = False, True

    def _end_paragraph(self) -> None:
        """One ends, or another begins in a text box inside of it."""
        if self._heading:
            self._text.end_heading()
        elif self._begun:
            self._text.gap(1 if self._item or self._cells else 2)
        self._level, self._item, self._heading, self._begun = 0, False, False, False
