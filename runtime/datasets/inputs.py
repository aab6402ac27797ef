"""Reads and checks everything a command is given, before anything is created or paid for."""

import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from runtime.domain.errors import (
    ConfigurationError,
    InputError,
    SeedError,
    TemplateError,
    TemplateNotFoundError,
)
from runtime.domain.jobs.delivery import OutputFormat
from runtime.domain.jobs.job import MAX_RECORDS
from runtime.domain.seeds.seeds import MAX_SEED_BYTES
from runtime.domain.templates.document import parse_template, resolve_includes
from runtime.domain.templates.template import Template
from runtime.domain.templates.text import MAX_TEXT_BYTES, parse_text
from runtime.files.disk import disk_errors, temporary_file
from runtime.files.reading import load_rows
from runtime.files.rows import SeedRows

_CHUNK_BYTES: Final = 1024 * 1024
FRAGMENT_SUFFIXES: Final = ("", ".txt", ".md", ".j2", ".yaml", ".yml", ".json")


@dataclass(frozen=True, kw_only=True, slots=True)
class SeedFile:
    """A seed file as read: its rows, and a copy of its bytes for the job to keep. Both are on the
    disk; the original may change, or be a pipe that is read once.
    """

    name: str
    copy: BinaryIO
    sha256: str
    rows: SeedRows

    def write_to(self, writer: BinaryIO) -> None:
        """Write the bytes of the file."""
        self.copy.seek(0)
        shutil.copyfileobj(self.copy, writer, _CHUNK_BYTES)

    def close(self) -> None:
        """Give disk and memory back: the job has its own copy."""
        self.copy.close()
        self.rows.close()


def _chunks(path: Path, limit: int, error: type[InputError]) -> Iterator[bytes]:
    """At most `limit` bytes, so that even an endless device is refused in constant memory."""
    size = 0
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                size += len(chunk)
                if size > limit:
                    raise error(f"{path}: larger than {limit // 1024} KiB, which is the limit")
                yield chunk
    except FileNotFoundError as exc:
        raise error(f"{path}: no such file") from exc
    except IsADirectoryError as exc:
        raise error(f"{path}: is a folder, not a file") from exc
    except OSError as exc:
        raise error(f"{path}: can't be read: {exc.strerror}") from exc


# ── templates ──────────────────────────────────────────────────────────────────────────────────


def read_template(path: Path) -> Template:
    """A checked template with its includes, which are files beside it.

    `{% include 'rules' %}` is `rules`, `rules.txt`, `rules.md`, `rules.j2`, or a template file
    with one step. Raises `TemplateError`.
    """
    document = _document(path)

    def fragment(name: str) -> str:
        folder = path.resolve().parent
        for suffix in FRAGMENT_SUFFIXES:
            candidate = (folder / f"{name}{suffix}").resolve()
            if candidate.is_relative_to(folder) and candidate.is_file():
                return _fragment(candidate)
        raise TemplateNotFoundError(f"{path}: no file for the include {name!r} beside the template")

    try:
        return resolve_includes(parse_template(document), fragment)
    except TemplateNotFoundError:
        raise
    except TemplateError as exc:
        raise TemplateError(f"{path}: {exc}") from exc


def read_for_api(path: Path) -> Template:
    """A template for the API: what it includes is taken from files beside it if they are all there,
    else it is left for the API to find among its templates. Raises `TemplateError`.
    """
    try:
        return read_template(path)
    except TemplateNotFoundError:
        return parse_template(_document(path))


def _fragment(path: Path) -> str:
    if path.suffix not in {".yaml", ".yml", ".json"}:
        return read_text(path)
    document = _document(path)
    steps = document.get("steps") if isinstance(document, Mapping) else None
    if not isinstance(steps, list) or len(steps) != 1 or not isinstance(steps[0], Mapping):
        raise TemplateError(f"{path}: a template that is included has exactly one step")
    return str(steps[0].get("prompt", ""))


def read_text(path: Path) -> str:
    """The text of a template file or of a fragment. Raises `TemplateError`."""
    try:
        return b"".join(_chunks(path, MAX_TEXT_BYTES, TemplateError)).decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise TemplateError(f"{path}: not UTF-8 text") from exc


def _document(path: Path) -> Any:
    return parse_text(read_text(path), name=str(path))


# ── seeds and options ──────────────────────────────────────────────────────────────────────────


def read_seeds(path: Path, requirements: tuple[str, ...]) -> SeedFile:
    """A seed file whose every seed has what the template needs. Raises `SeedError`."""
    digest = hashlib.sha256()
    copy = temporary_file()
    for chunk in _chunks(path, MAX_SEED_BYTES, SeedError):
        digest.update(chunk)
        with disk_errors("write"):
            copy.write(chunk)
    copy.seek(0)
    return SeedFile(
        name=path.name,
        copy=copy,
        sha256=digest.hexdigest(),
        rows=load_rows(copy, path.name, requirements=requirements),
    )


def check_count(count: int) -> int:
    """`num_records` within its range. Raises `InputError`."""
    if not 1 <= count <= MAX_RECORDS:
        raise InputError(f"-n is {count}: a dataset has 1 to {MAX_RECORDS} records")
    return count


def parse_formats(names: list[str]) -> tuple[OutputFormat, ...]:
    """Formats from repeated or comma-separated options. Raises `InputError`."""
    formats: list[OutputFormat] = []
    for name in ",".join(names).split(","):
        try:
            formats.append(OutputFormat(name.strip().upper()))
        except ValueError as exc:
            known = ", ".join(each.lower() for each in OutputFormat)
            raise InputError(f"format {name.strip()!r} is unknown: use {known}") from exc
    return tuple(dict.fromkeys(formats))


@contextmanager
def out_errors(folder: Path) -> Iterator[None]:
    """Turn every reason why `folder` can't be used into `ConfigurationError`."""
    try:
        yield
    except OSError as exc:
        raise ConfigurationError(
            f"--out {folder}: can't be used ({exc.strerror}): choose another folder"
        ) from exc


def check_writable(folder: Path) -> None:
    """Whether `folder` is, or could become, a folder to write into; creates nothing.

    Raises `ConfigurationError`.
    """
    with out_errors(folder):
        existing = folder.absolute()
        while not existing.exists():
            existing = existing.parent
        if not existing.is_dir():
            raise ConfigurationError(
                f"--out {folder}: {existing} is not a folder: choose another folder"
            )
        if not os.access(existing, os.W_OK | os.X_OK):
            raise ConfigurationError(
                f"--out {folder}: no permission to write in {existing}: choose another folder"
            )
