"""What an ended job was asked for last: its rows in one more shape, made of what is there.

    QUEUED ──claim──▶ RUNNING ──┬─▶ COMPLETED
      ▲                 │       └─▶ FAILED
      └──interrupted────┘

The job's own work item is queued for it. Neither the job's status nor its records change.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final


class ExportStatus(StrEnum):
    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"


PENDING: Final = (ExportStatus.QUEUED, ExportStatus.RUNNING)
"""Statuses of an export that a worker is to make."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RequestedExport:
    """The last one of a job. `number` counts them; `request` names the object that says which rows
    (`keys.export_request_key`).
    """

    number: int
    request: str
    folder: str
    """Where the rows are, below the exports."""
    requested_at: datetime
    status: ExportStatus = ExportStatus.QUEUED
    records: int = 0
    """Records that were read so far, or in all."""
    rows: int = 0
    """Rows that were written, once it is COMPLETED."""
    message: str | None = None
    """Why it failed."""
    code: str | None = None
    """The `code` of that error, of a class in `domain.errors`."""
    ended_at: datetime | None = None

    @property
    def is_pending(self) -> bool:
        """Whether a worker is to make it, or does."""
        return self.status in PENDING

    def failed(self, *, message: str, code: str, now: datetime) -> "RequestedExport":
        """With this end."""
        return replace(self, status=ExportStatus.FAILED, message=message, code=code, ended_at=now)


def export_document(export: RequestedExport) -> dict[str, Any]:
    """As tables hold it: texts, whole numbers and None; inverse of `parse_export`."""
    return {
        "number": export.number,
        "request": export.request,
        "folder": export.folder,
        "requested_at": export.requested_at.isoformat(),
        "status": str(export.status),
        "records": export.records,
        "rows": export.rows,
        "message": export.message,
        "code": export.code,
        "ended_at": export.ended_at and export.ended_at.isoformat(),
    }


def parse_export(document: Mapping[str, Any] | None) -> RequestedExport | None:
    """Numbers may be Decimal. Raises `KeyError` or `ValueError` on damage."""
    if document is None:
        return None
    ended = document["ended_at"]
    return RequestedExport(
        number=int(document["number"]),
        request=str(document["request"]),
        folder=str(document["folder"]),
        requested_at=datetime.fromisoformat(document["requested_at"]),
        status=ExportStatus(document["status"]),
        records=int(document["records"]),
        rows=int(document["rows"]),
        message=document["message"],
        code=document["code"],
        ended_at=datetime.fromisoformat(ended) if ended else None,
    )
