"""The S3 adapter when AWS fails, and how it streams.

What it promises without faults is shown by `tests/contract/test_objects.py`.
"""

import io
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
from urllib3.exceptions import ProtocolError

from runtime.aws.objects import S3Objects
from runtime.domain.errors import (
    InputError,
    NotFoundError,
    ObjectExistsError,
    StorageError,
    StorageUnavailableError,
)
from tests.fixtures.aws import BUCKET, FakeAws
from tests.fixtures.aws_faults import (
    Crash,
    crashing,
    hooked,
    meanwhile,
    no_retry_pauses,
    refused,
    reply_lost,
)

ATTEMPTS = 5
MIB = 2**20
PART = 5 * MIB
TEXT = "text/plain"


@pytest.fixture(autouse=True)
def _quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    no_retry_pauses(monkeypatch)


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def objects(aws: FakeAws, pauses: list[float]) -> S3Objects:
    return S3Objects(client=aws.s3, bucket_name=BUCKET, part_bytes=PART, sleep=pauses.append)


def versions(aws: FakeAws, key: str) -> int:
    return len(aws.s3.list_object_versions(Bucket=BUCKET, Prefix=key).get("Versions", ()))


def open_uploads(aws: FakeAws) -> int:
    return len(aws.s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads", ()))


# ── single requests ────────────────────────────────────────────────────────────────────────────


def test_a_lost_reply_leaves_the_object_for_the_caller_to_compare(
    aws: FakeAws, objects: S3Objects
) -> None:
    with reply_lost(aws.s3, "PutObject") as sent, pytest.raises(ObjectExistsError):
        objects.put_if_absent("k", b"mine", content_type=TEXT)
    assert len(sent) == 2
    assert objects.get("k") == b"mine"
    assert versions(aws, "k") == 1


def test_a_collision_of_two_writes_is_tried_again(
    aws: FakeAws, objects: S3Objects, pauses: list[float]
) -> None:
    with refused(aws.s3, "PutObject", "ConditionalRequestConflict", status=409, times=2):
        objects.put_if_absent("k", b"mine", content_type=TEXT)
    assert objects.get("k") == b"mine"
    assert len(pauses) == 2


def test_a_collision_that_lasts_is_reported(
    aws: FakeAws, objects: S3Objects, pauses: list[float]
) -> None:
    with (
        refused(aws.s3, "PutObject", "ConditionalRequestConflict", status=409) as sent,
        pytest.raises(StorageUnavailableError),
    ):
        objects.put_if_absent("k", b"mine", content_type=TEXT)
    assert len(sent) == len(pauses) + 1 == 4


def write(objects: S3Objects) -> None:
    with objects.open_writer("k", content_type=TEXT) as writer:
        writer.write(b"x")


def read(objects: S3Objects) -> None:
    with objects.open_reader("k") as reader:
        reader.read()


def read_version(objects: S3Objects) -> None:
    with objects.open_version("k") as reader:
        reader.read()


CALLS: dict[str, tuple[str, Callable[[S3Objects], object]]] = {
    "get": ("GetObject", lambda objects: objects.get("k")),
    "stat": ("HeadObject", lambda objects: objects.stat("k")),
    "put": ("PutObject", lambda objects: objects.put("k", b"x", content_type=TEXT)),
    "put_if_absent": (
        "PutObject",
        lambda objects: objects.put_if_absent("new", b"x", content_type=TEXT),
    ),
    "list": ("ListObjectsV2", lambda objects: list(objects.list("k"))),
    "open_reader": ("GetObject", read),
    "open_writer": ("PutObject", write),
    "delete": ("DeleteObjects", lambda objects: objects.delete(["k"])),
    "open_version": ("GetObject", read_version),
    "list_page": ("ListObjectsV2", lambda objects: objects.list_page("k", limit=1)),
    "delete_all": ("ListObjectVersions", lambda objects: objects.delete_all("k")),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize(("code", "status"), [("SlowDown", 503), ("InternalError", 500)])
def test_a_fault_that_may_pass_is_retried_and_then_reported(
    aws: FakeAws, objects: S3Objects, name: str, code: str, status: int
) -> None:
    objects.put("k", b"old", content_type=TEXT)
    operation, call = CALLS[name]
    with refused(aws.s3, operation, code, status=status, times=ATTEMPTS - 1):
        call(objects)
    with (
        refused(aws.s3, operation, code, status=status) as sent,
        pytest.raises(StorageUnavailableError),
    ):
        call(objects)
    assert len(sent) == ATTEMPTS


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize(("code", "status"), [("AccessDenied", 403), ("NoSuchBucket", 404)])
def test_a_fault_that_stays_is_reported_at_once(
    aws: FakeAws, objects: S3Objects, name: str, code: str, status: int
) -> None:
    operation, call = CALLS[name]
    with (
        refused(aws.s3, operation, code, status=status) as sent,
        pytest.raises(StorageError, match=code) as caught,
    ):
        call(objects)
    assert type(caught.value) is StorageError
    assert "secret" not in str(caught.value)
    assert len(sent) == 1


@pytest.mark.parametrize("name", sorted(CALLS.keys() - {"put_if_absent"}))
def test_every_call_reports_an_unreachable_service(
    aws: FakeAws, objects: S3Objects, name: str
) -> None:
    operation, call = CALLS[name]
    with reply_lost(aws.s3, operation, times=99), pytest.raises(StorageUnavailableError):
        call(objects)


# ── versions, lists, deletion ──────────────────────────────────────────────────────────────────


def test_a_pinned_version_outlives_its_replacement(objects: S3Objects) -> None:
    """Requirement N8: a job reads the seeds that it began with."""
    objects.put("seeds", b"old", content_type=TEXT)
    pinned = objects.stat("seeds").version
    assert pinned is not None
    objects.put("seeds", b"new", content_type=TEXT)
    assert objects.get("seeds", version=pinned) == b"old"
    assert objects.get("seeds") == b"new"
    objects.delete(["seeds"])
    assert objects.get("seeds", version=pinned) == b"old"
    with pytest.raises(NotFoundError):
        objects.get("seeds")


@pytest.mark.parametrize(
    ("code", "status"),
    [("NoSuchVersion", 404), ("InvalidArgument", 400), ("MethodNotAllowed", 405)],
)
def test_a_version_that_is_gone_or_never_was(
    aws: FakeAws, objects: S3Objects, code: str, status: int
) -> None:
    with (
        refused(aws.s3, "GetObject", code, status=status),
        pytest.raises(NotFoundError),
    ):
        objects.get("k", version="of another store")


def test_an_object_from_before_versioning_can_not_be_pinned(
    aws: FakeAws, objects: S3Objects
) -> None:
    aws.s3.create_bucket(Bucket="plain-bucket")
    plain = S3Objects(client=aws.s3, bucket_name="plain-bucket")
    plain.put("k", b"x", content_type=TEXT)
    assert plain.stat("k").version is None

    def null_version(parsed: Any, **_: object) -> None:
        parsed["VersionId"] = "null"

    objects.put("k", b"x", content_type=TEXT)
    with hooked(aws.s3, "after-call.s3.HeadObject", null_version, last=True):
        assert objects.stat("k").version is None


def test_a_key_that_could_not_be_deleted_is_reported(aws: FakeAws, objects: S3Objects) -> None:
    codes = ["InternalError", "AccessDenied"]
    for code, error in zip(codes, (StorageUnavailableError, StorageError), strict=True):

        def fail(parsed: Any, code: str = code, **_: object) -> None:
            parsed["Errors"] = [{"Key": "k2", "Code": code, "Message": "secret detail"}]

        with (
            hooked(aws.s3, "after-call.s3.DeleteObjects", fail, last=True),
            pytest.raises(error, match="k2") as caught,
        ):
            objects.delete(["k1", "k2"])
        assert type(caught.value) is error


def test_deletion_takes_keys_a_thousand_at_a_time(aws: FakeAws, objects: S3Objects) -> None:
    sizes: list[int] = []

    def count(params: Any, **_: object) -> None:
        sizes.append(len(params["Delete"]["Objects"]))

    with hooked(aws.s3, "provide-client-params.s3.DeleteObjects", count, last=True):
        objects.delete(f"k{number}" for number in range(2_001))
        objects.delete([])
    assert sizes == [1000, 1000, 1]


# ── streams ────────────────────────────────────────────────────────────────────────────────────


def test_a_small_object_is_one_request(aws: FakeAws, objects: S3Objects) -> None:
    with refused(aws.s3, "CreateMultipartUpload", "AccessDenied", status=403):
        with objects.open_writer("k", content_type="text/csv") as writer:
            for _ in range(3):
                writer.write(b"abc")
        with objects.open_writer("empty", content_type=TEXT):
            pass
    assert objects.get("k") == b"abcabcabc"
    assert objects.get("empty") == b""
    assert aws.s3.head_object(Bucket=BUCKET, Key="k")["ContentType"] == "text/csv"


@pytest.mark.parametrize("size", [PART - 1, PART, PART + 1, 2 * PART, 3 * PART + 7])
def test_a_large_object_arrives_whole(aws: FakeAws, objects: S3Objects, size: int) -> None:
    body = bytes(range(251)) * (size // 251 + 1)
    view = memoryview(body)[:size]
    with objects.open_writer("k", content_type="text/csv") as writer:
        for start in range(0, size, 700_001):
            writer.write(view[start : start + 700_001])
        assert writer.tell() == size
    with objects.open_reader("k") as reader:
        assert reader.read() == view
    assert open_uploads(aws) == 0
    assert aws.s3.head_object(Bucket=BUCKET, Key="k")["ContentType"] == "text/csv"


def test_parts_are_bounded_whatever_is_written_at_once(aws: FakeAws, objects: S3Objects) -> None:
    sizes: list[int] = []

    def measure(params: Any, **_: object) -> None:
        sizes.append(len(params["Body"]))

    with (
        hooked(aws.s3, "provide-client-params.s3.UploadPart", measure, last=True),
        objects.open_writer("k", content_type=TEXT) as writer,
    ):
        writer.write(b"x")
        writer.write(bytes(4 * PART))
    assert sum(sizes) == 4 * PART + 1
    assert min(sizes[:-1]) >= PART
    assert max(sizes) < 2 * PART


@pytest.mark.parametrize("size", [10, 2 * PART])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_exception_leaves_the_old_object_and_no_trace(
    aws: FakeAws, objects: S3Objects, size: int, error: type[BaseException]
) -> None:
    objects.put("k", b"old", content_type=TEXT)

    def write_and_fail() -> None:
        with objects.open_writer("k", content_type=TEXT) as writer:
            writer.write(bytes(size))
            raise error

    with pytest.raises(error):
        write_and_fail()
    assert objects.get("k") == b"old"
    assert versions(aws, "k") == 1
    assert open_uploads(aws) == 0


@pytest.mark.parametrize("operation", ["UploadPart", "CompleteMultipartUpload"])
def test_a_failed_upload_leaves_the_old_object_and_no_trace(
    aws: FakeAws, objects: S3Objects, operation: str
) -> None:
    objects.put("k", b"old", content_type=TEXT)
    with (
        refused(aws.s3, operation, "InternalError", status=500),
        pytest.raises(StorageUnavailableError),
        objects.open_writer("k", content_type=TEXT) as writer,
    ):
        writer.write(bytes(2 * PART))
    assert objects.get("k") == b"old"
    assert open_uploads(aws) == 0


def test_a_completion_that_fails_with_200_is_an_error(aws: FakeAws, objects: S3Objects) -> None:
    """S3 sends the status before it knows the result."""
    objects.put("k", b"old", content_type=TEXT)
    with (
        refused(aws.s3, "CompleteMultipartUpload", "InternalError", status=200) as sent,
        pytest.raises(StorageUnavailableError),
        objects.open_writer("k", content_type=TEXT) as writer,
    ):
        writer.write(bytes(2 * PART))
    assert len(sent) == ATTEMPTS
    assert objects.get("k") == b"old"


def test_a_clean_up_that_fails_does_not_hide_the_error(aws: FakeAws, objects: S3Objects) -> None:
    def write_and_fail() -> None:
        with objects.open_writer("k", content_type=TEXT) as writer:
            writer.write(bytes(2 * PART))
            raise ValueError("the caller's")

    with (
        refused(aws.s3, "AbortMultipartUpload", "AccessDenied", status=403) as sent,
        pytest.raises(ValueError, match="the caller's"),
    ):
        write_and_fail()
    assert sent


def test_closing_the_stream_does_not_publish_it(aws: FakeAws, objects: S3Objects) -> None:
    """A text or Parquet writer closes what it writes to, also when it fails."""

    def write_close_and_fail() -> None:
        with objects.open_writer("k", content_type=TEXT) as raw:
            with io.TextIOWrapper(raw, encoding="utf-8") as text:
                text.write("half")
            raise ValueError("later")

    with pytest.raises(ValueError, match="later"):
        write_close_and_fail()
    assert versions(aws, "k") == 0
    with objects.open_writer("k", content_type=TEXT) as raw:
        with io.TextIOWrapper(raw, encoding="utf-8") as text:
            text.write("Größe")
        with pytest.raises(ValueError, match="closed"):
            raw.write(b"more")
    assert objects.get("k").decode() == "Größe"


class _Torn(io.BytesIO):
    """A body whose connection breaks in the middle."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or self.tell() + size > MIB:
            raise ProtocolError("connection broken")
        return super().read(size)


def read_lines(objects: S3Objects) -> None:
    with objects.open_reader("k") as reader:
        for _ in reader:
            pass


@pytest.mark.parametrize("call", [lambda objects: objects.get("k"), read, read_lines])
def test_a_connection_that_breaks_while_reading_is_reported(
    aws: FakeAws, objects: S3Objects, call: Callable[[S3Objects], object]
) -> None:
    body = b"a line\n" * (2 * MIB // 7)
    objects.put("k", body, content_type=TEXT)

    def tear(parsed: Any, **_: object) -> None:
        parsed["Body"]._raw_stream = _Torn(body)

    with (
        hooked(aws.s3, "after-call.s3.GetObject", tear, last=True),
        pytest.raises(StorageUnavailableError),
    ):
        call(objects)


# ── what only the API needs ────────────────────────────────────────────────────────────────────


def test_an_older_version_is_streamed(objects: S3Objects) -> None:
    objects.put("seeds", b"old", content_type=TEXT)
    pinned = objects.stat("seeds").version
    objects.put("seeds", b"new", content_type=TEXT)
    objects.delete(["seeds"])
    with objects.open_version("seeds", version=pinned) as reader:
        assert reader.read() == b"old"


@pytest.mark.parametrize(
    ("code", "status"),
    [("NoSuchVersion", 404), ("InvalidArgument", 400), ("MethodNotAllowed", 405)],
)
def test_a_version_that_is_gone_or_never_was_is_not_streamed(
    aws: FakeAws, objects: S3Objects, code: str, status: int
) -> None:
    with (
        refused(aws.s3, "GetObject", code, status=status),
        pytest.raises(NotFoundError),
        objects.open_version("k", version="of another store"),
    ):
        pass


def test_a_page_is_one_request(aws: FakeAws, objects: S3Objects) -> None:
    for number in range(5):
        objects.put(f"a/{number}", b"x", content_type=TEXT)
    with crashing(aws.s3, at=99, after=False) as sent:
        page = objects.list_page("a/", limit=2, after="a/1")
    assert [each.key for each in page.items] == ["a/2", "a/3"]
    assert sent == ["ListObjectsV2"]


def test_a_position_that_is_no_text_is_refused(objects: S3Objects) -> None:
    with pytest.raises(InputError):
        objects.list_page("a/", limit=2, after="a/\ud800")


def test_more_versions_than_a_request_takes_are_removed(
    aws: FakeAws, objects: S3Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.aws.objects._DELETE_KEYS", 4)
    for number in range(3):
        for body in (b"1", b"2", b"3"):
            objects.put(f"jobs/a/{number}", body, content_type=TEXT)
    objects.delete(["jobs/a/0", "jobs/a/1"])
    with crashing(aws.s3, at=99, after=False) as sent:
        objects.delete_all("jobs/a/")
    left = aws.s3.list_object_versions(Bucket=BUCKET)
    assert not left.get("Versions")
    assert not left.get("DeleteMarkers")
    assert sent == ["ListObjectVersions", "DeleteObjects"] * 3 + ["ListObjectVersions"]


@pytest.mark.parametrize("after", [False, True])
def test_a_removal_that_ended_in_the_middle_is_done_by_a_second_try(
    aws: FakeAws, objects: S3Objects, monkeypatch: pytest.MonkeyPatch, *, after: bool
) -> None:
    monkeypatch.setattr("runtime.aws.objects._DELETE_KEYS", 2)
    for at in count():
        for number in range(3):
            objects.put(f"jobs/a/{number}", b"x", content_type=TEXT)
        try:
            with crashing(aws.s3, at=at, after=after) as sent:
                objects.delete_all("jobs/a/")
        except Crash:
            objects.delete_all("jobs/a/")
        assert not aws.s3.list_object_versions(Bucket=BUCKET).get("Versions")
        if len(sent) <= at:
            break
    assert at == 5


def test_a_version_that_could_not_be_removed_is_reported(aws: FakeAws, objects: S3Objects) -> None:
    codes = ["InternalError", "AccessDenied"]

    def fail_one(parsed: Any, **_: object) -> None:
        parsed["Errors"] = [{"Key": "jobs/a/k", "Code": codes.pop(0), "Message": "secret"}]

    objects.put("jobs/a/k", b"x", content_type=TEXT)
    with hooked(aws.s3, "after-call.s3.DeleteObjects", fail_one, last=True):
        with pytest.raises(StorageUnavailableError, match="jobs/a/k"):
            objects.delete_all("jobs/a/")
        objects.put("jobs/a/k", b"x", content_type=TEXT)
        with pytest.raises(StorageError, match="AccessDenied"):
            objects.delete_all("jobs/a/")


def test_what_is_written_while_all_is_removed_goes_too(aws: FakeAws, objects: S3Objects) -> None:
    """A worker has not noticed yet that its job is deleted."""
    other = S3Objects(client=aws.s3, bucket_name=BUCKET)
    objects.put("jobs/a/1", b"x", content_type=TEXT)
    with meanwhile(
        aws.s3, "DeleteObjects", lambda: other.put("jobs/a/0", b"late", content_type=TEXT)
    ):
        objects.delete_all("jobs/a/")
    assert not aws.s3.list_object_versions(Bucket=BUCKET).get("Versions")
