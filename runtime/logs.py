"""Logs: one JSON object a line, constant messages, everything that varies in fields.

Prompts, outputs, tokens and presigned URLs never go into a field (requirement N10). Exceptions are
logged by class and by this project's own message, never with a foreign traceback's values.
"""

import logging
from datetime import UTC, datetime
from typing import TextIO

import orjson

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
    root = logging.getLogger("runtime")
    root.handlers = [handler]
    root.setLevel(level)
    root.propagate = False
