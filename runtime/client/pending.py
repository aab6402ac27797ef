"""Requests that have had no answer yet, so that a repetition asks for the same job."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson

from runtime.disk import disk_errors, write_private


@dataclass(frozen=True, kw_only=True, slots=True)
class JobRequest:
    """A request for a job, and the key by which the API knows it again."""

    key: str
    body: Mapping[str, Any]


class Pending:
    """The request of a submission that has had no answer yet, in a file of its own."""

    def __init__(self, path: Path) -> None:
        self._path = path.with_suffix(".json")

    def load(self) -> JobRequest | None:
        """The request, if there is one. What can't be read is none."""
        with suppress(OSError, ValueError, TypeError):
            return JobRequest(**orjson.loads(self._path.read_bytes()))
        return None

    def store(self, request: JobRequest) -> None:
        """Remember it before it is sent. Raises `StorageError`."""
        with disk_errors(f"create {self._path.parent}"):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(self._path, orjson.dumps(asdict(request)))

    def forget(self) -> None:
        """It has had its answer."""
        with suppress(OSError):
            self._path.unlink()
