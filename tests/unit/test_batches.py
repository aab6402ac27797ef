"""Batches: written once, adopted when taken, read in the order of their numbers."""

import logging
from collections.abc import Iterator
from itertools import islice

import pytest

from runtime.contract.keys import FAILURE_PARTS, NumberedObjects, batch_key, failure_part_key
from runtime.domain.errors import StorageUnavailableError
from runtime.domain.ports import ObjectStat
from runtime.export.batches import Batch, Batches
from tests.fixtures.memory_objects import MemoryObjects


def line(index: int, text: str = "") -> bytes:
    return b'{"index":%d,"text":"%s"}' % (index, text.encode())


class FaultyObjects(MemoryObjects):
    """Refuses what is named in `broken`; `lose_reply` stores the next object and then fails."""

    def __init__(self) -> None:
        super().__init__()
        self.broken: set[str] = set()
        self.lose_reply = False

    def _check(self, operation: str) -> None:
        if operation in self.broken:
            raise StorageUnavailableError(f"{operation} is down: try again")

    def list(self, prefix: str) -> Iterator[ObjectStat]:
        found = super().list(prefix)
        yield from islice(found, 1)  # the fault comes on a later page
        self._check("list")
        yield from found

    def get(self, key: str, *, version: str | None = None) -> bytes:
        self._check("get")
        return super().get(key, version=version)

    def put_if_absent(self, key: str, body: bytes, *, content_type: str) -> None:
        self._check("put")
        super().put_if_absent(key, body, content_type=content_type)
        if self.lose_reply:
            self.lose_reply = False
            raise StorageUnavailableError("the reply was lost: try again")


@pytest.fixture
def objects() -> FaultyObjects:
    return FaultyObjects()


@pytest.fixture
def batches(objects: FaultyObjects) -> Batches:
    return Batches(objects)


def test_a_batch_is_one_object_of_json_lines(objects: FaultyObjects, batches: Batches) -> None:
    saved = batches.save_batch("j1", 1, [line(0), line(3)])

    assert objects.bodies == {"jobs/j1/outputs/batch-0001.jsonl": line(0) + b"\n" + line(3) + b"\n"}
    assert saved is None
    (batch,) = batches.load_all_batches("j1")
    assert objects.content_types[batch.key] == "application/x-ndjson"
    assert batch == Batch(
        number=1,
        key="jobs/j1/outputs/batch-0001.jsonl",
        lines=(line(0), line(3)),
        indices=(0, 3),
    )


def test_a_lost_reply_is_success_on_the_second_attempt(
    objects: FaultyObjects, batches: Batches
) -> None:
    objects.lose_reply = True
    with pytest.raises(StorageUnavailableError):
        batches.save_batch("j1", 1, [line(0)])

    saved = batches.save_batch("j1", 1, [line(0)])

    assert saved is None
    assert [batch.indices for batch in batches.load_all_batches("j1")] == [(0,)]


def test_a_taken_number_is_adopted_and_never_overwritten(
    objects: FaultyObjects, batches: Batches, caplog: pytest.LogCaptureFixture
) -> None:
    theirs = [line(4, "theirs"), line(5, "theirs")]
    Batches(objects).save_batch("j1", 7, theirs)
    before = dict(objects.bodies)

    saved = batches.save_batch("j1", 7, [line(4, "ours")])

    assert saved is not None
    assert saved.lines == tuple(theirs)
    assert saved.indices == (4, 5)
    assert objects.bodies == before
    assert "batch adopted" in caplog.text


@pytest.mark.parametrize("operation", ["put", "get"])
def test_a_storage_error_reaches_the_owner_who_retries(
    objects: FaultyObjects, batches: Batches, operation: str
) -> None:
    """S6.4: the retry belongs to the owner's loop, so one call is one attempt."""
    objects.put(batch_key("j1", 1), b"{}", content_type="x")
    objects.broken = {operation}

    with pytest.raises(StorageUnavailableError):
        batches.save_batch("j1", 1, [line(0)])


def test_batches_come_by_number_not_by_key(batches: Batches) -> None:
    for number in (10_000, 9_999, 2, 10):
        batches.save_batch("j1", number, [line(number)])

    assert [batch.number for batch in batches.load_all_batches("j1")] == [2, 10, 9_999, 10_000]
    assert [b.indices for b in batches.load_all_batches("j1", from_number=9_999)] == [
        (9_999,),
        (10_000,),
    ]


