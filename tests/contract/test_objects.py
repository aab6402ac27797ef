"""What every object store promises (`ports.ObjectStore`)."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import pytest

from runtime.domain.errors import NotFoundError, ObjectExistsError
from runtime.domain.ports import ObjectStore

TYPE = "application/octet-stream"


class OpenPorts(Protocol):
    @property
    def objects(self) -> ObjectStore: ...


@pytest.fixture
def objects(open_ports: Callable[[], OpenPorts]) -> ObjectStore:
    return open_ports().objects


def keys(objects: ObjectStore, prefix: str) -> list[str]:
    return [each.key for each in objects.list(prefix)]


@pytest.mark.parametrize("body", [b"", b"x", b"\x00\xff\n" * 100_000])
def test_get_returns_what_put_stored(objects: ObjectStore, body: bytes) -> None:
    objects.put("seed-data/ann/books.jsonl", body, content_type=TYPE)

    assert objects.get("seed-data/ann/books.jsonl") == body
    assert objects.stat("seed-data/ann/books.jsonl").size == len(body)


def test_another_process_sees_a_put_at_once(open_ports: Callable[[], OpenPorts]) -> None:
    open_ports().objects.put("a/b", b"body", content_type=TYPE)

    assert open_ports().objects.get("a/b") == b"body"


def test_put_replaces(objects: ObjectStore) -> None:
    objects.put("a", b"a longer first body", content_type=TYPE)
    objects.put("a", b"second", content_type=TYPE)

    assert objects.get("a") == b"second"
    assert keys(objects, "") == ["a"]


def test_what_is_missing_is_not_found(objects: ObjectStore) -> None:
    objects.put("jobs/1/outputs/batch-0001.jsonl", b"{}", content_type=TYPE)

    for key in ("other", "jobs/1/outputs", "jobs/1/outputs/batch-0001.jsonl/deeper"):
        with pytest.raises(NotFoundError):
            objects.get(key)
        with pytest.raises(NotFoundError):
            objects.stat(key)
        with pytest.raises(NotFoundError), objects.open_reader(key):
            pass


def test_a_version_names_the_very_bytes(objects: ObjectStore) -> None:
    objects.put("seeds", b"first", content_type=TYPE)
    pinned = objects.stat("seeds").version
    assert pinned is not None
    assert objects.get("seeds", version=pinned) == b"first"

    objects.put("seeds", b"other", content_type=TYPE)

    assert objects.stat("seeds").version != pinned
    try:
        kept = objects.get("seeds", version=pinned)
    except NotFoundError:
        return  # a store that keeps no old versions says so …
    assert kept == b"first"  # … and never hands out other bytes


def test_a_pinned_version_of_a_deleted_object(objects: ObjectStore) -> None:
    objects.put("seeds", b"first", content_type=TYPE)
    objects.delete(["seeds"])

    with pytest.raises(NotFoundError):
        objects.get("seeds", version="0" * 64)


def test_put_if_absent_creates_once_and_changes_nothing_after(objects: ObjectStore) -> None:
    objects.put_if_absent("jobs/1/outputs/batch-0001.jsonl", b"first", content_type=TYPE)

    with pytest.raises(ObjectExistsError):
        objects.put_if_absent("jobs/1/outputs/batch-0001.jsonl", b"second", content_type=TYPE)
    assert objects.get("jobs/1/outputs/batch-0001.jsonl") == b"first"


def test_put_if_absent_after_delete(objects: ObjectStore) -> None:
    objects.put_if_absent("a", b"first", content_type=TYPE)
    objects.delete(["a"])
    objects.put_if_absent("a", b"second", content_type=TYPE)

    assert objects.get("a") == b"second"


def test_of_racing_creators_one_wins_with_its_whole_body(
    open_ports: Callable[[], OpenPorts],
) -> None:
    stores = [open_ports().objects for _ in range(4)]
    bodies = [bytes([65 + number]) * 50_000 for number in range(4)]

    def create(number: int, key: str, barrier: threading.Barrier) -> bool:
        barrier.wait()
        try:
            stores[number].put_if_absent(key, bodies[number], content_type=TYPE)
        except ObjectExistsError:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        for turn in range(10):
            key, barrier = f"race/{turn}", threading.Barrier(4)
            wins = list(pool.map(lambda n, k=key, b=barrier: create(n, k, b), range(4)))
            assert wins.count(True) == 1
            assert stores[0].get(key) == bodies[wins.index(True)]


def test_a_copy_replaces_and_is_an_object_of_its_own(objects: ObjectStore) -> None:
    source, target = "jobs/1/pieces/é 1.parquet", "jobs/1/exports/data/a.parquet"
    objects.put(source, b"new", content_type=TYPE)
    for old in (None, b"old and longer"):
        if old is not None:
            objects.put(target, old, content_type=TYPE)
        objects.copy(source, target)
        assert objects.get(target) == b"new"
    assert keys(objects, "") == [target, source]

    objects.put(source, b"another", content_type=TYPE)
    assert objects.get(target) == b"new"
    objects.delete([source])
    assert objects.get(target) == b"new"


def test_what_is_missing_is_not_copied(objects: ObjectStore) -> None:
    objects.put("there", b"old", content_type=TYPE)

    with pytest.raises(NotFoundError):
        objects.copy("missing", "there")

    assert objects.get("there") == b"old"


def test_list_gives_keys_in_order_below_the_prefix(objects: ObjectStore) -> None:
    stored = [
        "jobs/1/checkpoint.json",
        "jobs/1/failures/part-0001.jsonl",
        "jobs/1/failures.jsonl",
        "jobs/1/outputs/batch-0001.jsonl",
        "jobs/1/outputs/batch-0002.jsonl",
        "jobs/1/outputs/batch-10000.jsonl",
        "jobs/1/outputs/shard-0003/batch-0001.jsonl",
        "jobs/10/checkpoint.json",
        "jobs/1-b/checkpoint.json",
        "jobs/é/checkpoint.json",
        "jobs/Z/checkpoint.json",
    ]
    for key in stored:
        objects.put(key, key.encode(), content_type=TYPE)
    ordered = sorted(stored, key=str.encode)

    for prefix in (
        "",
        "jobs",
        "jobs/",
        "jobs/1",
        "jobs/1/",
        "jobs/1/failures",
        "jobs/1/failures/",
        "jobs/1/outputs/",
        "jobs/1/outputs/batch-0",
        "jobs/1/outputs/batch-0001.jsonl",
        "jobs/1/outputs/batch-0001.jsonl/",
        "jobs/2",
        "obs",
    ):
        expected = [key for key in ordered if key.startswith(prefix)]
        assert keys(objects, prefix) == expected, prefix
    assert {each.key: each.size for each in objects.list("")} == {
        key: len(key.encode()) for key in stored
    }


def test_list_of_more_than_one_page(objects: ObjectStore) -> None:
    expected = [f"many/{number:05d}" for number in range(1005)]
    for key in expected:
        objects.put(key, b"", content_type=TYPE)

    assert keys(objects, "many/") == expected


def test_reader_streams_in_pieces(objects: ObjectStore) -> None:
    objects.put("a", b"0123456789" * 1000, content_type=TYPE)

    with objects.open_reader("a") as reader:
        assert reader.read(4) == b"0123"
        assert reader.read(4) == b"4567"
        assert reader.read() == b"89" + b"0123456789" * 999
        assert reader.read(1) == b""


def test_reader_gives_lines(objects: ObjectStore) -> None:
    objects.put("a", b"one\ntwo\n\nfour", content_type=TYPE)

    with objects.open_reader("a") as reader:
        assert list(reader) == [b"one\n", b"two\n", b"\n", b"four"]


def test_writer_stores_when_the_block_ends(objects: ObjectStore) -> None:
    objects.put("export", b"old", content_type=TYPE)
    piece = bytes(range(256)) * 4096  # 1 MiB: more than one part on S3

    with objects.open_writer("export", content_type=TYPE) as writer:
        for _ in range(9):
            assert writer.write(piece) == len(piece)
        assert objects.get("export") == b"old"

    assert objects.get("export") == piece * 9
    assert keys(objects, "") == ["export"]


def test_writer_of_nothing_stores_an_empty_object(objects: ObjectStore) -> None:
    with objects.open_writer("empty", content_type=TYPE):
        pass

    assert objects.get("empty") == b""


def test_writer_that_fails_leaves_no_trace(objects: ObjectStore) -> None:
    objects.put("export", b"old", content_type=TYPE)

    def fail(key: str, size: int) -> None:
        with objects.open_writer(key, content_type=TYPE) as writer:
            writer.write(bytes(size))
            raise ZeroDivisionError

    for key in ("export", "new"):
        for size in (10, 9 << 20):
            with pytest.raises(ZeroDivisionError):
                fail(key, size)

    assert objects.get("export") == b"old"
    assert keys(objects, "") == ["export"]


def test_delete_removes_and_ignores_missing_keys(objects: ObjectStore) -> None:
    for key in ("a/1", "a/2", "b"):
        objects.put(key, b"x", content_type=TYPE)

    objects.delete(each for each in ("a/1", "a/2", "a/3", "never/there"))
    objects.delete([])

    assert keys(objects, "") == ["b"]


def test_delete_of_more_than_one_request_holds(objects: ObjectStore) -> None:
    for number in range(3):
        objects.put(f"many/{number}", b"", content_type=TYPE)

    objects.delete(f"many/{number}" for number in reversed(range(1005)))

    assert keys(objects, "") == []


@pytest.mark.parametrize(
    "key", ["jobs/a b/+%2e&=?#.json", "seed-data/ann/Bücher 本.jsonl", "jobs/j#3/x"]
)
def test_unusual_keys_are_themselves(objects: ObjectStore, key: str) -> None:
    objects.put(key, b"x", content_type=TYPE)

    assert objects.get(key) == b"x"
    assert keys(objects, key.rpartition("/")[0]) == [key]
