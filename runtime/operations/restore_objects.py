"""Objects of the bucket as they were at a time, from the versions that it keeps.

    current then and now         nothing to do
    deleted since                the marks of deletion go: the same version is current again
    replaced since               that version is copied to the top
    not there then               left alone, and listed: created later, or its versions are gone

Nothing that holds data is ever deleted, so a restore can be restored from. A repetition finds
nothing left to do.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from runtime.aws.failures import SDK_ERRORS, error_code, s3_errors

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

MAX_COPY_BYTES: Final = 5 * 2**30
"""What S3 copies in one request."""

RESTORED_FROM: Final = "restored-from"
"""Metadata of a copy: the version that it is of."""


class Outcome(StrEnum):
    """What became of a key, or would become of it."""

    SAME = "same"
    UNDELETED = "undeleted"
    COPIED = "copied"
    NOT_THERE_THEN = "not there then"
    TOO_LARGE = "too large to copy"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A version of an object, or a mark of its deletion (`version_bytes` None)."""

    key: str
    version_id: str
    modified: datetime
    is_latest: bool
    version_bytes: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """One key; `detail` says why where it failed."""

    key: str
    outcome: Outcome
    detail: str = ""


Report = Callable[[Result], None]


class ObjectRestore:
    """Restores objects of one bucket to what they were at a time."""

    def __init__(self, *, client: "S3Client", bucket: str, at: datetime) -> None:
        self._client = client
        self._bucket = bucket
        self._at = at

    def run(self, prefix: str, *, apply: bool, report: Report) -> None:
        """Restore what is below `prefix`, key by key, or without `apply` say what would be done.
        Raises `StorageError` if versions can't be listed.
        """
        for key, entries in groupby(self._entries(prefix), key=lambda entry: entry.key):
            # S3 keeps whole seconds: of two in one, the current one is the newer.
            history = sorted(
                entries, key=lambda entry: (entry.modified, entry.is_latest), reverse=True
            )
            try:
                outcome, detail = self._restore(history, apply=apply), ""
            except SDK_ERRORS as exc:  # the other keys go on
                outcome, detail = Outcome.FAILED, error_code(exc)
            report(Result(key=key, outcome=outcome, detail=detail))

    def _entries(self, prefix: str) -> Iterator[Entry]:
        """In order of keys."""
        pages = self._client.get_paginator("list_object_versions").paginate(
            Bucket=self._bucket, Prefix=prefix
        )
        with s3_errors(prefix):
            for page in pages:
                versions = [_entry(each, each["Size"]) for each in page.get("Versions", ())]
                marks = [_entry(each, None) for each in page.get("DeleteMarkers", ())]
                yield from sorted([*versions, *marks], key=lambda entry: entry.key)

    def _restore(self, history: Sequence[Entry], *, apply: bool) -> Outcome:
        later = [entry for entry in history if entry.modified > self._at]
        then = history[len(later)] if len(later) < len(history) else None
        if then is None or then.version_bytes is None:
            return Outcome.NOT_THERE_THEN
        if not later:
            return Outcome.SAME
        if all(entry.version_bytes is None for entry in later):
            if apply:
                self._undelete(later)
            return Outcome.UNDELETED
        if self._is_copy(later[0], then):
            return Outcome.SAME
        if then.version_bytes > MAX_COPY_BYTES:
            return Outcome.TOO_LARGE
        if apply:
            self._copy(then)
        return Outcome.COPIED

    def _undelete(self, marks: Sequence[Entry]) -> None:
        for mark in marks:  # the newest first: until the last one is gone the object stays deleted
            self._client.delete_object(Bucket=self._bucket, Key=mark.key, VersionId=mark.version_id)

    def _is_copy(self, current: Entry, then: Entry) -> bool:
        if current.version_bytes != then.version_bytes:
            return False
        found = self._client.head_object(Bucket=self._bucket, Key=current.key)
        return found["Metadata"].get(RESTORED_FROM) == then.version_id

    def _copy(self, then: Entry) -> None:
        found = self._client.head_object(
            Bucket=self._bucket, Key=then.key, VersionId=then.version_id
        )
        self._client.copy_object(
            Bucket=self._bucket,
            Key=then.key,
            CopySource={"Bucket": self._bucket, "Key": then.key, "VersionId": then.version_id},
            MetadataDirective="REPLACE",
            Metadata={**found["Metadata"], RESTORED_FROM: then.version_id},
            ContentType=found["ContentType"],
        )


def _entry(listed: Any, version_bytes: int | None) -> Entry:
    return Entry(
        key=listed["Key"],
        version_id=listed["VersionId"],
        modified=listed["LastModified"],
        is_latest=listed["IsLatest"],
        version_bytes=version_bytes,
    )
