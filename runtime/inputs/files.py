"""Files that users name, read whole and within a limit."""

from pathlib import Path

from runtime.domain.errors import InputError


def read_file(path: Path, limit: int, error: type[InputError]) -> bytes:
    """At most `limit` bytes, so that even an endless device is refused in constant memory.

    Raises `error`.
    """
    try:
        with path.open("rb") as file:
            body = file.read(limit + 1)
    except FileNotFoundError as exc:
        raise error(f"{path}: no such file") from exc
    except IsADirectoryError as exc:
        raise error(f"{path}: is a folder, not a file") from exc
    except ValueError as exc:  # a NUL
        raise error(f"{str(path)!r}: not the name of a file") from exc
    except OSError as exc:
        raise error(f"{path}: can't be read: {exc.strerror}") from exc
    if len(body) > limit:
        raise error(f"{path}: larger than {limit // 1024} KiB, which is the limit")
    return body
