"""Logs and metrics of handlers. A line of log names an error and where it came from, never what a
user sent: messages of foreign exceptions quote it.

A Lambda function answers one request at a time, the local server several: keys and metrics belong
to the request that added them.
"""

import os
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from http import HTTPStatus
from pathlib import Path
from typing import Final

from aws_lambda_powertools.logging import Logger
from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

from runtime.contract import environment as names
from runtime.domain.errors import SeedwrightError

SERVICE: Final = "seedwright"

logger: Final = Logger(service=SERVICE)
_metrics: Final[ContextVar[EphemeralMetrics]] = ContextVar("metrics")


@contextmanager
def observe(operation: str, request_id: str) -> Iterator[None]:
    """Everything logged inside carries the operation and the request id; metrics go out at the
    end.
    """
    name = operation.rpartition(".")[2]
    logger.thread_safe_append_keys(operation=name, request_id=request_id)
    namespace = os.environ.get(names.METRICS_NAMESPACE) or SERVICE
    metrics = EphemeralMetrics(namespace=namespace, service=SERVICE)
    metrics.add_dimension(name="operation", value=name)
    before = _metrics.set(metrics)
    count("Requests")
    try:
        yield
    finally:
        _metrics.reset(before)
        metrics.flush_metrics()
        logger.thread_safe_remove_keys(["operation", "request_id"])


def count(name: str, value: int = 1) -> None:
    """Count something that happened in the present request."""
    _metrics.get().add_metric(name=name, unit=MetricUnit.Count, value=value)


def count_error(status: HTTPStatus) -> None:
    """Count a refusal, or a failure of our own."""
    own = status >= HTTPStatus.INTERNAL_SERVER_ERROR
    count("ServerErrors" if own else "ClientErrors")


def log_failure(message: str, error: Exception, **fields: object) -> None:
    """Log a failure that the client learns nothing about, with `fields`."""
    frames = traceback.extract_tb(error.__traceback__)
    cause = error.__cause__
    logger.error(
        message,
        extra={
            **fields,
            "error": type(error).__name__,
            "code": error.code if isinstance(error, SeedwrightError) else None,
            "cause": None if cause is None else type(cause).__name__,
            "where": [f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames[-5:]],
        },
    )
