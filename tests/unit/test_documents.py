"""Documents as seeds: what is read of each kind, what is refused, and files that are traps.

Everything here goes through the process that reads such files.
"""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

from runtime.domain.errors import ConfigurationError, InputError, SeedError
from runtime.domain.seeds.chunking import Chunking
from runtime.files import document_process, documents
from runtime.files.documents import DocumentFile, read_documents
from tests.fixtures.documents import (
    HTML,
    documents_that_fail,
    paragraph,
    pdf_of,
    whole_word_file,
    word_of,
    written,
    zip_of,
)

FIELDS = [
    *("id", "text", "file", "title", "heading", "page", "start", "end", "chunk", "chunks"),
    "tokens",
]


def children() -> set[int]:
    """The processes that read documents now: others of this process may be there from before."""
    own = psutil.Process().children()
    return {child.pid for child in own if "document_child" in " ".join(child.cmdline())}


def read(
    folder: Path, files: Mapping[str, bytes | str], tokens: int | None = None, **options: Any
) -> list[dict[str, Any]]:
    rows = list(read_documents(written(folder, files), Chunking(tokens=tokens), **options))
    assert all(list(row) == FIELDS for row in rows)
    return rows


def reasons(folder: Path, files: Mapping[str, bytes | str]) -> dict[str, str]:
    """Why files can't be read; the others are."""
    told: dict[str, str] = {}
    rows = read(folder, files, skipped=told.__setitem__)
    assert {row["file"] for row in rows} == files.keys() - told.keys()
    return told


# ── kinds ──────────────────────────────────────────────────────────────────────────────────────

MARKDOWN = """\
---
title: "The guide"
---

# Guide

First.

```sh
# no heading

## nor this
```

Install
-------

- one
---

#### Deep #
"""


def test_each_kind_gives_the_same_fields(tmp_path: Path) -> None:
    word = paragraph("Titel", "b1") + paragraph("Some text.")
    rows = read(
        tmp_path,
        {
            "a/notes.txt": "\ufeffOne.\r\n\r\nTwo.",
            "a/guide.md": MARKDOWN,
            "page.html": "<title>A &amp; B</title><h1>Top</h1><p>Some<br>text.",
            "file.docx": word_of(word, headings={"b1": 1}),
            "file.pdf": pdf_of(["One.\nTwo.", "", "Three."], title="Of pages"),
        },
    )
    text, markdown, html, docx, pdf = rows
    assert text == {
        "id": "a/notes.txt#1",
        "text": "One.\r\n\r\nTwo.",
        "file": "a/notes.txt",
        "title": "notes",
        "heading": None,
        "page": None,
        "start": 0,
        "end": 12,
        "chunk": 1,
        "chunks": 1,
        "tokens": 2,
    }
    assert markdown["text"] == MARKDOWN.partition('"\n---\n')[2]
    assert (markdown["title"], markdown["heading"]) == ("The guide", "Guide")
    assert (html["text"], html["title"], html["heading"]) == ("Top\n\nSome\ntext.", "A & B", "Top")
    assert (docx["text"], docx["title"]) == ("Titel\n\nSome text.", "Titel")
    assert (pdf["text"], pdf["title"]) == ("One.\nTwo.\n\nThree.", "Of pages")
    assert (pdf["page"], pdf["heading"]) == (1, None)


def test_chunks_know_their_headings_pages_and_places(tmp_path: Path) -> None:
    words = "word " * 12
    files: dict[str, bytes | str] = {
        "a.md": f"# A\n\n## B\n\n{words}\n\n### C\n\n{words}\n\n## D\n\n{words}",
        "a.pdf": pdf_of([words, words, "", words]),
        "a.html": f"<h2>A</h2><p>{words}<h3>B</h3><p>{words}<h2>C</h2><p>{words}",
    }
    rows = read(tmp_path, files, 20)
    assert [(row["id"], row["heading"], row["page"]) for row in rows] == [
        ("a.md#1", "A > B", None),
        ("a.md#2", "A > B > C", None),
        ("a.md#3", "A > D", None),
        ("a.pdf#1", None, 1),
        ("a.pdf#2", None, 2),
        ("a.pdf#3", None, 4),
        ("a.html#1", "A", None),
        ("a.html#2", "A > B", None),
        ("a.html#3", "C", None),
    ]
    assert {(row["chunk"], row["chunks"]) for row in rows} == {(1, 3), (2, 3), (3, 3)}
    source = str(files["a.md"])
    for row in rows[:3]:
        assert row["text"] == source[row["start"] : row["end"]]
        assert 12 <= row["tokens"] <= 20
    assert "".join(row["text"] for row in rows[:3]) == source