def test_without_a_shard_every_shard_is_read_and_with_one_only_it(objects: FaultyObjects) -> None:
    for shard, number, index in ((0, 1, 0), (0, 2, 1), (1, 1, 100), (1, 10_000, 101)):
        Batches(objects).save_batch("j1", number, [line(index)], shard=shard)
    Batches(objects).save_batch("j10", 1, [line(9)])

    everything = [batch.indices for batch in Batches(objects).load_all_batches("j1")]
    of_shard = [batch.indices for batch in Batches(objects).load_all_batches("j1", shard=1)]

    assert everything == [(0,), (1,), (100,), (101,)]
    assert of_shard == [(100,), (101,)]


def test_foreign_objects_are_left_alone(objects: FaultyObjects, batches: Batches) -> None:
    batches.save_batch("j1", 1, [line(0)])
    objects.put("jobs/j1/outputs/notes.txt", b"hello", content_type="text/plain")

    assert [batch.number for batch in batches.load_all_batches("j1")] == [1]


@pytest.mark.parametrize(
    "damage",
    [
        b"not json",
        b'{"index": 1',
        b'{"no": "index"}',
        b'{"index": "1"}',
        b'{"index": true}',
        b'{"index": -1}',
        b"[1]",
        b"\xff\xfe",
        b'{"index": 1, "text": "\\ud800"}',
        b'{"index": 99999999999999999999999}',
    ],
)
def test_a_damaged_line_is_logged_by_key_and_line_and_skipped(
    objects: FaultyObjects, batches: Batches, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    key = batch_key("j1", 1)
    objects.put(key, b"\n".join([line(0), damage, line(2)]), content_type="x")

    (batch,) = batches.load_all_batches("j1")

    assert batch.indices == (0, 2)
    assert batch.lines == (line(0), line(2))
    (warning,) = caplog.records
    assert warning.levelno == logging.WARNING
    assert warning.__dict__["seedwright_fields"] == {"key": key, "line": 2}


def test_a_listing_that_fails_gives_no_batches_and_says_so(
    objects: FaultyObjects, batches: Batches, caplog: pytest.LogCaptureFixture
) -> None:
    """S6.7, first half: logged, no batches, and the error is there to be seen."""
    batches.save_batch("j1", 1, [line(0)])
    objects.broken = {"list"}

    stored = batches.load_all_batches("j1")

    assert list(stored) == []
    assert isinstance(stored.error, StorageUnavailableError)
    assert "batches not listed" in caplog.text


def test_a_listed_batch_that_cannot_be_read_raises(
    objects: FaultyObjects, batches: Batches
) -> None:
    batches.save_batch("j1", 1, [line(0)])
    objects.broken = {"get"}
    stored = batches.load_all_batches("j1")

    assert stored.error is None
    with pytest.raises(StorageUnavailableError):
        list(stored)


def test_failures_are_kept_in_parts_of_their_own(objects: FaultyObjects, batches: Batches) -> None:
    parts = Batches(objects, FAILURE_PARTS)
    parts.save_batch("j1", 1, [line(5)])
    Batches(objects, FAILURE_PARTS).save_batch("j1", 2, [line(6)], shard=3)
    adopted = parts.save_batch("j1", 1, [line(8)])

    assert set(objects.bodies) == {failure_part_key("j1", 1), failure_part_key("j1", 2, 3)}
    assert [part.indices for part in parts.load_all_batches("j1")] == [(5,), (6,)]
    assert adopted is not None
    assert adopted.indices == (5,)
    assert list(batches.load_all_batches("j1")) == []


def test_another_kind_of_lines_has_a_folder_of_its_own(
    objects: FaultyObjects, batches: Batches
) -> None:
    rejects = Batches(objects, NumberedObjects(folder="rejects", stem="part"))
    assert rejects.save_batch("j1", 1, [line(2)], shard=1) is None

    assert set(objects.bodies) == {"jobs/j1/rejects/shard-0001/part-0001.jsonl"}
    assert [part.indices for part in rejects.load_all_batches("j1")] == [(2,)]
    assert list(batches.load_all_batches("j1")) == []


def test_lines_of_our_own_are_not_read_again(objects: FaultyObjects, batches: Batches) -> None:
    """Not even a line without an index is looked at: who wrote it knows it."""
    assert batches.save_batch("j1", 1, [b"not JSON"]) is None
    assert objects.bodies == {batch_key("j1", 1): b"not JSON\n"}
