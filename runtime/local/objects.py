"""A directory as an object store: the key is the file's path below it.

A new object is written to a temporary file, synced, then linked or renamed into place and its
folder synced: readers see the whole old or the whole new object, after a kill or a power cut too.
Temporary files live in `.tmp/<session>/`, one locked folder for each open store; the folders of
dead processes are removed when a store is opened. Keys `a` and `a/b` can't both exist here.
"""

import hashlib
import io
import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, cast

from runtime.disk import disk_errors, exclusive, make_folder, sync_folder, try_lock
from runtime.domain.errors import InputError, NotFoundError, ObjectExistsError, StorageError
from runtime.domain.pages import Page
from runtime.domain.ports import ObjectStat
from runtime.local.paging import page_of

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_TEMPORARY: Final = ".tmp"
_MAX_NAME_BYTES: Final = 255
_CHUNK_BYTES: Final = 1 << 20
_LARGE_BYTES: Final = 64 * 1024 * 1024
_REMEMBERED: Final = 100
_DELETE_KEYS: Final = 500
"""After how many files a deletion may be broken off."""
_numbers = itertools.count(1)
"""Names temporary files; with the process id in the folder's name they never meet."""


class DirectoryObjects:
    """Implements `service_ports.ApiObjects` below `root`, which is created. `content_type` is not
    kept.

    `version` is the SHA-256 of the content, worked out when `stat` is called: that reads the whole
    object. Of a large one (only seeds are pinned) it is remembered, since requests in a row ask for
    it: an object is never changed, only replaced by another file. `list` leaves it None. A key that
    can't be a path inside `root` is not found when read, refused when written.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._versions: dict[tuple[int, ...], str] = {}
        with disk_errors(f"open {root}"):
            (root / _TEMPORARY).mkdir(parents=True, exist_ok=True)
            with exclusive(root / _TEMPORARY / "lock"):
                _remove_dead_sessions(root / _TEMPORARY)
                self._session = root / _TEMPORARY / f"{os.getpid()}-{next(_numbers)}"
                self._session.mkdir()
                self._session_lock = os.open(self._session, os.O_RDONLY)
                try_lock(self._session_lock)  # nobody else knows this folder yet

    def path_of(self, key: str) -> Path:
        """Where the object is, or would be: for a laptop's own commands, to link an export."""
        return self._root / key

    def get(self, key: str, *, version: str | None = None) -> bytes:
        with self.open_reader(key) as reader, disk_errors(f"read {key}"):
            body = reader.read()
        if version is not None:
            _check_version(key, hashlib.sha256(body).hexdigest(), version)
        return body

    def stat(self, key: str) -> ObjectStat:
        with self.open_reader(key) as reader, disk_errors(f"read {key}"):
            size = reader.seek(0, os.SEEK_END)
            return ObjectStat(key=key, size=size, version=self._version_of(reader))

    def put(self, key: str, body: bytes, *, content_type: str) -> None:  # noqa: ARG002 the port's name
        with self._writing(key, _replace) as writer:
            writer.write(body)

    def put_if_absent(self, key: str, body: bytes, *, content_type: str) -> None:  # noqa: ARG002 the port's name
        with self._writing(key, _link) as writer:
            writer.write(body)

    def copy(self, source: str, target: str) -> None:
        """See the port. It is one more name of the same file, which is never changed."""
        with self.open_reader(source):  # or it is not found
            pass
        if not _is_key(target):
            raise StorageError(f"{target!r} can't be an object's key: use relative parts")
        temporary, path = self._session / str(next(_numbers)), self._root / target
        try:
            with disk_errors(f"write {target}"):
                temporary.hardlink_to(self._root / source)
                make_folder(path.parent)
                _replace(temporary, path)
                sync_folder(path.parent)
        finally:
            with suppress(OSError):  # what stays is removed with the session
                temporary.unlink(missing_ok=True)

    def list(self, prefix: str) -> Iterator[ObjectStat]:
        return self._list(prefix, b"")

    def list_versions(self, prefix: str) -> Iterator[ObjectStat]:
        return self.list(prefix)

    def list_page(self, prefix: str, *, limit: int, after: str | None = None) -> Page[ObjectStat]:
        if after is not None and not (after.startswith(prefix) and _is_key(after)):
            raise InputError("after: take it from `next` of the page before, unchanged")
        found = tuple(islice(self._list(prefix, os.fsencode(after or "")), limit + 1))
        return page_of(found, limit, item=lambda stat: stat, place=lambda stat: stat.key)

    def _list(self, prefix: str, after: bytes) -> Iterator[ObjectStat]:
        folder, slash, _ = prefix.rpartition("/")
        if slash and not _is_key(folder):
            return
        for key, entry in _walk(self._root / folder, f"{folder}{slash}", prefix, after):
            try:
                found = entry.stat()
            except FileNotFoundError:
                continue  # deleted while we walked
            written_at = datetime.fromtimestamp(found.st_mtime, UTC)
            yield ObjectStat(key=key, size=found.st_size, version=None, written_at=written_at)

    @contextmanager
    def open_version(self, key: str, *, version: str | None = None) -> Iterator[BinaryIO]:
        """See the port. The file stays what it is while it is open: a new object is a new file."""
        with self.open_reader(key) as reader:
            if version is not None:
                with disk_errors(f"read {key}"):
                    found = self._version_of(reader)
                    reader.seek(0)
                _check_version(key, found, version)
            yield reader

    def _version_of(self, reader: BinaryIO) -> str:
        found = os.fstat(reader.fileno())
        if found.st_size < _LARGE_BYTES:
            return _digest_of(reader)
        file = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        version = self._versions.get(file)
        if version is None:
            if len(self._versions) >= _REMEMBERED:
                self._versions.clear()
            version = self._versions[file] = _digest_of(reader)
        return version

    @contextmanager
    def open_reader(self, key: str) -> Iterator[BinaryIO]:
        if not _is_key(key):
            raise NotFoundError(f"no object {key!r}")
        with disk_errors(f"read {key}"):
            try:
                reader = (self._root / key).open("rb")
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as exc:
                raise NotFoundError(f"no object {key}") from exc
        with reader:
            yield reader

    @contextmanager
    def open_writer(self, key: str, *, content_type: str) -> Iterator[BinaryIO]:  # noqa: ARG002 the port's name
        with self._writing(key, _replace) as writer:
            yield writer

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            if not _is_key(key):
                continue
            with disk_errors(f"delete {key}"), suppress(FileNotFoundError, NotADirectoryError):
                (self._root / key).unlink()

    def delete_all(self, prefix: str, *, enough: Callable[[], bool] = lambda: False) -> bool:
        """See the port. An object has one version here. Folders that are left empty go too."""
        found = iter(self.list(prefix))
        while chunk := [stat.key for stat in islice(found, _DELETE_KEYS)]:
            self.delete(chunk)
            if enough() and next(iter(self.list(prefix)), None) is not None:
                return False
        parent, slash, _ = prefix.removesuffix("/").rpartition("/")
        if slash and not _is_key(parent):
            return True
        with disk_errors(f"delete {prefix}"):
            _remove_empty_folders(self._root / parent, f"{parent}{slash}", prefix)
        return True

    def close(self) -> None:
        """Remove this store's folder of temporary files; a second call is harmless."""
        if self._session_lock < 0:
            return
        with suppress(StorageError), exclusive(self._session.parent / "lock"), suppress(OSError):
            self._session.rmdir()
        os.close(self._session_lock)
        self._session_lock = -1

    @contextmanager
    def _writing(self, key: str, publish: Callable[[Path, Path], None]) -> Iterator[BinaryIO]:
        """A temporary file that `publish` moves to its place when the block ends well.

        It is gone after the block whatever happens.
        """
        if not _is_key(key):
            raise StorageError(f"{key!r} can't be an object's key: use relative parts without dots")
        temporary = self._session / str(next(_numbers))
        with disk_errors(f"write {key}"):
            raw = _RawWriter(temporary, key)
        try:
            with raw, io.BufferedWriter(raw, _CHUNK_BYTES) as writer:
                try:
                    yield cast("BinaryIO", writer)
                    writer.flush()
                    with disk_errors(f"write {key}"):
                        os.fsync(raw.fileno())
                except BaseException:
                    raw.close()  # else the buffer would try once more to write
                    raise
            with disk_errors(f"write {key}"):
                target = self._root / key
                make_folder(target.parent)
                publish(temporary, target)
                sync_folder(target.parent)
        finally:
            with suppress(OSError):  # what stays is removed with the session
                temporary.unlink(missing_ok=True)


