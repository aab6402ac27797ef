"""Seeds from whatever a user names: kinds of sources, packings, encodings, and hostile ones."""

import gzip
import io
import os
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pytest

import seedwright
from runtime.cli.main import run
from runtime.datasets.folder import DatasetFolder
from runtime.datasets.request import read_request
from runtime.domain.errors import InputError, SeedError
from runtime.domain.outputs.seed_types import DOCUMENT_FIELDS
from runtime.domain.outputs.types import Scalar, Struct
from runtime.domain.seeds import seeds as limits
from runtime.inputs.seed_reading import read_as
from runtime.inputs.seeds import SeedFile, read_seeds
from runtime.inputs.sources import StandardInput
from tests.fixtures.command import write_inputs

LINES = b'{"topic":"sea","n":1}\n{"topic":"tea","n":2}\n'
ROWS = [{"topic": "sea", "n": 1}, {"topic": "tea", "n": 2}]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_inputs(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def zstd(body: bytes) -> bytes:
    packed: bytes = pa.compress(body, codec="zstd", asbytes=True)
    return packed


def read(source: Any, needs: tuple[str, ...] = ("topic",), **options: Any) -> SeedFile:
    return read_seeds(source, needs, read_as(**options))


def rows_of(source: Any, needs: tuple[str, ...] = ("topic",), **options: Any) -> list[Any]:
    return list(read(source, needs, **options).rows)


def gzipped(body: bytes) -> bytes:
    """As gzip has it; the same every time, as the ids of tests need it."""
    return gzip.compress(body, mtime=0)


def piped(body: bytes) -> StandardInput:
    return StandardInput(stream=io.BytesIO(body))


# ── formats ────────────────────────────────────────────────────────────────────────────────────

CSV = b"topic,n\nsea,1\ntea,2\n"
TEXTS = [{"topic": "sea", "n": "1"}, {"topic": "tea", "n": "2"}]


@pytest.mark.parametrize(
    ("name", "body", "expected"),
    [
        ("s.jsonl.gz", gzipped(LINES), ROWS),
        ("s.ndjson.gz", gzipped(LINES[:22]) + gzipped(LINES[22:]), ROWS),
        ("s.jsonl.zst", zstd(LINES), ROWS),
        ("s.json.zst", zstd(b"[" + LINES.replace(b"\n{", b",{") + b"]"), ROWS),
        ("s.csv.GZ", gzipped(CSV), TEXTS),
        ("s.tsv", CSV.replace(b",", b"\t"), TEXTS),
        ("s.tsv.zst", zstd(CSV.replace(b",", b"\t")), TEXTS),
        ("s.csv", CSV.decode().encode("utf-16"), TEXTS),
        ("s.csv", b"\xfe\xff" + CSV.decode().encode("utf-16-be"), TEXTS),
        ("s.jsonl", LINES.decode().encode("utf-32"), ROWS),
        ("s.csv.gz", gzipped(CSV.decode().encode("utf-16")), TEXTS),
    ],
)
def test_a_file_of_any_format_is_its_rows(
    name: str, body: bytes, expected: list[Any], folder: Path
) -> None:
    (folder / name).write_bytes(body)

    found = read(name)

    assert list(found.rows) == expected
    assert found.name == "seeds.jsonl"
    with found.open() as copy:  # what a worker reads
        assert [orjson.loads(line) for line in copy] == expected


def test_a_plain_file_keeps_its_bytes_and_a_packed_one_is_the_same_seeds(folder: Path) -> None:
    """So folders of before go on, and one dataset goes on with either."""
    (folder / "s.jsonl").write_bytes(LINES)
    (folder / "seeds.jsonl.gz").write_bytes(gzipped(LINES))
    plain, packed, pipe = read("s.jsonl"), read("seeds.jsonl.gz"), read(piped(LINES))

    assert plain.name == "s.jsonl"
    assert plain.sha256 == packed.sha256 == pipe.sha256 == read(ROWS).sha256
    assert packed == pipe == read(ROWS)
    assert packed.made_of["sources"][0]["name"] == "seeds.jsonl.gz"


@pytest.mark.parametrize(
    ("body", "options", "expected"),
    [
        (LINES, {}, ROWS),
        (b'\n [{"topic": "sea"}]', {}, [{"topic": "sea"}]),
        ('[{"topic": "sea"}]'.encode("utf-16"), {}, [{"topic": "sea"}]),
        (gzipped(LINES), {}, ROWS),
        (zstd(LINES), {}, ROWS),
        (CSV, {"seeds_format": "csv"}, TEXTS),
        (CSV.replace(b",", b"\t"), {"seeds_format": "tsv"}, TEXTS),
    ],
)
def test_standard_input_is_looked_at(
    body: bytes, options: dict[str, Any], expected: list[Any]
) -> None:
    assert rows_of(piped(body), **options) == expected


def test_the_command_reads_standard_input_once_and_from_no_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(CSV)))
    check = ["validate", "template.yaml", "--seeds", "-"]

    assert run([*check, "--seeds-format", "csv"]) == 0
    assert "standard input: 2 seeds, each has what" in capsys.readouterr().out
    assert run([*check, "--seeds", "-"]) == 2
    assert "standard input can be read only once" in capsys.readouterr().err
    assert run([*check, "--seeds-format", "xml"]) == 2
    assert "--seeds-format 'xml' is unknown: use json, jsonl" in capsys.readouterr().err
    with Path(os.devnull).open("rb") as nothing:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(nothing))
        monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
        assert run(check) == 2
    assert "which is a terminal: pipe rows into it" in capsys.readouterr().err


