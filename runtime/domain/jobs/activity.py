"""What a run does at the moment, and what it waits for."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from runtime.domain.errors import ModelErrorKind


class WaitReason(StrEnum):
    """Why no call begins now, in words for people."""

    QUEUED = "waiting for a worker"
    LOADING = "loading the model, then its first answer"
    THROTTLED = "throttled"
    UNAVAILABLE = "the service is unavailable"
    UNREACHABLE = "no connection to the service"
    OUTAGE = "the service is out: asking whether it is back"
    FAILING = "calls failed"


REASONS: Final[Mapping[ModelErrorKind, WaitReason]] = {
    ModelErrorKind.THROTTLED: WaitReason.THROTTLED,
    ModelErrorKind.UNAVAILABLE: WaitReason.UNAVAILABLE,
    ModelErrorKind.NOT_SENT: WaitReason.UNREACHABLE,
}
"""Why a call waits to be made again; every other kind is `FAILING`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Activity:
    """One moment of a run. Times are monotonic seconds. It holds no data of a user."""

    in_flight: int = 0
    """Calls that wait for their answers."""
    last_reply: float | None = None
    """When the last answer came, or the run began."""
    reason: WaitReason | None = None
    waiting_until: float | None = None
    """When the next of the calls that wait for `reason` is made."""
    bytes_read: int | None = None
    """Of the seeds, while they are read and checked before the first call."""
