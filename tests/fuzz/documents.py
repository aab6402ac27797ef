"""Documents of all kinds: chunks that are their text, or a refusal of one line; what was made whole
is read whole.
"""

import io
import zipfile
import zlib
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any, Final

import orjson

from runtime.domain.seeds.chunking import MAX_CHUNK_CHARACTERS, Chunking
from runtime.domain.texts import count_tokens, first_tokens
from runtime.files import document_process, documents
from runtime.files.document_process import DocumentProcess
from runtime.files.documents import DOCUMENT_SUFFIXES, DocumentFile, read_documents
from tests.fixtures.documents import paragraph, pdf_of, word_of, zip_of
from tests.fuzz import words
from tests.fuzz.case import Case, demand, one_line

_FIELDS: Final = (
    *("id", "text", "file", "title", "heading", "page", "start", "end", "chunk", "chunks"),
    "tokens",
)
_LATIN: Final = "latin-1"
_MARKS: Final = ("alpha", "beta", "gamma", "delta", "omega")
_FEW_CHARACTERS: Final = 200_000
"""A change that makes a part of a file again many times makes no more."""


class Documents:
    """Reads through what the command uses; several files go to one child."""

    name = "documents"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # In place of minutes.
        document_process.CPU_SECONDS = 2  # type: ignore[misc]
        document_process.PDF_CPU_SECONDS = 2  # type: ignore[misc]
        document_process.SILENT_SECONDS = 10.0  # type: ignore[misc]
        document_process.MEMORY_BYTES = 192 * 1024 * 1024  # type: ignore[misc]
        # One child for all cases: to start it takes as long as a hundred of them.
        self._process = DocumentProcess(pdf=True)
        vars(documents)["DocumentProcess"] = self._lent

    def _lent(self, *, pdf: bool) -> "_Lent":  # noqa: ARG002
        return _Lent(self._process)

    def close(self) -> None:
        self._process.close()

    # ── making ─────────────────────────────────────────────────────────────────────────────────

    def make(self, rng: Random) -> Case:
        """Some files. Those whose `sum` is right hold their marks, in order."""
        tokens = rng.choice((None, 16, 17, 40, 800))
        return {
            "tokens": tokens,
            "overlap": rng.choice((0, 0, 1, 8, 15)) if tokens else 0,
            "files": [_file(rng) for _ in range(1 + words.short(rng))],
        }

    # ── checking ───────────────────────────────────────────────────────────────────────────────

    def check(self, case: Case) -> str:
        """Read the files, and compare with what they say."""
        tokens, overlap = _size(case.get("tokens")), case.get("overlap")
        overlap = min(overlap, tokens - 1) if tokens and isinstance(overlap, int) else 0
        found = case.get("files")
        found = found if isinstance(found, list) else []
        given = [each for each in found if isinstance(each, dict)][:40]
        files = [self._written(number, each) for number, each in enumerate(given)]
        refused: dict[str, str] = {}
        rows: dict[str, list[dict[str, Any]]] = {}
        chunking = Chunking(tokens=tokens, overlap=max(overlap, 0))
        for row in read_documents(files, chunking, skipped=refused.__setitem__):
            demand(tuple(row) == _FIELDS, "other fields")
            orjson.dumps(row)
            rows.setdefault(row["file"], []).append(row)
        demand(rows.keys() | refused.keys() == {file.name for file in files}, "a file is missing")
        demand(not rows.keys() & refused.keys(), "read and refused")
        for reason in refused.values():
            one_line(reason)
        for file, each in zip(files, given, strict=True):
            _check_chunks(rows.get(file.name, []), chunking)
            _check_text(file.name, each, rows.get(file.name, []), refused.get(file.name, ""))
        kinds = {file.path.suffix for file in files if file.name in rows}
        return f"{'+'.join(sorted(kinds)) if len(kinds) < 2 else 'several kinds'} read"

    def _written(self, number: int, file: Any) -> DocumentFile:
        suffix = file.get("suffix")
        suffix = suffix if suffix in DOCUMENT_SUFFIXES else ".txt"
        path = self._folder / f"{number}{suffix}"
        path.write_bytes(_body(file))
        return DocumentFile(path=path, name=path.name)


class _Lent:
    """The child of all cases, which outlives each of them."""

    def __init__(self, process: DocumentProcess) -> None:
        self.read = process.read

    def close(self) -> None:
        pass


def _size(tokens: object) -> int | None:
    return min(max(tokens, 16), 100_000) if isinstance(tokens, int) else None


def _body(file: Any) -> bytes:
    return str(file.get("body", "")).encode(_LATIN, errors="replace")


def _check_chunks(rows: Sequence[dict[str, Any]], chunking: Chunking) -> None:
    for number, row in enumerate(rows, start=1):
        text = row["text"]
        demand((row["chunk"], row["chunks"]) == (number, len(rows)), "wrong numbers")
        demand(len(text) == row["end"] - row["start"], "places that aren't its own")
        demand(row["tokens"] == count_tokens(text), "tokens counted otherwise")
        if chunking.tokens is not None:
            demand(first_tokens(text, chunking.tokens) == text, "too many tokens")
            demand(len(text) <= MAX_CHUNK_CHARACTERS, "too long")
    for before, after in pairwise(rows):
        demand(before["start"] < after["start"] <= before["end"] < after["end"], "a gap")
        shared = before["end"] - after["start"]
        demand(not shared or before["text"][-shared:] == after["text"][:shared], "another text")


