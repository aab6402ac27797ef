"""Reads Parquet files in a process of its own (parquet_child.py, which says how it answers).

    file ──descriptor 0──▶ child ──lines of JSON──▶ rows

The child may abort, hang or say anything: what it sends is bounded and read as plain data. Nothing
else in the project opens a Parquet file that somebody else wrote.
"""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO, Final

from runtime.confinement import child_environment
from runtime.domain.errors import ConfigurationError, SeedError
from runtime.domain.seeds.readers import MAX_ROW_CHARACTERS, Found
from runtime.domain.seeds.seeds import MAX_SEED_BYTES
from runtime.files.disk import disk_errors, temporary_file
from runtime.files.lines import Lines, plain_words

MEMORY_BYTES: Final = 512 * 1024 * 1024
"""By which the child may grow while it reads."""
MAX_UNPACKED_BYTES: Final = 2 * MAX_SEED_BYTES
"""All rows of a file as JSON: twice as much as the largest text file."""
SILENT_SECONDS: Final = 60.0
"""How long the child may say nothing, on a machine that is busy."""

_LINE_BYTES: Final = MAX_ROW_CHARACTERS + 1024 * 1024
"""Longest line; what is left out is bounded by the columns, and they by this."""


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
                unread = {plain_words(path): plain_words(told) for path, told in value.items()}
            elif kind == "e":
                raise SeedError(f"{name}: {plain_words(value)}")
            elif kind == ".":
                return
            else:
                break
    raise SeedError(f"{name}: a damaged Parquet file, or one that needs too much memory to read")


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
        lines = Lines(process.stdout.fileno(), longest=_LINE_BYTES, silent_seconds=SILENT_SECONDS)
        yield iter(lines)
    finally:
        process.kill()
        process.stdout.close()
        process.wait()