def _replace(temporary: Path, target: Path) -> None:
    temporary.replace(target)


def _link(temporary: Path, target: Path) -> None:
    """Of two writers one wins, with its whole content: a link fails where the name is taken."""
    try:
        target.hardlink_to(temporary)
    except FileExistsError as exc:
        raise ObjectExistsError(f"{target} exists already") from exc


class _RawWriter(io.FileIO):
    """A new file whose failed writes are errors of our tree, wherever the buffer flushes."""

    def __init__(self, path: Path, key: str) -> None:
        super().__init__(path, "x")
        self._key = key

    def write(self, data: "ReadableBuffer", /) -> int:
        with disk_errors(f"write {self._key}"):
            return super().write(data)


def _is_key(key: str) -> bool:
    """Whether `key` is a path that stays inside the root and out of the temporary files."""
    try:
        parts = key.encode().split(b"/")
    except UnicodeEncodeError:
        return False
    return parts[0] != _TEMPORARY.encode() and all(
        0 < len(part) <= _MAX_NAME_BYTES and part not in {b".", b".."} and b"\0" not in part
        for part in parts
    )


def _digest_of(reader: BinaryIO) -> str:
    """The version of a whole file."""
    reader.seek(0)
    digest = hashlib.sha256()
    while chunk := reader.read(_CHUNK_BYTES):
        digest.update(chunk)
    return digest.hexdigest()


