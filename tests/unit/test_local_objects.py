"""The directory store: what only a directory can get wrong."""

import errno
import hashlib
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import pytest

from runtime.domain.errors import (
    NotFoundError,
    ObjectExistsError,
    StorageError,
    StorageFullError,
)
from runtime.local import objects as objects_module
from runtime.local.objects import DirectoryObjects

TYPE = "application/octet-stream"
BAD_KEYS = [
    "",
    "/etc/passwd",
    "../outside",
    "a/../../outside",
    "a/./b",
    "a//b",
    "a/",
    "a\0b",
    "\ud800",
    ".tmp/lock",
    "a/" + "x" * 256,
]


@pytest.fixture
def objects(tmp_path: Path) -> Iterator[DirectoryObjects]:
    store = DirectoryObjects(tmp_path / "objects")
    yield store
    store.close()


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """The kernel refuses to let any file of this process grow past `size` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def files_below(folder: Path) -> set[str]:
    return {str(each.relative_to(folder)) for each in folder.rglob("*") if each.is_file()}


@pytest.mark.parametrize("key", BAD_KEYS)
def test_a_key_never_leaves_the_store(objects: DirectoryObjects, tmp_path: Path, key: str) -> None:
    (tmp_path / "outside").write_bytes(b"private")

    with pytest.raises(NotFoundError):
        objects.get(key)
    with pytest.raises(NotFoundError):
        objects.stat(key)
    with pytest.raises(StorageError):
        objects.put(key, b"x", content_type=TYPE)
    with pytest.raises(StorageError):
        objects.put_if_absent(key, b"x", content_type=TYPE)
    objects.delete([key])

    assert (tmp_path / "outside").read_bytes() == b"private"
    assert list(objects.list("")) == []
    assert files_below(tmp_path) == {"outside", "objects/.tmp/lock"}


@pytest.mark.parametrize("prefix", ["../", "/", "a/../", "//", ".tmp/", "./"])
def test_list_never_leaves_the_store(
    objects: DirectoryObjects, tmp_path: Path, prefix: str
) -> None:
    (tmp_path / "outside").write_bytes(b"private")
    objects.put("a/b", b"x", content_type=TYPE)

    assert list(objects.list(prefix)) == []


def test_a_key_below_an_object_is_an_error_of_the_tree(objects: DirectoryObjects) -> None:
    objects.put("a", b"x", content_type=TYPE)

    with pytest.raises(StorageError):
        objects.put("a/b", b"x", content_type=TYPE)
    with pytest.raises(NotFoundError):
        objects.get("a/b")


def test_a_full_disk_keeps_the_old_object(objects: DirectoryObjects) -> None:
    objects.put("a", b"old", content_type=TYPE)

    with file_size_limit(4096):
        with pytest.raises(StorageFullError):
            objects.put("a", bytes(5000), content_type=TYPE)
        with pytest.raises(StorageFullError):
            objects.put_if_absent("b", bytes(5000), content_type=TYPE)

    assert objects.get("a") == b"old"
    assert [each.key for each in objects.list("")] == ["a"]


def test_a_disk_that_fills_up_while_streaming(objects: DirectoryObjects, tmp_path: Path) -> None:
    def stream() -> None:
        with objects.open_writer("a", content_type=TYPE) as writer:
            for _ in range(5):
                writer.write(bytes(1 << 20))

    with file_size_limit(3 << 20), pytest.raises(StorageFullError):
        stream()

    assert files_below(tmp_path) == {"objects/.tmp/lock"}


def test_a_disk_that_is_full_when_the_buffer_is_flushed(objects: DirectoryObjects) -> None:
    with (
        file_size_limit(100),
        pytest.raises(StorageFullError),
        objects.open_writer("a", content_type=TYPE) as writer,
    ):
        writer.write(bytes(200))

    assert list(objects.list("")) == []


def test_the_callers_own_error_is_not_hidden_by_a_full_disk(objects: DirectoryObjects) -> None:
    def fail() -> None:
        with objects.open_writer("a", content_type=TYPE) as writer:
            writer.write(bytes(200))  # still in the buffer
            raise ZeroDivisionError

    with file_size_limit(100), pytest.raises(ZeroDivisionError):
        fail()

    assert list(objects.list("")) == []


def test_a_failed_sync_is_not_taken_for_success(
    objects: DirectoryObjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_descriptor: int) -> None:
        raise OSError(errno.EIO, "staged")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(StorageError):
            objects.put("a", b"x", content_type=TYPE)

    assert list(objects.list("")) == []


def test_content_and_folders_are_synced_before_a_write_returns(
    objects: DirectoryObjects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[str, bool]] = []
    real = os.fsync
    target = tmp_path / "objects/jobs/1"

    def watch(descriptor: int) -> None:
        synced.append((str(Path(f"/proc/self/fd/{descriptor}").readlink()), target.exists()))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", watch)
    objects.put_if_absent("jobs/1", b"x", content_type=TYPE)

    (content, existed), *folders = synced
    assert "/.tmp/" in content
    assert not existed
    assert (str(tmp_path / "objects/jobs"), True) in folders  # the new name
    assert (str(tmp_path / "objects"), False) in folders  # the new folder


def test_an_open_writer_survives_another_store_that_opens(
    objects: DirectoryObjects, tmp_path: Path
) -> None:
    with objects.open_writer("a", content_type=TYPE) as writer:
        writer.write(b"whole")
        DirectoryObjects(tmp_path / "objects").close()

    assert objects.get("a") == b"whole"


def test_temporary_files_go_with_the_store(tmp_path: Path) -> None:
    store = DirectoryObjects(tmp_path)
    store.put("a", b"x", content_type=TYPE)
    with pytest.raises(ObjectExistsError):
        store.put_if_absent("a", b"y", content_type=TYPE)
    store.close()
    store.close()

    assert {str(each.relative_to(tmp_path)) for each in tmp_path.rglob("*")} == {
        "a",
        ".tmp",
        ".tmp/lock",
    }


def test_a_folder_that_can_not_be_made_is_an_error_of_the_tree(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(StorageError):
        DirectoryObjects(tmp_path / "file")


def test_the_version_of_a_large_object_is_worked_out_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests in a row ask for it, and reading gigabytes takes each of them its time."""
    monkeypatch.setattr(objects_module, "_LARGE_BYTES", 3)
    digests: list[str] = []
    digest = objects_module._digest_of

    def counted(reader: BinaryIO) -> str:
        digests.append(digest(reader))
        return digests[-1]

    monkeypatch.setattr(objects_module, "_digest_of", counted)
    objects = DirectoryObjects(tmp_path)
    for body in (b"four", b"five"):
        objects.put("a", body, content_type="")
        stat = objects.stat("a")
        assert stat.version == hashlib.sha256(body).hexdigest()
        for _ in range(2):
            with objects.open_version("a", version=stat.version) as reader:
                assert reader.read() == body
    assert len(digests) == 2
