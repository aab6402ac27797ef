"""The code of the document child inside of this process, where it is measured: it says the same as
the process, which may write no file.
"""

import socket
from collections.abc import Mapping
from pathlib import Path

import orjson
import pytest

from runtime.domain.seeds.chunking import Chunking
from runtime.files import document_child
from runtime.files.documents import DOCUMENT_SUFFIXES, read_documents
from tests.fixtures.documents import (
    HTML,
    documents_that_fail,
    paragraph,
    pdf_of,
    whole_word_file,
    written,
    zip_of,
)

WORD = 'xmlns:w="http://purl.oclc.org/ooxml/wordprocessingml/main"'
RELATIONS = "http://schemas.openxmlformats.org/package/2006/relationships"
STRICT = {
    "_rels/.rels": f'<Relationships xmlns="{RELATIONS}"><Relationship'
    ' Type="http://purl.oclc.org/ooxml/officeDocument/relationships/officeDocument"'
    ' Target="/text/all.xml"/></Relationships>',
    "text/styles.xml": f'<w:styles {WORD}><w:style w:styleId="a"><w:pPr><w:outlineLvl w:val="0"/>'
    '</w:pPr></w:style><w:style w:styleId="b"><w:basedOn w:val="a"/></w:style></w:styles>',
    "text/all.xml": f"<w:document {WORD}>{paragraph('First', 'b')}<w:p><w:pPr><w:outlineLvl"
    f' w:val="1"/></w:pPr><w:r><w:t> </w:t><w:t>Second</w:t></w:r></w:p>{paragraph("x", "z")}'
    "</w:document>",
}

READABLE: Mapping[str, bytes | str] = {
    "a.txt": "One. Two.\r\n\r\n" * 30,
    "a.md": "---\ntitle: 'x'\n---\n# A\n\n## B\n\n"
    + "b. " * 30
    + "\n\nC\n===\n\n~~~\n# d\n~~~\n> e\n--\n",
    "b.md": "+++\ntitle = x\n+++\n```\n# not closed",
    "c.md": "---\ntitle: never closed",
    "a.html": HTML + "<dl><dt>a<dd>b</dl><hr>a<wbr>b</p><h1></h1>" + "<p>word " * 60,
    "a.docx": whole_word_file(),
    "b.docx": zip_of({name: part.encode() for name, part in STRICT.items()}),
    "b.html": "<title>a</title><title>b</title><div role=navigation>no</div><table><tr><td>a<td>"
    "</table><p>b<br>c<textarea>no</textarea></p></p><pre>\n\n</pre><span hidden>no</span>",
    "a.pdf": pdf_of(["word " * 20] * 33),
}


def said(path: Path, tokens: int | None) -> list[bytes]:
    """The lines of the child about a file."""
    ours, theirs = socket.socketpair()
    request = {
        "kind": DOCUMENT_SUFFIXES[path.suffix],
        "title": path.stem,
        "tokens": tokens,
        "overlap": 0,
        "encoding": None,
        "wanted": True,
        "cpu_seconds": 60,
    }
    with ours, theirs, path.open("rb") as file:
        socket.send_fds(ours, [orjson.dumps(request)], [file.fileno()])
        ours.shutdown(socket.SHUT_WR)
        document_child.serve(theirs, row_bytes=4 * 1024 * 1024)
        theirs.close()
        lines = b""
        while piece := ours.recv(65536):
            lines += piece
    return lines.splitlines()


@pytest.fixture(autouse=True)
def _no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document_child, "allow_cpu", lambda seconds: None)  # noqa: ARG005


@pytest.mark.parametrize("name", READABLE)
def test_it_says_what_the_process_says(tmp_path: Path, name: str) -> None:
    [file] = written(tmp_path, {name: READABLE[name]})
    first, *lines, last = said(file.path, 20)
    rows = list(read_documents([file], Chunking(tokens=20)))
    assert (first, last) == (b"=%d" % len(rows), b".")
    assert [
        dict(zip(document_child.ROW, orjson.loads(each[1:]), strict=True)) for each in lines
    ] == [{field: row[field] for field in document_child.ROW} for row in rows]


def test_it_says_why_a_file_can_not_be_read(tmp_path: Path) -> None:
    failing = {name: each for name, each in documents_that_fail().items() if each[1] and each[0]}
    files = written(tmp_path, {name: body for name, (body, _) in failing.items()})
    for file in files:
        [line] = said(file.path, None)
        assert line[:1] == b"e", file.name
        assert orjson.loads(line[1:]).startswith(failing[file.name][1]), file.name


def test_word_knows_where_its_text_is_and_what_its_styles_are_based_on(tmp_path: Path) -> None:
    [file] = written(tmp_path, {"b.docx": READABLE["b.docx"]})
    [row] = read_documents([file], Chunking())
    assert row["text"] == "First\n\nSecond\n\nx"
    assert (row["title"], row["heading"]) == ("First", "First > Second")
