"""Reads Parquet files in a process of its own (parquet_child.py, which says how it answers).

    file ──descriptor 0──▶ child ──lines of JSON──▶ rows

The child may abort, hang or say anything: what it sends is bounded and read as plain data. Nothing
else in the project opens a Parquet file that somebody else wrote.
"""

import os
import select
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO, Final

import orjson

from runtime.confinement import child_environment
from runtime.domain.errors import ConfigurationError, SeedError
from runtime.domain.plain_text import plain_line
from runtime.domain.seeds.readers import MAX_ROW_CHARACTERS, Found
from runtime.domain.seeds.seeds import MAX_SEED_BYTES
from runtime.files.disk import disk_errors, temporary_file

MEMORY_BYTES: Final = 512 * 1024 * 1024
"""By which the child may grow while it reads."""
MAX_UNPACKED_BYTES: Final = 2 * MAX_SEED_BYTES
"""All rows of a file as JSON: twice as much as the largest text file."""
SILENT_SECONDS: Final = 60.0
"""How long the child may say nothing, on a machine that is busy."""

_LINE_BYTES: Final = MAX_ROW_CHARACTERS + 1024 * 1024
"""Longest line; what is left out is bounded by the columns, and they by this."""
_READ_BYTES: Final = 256 * 1024
_MAX_ERROR_CHARACTERS: Final = 300


def read_parquet(file: BinaryIO, name: str) -> Iterator[Found]:
    """Rows of a Parquet file. Values arrive as JSON has them; what can't be read is left out.

    Raises `SeedError` for damage, and for a file that unpacks to too much.
    """
    unread: Mapping[str, str] = {}
    with _seekable(file) as whole, _child(whole, name) as lines:
        for kind, value in lines:
            if kind == "r" and isinstance(value, dict):
                yield Found(value, None, unread=unread)
            elif kind == "u" and isinstance(value, dict):
                unread = {_plain(path): _plain(told) for path, told in value.items()}
            elif kind == "e":
                raise SeedError(f"{name}: {_plain(value)}")
            elif kind == ".":
                return
            else:
                break
    raise SeedError(f"{name}: a damaged Parquet file, or one that needs too much memory to read")


def _plain(text: object) -> str:
    """Words of an untrusted process, as one line that can be printed."""
    return " ".join(plain_line(str(text)).split())[:_MAX_ERROR_CHARACTERS]


@contextmanager
def _seekable(file: BinaryIO) -> Iterator[BinaryIO]:
    """The file itself if a process can seek in it, else a copy on the disk: what a Parquet file
    holds stands at its end.
    """
    try:
        usable = file.seekable() and file.fileno() >= 0
    except OSError:
        usable = False
    if usable:
        yield file
        return
    with temporary_file() as copy:
        while chunk := file.read(1024 * 1024):
            with disk_errors("write"):
                copy.write(chunk)
        with disk_errors("write"):
            copy.flush()
        yield copy


@contextmanager
def _child(file: BinaryIO, name: str) -> Iterator[Iterator[tuple[str, Any]]]:
    """The lines of a child that reads `file`. It is gone after the block."""
    arguments = (MEMORY_BYTES, MAX_ROW_CHARACTERS, MAX_UNPACKED_BYTES)
    try:
        process = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-P", "-m", "runtime.files.parquet_child", *map(str, arguments)],
            stdin=file.fileno(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=child_environment(ARROW_DEFAULT_MEMORY_POOL="system"),
            # Its own session: what a terminal sends to the parent's group doesn't reach it.
            start_new_session=True,
        )
    except OSError as exc:
        raise ConfigurationError(f"{name}: no process to read it: {exc.strerror}") from exc
    assert process.stdout is not None  # noqa: S101 - it was asked for
    try:
        yield _lines(process.stdout.fileno())
    finally:
        process.kill()
        process.stdout.close()
        process.wait()


def _lines(descriptor: int) -> Iterator[tuple[str, Any]]:
    """Kind and value of each line, as far as they are such lines."""
    rest = b""
    while chunk := _read(descriptor):
        *whole, rest = (rest + chunk).split(b"\n") if b"\n" in chunk else (rest + chunk,)
        for line in whole:
            try:
                value = orjson.loads(line[1:]) if line[1:] else None
            except orjson.JSONDecodeError:
                return
            yield chr(line[0]) if line else "", value
        if len(rest) > _LINE_BYTES:
            return


def _read(descriptor: int) -> bytes:
    """The next bytes; none at the end, and none when the child has been silent for too long."""
    waiting = select.poll()  # select takes no descriptor above 1023
    waiting.register(descriptor, select.POLLIN)
    return os.read(descriptor, _READ_BYTES) if waiting.poll(SILENT_SECONDS * 1000) else b""
