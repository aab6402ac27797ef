"""What every `ApiObjects` promises beyond an `ObjectStore`."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from runtime.domain.errors import InputError, NotFoundError
from runtime.domain.service_ports import ApiObjects
from tests.fixtures.storage import OpenApi

TYPE = "application/octet-stream"
MANY_PAGES = 50


@pytest.fixture
def objects(open_api_ports: OpenApi) -> ApiObjects:
    return open_api_ports().objects


def put(objects: ApiObjects, *keys: str, body: bytes = b"body") -> None:
    for key in keys:
        objects.put(key, body, content_type=TYPE)


def pages(objects: ApiObjects, prefix: str, *, limit: int) -> Iterator[list[str]]:
    after = None
    for _ in range(MANY_PAGES):
        page = objects.list_page(prefix, limit=limit, after=after)
        yield [each.key for each in page.items]
        after = page.next
        if after is None:
            return
    raise AssertionError("a list without an end")


# ── one version ────────────────────────────────────────────────────────────────────────────────


def test_the_current_version_is_streamed(objects: ApiObjects) -> None:
    body = b"\x00\xff\n" * 500_000
    put(objects, "seed-data/ada/a", body=body)
    with objects.open_version("seed-data/ada/a") as reader:
        pieces = iter(lambda: reader.read(100_000), b"")
        assert b"".join(pieces) == body


def test_a_named_version_is_these_very_bytes(objects: ApiObjects) -> None:
    put(objects, "a", body=b"first")
    pinned = objects.stat("a").version
    assert pinned is not None
    with objects.open_version("a", version=pinned) as reader:
        assert reader.read() == b"first"
    put(objects, "a", body=b"second")
    try:
        with objects.open_version("a", version=pinned) as reader:
            kept = reader.read()
    except NotFoundError:
        return  # a store that keeps no old versions says so …
    assert kept == b"first"  # … and never hands out other bytes


def test_a_version_that_is_not_there_is_not_found(objects: ApiObjects) -> None:
    put(objects, "a")
    for key, version in (("b", None), ("b", "0" * 64), ("a", "0" * 64), ("a", "no version")):
        with pytest.raises(NotFoundError), objects.open_version(key, version=version):
            pass


# ── pages ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 6, 1000])
def test_pages_show_every_object_once_in_key_order(objects: ApiObjects, limit: int) -> None:
    keys = [f"seed-data/ada/{name}" for name in ("a b.csv", "a.csv", "b/c.csv", "b/d.csv", "z")]
    put(objects, *reversed(keys))
    put(objects, "seed-data/ad", "seed-data/adam/a", "seed-data/bob/a")
    found = list(pages(objects, "seed-data/ada/", limit=limit))
    assert [key for page in found for key in page] == keys
    assert all(0 < len(page) <= limit for page in found)


def test_a_page_has_sizes(objects: ApiObjects) -> None:
    put(objects, "a/1", body=b"12345")
    page = objects.list_page("a/", limit=10)
    assert [(each.key, each.size) for each in page.items] == [("a/1", 5)]
    assert page.next is None


def test_a_page_says_when_objects_were_written(objects: ApiObjects) -> None:
    put(objects, "a")
    [found] = objects.list_page("a", limit=5).items
    assert found.written_at is not None
    assert abs(datetime.now(UTC) - found.written_at) < timedelta(days=1)


def test_every_version_that_takes_room_is_listed(objects: ApiObjects) -> None:
    put(objects, "a/x", "a/y", "ab", body=b"123")
    put(objects, "a/x", body=b"12345")
    objects.delete(["a/y"])
    found = list(objects.list_versions("a/"))
    assert {each.key for each in found} <= {"a/x", "a/y"}
    assert 5 in [each.size for each in found if each.key == "a/x"]
    kept = [(each.key, each.size) for each in found if each.size == 3]
    assert kept in ([], [("a/x", 3), ("a/y", 3)]), "none, or all that were replaced or deleted"
    assert objects.delete_all("a/")
    assert list(objects.list_versions("a/")) == []


def test_an_empty_page_is_the_last(objects: ApiObjects) -> None:
    put(objects, "b/1")
    page = objects.list_page("a/", limit=10)
    assert (page.items, page.next) == ((), None)


def test_objects_that_come_and_go_between_two_pages_move_nothing(objects: ApiObjects) -> None:
    put(objects, *(f"a/{number}" for number in range(6)))
    page = objects.list_page("a/", limit=2)
    objects.delete(["a/1", "a/3"])
    put(objects, "a/00", "a/25")
    rest = objects.list_page("a/", limit=10, after=page.next)
    assert [each.key for each in rest.items] == ["a/2", "a/25", "a/4", "a/5"]


@pytest.mark.parametrize("after", ["", "a", "b/1", "seed-data/bob/1", "a/" + "x" * 5000])
def test_a_position_outside_the_prefix_is_refused(objects: ApiObjects, after: str) -> None:
    put(objects, "a/1", "b/1")
    with pytest.raises(InputError):
        objects.list_page("a/", limit=1, after=after)


# ── removing everything ────────────────────────────────────────────────────────────────────────


def test_all_versions_below_a_prefix_are_removed(open_api_ports: OpenApi) -> None:
    objects = open_api_ports().objects
    put(objects, "jobs/a/1", "jobs/a/deep/er/2", "jobs/a/3", body=b"first")
    versions = {key: objects.stat(key).version for key in ("jobs/a/1", "jobs/a/3")}
    put(objects, "jobs/a/1", body=b"second")
    objects.delete(["jobs/a/3"])
    put(objects, "jobs/ab/1", "jobs/b/1", "jobs/ab.json", body=b"kept")
    for _ in range(2):
        objects.delete_all("jobs/a/")
        assert list(open_api_ports().objects.list("jobs/a/")) == []
        for key, version in versions.items():
            with pytest.raises(NotFoundError):
                objects.get(key, version=version)
        for key in ("jobs/ab/1", "jobs/b/1", "jobs/ab.json"):
            assert open_api_ports().objects.get(key) == b"kept"


def test_nothing_to_remove(objects: ApiObjects) -> None:
    put(objects, "jobs/b/1")
    objects.delete_all("jobs/a/")
    assert objects.get("jobs/b/1") == b"body"


def test_keys_can_be_used_again_after_a_removal(objects: ApiObjects) -> None:
    put(objects, "jobs/a/1")
    objects.delete_all("jobs/a/")
    objects.put_if_absent("jobs/a/1", b"new", content_type=TYPE)
    assert objects.get("jobs/a/1") == b"new"
