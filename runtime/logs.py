"""Logs: one JSON object a line, constant messages, everything that varies in fields.

Prompts, outputs, tokens and presigned URLs never go into a field (requirement N10). Exceptions are
logged by class and by this project's own message, never with a foreign traceback's values.
"""

import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final, TextIO

import orjson

ROOT: Final = "runtime"
"""The logger above all of the engine's."""

_FIELDS = "seedwright_fields"


def event(logger: logging.Logger, level: int, message: str, **fields: object) -> None:
    """Log a constant `message` with `fields`."""
    if logger.isEnabledFor(level):
        logger.log(level, message, extra={_FIELDS: fields})


class JsonFormatter(logging.Formatter):
    """One line: time, level, logger, message, then the fields."""

    def format(self, record: logging.LogRecord) -> str:
        document: dict[str, object] = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, _FIELDS, {}),
        }
        if record.exc_info and record.exc_info[0]:
            document["exception"] = record.exc_info[0].__name__
        return orjson.dumps(document, default=str).decode()


def configure(stream: TextIO, level: int = logging.INFO) -> None:
    """Send the engine's logs to `stream`, and only there."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger(ROOT)
    root.handlers = [handler]
    root.setLevel(level)
    root.propagate = False


@contextmanager
def logged_to(stream: TextIO, *, job_id: str | None = None) -> Iterator[None]:
    """Send the engine's logs to `stream` as well, for the length of the block; several blocks may
    run at once. With `job_id`, lines that name another job are left out.

    Handlers that others have set stay. While any block runs, nothing goes on to the root logger,
    whose owner did not ask for it.
    """
    handler = _QuietHandler(stream)
    handler.setFormatter(JsonFormatter())
    if job_id is not None:
        handler.addFilter(lambda record: _is_about(record, job_id))
    _blocks.enter(handler)
    try:
        yield
    finally:
        _blocks.leave(handler)


class _QuietHandler(logging.StreamHandler[TextIO]):
    """On a full disk it is the error that counts, not that it could not be logged."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name is logging's
        del record


def _is_about(record: logging.LogRecord, job_id: str) -> bool:
    fields: Mapping[str, object] = getattr(record, _FIELDS, {})
    return fields.get("job_id", job_id) == job_id


class _Blocks:
    """How many blocks run, and how the logger was before the first of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running = 0
        self._before = (logging.NOTSET, True)

    def enter(self, handler: logging.Handler) -> None:
        root = logging.getLogger(ROOT)
        with self._lock:
            if self._running == 0:
                self._before = (root.level, root.propagate)
                root.setLevel(logging.INFO)
                root.propagate = False
            self._running += 1
            root.addHandler(handler)

    def leave(self, handler: logging.Handler) -> None:
        root = logging.getLogger(ROOT)
        with self._lock:
            root.removeHandler(handler)
            self._running -= 1
            if self._running == 0:
                root.setLevel(self._before[0])
                root.propagate = self._before[1]


_blocks: Final = _Blocks()
