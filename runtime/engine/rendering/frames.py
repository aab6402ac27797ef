"""What goes to the render child and comes back, as bytes; child.py says what is in a frame."""

from collections.abc import Iterator, Sequence
from typing import Final

import orjson

from runtime.domain.errors import RenderError
from runtime.engine.rendering.process import LENGTH_BYTES

MAX_REQUEST_BYTES: Final = 4 * 1024 * 1024
"""Largest seed, with the outputs of earlier steps, as JSON."""

_MAX_ERROR_CHARACTERS: Final = 300


def frame(document: object, *, holder: str, whole: str) -> bytes | RenderError:
    """One request, or why it can't be sent: `holder` and `whole` are what the message calls it."""
    try:
        body = orjson.dumps(document)
    except TypeError:
        return RenderError(f"{holder} holds a value that JSON can't")
    if len(body) > MAX_REQUEST_BYTES:
        return RenderError(f"{whole} larger than {MAX_REQUEST_BYTES // 1024**2} MiB")
    return len(body).to_bytes(LENGTH_BYTES) + body


def batches(bodies: Sequence[bytes | RenderError]) -> Iterator[list[bytes] | RenderError]:
    """Frames to be sent at once, at most `MAX_REQUEST_BYTES` of them; what has none by itself."""
    batch: list[bytes] = []
    size = 0
    for body in bodies:
        if isinstance(body, RenderError) or size + len(body) > MAX_REQUEST_BYTES:
            yield batch
            batch, size = [], 0
        if isinstance(body, RenderError):
            yield body
        else:
            batch.append(body)
            size += len(body)
    yield batch


def read_text(body: bytes) -> str | RenderError:
    """The text of a reply, from a process that may say anything. Raises `ValueError`."""
    match orjson.loads(body):
        case {"text": str(text)}:
            return text
        case {"error": str(message)}:
            return RenderError(_one_line(message))
    raise ValueError("not a reply")


def read_errors(body: bytes) -> tuple[str, ...] | RenderError:
    """What a check found wrong, as above."""
    match orjson.loads(body):
        case {"errors": list(errors)} if all(isinstance(each, str) for each in errors):
            return tuple(each[:_MAX_ERROR_CHARACTERS] for each in errors)
        case {"error": str(message)}:
            return RenderError(_one_line(message))
    raise ValueError("not a reply")


def read_passed(body: bytes) -> bool | RenderError:
    """Whether a text passed, as above."""
    match orjson.loads(body):
        case {"passed": bool(passed)}:
            return passed
        case {"error": str(message)}:
            return RenderError(_one_line(message))
    raise ValueError("not a reply")


def _one_line(message: str) -> str:
    return " ".join(message.split())[:_MAX_ERROR_CHARACTERS]
