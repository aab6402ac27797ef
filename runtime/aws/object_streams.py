"""Objects as streams: a download that is read piece by piece, an upload that is sent in parts."""

import io
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from runtime.aws.failures import SDK_ERRORS, s3_errors

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef


class Download(io.RawIOBase):
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


class Upload(io.BufferedIOBase):
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