def _check_text(name: str, file: Any, rows: Sequence[dict[str, Any]], reason: str) -> None:
    text, end = "", 0
    for row in rows:
        text += row["text"][end - row["start"] :]
        end = row["end"]
    if name.endswith(".txt"):
        expected = _expected(_body(file))
        demand(expected is not None or reason, "read, and it isn't valid")
        demand(reason or text == expected, "read as something else than it says")
        demand(not reason or expected is None or len(expected) > _FEW_CHARACTERS, reason)
    marks = file.get("marks")
    if (
        isinstance(marks, list)
        and all(isinstance(each, str) for each in marks)
        and file.get("sum") == _checksum(file.get("suffix"), _body(file), marks)
    ):
        demand(not reason, f"refused: {reason}")
        at = 0
        for mark in marks:
            at = text.find(mark, at)
            demand(at >= 0, f"{mark} is missing in {name}")


def _expected(body: bytes) -> str | None:
    """What a text file says, by its mark or in UTF-8; None where it is no text."""
    wide = body.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff"))
    double = body.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        text = body.decode("utf-32" if wide else "utf-16" if double else "utf-8-sig")
    except UnicodeError:
        return None
    return text if text.strip() and "\0" not in text else None


def _checksum(suffix: object, body: bytes, marks: Sequence[str]) -> int:
    return zlib.crc32(f"{suffix}/{'/'.join(marks)}/{zlib.crc32(body)}".encode())


# ── files ──────────────────────────────────────────────────────────────────────────────────────


def _file(rng: Random) -> Any:
    suffix, make = rng.choice(
        (
            (".txt", _text),
            (".md", _markdown),
            (".html", _html),
            (".docx", _word),
            (".pdf", _pdf),
        )
    )
    marks = rng.sample(_MARKS, k=1 + rng.randrange(len(_MARKS)))
    body = make(rng, marks)
    total = _checksum(suffix, body, marks)
    if rng.random() < 0.5:
        body = _damaged(rng, suffix, body)
    return {"suffix": suffix, "body": body.decode(_LATIN), "marks": marks, "sum": total}


def _damaged(rng: Random, suffix: str, body: bytes) -> bytes:
    if suffix == ".html" and rng.random() < 0.05:
        return body + rng.choice((b"<div>", b"<p hidden>", b"</p>", b"<a ")) * 20_000
    if suffix == ".docx" and rng.random() < 0.5:
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        name = rng.choice(list(parts))
        parts[name] = words.change_text(rng, parts[name].decode(_LATIN)).encode(_LATIN, "replace")
        return zip_of(parts)
    return words.change_text(rng, body.decode(_LATIN)).encode(_LATIN, "replace")


def _prose(rng: Random, mark: str) -> str:
    """Something with a mark in it that no kind reads as more than words."""
    before = "".join(rng.choice("ab .é名ก\u0301") for _ in range(words.short(rng) ** 2))
    return f"{before} {mark} {'word ' * (words.short(rng) ** 2)}"


def _text(rng: Random, marks: Sequence[str]) -> bytes:
    text = "\n\n".join(_prose(rng, mark) + words.text(rng).replace("\0", "") for mark in marks)
    codec = rng.choice(("utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-32"))
    return text.encode(codec)


def _markdown(rng: Random, marks: Sequence[str]) -> bytes:
    blocks = [_block(rng, mark) for mark in marks]
    front = rng.choice(("", "", "---\ntitle: x\n---\n", "---\n"))
    return (front + "\n\n".join(blocks)).encode()


def _block(rng: Random, mark: str) -> str:
    return rng.choice(
        (
            _prose(rng, mark),
            f"{'#' * rng.randrange(1, 8)} {mark}",
            f"{mark}\n{rng.choice('-=') * 3}",
            f"```\n# {mark}\n\n{rng.choice(('```', ''))}",
            f"- {mark}\n- {words.word(rng)}",
        )
    )


def _html(rng: Random, marks: Sequence[str]) -> bytes:
    parts = []
    for mark in marks:
        tag = rng.choice(("p", "div", "h1", "h3", "li", "td", "pre", "b", "blockquote"))
        shown = _prose(rng, mark)
        hidden = rng.choice(
            ("", "<script>if (a < b) {}</script>", "<nav>x</nav>", "<p hidden>x", "<!-- x -->")
        )
        parts.append(f"<{tag}>{shown}{rng.choice((f'</{tag}>', f'</{tag}>', ''))}{hidden}")
        if hidden == "<p hidden>x":
            parts.append("<p>")
    if rng.random() < 0.02:
        parts.append("<div>" * 900)
    return f"<title>{rng.choice(_MARKS)}</title>{''.join(parts)}".encode()


def _word(rng: Random, marks: Sequence[str]) -> bytes:
    body = "".join(
        paragraph(_prose(rng, mark), rng.choice(("", "h1", "h2", "none"))) for mark in marks
    )
    return word_of(body, headings={"h1": 1, "h2": 2}, title=rng.choice(("", "x", "&<")))


def _pdf(rng: Random, marks: Sequence[str]) -> bytes:
    pages = [f"{mark} {words.word(rng)}" for mark in marks]
    if rng.random() < 0.05:
        shown = " ".join(marks).encode() + b"a" * rng.choice((10, 10**6))
        return pdf_of(["page"], content=b"BT /F 12 Tf (%s) Tj ET" % shown)
    return pdf_of(pages, title=rng.choice(("", "x")))


def open_kind(folder: Path) -> Documents:
    """The kind for this process."""
    return Documents(folder)
