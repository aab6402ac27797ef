"""Signed addresses in the bucket: signature version 4, at the bucket's regional host.

An address is a secret while it holds: it is handed to its user and never logged. Signing asks no
service; it fails when there are no credentials.
"""

import re
from typing import TYPE_CHECKING, Any, Final

from runtime.aws.failures import s3_errors
from runtime.domain.errors import StorageError
from runtime.domain.service_ports import UploadForm

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]+")


class S3Links:
    """Implements `service_ports.ObjectLinks`."""

    def __init__(self, *, client: "S3Client", bucket_name: str) -> None:
        self._client = client
        self._bucket = bucket_name

    def upload_form(self, key: str, *, max_bytes: int, seconds: int) -> UploadForm:
        # S3 puts the name of the uploaded file there, so the key would be the client's choice.
        if "${" in key:
            raise StorageError(f"object {key} can't be uploaded to: its key has a placeholder")
        size: list[Any] = ["content-length-range", 1, max_bytes]
        try:
            with s3_errors(key):
                form = self._client.generate_presigned_post(
                    Bucket=self._bucket, Key=key, Conditions=[size], ExpiresIn=seconds
                )
        except AttributeError as exc:
            # What the SDK makes of missing credentials here, and only here.
            raise StorageError("nothing can be signed: the function has no credentials") from exc
        return UploadForm(url=form["url"], fields=form["fields"])

    def download_url(self, key: str, *, file_name: str, seconds: int) -> str:
        # Quotes and line breaks would end the header's value.
        safe = _UNSAFE.sub("_", file_name).strip("._") or "download"
        with s3_errors(key):
            return self._client.generate_presigned_url(
                "get_object",
                Params={
                    "Bucket": self._bucket,
                    "Key": key,
                    "ResponseContentDisposition": f'attachment; filename="{safe}"',
                },
                ExpiresIn=seconds,
            )
