"""One S3 bucket as an object store."""

import io
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any, BinaryIO, Final, cast

from runtime.aws.failures import (
    CONDITIONAL_CONFLICT,
    SDK_ERRORS,
    error_code,
    s3_error,
    s3_errors,
    s3_key_error,
)
from runtime.aws.object_streams import Download, Upload
from runtime.domain.errors import InputError, NotFoundError
from runtime.domain.pages import Page
from runtime.domain.ports import ObjectStat

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_s3.type_defs import ObjectIdentifierTypeDef

PART_BYTES: Final = 16 * 2**20
"""Buffered while writing: S3 takes 10 000 parts of at least 5 MiB, so an object can be 160 GB."""

READ_BYTES: Final = 2**20
"""Buffered while reading."""

_DELETE_KEYS: Final = 1000
"""Most keys that one DeleteObjects request takes, and that one listing gives."""

_KEY_BYTES: Final = 1024
"""Longest key of an object."""

_CONFLICT_PAUSES: Final = (0.1, 0.2, 0.4)
"""Seconds before a write that collided with another one of the same key is tried again."""

_UNUSABLE_VERSION: Final = frozenset({"InvalidArgument", "MethodNotAllowed"})
"""A version id that is not one of this bucket's, or that names a delete marker."""


class S3Objects:
    """Implements `service_ports.ApiObjects`. The bucket keeps versions."""

    def __init__(
        self,
        *,
        client: "S3Client",
        bucket_name: str,
        part_bytes: int = PART_BYTES,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client
        self._bucket = bucket_name
        self._part_bytes = part_bytes
        self._sleep = sleep

    def get(self, key: str, *, version: str | None = None) -> bytes:
        with closing(self._body(key, version)) as body, s3_errors(key):
            return body.read()

    def stat(self, key: str) -> ObjectStat:
        with s3_errors(key):
            reply = self._client.head_object(Bucket=self._bucket, Key=key)
        version = reply.get("VersionId")
        # "null" names whatever was written last while the bucket kept no versions.
        return ObjectStat(
            key=key, size=reply["ContentLength"], version=None if version == "null" else version
        )

    def put(self, key: str, body: bytes, *, content_type: str) -> None:
        with s3_errors(key):
            self._client.put_object(
                Bucket=self._bucket, Key=key, Body=body, ContentType=content_type
            )

    def put_if_absent(self, key: str, body: bytes, *, content_type: str) -> None:
        pauses = iter(_CONFLICT_PAUSES)
        while True:
            try:
                self._client.put_object(
                    Bucket=self._bucket,
                    Key=key,
                    Body=body,
                    ContentType=content_type,
                    # Excludes two owners that both believe this number to be free. After a lost
                    # reply it refuses our own object too: the caller compares.
                    IfNoneMatch="*",
                )
            except SDK_ERRORS as exc:
                pause = next(pauses, None)
                # 409: another write of this key is under way, and nobody knows yet who wins.
                if pause is None or error_code(exc) != CONDITIONAL_CONFLICT:
                    raise s3_error(exc, where=key) from exc
                self._sleep(pause)
            else:
                return

    def copy(self, source: str, target: str) -> None:
        with s3_errors(source):
            self._client.copy_object(
                Bucket=self._bucket, Key=target, CopySource={"Bucket": self._bucket, "Key": source}
            )

    def list(self, prefix: str) -> Iterator[ObjectStat]:
        pages = self._client.get_paginator("list_objects_v2")
        with s3_errors(prefix):
            for page in pages.paginate(Bucket=self._bucket, Prefix=prefix):
                for found in page.get("Contents", ()):
                    yield ObjectStat(key=found["Key"], size=found["Size"], version=None)

    def list_versions(self, prefix: str) -> Iterator[ObjectStat]:
        pages = self._client.get_paginator("list_object_versions")
        with s3_errors(prefix):
            for page in pages.paginate(Bucket=self._bucket, Prefix=prefix):
                for found in page.get("Versions", ()):
                    yield ObjectStat(
                        key=found["Key"], size=found["Size"], version=found["VersionId"]
                    )

    def list_page(self, prefix: str, *, limit: int, after: str | None = None) -> Page[ObjectStat]:
        start: Any = {}
        if after is not None:
            if not after.startswith(prefix) or _bytes_of(after) > _KEY_BYTES:
                raise InputError("no page of this list begins there: take it from the page before")
            start = {"StartAfter": after}
        with s3_errors(prefix):
            page = self._client.list_objects_v2(
                Bucket=self._bucket, Prefix=prefix, MaxKeys=limit, **start
            )
        found = tuple(
            ObjectStat(
                key=each["Key"], size=each["Size"], version=None, written_at=each["LastModified"]
            )
            for each in page.get("Contents", ())
        )
        return Page(items=found, next=found[-1].key if found and page["IsTruncated"] else None)

    def open_reader(self, key: str) -> AbstractContextManager[BinaryIO]:
        return self.open_version(key)

    @contextmanager
    def open_version(self, key: str, *, version: str | None = None) -> Iterator[BinaryIO]:
        with io.BufferedReader(Download(self._body(key, version), key), READ_BYTES) as reader:
            yield cast("BinaryIO", reader)

    def _body(self, key: str, version: str | None) -> "StreamingBody":
        pinned: Any = {} if version is None else {"VersionId": version}
        try:
            return self._client.get_object(Bucket=self._bucket, Key=key, **pinned)["Body"]
        except SDK_ERRORS as exc:
            if pinned and error_code(exc) in _UNUSABLE_VERSION:
                raise NotFoundError(f"no version {version} of object {key}: pin it again") from exc
            raise s3_error(exc, where=key) from exc

    @contextmanager
    def open_writer(self, key: str, *, content_type: str) -> Iterator[BinaryIO]:
        upload = Upload(
            self._client, self._bucket, key, content_type=content_type, part_bytes=self._part_bytes
        )
        try:
            yield cast("BinaryIO", upload)
            upload.publish()
        except BaseException:
            upload.abandon()
            raise

    def delete(self, keys: Iterable[str]) -> None:
        remaining = iter(keys)
        while chunk := list(islice(remaining, _DELETE_KEYS)):
            self._delete([{"Key": key} for key in chunk])

    def delete_all(self, prefix: str, *, enough: Callable[[], bool] = lambda: False) -> bool:
        # Always the first page: what was on it is gone when the next one is read, and what others
        # write meanwhile is found too.
        while found := self._first_versions(prefix):
            self._delete(found)
            if enough():
                return not self._first_versions(prefix)
        return True

    def _first_versions(self, prefix: str) -> "Sequence[ObjectIdentifierTypeDef]":
        """Some versions of objects below `prefix`, delete markers included; empty: none is left."""
        with s3_errors(prefix):
            page = self._client.list_object_versions(
                Bucket=self._bucket, Prefix=prefix, MaxKeys=_DELETE_KEYS
            )
        return [
            {"Key": each["Key"], "VersionId": each["VersionId"]}
            for each in (*page.get("Versions", ()), *page.get("DeleteMarkers", ()))
        ]

    def _delete(self, objects: "Sequence[ObjectIdentifierTypeDef]") -> None:
        where = objects[0]["Key"]
        with s3_errors(where):
            reply = self._client.delete_objects(
                Bucket=self._bucket, Delete={"Objects": objects, "Quiet": True}
            )
        # The request succeeds as a whole even when a key could not be deleted.
        for failure in reply.get("Errors", ()):
            raise s3_key_error(failure.get("Code", ""), where=failure.get("Key", where))


def _bytes_of(key: str) -> int:
    # Text that is no UTF-8 is longer than every key.
    try:
        return len(key.encode())
    except UnicodeEncodeError:
        return _KEY_BYTES + 1