# ── several files ──────────────────────────────────────────────────────────────────────────────


def test_files_of_one_schema_become_one_and_lack_nothing(folder: Path) -> None:
    (folder / "a.csv").write_text("topic,color\nsea,blue\n")
    (folder / "b.jsonl").write_bytes(b'{"topic":"tea","n":2}\n')

    found = seedwright.validate("template.yaml", ["a.csv", "b.jsonl"])
    rows = rows_of(["a.csv", "b.jsonl"])

    assert found.seeds == 2
    assert "null for what only other files have: n in a.csv, and other" in found.warnings[0]
    assert rows == [
        {"topic": "sea", "color": "blue", "n": None},
        {"topic": "tea", "n": 2, "color": None},
    ]


def test_a_file_that_lacks_what_the_template_needs_is_named(folder: Path) -> None:
    (folder / "a.csv").write_text("topic\nsea\n")
    (folder / "b.csv").write_text("tpic\ntea\nrain\n")

    with pytest.raises(SeedError, match=r"b\.csv, record 1: the template needs 'topic'.*1 more"):
        seedwright.validate("template.yaml", ["a.csv", "b.csv"])


def test_a_folder_is_its_files_by_name_and_says_what_it_leaves_out(folder: Path) -> None:
    docs = folder / "docs"
    (docs / "b" / ".git").mkdir(parents=True)
    (docs / "c.md").write_text("# C\n\nThird.")
    (docs / "a.txt").write_text("First.")
    (docs / "b" / "x.md").write_text("Second.")
    (docs / "b" / ".git" / "y.md").write_text("no")
    (docs / ".env").write_text("secret")
    (docs / "z.png").write_bytes(b"\x89PNG")
    (docs / "out.txt").symlink_to("/etc/hostname")
    (docs / "loop").symlink_to(docs)
    (docs / "nowhere.md").symlink_to("nowhere.md")
    (docs / "same.md").symlink_to("a.txt")

    found = read("docs", ("text",))

    assert [row["file"] for row in found.rows] == ["a.txt", "b/x.md", "c.md", "same.md"]
    said = "\n".join(found.notices)
    assert "links that lead out of the folder: out.txt" in said
    assert "hidden files: .env, b/.git" in said
    assert "files of other kinds: z.png" in said
    assert "lead nowhere: nowhere.md" in said
    assert "a link to a folder: loop" in said
    assert [row["file"] for row in rows_of("docs/**/*.md", ("text",))] == [
        "b/x.md",
        "c.md",
        "same.md",
    ]
    chunks = rows_of(["docs/c.md", "docs"], ("text",), chunk=16)
    assert chunks[0]["file"] == "c.md"


def test_documents_that_can_not_be_read_are_refused_or_left_out(folder: Path) -> None:
    (folder / "docs").mkdir()
    (folder / "docs" / "a.txt").write_bytes(b"caf\xe9 au lait, every day of the year")
    (folder / "docs" / "b.md").write_text("Good.")

    with pytest.raises(SeedError, match="--skip-unreadable"):
        read("docs", ("text",))
    found = read("docs", ("text",), skip_unreadable=True)

    assert [row["file"] for row in found.rows] == ["b.md"]
    assert any("left out 1 document: a.txt" in each for each in found.notices)
    assert found.made_of["left_out"][0][0] == "a.txt"
    read_again = read("docs", ("text",), encoding="latin-1")
    assert "café" in read_again.rows[0]["text"]


