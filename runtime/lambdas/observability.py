"""Logs and metrics of handlers. A line of log names an error and where it came from, never what a
user sent: messages of foreign exceptions quote it.
"""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Final

from aws_lambda_powertools.logging import Logger
from aws_lambda_powertools.metrics import Metrics, MetricUnit

from runtime.domain.errors import SeedwrightError

SERVICE: Final = "seedwright"

logger: Final = Logger(service=SERVICE)
metrics: Final = Metrics(namespace=SERVICE, service=SERVICE)


@contextmanager
def observe(operation: str, request_id: str) -> Iterator[None]:
    """Everything logged inside carries the operation and the request id; metrics go out at the
    end.
    """
    name = operation.rpartition(".")[2]
    logger.append_keys(operation=name, request_id=request_id)
    metrics.add_dimension(name="operation", value=name)
    metrics.add_metric(name="Requests", unit=MetricUnit.Count, value=1)
    try:
        yield
    finally:
        metrics.flush_metrics()
        logger.remove_keys(["operation", "request_id"])


def count_error(status: HTTPStatus) -> None:
    """Count a refusal, or a failure of our own."""
    own = status >= HTTPStatus.INTERNAL_SERVER_ERROR
    metrics.add_metric(
        name="ServerErrors" if own else "ClientErrors", unit=MetricUnit.Count, value=1
    )


def log_failure(error: Exception, *, status: HTTPStatus) -> None:
    """Log a failure that the client learns nothing about."""
    frames = traceback.extract_tb(error.__traceback__)
    cause = error.__cause__
    logger.error(
        "request failed",
        extra={
            "status": int(status),
            "error": type(error).__name__,
            "code": error.code if isinstance(error, SeedwrightError) else None,
            "cause": None if cause is None else type(cause).__name__,
            "where": [f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames[-5:]],
        },
    )
