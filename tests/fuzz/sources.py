"""Sources of seeds: what packed, recoded, piped and mixed files hold, or a refusal of one line.

A case is a list of files, each with what its rows are as long as nothing has damaged it, and the
options. They are given as files of a folder, by name, or as standard input.
"""

import codecs
import csv
import gzip
import io
import json
import shutil
import tempfile
import zlib
from pathlib import Path
from random import Random
from typing import Any, Final

import orjson
import pyarrow as pa

from runtime.domain.errors import InputError
from runtime.domain.seeds import seeds as limits
from runtime.hub.repository import choose_files, read_hub_seeds
from runtime.inputs.seed_reading import read_as
from runtime.inputs.seeds import SeedFile, read_seeds
from runtime.inputs.sources import StandardInput
from tests.fuzz import words
from tests.fuzz.case import Case, demand, one_line, same

LIMIT_BYTES: Final = 4 * 1024 * 1024
"""In place of what files may unpack to."""
_ENCODINGS: Final = ("utf-8", "utf-8-sig", "utf-16", "utf-32", "latin-1", "cp1252")
_MARKED: Final = ("utf-8", "utf-8-sig", "utf-16", "utf-32")
_PACKINGS: Final = ("", "", ".gz", ".zst")
_NOTHING: Final = {"suffix": "", "kind": "", "rows": [], "body": "", "sum": -1}
_BOMB_BYTES: Final = 16 * 1024 * 1024
_NAMES: Final = ("a.csv", "data/train-0.parquet", "data/test-0.parquet", "de/train.jsonl.gz")
_CARD: Final = """\
---
configs:
- config_name: de
  data_files:
  - {split: train, path: "de/*"}
- config_name: default
  data_files: a.csv
---
"""