def test_what_no_document_has_is_still_of_its_type(folder: Path) -> None:
    """Plain text has no headings and no pages: their columns are those of documents that do."""
    (folder / "docs").mkdir()
    (folder / "docs" / "a.txt").write_text("Plain.")
    fields = {name: f"seed.{name}" for name in DOCUMENT_FIELDS if name != "id"}
    template = {
        "name": "t",
        "steps": [{"id": "a", "prompt": "{{ text }}", "max_tokens": 9}],
        "output": {"columns": {**fields, "whole": "seed"}},
    }
    found = seedwright.validate(template, "docs").sample
    types = {name: found.columns[name] for name in fields}
    assert types | {"id": Scalar.STRING} == DOCUMENT_FIELDS
    whole = found.columns["whole"]
    assert isinstance(whole, Struct)
    assert (whole.get("heading"), whole.get("page")) == (Scalar.STRING, Scalar.INT64)
    # Of other seeds nobody knows what a field without values is.
    other = seedwright.validate(template, [dict.fromkeys(fields) | {"text": "x"}]).sample
    assert (other.columns["page"], other.columns["text"]) == (Scalar.JSON, Scalar.STRING)


def test_thousands_of_files_and_names_of_several_lines_are_read(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    many = folder / "many"
    many.mkdir()
    for number in range(2_000):
        (many / f"{number:04}.jsonl").write_bytes(b'{"topic":%d}\n' % number)
    (many / "x\ny\x1b[2J.png").write_bytes(b"")

    assert run(["validate", "template.yaml", "--seeds", "many"]) == 0
    out = capsys.readouterr().out

    assert "many: 2000 seeds" in out
    assert "\x1b" not in out
    assert "files of other kinds: x y [2J.png" in out


# ── hostile and wrong ──────────────────────────────────────────────────────────────────────────


def cut(body: bytes) -> bytes:
    return body[:-5]


@pytest.mark.parametrize(
    ("name", "body", "expected"),
    [
        ("s.jsonl.gz", cut(gzipped(LINES)), "s.jsonl.gz: damaged: it is cut, or not gzip"),
        ("s.jsonl.gz", gzipped(LINES) + b"garbage", "damaged: it is cut, or not gzip"),
        ("s.jsonl.gz", LINES, "s.jsonl.gz: damaged"),
        ("s.jsonl.gz", b"", "s.jsonl.gz: there are no seeds in it"),
        ("s.jsonl.gz", zlib.compress(LINES), "s.jsonl.gz: damaged"),
        ("s.jsonl.zst", cut(zstd(LINES * 99)), "s.jsonl.zst: damaged: it is cut, or not zstd"),
        ("s.jsonl.zst", zstd(LINES) + b"garbage", "s.jsonl.zst: damaged"),
        ("s.jsonl.gz", gzipped(b"\0" * 99), "line 1, column 1: not valid JSON"),
        ("s.jsonl", LINES + "é".encode("utf-16"), "s.jsonl, line 3, column 1: not UTF-8 text"),
        ("s.csv", b"topic\ncaf\xe9\n", "(byte 0xe9): save it as UTF-8, or say what it is, for"),
        ("s.csv.gz", gzipped(b"topic\ncaf\xe9\n"), "column 4: not UTF-8 text (byte 0xe9)"),
        ("s.csv", "topic\nab".encode("utf-16")[:-1], "s.csv, line 2, column 2: not utf-16 text"),
        ("s.xyz", b"x", "s.xyz: seeds are .json, .jsonl, .csv or .parquet files"),
        ("s.xyz.gz", b"x", "s.xyz.gz: seeds are .json"),
    ],
)
def test_a_damaged_file_is_refused_with_its_place(
    name: str, body: bytes, expected: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / name).write_bytes(body)

    assert run(["validate", "template.yaml", "--seeds", name]) == 2
    error = capsys.readouterr().err

    assert expected in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("pack", [gzip.compress, zstd])
def test_a_bomb_is_refused_by_what_comes_out_of_it(
    pack: Callable[[bytes], bytes], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_SEED_BYTES", 1024 * 1024)
    line = b'{"topic":"%s"}\n' % (b"x" * 1000)
    (folder / "bomb.jsonl.x").write_bytes(pack(line * 3000))
    suffix = "gz" if pack is gzip.compress else "zst"
    bomb = (folder / "bomb.jsonl.x").rename(folder / f"bomb.jsonl.{suffix}")

    assert bomb.stat().st_size < 100_000
    with pytest.raises(SeedError, match="larger than 1024 KiB, which is the limit"):
        read(bomb)
    bomb.write_bytes(pack(b"\n" * 2_000_000))  # of which nothing would be kept
    with pytest.raises(SeedError, match="larger than 1024 KiB"):
        read(bomb)
    small = pack(line * 600)
    for name in ("a", "b"):  # each is below the limit
        (folder / f"{name}.jsonl.{suffix}").write_bytes(small)
    with pytest.raises(SeedError, match="larger than 1024 KiB"):
        read([f"a.jsonl.{suffix}", f"b.jsonl.{suffix}"])


_NO_ENCODINGS = (
    "IDNA",
    "punycode",
    "unicode_escape",
    "raw-unicode-escape",
    "charmap",
    "undefined",
    "mbcs",
    "oem",
    "rot13",
)


@pytest.mark.parametrize(
    ("source", "options", "expected"),
    [
        ("absent.csv", {}, "absent.csv: no such file"),
        ("absent", {}, "absent: no such file"),
        ("*.md", {}, r"\*\.md: no file matches"),
        ("x\0y.csv", {}, "not the name of a file"),
        ("empty", {}, "empty: there are no seeds in it"),
        ("seeds.jsonl", {"chunk": 50}, "--chunk cuts documents, and there are none"),
        ("seeds.jsonl", {"chunk": 20, "overlap": 20}, "overlap"),
        ("seeds.jsonl", {"encoding": "hex"}, "--encoding 'hex' is unknown"),
        *(
            ("seeds.jsonl", {"encoding": name}, f"--encoding '{name}' is unknown")
            for name in _NO_ENCODINGS
        ),
        ("seeds.jsonl", {"explode": "a..b"}, "is no path"),
        ("seeds.jsonl", {"explode": "topic"}, "there are no items: 3 without a list there"),
        ("https://example.org/s.csv", {}, "is a URL: download it"),
        ("hf://models/a/b", {}, "give a dataset of the Hub"),
        ("hf://datasets/a/b/../c", {}, "no '..'"),
    ],
)
def test_what_can_not_be_seeds_is_refused(
    source: str, options: dict[str, Any], expected: str, folder: Path
) -> None:
    (folder / "empty").mkdir()
    with pytest.raises(InputError, match=expected):
        seedwright.validate("template.yaml", source, **options)


def test_an_option_that_there_is_not_is_pythons_own_error() -> None:
    with pytest.raises(TypeError, match="'encodign'"):
        seedwright.validate("template.yaml", "seeds.jsonl", encodign="x")  # type: ignore[call-arg]


# ── items ──────────────────────────────────────────────────────────────────────────────────────


def test_a_list_becomes_a_seed_of_each_item_with_an_id_that_leads_back(folder: Path) -> None:
    (folder / "a.jsonl").write_bytes(
        b'{"id":"x","of":{"books":["A",{"name":"B","id":7},"A"]}}\n'
        b'{"of":{"books":[]}}\n{"of":{"books":"C"}}\n{"of":{"books":["A"]}}\n'
    )

    found = read("a.jsonl", (), explode="of.books", unique=True)

    assert list(found.rows) == [
        {"id": "x/1", "source_id": "x", "item": "A"},
        {"id": "x/2", "source_id": "x", "name": "B", "item_id": 7},
    ]
    assert found.notices == (
        "--explode of.books: 4 seeds from 4; 1 with an empty list, 1 without a list there",
        "--unique: left out 2 seeds that equal an earlier one",
    )
    assert rows_of([{"l": [1]}], (), explode="l")[0]["id"] == "row-1/1"


def test_a_name_that_is_no_text_and_none_at_all(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file may be called by any bytes; a variable of the shell that is not set names nothing."""
    name = os.fsdecode(b"r\xff.csv")
    (folder / name).write_bytes(CSV)
    (folder / "t.json").write_text('{"name": "t", "steps": [{"id": "a", "prompt": "{{ topic }}"}]}')
    request = read_request("t.json", name, num_records=1, backend="local")
    opened = DatasetFolder(folder / "out")
    opened.state.mkdir(parents=True)
    opened.note(request)
    assert b"r?.csv" in (folder / "out" / ".seedwright" / "seeds.json").read_bytes()
    assert run(["estimate", "t.json", "--seeds", "", "-n", "1"]) == 2
    assert "--seeds is empty" in capsys.readouterr().err