def test_an_overlap_is_in_two_chunks(tmp_path: Path) -> None:
    files = written(tmp_path, {"a.txt": "word " * 40})
    rows = list(read_documents(files, Chunking(tokens=20, overlap=5)))
    assert [(row["start"], row["end"]) for row in rows] == [(0, 100), (75, 175), (150, 200)]


def test_markdown_headings_are_those_of_the_text(tmp_path: Path) -> None:
    words = "w " * 16
    source = MARKDOWN.replace("First.", words).replace("- one", words + "\n\n- one")
    rows = read(tmp_path, {"a.md": source + words}, 16)
    headings = [row["heading"] for row in rows]
    assert list(dict.fromkeys(headings)) == ["Guide", "Guide > Install", "Guide > Install > Deep"]


def test_html_is_what_a_reader_sees(tmp_path: Path) -> None:
    [row] = read(tmp_path, {"a.html": HTML})
    assert row["text"] == ("yes <b>\n\na | b\n1 | 2\n\n- one\n- two\n- in\n\nx\n\n  y\n\nend")
    assert row["title"] == "a"


def test_word_is_what_a_reader_sees(tmp_path: Path) -> None:
    [row] = read(tmp_path, {"a.docx": whole_word_file()})
    assert row["text"] == "Kapitel\n\na\tb\nc\n\nyes\n\n1\n\n- item\n\nl | r\ns\n\nend"
    assert (row["title"], row["heading"]) == ("Its title", "Kapitel")


@pytest.mark.parametrize("codec", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_comes_before_an_encoding(tmp_path: Path, codec: str) -> None:
    [row] = read(tmp_path, {"a.txt": "größe 名".encode(codec)}, encoding="latin-1")
    assert row["text"] == "größe 名"


def test_an_encoding_is_for_files_without_a_mark(tmp_path: Path) -> None:
    [row] = read(tmp_path, {"a.txt": "größe".encode("cp1252")}, encoding="cp1252")
    assert row["text"] == "größe"
    for wrong in ("no-such", "zlib", "a\0b", "idna"):
        with pytest.raises(InputError, match="is unknown: use a name such as"):
            read(tmp_path, {"a.txt": "a"}, encoding=wrong)


# ── files that can't be read ───────────────────────────────────────────────────────────────────


def test_what_can_not_be_read_is_named_with_its_reason(tmp_path: Path) -> None:
    files = documents_that_fail()
    told = reasons(tmp_path, {name: body for name, (body, _) in files.items()})
    assert told.keys() == {name for name, (_, reason) in files.items() if reason}
    for name, reason in told.items():
        assert reason.startswith(files[name][1]), name


def test_without_an_option_all_of_them_are_refused_at_once(tmp_path: Path) -> None:
    files = written(tmp_path, {f"bad{number}.txt": "" for number in range(24)} | {"a.txt": "fine"})
    done: list[int] = []
    with pytest.raises(SeedError) as caught:
        list(read_documents(files, Chunking(), progress=done.append))
    message = str(caught.value)
    assert message.startswith("24 of 25 documents can't be read; --skip-unreadable leaves them out")
    assert "bad0.txt: empty; bad1.txt: empty" in message
    assert message.endswith("bad19.txt: empty; and 4 more")
    assert done == list(range(1, 26))


def test_what_is_no_file_or_too_large_is_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "MAX_FILE_BYTES", 10)
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / "folder.txt").mkdir()
    files = written(tmp_path, {"large.txt": "x" * 11, "a.txt": "fine"})
    for name in ("pipe.txt", "folder.txt", "gone.txt", "nul\0.txt"):
        files.append(DocumentFile(path=tmp_path / name, name=name))
    told: dict[str, str] = {}
    [row] = read_documents(files, Chunking(), skipped=told.__setitem__)
    assert row["file"] == "a.txt"
    assert told == {
        "large.txt": "larger than 0 MiB: split it",
        "pipe.txt": "not a file",
        "folder.txt": "not a file",
        "gone.txt": "can't be opened: No such file or directory",
        "nul\0.txt": "not the name of a file",
    }


