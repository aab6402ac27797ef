"""Taking an uploaded object: a multipart form, as a stream, straight into the store.

The fields come first and say what is allowed; then comes `file`. What follows it is ignored, as S3
does. An object is there when its last byte and the end of the form have arrived, or not at all.
"""

import os
from collections.abc import Callable, Iterator
from typing import BinaryIO, Final, cast

from multipart import (
    MultipartError,
    MultipartSegment,
    ParserLimitReached,
    PushMultipartParser,
    parse_options_header,
)

from runtime.domain.errors import ForbiddenError, InputError, StorageFullError, TooLargeError
from runtime.domain.ports import ObjectStore
from runtime.local.links import LocalLinks, Upload

FORM_BYTES: Final = 64 * 1024
"""What a form may hold beside its file: fields, boundaries, headers."""

_FILE: Final = "file"
_FORM: Final = "multipart/form-data"
_MAX_PARTS: Final = 40
_MAX_FIELD_BYTES: Final = 8 * 1024
_CHUNK_BYTES: Final = 256 * 1024
_CONTENT_TYPE: Final = "application/octet-stream"

Events = Iterator["MultipartSegment | bytes | None"]
"""Of each part its head, its content in pieces, and None where it ends."""


def receive_upload(
    read: Callable[[int], bytes],
    *,
    content_type: str,
    content_length: int,
    links: LocalLinks,
    objects: ObjectStore,
) -> None:
    """Store the file of a form. `read(n)` gives at most n bytes of the body, none at its end.

    Raises `InputError` for a body that isn't such a form, `ForbiddenError` for fields that were not
    signed here or have expired, `TooLargeError`, or `StorageError`. What `read` raises passes
    through.
    """
    kind, options = parse_options_header(content_type)
    if kind != _FORM or not options.get("boundary"):
        raise InputError(f"an upload is a form: send {_FORM} with the fields and the file")
    try:
        parser = PushMultipartParser(
            options["boundary"],
            content_length=content_length,
            max_segment_count=_MAX_PARTS,
            strict=True,
        )
        events = cast("Events", parser.parse_blocking(read, _CHUNK_BYTES))
        _store(events, content_length, links, objects)
    except ParserLimitReached as exc:
        raise TooLargeError("the form has too many or too large parts") from exc
    except MultipartError as exc:
        raise InputError("the form can't be read: it is broken, or ends too early") from exc


def _store(events: Events, content_length: int, links: LocalLinks, objects: ObjectStore) -> None:
    allowed = links.check_upload(_fields(events))
    # Before it is read: a file that can't fit isn't worth its way.
    if content_length > allowed.max_bytes + FORM_BYTES:
        raise _too_large(allowed)
    with objects.open_writer(allowed.key, content_type=_CONTENT_TYPE) as writer:
        _check_room(writer, content_length)
        size = 0
        for chunk in _content(events):
            size += len(chunk)
            if size > allowed.max_bytes:
                raise _too_large(allowed)
            writer.write(chunk)
        if size == 0:
            raise InputError("the file is empty")
        # To the end of the form, so that a body which was cut off is seen before it is stored.
        for event in events:
            if isinstance(event, MultipartSegment) and event.name == _FILE:
                raise InputError("an upload holds one file")


def _check_room(file: BinaryIO, size: int) -> None:
    disk = os.fstatvfs(file.fileno())
    room = disk.f_bavail * disk.f_frsize
    if size > room:
        raise StorageFullError(
            f"the file has {size} bytes, and the server's disk has room for {room}: free some"
        )


def _fields(events: Events) -> dict[str, str]:
    """All fields before the file, whose head has been read then."""
    fields: dict[str, str] = {}
    for event in events:
        if not isinstance(event, MultipartSegment):
            continue
        if event.name == _FILE:
            return fields
        content = bytearray()
        for chunk in _content(events):
            content += chunk
            if len(content) > _MAX_FIELD_BYTES:
                raise TooLargeError(f"field {event.name[:100]!r} is too large")
        if event.name in fields:
            raise ForbiddenError(f"field {event.name[:100]!r} is listed twice")
        fields[event.name] = content.decode(errors="replace")
    raise InputError("the form has no file: send it as `file`, after the fields")


def _content(events: Events) -> Iterator[bytes]:
    """What is left of the current part."""
    for event in events:
        if event is None:
            return
        yield cast("bytes", event)


def _too_large(allowed: Upload) -> TooLargeError:
    return TooLargeError(f"the file is larger than {allowed.max_bytes} bytes, the most it may have")
