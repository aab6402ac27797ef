"""Files that users name, read within a limit."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from runtime.domain.errors import InputError

_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
_CHUNK_BYTES: Final = 1024 * 1024


def read_file(path: Path, limit: int, error: type[InputError]) -> bytes:
    """The whole file, as `chunks_of` reads it. Raises `error`."""
    return b"".join(chunks_of(path, limit, error))


def chunks_of(path: Path, limit: int, error: type[InputError]) -> Iterator[bytes]:
    """At most `limit` bytes, so that even an endless device is refused in constant memory.

    Raises `error`.
    """
    size = 0
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                size += len(chunk)
                if size > limit:
                    raise error(f"{path}: larger than {limit // 1024} KiB, which is the limit")
                yield chunk
    except FileNotFoundError as exc:
        raise error(no_such_file(path)) from exc
    except IsADirectoryError as exc:
        raise error(f"{path}: is a folder, not a file") from exc
    except ValueError as exc:  # a NUL
        raise error(f"{str(path)!r}: not the name of a file") from exc
    except OSError as exc:
        raise error(f"{path}: can't be read: {exc.strerror}") from exc


def no_such_file(path: str | Path) -> str:
    """What to say of a path at which there is nothing."""
    return (
        f"{path}: is a URL: download it and give the file"
        if is_url(path)
        else (f"{path}: no such file")
    )


def check_folder(path: Path, option: str) -> Path:
    """A folder to write to. Raises `InputError` for a URL, which would become a folder here."""
    if is_url(path):
        raise InputError(f"{option} {path}: is a URL: give a folder on this machine")
    return path


def is_url(path: str | Path) -> bool:
    """Whether a path was meant as a URL; `Path` has made one slash of two."""
    return _URL.match(str(path)) is not None
