"""One S3 bucket as an object store."""

import io
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
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
from runtime.domain.errors import NotFoundError
from runtime.domain.ports import ObjectStat

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

PART_BYTES: Final = 16 * 2**20
"""Buffered while writing: S3 takes 10 000 parts of at least 5 MiB, so an object can be 160 GB."""

READ_BYTES: Final = 2**20
"""Buffered while reading."""

_DELETE_KEYS: Final = 1000
"""Most keys that one DeleteObjects request takes."""

_CONFLICT_PAUSES: Final = (0.1, 0.2, 0.4)
"""Seconds before a write that collided with another one of the same key is tried again."""

_UNUSABLE_VERSION: Final = frozenset({"InvalidArgument", "MethodNotAllowed"})
"""A version id that is not one of this bucket's, or that names a delete marker."""


class S3Objects:
    """Implements `ports.ObjectStore`. The bucket keeps versions."""

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
        pinned: Any = {} if version is None else {"VersionId": version}
        try:
            reply = self._client.get_object(Bucket=self._bucket, Key=key, **pinned)
            with closing(reply["Body"]) as body:
                return body.read()
        except SDK_ERRORS as exc:
            if pinned and error_code(exc) in _UNUSABLE_VERSION:
                raise NotFoundError(f"no version {version} of object {key}: pin it again") from exc
            raise s3_error(exc, where=key) from exc

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

    def list(self, prefix: str) -> Iterator[ObjectStat]:
        pages = self._client.get_paginator("list_objects_v2")
        with s3_errors(prefix):
            for page in pages.paginate(Bucket=self._bucket, Prefix=prefix):
                for found in page.get("Contents", ()):
                    yield ObjectStat(key=found["Key"], size=found["Size"], version=None)

    @contextmanager
    def open_reader(self, key: str) -> Iterator[BinaryIO]:
        with s3_errors(key):
            reply = self._client.get_object(Bucket=self._bucket, Key=key)
        with io.BufferedReader(_Download(reply["Body"], key), READ_BYTES) as reader:
            yield cast("BinaryIO", reader)

    @contextmanager
    def open_writer(self, key: str, *, content_type: str) -> Iterator[BinaryIO]:
        upload = _Upload(
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
            with s3_errors(chunk[0]):
                reply = self._client.delete_objects(
                    Bucket=self._bucket,
                    Delete={"Objects": [{"Key": key} for key in chunk], "Quiet": True},
                )
            # The request succeeds as a whole even when a key could not be deleted.
            for failure in reply.get("Errors", ()):
                raise s3_key_error(failure.get("Code", ""), where=failure.get("Key", chunk[0]))


class _Download(io.RawIOBase):
    """The body of a reply, with its errors as ours."""

    def __init__(self, body: "StreamingBody", key: str) -> None:
        self._body = body
        self._key = key

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with s3_errors(self._key):
            chunk = self._body.read(len(buffer))
        buffer[: len(chunk)] = chunk
        return len(chunk)

    def close(self) -> None:
        self._body.close()
        super().close()


class _Upload(io.BufferedIOBase):
    """A new object, sent in parts as soon as one is full. Only `publish` makes it visible; closing
    it (a text or Parquet writer on top may do that) does not.
    """

    def __init__(
        self, client: "S3Client", bucket: str, key: str, *, content_type: str, part_bytes: int
    ) -> None:
        self._client = client
        self._bucket = bucket
        self._key = key
        self._content_type = content_type
        self._part_bytes = part_bytes
        self._buffer = bytearray()
        self._size = 0
        self._upload_id: str | None = None
        self._parts: list[CompletedPartTypeDef] = []

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._size

    def write(self, data: Any) -> int:
        if self.closed:
            raise ValueError("write to a closed object")
        with memoryview(data).cast("B") as view:
            # One part at a time, so that a huge write doesn't double itself in memory.
            for start in range(0, len(view), self._part_bytes):
                self._buffer += view[start : start + self._part_bytes]
                if len(self._buffer) >= self._part_bytes:
                    self._send_part()
            self._size += len(view)
            return len(view)

    def publish(self) -> None:
        with s3_errors(self._key):
            if self._upload_id is None:
                self._client.put_object(
                    Bucket=self._bucket,
                    Key=self._key,
                    Body=bytes(self._buffer),
                    ContentType=self._content_type,
                )
                return
        if self._buffer:
            self._send_part()
        with s3_errors(self._key):
            self._client.complete_multipart_upload(
                Bucket=self._bucket,
                Key=self._key,
                UploadId=self._upload_id,
                MultipartUpload={"Parts": self._parts},
            )

    def abandon(self) -> None:
        """Remove the parts; what can't be removed now goes by the bucket's lifecycle rule."""
        self._buffer.clear()
        if self._upload_id is not None:
            with suppress(*SDK_ERRORS):
                self._client.abort_multipart_upload(
                    Bucket=self._bucket, Key=self._key, UploadId=self._upload_id
                )

    def _send_part(self) -> None:
        with s3_errors(self._key):
            if self._upload_id is None:
                # The checksum algorithm has to be named here for S3 to accept the parts' own.
                self._upload_id = self._client.create_multipart_upload(
                    Bucket=self._bucket,
                    Key=self._key,
                    ContentType=self._content_type,
                    ChecksumAlgorithm="CRC32",
                )["UploadId"]
            number = len(self._parts) + 1
            part = self._client.upload_part(
                Bucket=self._bucket,
                Key=self._key,
                UploadId=self._upload_id,
                PartNumber=number,
                Body=bytes(self._buffer),
                ChecksumAlgorithm="CRC32",
            )
        self._parts.append(
            {
                "PartNumber": number,
                "ETag": part["ETag"],
                "ChecksumCRC32": part.get("ChecksumCRC32", ""),
            }
        )
        self._buffer.clear()