def test_only_documents_are_read(tmp_path: Path) -> None:
    with pytest.raises(SeedError, match=r"a.csv: not a document: they end in .txt, .md"):
        read(tmp_path, {"a.csv": "a"})
    [row] = read(tmp_path, {"A.TXT": "a"})
    assert row["title"] == "A"


def test_a_seed_is_not_longer_than_a_row(tmp_path: Path) -> None:
    files: dict[str, bytes | str] = {"a.txt": "x" * 4_300_000}
    assert reasons(tmp_path, files) == {
        "a.txt": "its text is too long for one seed: cut it with --chunk"
    }
    assert len(read(tmp_path, files, 100_000)) == 11


def test_all_text_together_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "MAX_ALL_CHARACTERS", 7)
    with pytest.raises(SeedError, match=r"b.txt: more than 7 characters of text in all"):
        read(tmp_path, {"a.txt": "aaaa", "b.txt": "bbbb"})


# ── the process ────────────────────────────────────────────────────────────────────────────────


def test_a_bomb_kills_its_child_and_the_next_files_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(document_process, "MEMORY_BYTES", 64 * 1024 * 1024)
    bomb = pdf_of([""], content=b"0 " * 8_000_000)
    space = zip_of({"word/styles.xml": b"<a>" + b" " * (17 * 1024 * 1024)})
    assert len(bomb) + len(space) < 100_000
    files: dict[str, bytes | str] = {
        "a.txt": "fine",
        "bomb.pdf": bomb,
        "b.txt": "fine",
        "large.txt": "x" * 30_000_000,
        "space.docx": space,
        "c.pdf": pdf_of(["fine"]),
    }
    assert reasons(tmp_path, files) == {
        "bomb.pdf": "damaged, or it needs too much memory or time to read",
        "large.txt": "damaged, or it needs too much memory or time to read",
        "space.docx": "it unpacks to more than 16777216 bytes",
    }
    assert children() == set()


@pytest.mark.parametrize("limit", ["FILE_SECONDS", "SILENT_SECONDS"])
def test_a_child_is_not_waited_for_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(document_process, limit, 0.001)
    assert reasons(tmp_path, {"a.pdf": pdf_of(["fine"])}) == {
        "a.pdf": "damaged, or it needs too much memory or time to read"
    }


def test_one_child_reads_many_files_and_ends_with_them(tmp_path: Path) -> None:
    files = written(tmp_path, {f"{number}.txt": "a b c " * 20 for number in range(5)})
    rows = read_documents(files, Chunking(tokens=16))
    seen = set()
    for _ in rows:
        seen |= children()
    assert len(seen) == 1
    assert children() == set()
    given_up = read_documents(files, Chunking(tokens=16))
    next(given_up)
    given_up.close()  # type: ignore[attr-defined]
    assert children() == set()


def test_a_child_that_is_killed_among_rows_ends_the_reading(tmp_path: Path) -> None:
    files = written(tmp_path, {"a.txt": "x" * 4_000_000})
    rows = read_documents(files, Chunking(tokens=1000), skipped=lambda *_: None)
    next(rows)
    [child] = children()
    psutil.Process(child).kill()
    with pytest.raises(SeedError, match="the process that reads documents was ended: run it again"):
        list(rows)


PROBE = """
import sys
from pathlib import Path
from runtime.domain.seeds.chunking import Chunking
from runtime.files.documents import DocumentFile, read_documents

files = [DocumentFile(path=Path(name), name=name) for name in sys.argv[1:]]
print(len(list(read_documents(files, Chunking()))))
parsers = ("pypdf", "zipfile", "html.parser", "xml.parsers.expat", "runtime.files.texts")
print([name for name in parsers if name in sys.modules])
"""


def test_the_main_process_parses_nothing(tmp_path: Path) -> None:
    files = {"a.pdf": pdf_of(["x"]), "a.html": b"x", "a.docx": word_of(paragraph("x"))}
    paths = [str(file.path) for file in written(tmp_path, files)]
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *paths], check=True, capture_output=True, text=True
    )
    assert done.stdout.splitlines() == ["3", "[]"]


def test_without_the_extra_pdf_files_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "_PDF_PACKAGE", "no_such_package")
    files: dict[str, bytes | str] = {"a.pdf": b"x", "b.txt": "b", "c.PDF": b"x"}
    with pytest.raises(ConfigurationError, match=r'"seedwright\[documents\]" \(a.pdf, c.PDF\)'):
        read(tmp_path, files)
    assert len(read(tmp_path, {"b.txt": "b"})) == 1
