"""Signed addresses of the bucket: what they allow, and when there are none."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import pytest

from runtime import sdk as clients
from runtime.aws.links import S3Links
from runtime.domain.errors import StorageError
from runtime.domain.service_ports import UploadForm
from tests.fixtures.aws import BUCKET, FakeAws

KEY: Final = "seed-data/ada/my books.csv"
HOST: Final = f"{BUCKET}.s3.us-east-1.amazonaws.com"


@pytest.fixture
def links(aws: FakeAws) -> S3Links:
    return S3Links(client=aws.s3, bucket_name=BUCKET)


def policy_of(form: UploadForm) -> Any:
    return json.loads(base64.b64decode(form.fields["policy"]))


def query_of(url: str) -> dict[str, str]:
    return {name: value for name, (value,) in parse_qs(urlsplit(url).query).items()}


def test_a_form_allows_one_key_and_so_many_bytes(links: S3Links) -> None:
    form = links.upload_form(KEY, max_bytes=1_000, seconds=900)
    conditions = policy_of(form)["conditions"]
    assert ["content-length-range", 1, 1_000] in conditions
    assert {"key": KEY} in conditions
    assert {"bucket": BUCKET} in conditions
    assert form.fields["key"] == KEY
    assert not any(isinstance(each, list) and each[0] == "starts-with" for each in conditions)


def test_every_field_of_a_form_is_signed(links: S3Links) -> None:
    """S3 refuses a form with a field that its policy doesn't name."""
    form = links.upload_form(KEY, max_bytes=1_000, seconds=900)
    named: dict[str, str] = {}
    for condition in policy_of(form)["conditions"]:
        if isinstance(condition, dict):
            named |= condition
    for name, value in form.fields.items():
        if name not in {"policy", "x-amz-signature"}:
            assert named[name] == value
    assert form.fields["x-amz-algorithm"] == "AWS4-HMAC-SHA256"


def test_a_form_ends(links: S3Links) -> None:
    before = datetime.now(UTC)
    form = links.upload_form(KEY, max_bytes=1, seconds=600)
    expires = datetime.fromisoformat(policy_of(form)["expiration"])
    assert abs(expires - before - timedelta(seconds=600)) < timedelta(seconds=30)


def test_a_form_goes_to_the_bucket_in_its_region(links: S3Links) -> None:
    url = urlsplit(links.upload_form(KEY, max_bytes=1, seconds=60).url)
    assert (url.scheme, url.netloc, url.path) == ("https", HOST, "/")


def test_a_key_that_the_client_would_complete_is_refused(links: S3Links) -> None:
    """S3 puts the file's name for this placeholder, so the key would be anything."""
    for key in ("seed-data/ada/${filename}", "seed-data/${filename}/a"):
        with pytest.raises(StorageError):
            links.upload_form(key, max_bytes=1, seconds=60)


def test_an_address_is_for_one_object_and_a_while(links: S3Links) -> None:
    url = links.download_url("jobs/a/exports/dataset.csv", file_name="dataset.csv", seconds=900)
    parts, query = urlsplit(url), query_of(url)
    assert (parts.scheme, parts.netloc, parts.path) == (
        "https",
        HOST,
        "/jobs/a/exports/dataset.csv",
    )
    assert query["X-Amz-Algorithm"] == "AWS4-HMAC-SHA256"
    assert query["X-Amz-Expires"] == "900"
    assert query["X-Amz-SignedHeaders"] == "host"
    assert "/us-east-1/s3/aws4_request" in query["X-Amz-Credential"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("dataset.parquet", "dataset.parquet"),
        ("books of 2026.csv", "books_of_2026.csv"),
        ('a"; filename="b.exe', "a_filename_b.exe"),
        ("a\r\nSet-Cookie: b", "a_Set-Cookie_b"),
        ("../../etc/passwd", "etc_passwd"),
        ("größe.csv", "gr_e.csv"),
        ("💥", "download"),
        ("..", "download"),
        ("", "download"),
    ],
)
def test_a_file_is_saved_under_a_harmless_name(links: S3Links, name: str, expected: str) -> None:
    query = query_of(links.download_url("k", file_name=name, seconds=60))
    assert query["response-content-disposition"] == f'attachment; filename="{expected}"'


def test_another_region_has_another_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """The global host redirects, and a browser that is redirected posts nothing."""
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    links = S3Links(client=clients.create_s3_client(), bucket_name=BUCKET)
    url = links.download_url("k", file_name="k", seconds=60)
    form = links.upload_form("k", max_bytes=1, seconds=60)
    for each in (url, form.url):
        assert urlsplit(each).netloc == f"{BUCKET}.s3.eu-central-1.amazonaws.com"
    assert "/eu-central-1/s3/" in query_of(url)["X-Amz-Credential"]


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
def test_what_stands_for_aws_has_one_host(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "http://localhost:4566")
    links = S3Links(client=clients.create_s3_client(), bucket_name=BUCKET)
    url = urlsplit(links.download_url("k", file_name="k", seconds=60))
    assert (url.netloc, url.path) == ("localhost:4566", f"/{BUCKET}/k")
    form = links.upload_form("k", max_bytes=1, seconds=60)
    assert form.url == f"http://localhost:4566/{BUCKET}"


def test_no_credentials_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requirement S3.4."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    links = S3Links(client=clients.create_s3_client(), bucket_name=BUCKET)
    with pytest.raises(StorageError) as caught:
        links.download_url("k", file_name="k", seconds=60)
    assert type(caught.value) is StorageError
    with pytest.raises(StorageError):
        links.upload_form("k", max_bytes=1, seconds=60)