class Sources:
    """Reads through what commands and Python use."""

    name = "sources"

    def __init__(self) -> None:
        limits.MAX_SEED_BYTES = LIMIT_BYTES  # type: ignore[misc]
        self._folder = Path(tempfile.mkdtemp(prefix="seedwright-fuzz-"))

    def close(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    # ── making ─────────────────────────────────────────────────────────────────────────────────

    def make(self, rng: Random) -> Case:
        """Files, options, and how they are named."""
        if rng.random() < 0.1:
            rest = rng.choice(("", "train", "de/train", "data", "a.csv", words.name(rng)))
            card = words.change_text(rng, _CARD) if rng.random() < 0.8 else _CARD
            return {"files": [], "way": "hub", "encoding": card, "explode": rest, "unique": False}
        encoding = rng.choice(_ENCODINGS)
        files = [_file(rng, encoding) for _ in range(rng.choice((1, 1, 2, 3)))]
        return {
            "files": files,
            "way": rng.choice(("folder", "names", "input", "pattern")),
            "encoding": encoding if encoding not in _MARKED else None,
            "explode": rng.choice((None, None, None, "l", words.name(rng))),
            "unique": rng.random() < 0.2,
        }

    # ── checking ───────────────────────────────────────────────────────────────────────────────

    def check(self, case: Case) -> str:
        """Read the files, and compare with what they were made of."""
        shutil.rmtree(self._folder)
        self._folder.mkdir()
        if case["way"] == "hub":
            return _check_hub(str(case["encoding"]), str(case["explode"]))
        listed = case["files"] if isinstance(case["files"], list) else []
        files = [_NOTHING | each for each in listed if isinstance(each, dict)][:9]
        source = self._source(files, str(case["way"]))
        explode, unique = case["explode"], bool(case["unique"])
        known = None if explode or unique else _expected(case, files)
        try:
            found = read_seeds(
                source,
                (),
                read_as(encoding=_text(case["encoding"]), explode=_text(explode), unique=unique),
            )
        except InputError as error:
            one_line(str(error).replace(str(self._folder), ""))
            demand(known is None, f"refused: {error}")
            return "refused"
        try:
            _check(found, known)
        finally:
            found.close()
        return "read"

    def _source(self, files: list[Any], way: str) -> Any:
        bodies = [str(each["body"]).encode("latin-1", errors="replace") for each in files]
        if way == "input" and bodies:
            return StandardInput(stream=io.BytesIO(bodies[0]))
        paths = []
        for number, (each, body) in enumerate(zip(files, bodies, strict=True)):
            suffix = str(each["suffix"]).replace("/", "").replace("\0", "")[:40]
            path = self._folder / f"{number}{suffix}"
            path.write_bytes(body)
            paths.append(path)
        if way == "names":
            return paths
        return self._folder if way == "folder" else str(self._folder / "*")


def _check_hub(card: str, rest: str) -> str:
    """What a repository's card says, and what a user names of it, chooses files that are there."""
    try:
        read_hub_seeds(f"hf://datasets/ada/topics/{rest}")
        chosen = choose_files(_NAMES, rest, card)
    except InputError as error:
        one_line(" ".join(str(error).split()))
        return "hub refused"
    demand(chosen and set(chosen) <= set(_NAMES), "files that are not there")
    return "hub read"


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _check(found: SeedFile, known: list[Any] | None) -> None:
    rows = list(found.rows)
    demand(rows, "no rows, and no refusal")
    with found.open() as copy:
        size = len(copy.read())
    demand(size <= LIMIT_BYTES, f"{size} bytes were kept")
    if found.name.endswith(".jsonl"):
        with found.open() as copy:
            lines = copy.read().removeprefix(codecs.BOM_UTF8).split(b"\n")
            kept = [orjson.loads(line) for line in lines if line.strip()]
        demand(same(kept, rows), "a worker would read something else")
    demand(known is None or same(_whole(rows), known), "read as something else than it says")


def _whole(rows: list[Any]) -> list[Any]:
    """Rows without what only other files have."""
    return [{name: value for name, value in row.items() if value is not None} for row in rows]


def _expected(case: Case, files: list[Any]) -> list[Any] | None:
    """The rows that whole files have; None if one is damaged, or was made by nobody."""
    way = case["way"]
    taken = files[:1] if way == "input" else files
    rows: list[Any] = []
    for each in taken:
        body = str(each["body"]).encode("latin-1", errors="replace")
        if each["sum"] != _checksum(body, each, case["encoding"]):
            return None
        if way == "input" and each["kind"] not in {"json", "jsonl"}:
            return None
        rows += each["rows"]
    return rows if rows and all(isinstance(row, dict) for row in rows) else None


def _checksum(body: bytes, file: Any, encoding: Any) -> int:
    text = json.dumps([file["rows"], file["suffix"], file["kind"], encoding])
    return zlib.crc32(text.encode() + body)


# ── files ──────────────────────────────────────────────────────────────────────────────────────


def _file(rng: Random, encoding: str) -> Any:
    """A file. `sum` holds as long as nobody has changed its rows, its bytes or its name."""
    kind = rng.choice(("jsonl", "jsonl", "json", "csv", "tsv"))
    rows = [_row(rng) for _ in range(rng.choice((1, 2, 5)))]
    text, rows = _written(kind, rows)
    plain = text.encode(encoding, errors="replace")
    whole = plain.decode(encoding) == text
    packing = rng.choice(_PACKINGS)
    body = _packed(plain, packing)
    made = {"suffix": f".{kind}{packing}", "kind": kind, "rows": rows, "body": "", "sum": 0}
    made["sum"] = _checksum(body, made, None if encoding in _MARKED else encoding) if whole else 0
    if rng.random() < 0.05:
        body = _packed(b'{"a":"%s"}\n' % (b"x" * 1000) * (_BOMB_BYTES // 1000), packing or ".gz")
    elif rng.random() < 0.4:
        body = _damaged(rng, body)
    return made | {"body": body.decode("latin-1")}


def _row(rng: Random) -> dict[str, Any]:
    names = rng.sample(("a", "b", "l", "id", "é"), k=rng.choice((1, 2, 3)))
    return {name: rng.choice(("x", "ü", "a b", "1", "z" * 40)) for name in names}


def _written(kind: str, rows: list[dict[str, Any]]) -> tuple[str, list[dict[str, Any]]]:
    """The text of a file, and what its rows are."""
    if kind in {"csv", "tsv"}:
        rows = [{"a": row.get("a", "-"), "b": row.get("b", "-")} for row in rows]
        out = io.StringIO(newline="")
        writer = csv.writer(out, delimiter="\t" if kind == "tsv" else ",")
        writer.writerows([["a", "b"], *(row.values() for row in rows)])
        return out.getvalue(), rows
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    return ("\n".join(lines) if kind == "jsonl" else f"[{','.join(lines)}]"), rows


def _packed(body: bytes, packing: str) -> bytes:
    if packing == ".gz":
        half = len(body) // 2  # members that follow each other are one file
        return gzip.compress(body[:half], 1, mtime=0) + gzip.compress(body[half:], 1, mtime=0)
    if packing == ".zst":
        packed: bytes = pa.compress(body, codec="zstd", asbytes=True)
        return packed
    return body


def _damaged(rng: Random, body: bytes) -> bytes:
    new = bytearray(body)
    match rng.randrange(5):
        case 0:
            return bytes(new[: rng.randrange(len(new) + 1)])
        case 1:
            return bytes(new) + rng.choice((b"garbage", b"\0" * 9, b"\xff\xfe", bytes(new)))
        case 2:
            return rng.choice((b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf", b"\x1f\x8b", b"\0")) + new
        case _:
            for _ in range(rng.choice((1, 2, 9))):
                if new:
                    new[rng.randrange(len(new))] = rng.randrange(256)
            return bytes(new)


def open_kind(_folder: Path) -> Sources:
    """The kind."""
    return Sources()