def _check_version(key: str, found: str, wanted: str) -> None:
    if found != wanted:
        raise NotFoundError(f"{key} has changed: its version {wanted[:12]} is gone")


def _walk(
    folder: Path, base: str, prefix: str, after: bytes
) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Files below `folder` in the order of their keys' bytes, one folder in memory at a time, from
    the first key that is greater than `after`.
    """
    with disk_errors(f"list {folder}"):
        try:
            with os.scandir(folder) as scan:
                entries = list(scan)
        except (FileNotFoundError, NotADirectoryError):
            return
    keyed = [
        (f"{base}{entry.name}/" if entry.is_dir() else base + entry.name, entry)
        for entry in entries
    ]
    for key, entry in sorted(keyed, key=lambda pair: os.fsencode(pair[0])):
        order = os.fsencode(key)
        if key == f"{_TEMPORARY}/" or (order <= after and not after.startswith(order)):
            continue
        if key.endswith("/"):
            if key.startswith(prefix) or prefix.startswith(key):
                yield from _walk(folder / entry.name, key, prefix, after)
        elif key.startswith(prefix) and order > after:
            yield key, entry


def _remove_empty_folders(folder: Path, base: str, prefix: str) -> None:
    """Remove every folder whose key starts with `prefix` and that holds no file. One that a writer
    fills meanwhile stays.
    """
    try:
        with os.scandir(folder) as scan:
            names = [entry.name for entry in scan if entry.is_dir(follow_symlinks=False)]
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in names:
        key = f"{base}{name}/"
        if key.startswith(prefix) and key != f"{_TEMPORARY}/":
            _remove_empty_folders(folder / name, key, prefix)
            with suppress(OSError):
                (folder / name).rmdir()


def _remove_dead_sessions(folder: Path) -> None:
    """Remove the temporary files of processes that were killed; live ones hold a lock."""
    for session in folder.iterdir():
        if not session.is_dir():
            continue
        descriptor = os.open(session, os.O_RDONLY)
        try:
            if not try_lock(descriptor):
                continue
            for leftover in session.iterdir():
                leftover.unlink()
            session.rmdir()
        finally:
            os.close(descriptor)
