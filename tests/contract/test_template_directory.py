"""What every `TemplateCatalog` promises, and the `TemplateStore` beside it."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Final

import pytest

from runtime.domain.errors import ConflictError, InputError, TemplateNotFoundError
from runtime.domain.pages import Page
from runtime.domain.template_ports import TemplateHead
from runtime.domain.templates.template import TemplateRef
from tests.contract.test_job_directory import MANY_PAGES, STRANGE_POSITIONS
from tests.fixtures.clock import START, ManualClock
from tests.fixtures.race import of_type, race
from tests.fixtures.storage import ApiStorage, OpenApi, new_template, renamed

ROUNDS: Final = 6


def create(
    ports: ApiStorage, template_id: str = "t", *, user_id: str = "ada", public: bool = False
) -> TemplateHead:
    template = renamed(new_template(), f"{template_id} 1")
    return ports.template_catalog.create(user_id, template_id, template, public=public)


def update(ports: ApiStorage, head: TemplateHead, *, public: bool | None = None) -> TemplateHead:
    template = renamed(new_template(), f"{head.template_id} {head.latest_version + 1}")
    return ports.template_catalog.update(
        head, template, public=head.public if public is None else public
    )


def name_of(ports: ApiStorage, version: int, template_id: str = "t") -> str:
    ref = TemplateRef(template_id=template_id, version=version)
    return ports.templates.load_template(ref).name


def walk(show: Callable[[str | None], Page[TemplateHead]]) -> Iterator[str]:
    after = None
    for _ in range(MANY_PAGES):
        page = show(after)
        yield from (head.template_id for head in page.items)
        after = page.next
        if after is None:
            return
    raise AssertionError("a list without an end")


def own(ports: ApiStorage, *, limit: int = 100, user_id: str = "ada") -> list[str]:
    show = ports.template_catalog.list_own
    return list(walk(lambda after: show(user_id, limit=limit, after=after)))


def public(ports: ApiStorage, *, limit: int = 100) -> list[str]:
    show = ports.template_catalog.list_public
    return list(walk(lambda after: show(limit=limit, after=after)))


def versions(ports: ApiStorage, template_id: str = "t", *, limit: int = 100) -> list[int]:
    found: list[int] = []
    after = None
    for _ in range(MANY_PAGES):
        page = ports.template_catalog.list_versions(template_id, limit=limit, after=after)
        assert len(page.items) <= limit
        found += [version.version for version in page.items]
        after = page.next
        if after is None:
            return found
    raise AssertionError("a list without an end")


# ── creating ───────────────────────────────────────────────────────────────────────────────────


def test_a_created_template_is_found(open_api_ports: OpenApi) -> None:
    template = replace(new_template("Größe & Stil"), description="for shops")
    head = open_api_ports().template_catalog.create("ada", "t", template, public=True)
    assert head == TemplateHead(
        template_id="t",
        user_id="ada",
        latest_version=1,
        public=True,
        name="Größe & Stil",
        description="for shops",
        created_at=START,
        updated_at=START,
    )
    assert open_api_ports().template_catalog.get_head("t") == head
    assert open_api_ports().templates.load_template(head.latest) == template


def test_an_id_is_taken_once(api_ports: ApiStorage) -> None:
    first = create(api_ports)
    for user in ("ada", "bob"):
        with pytest.raises(ConflictError):
            api_ports.template_catalog.create(user, "t", new_template("Theirs"), public=True)
    assert api_ports.template_catalog.get_head("t") == first
    assert name_of(api_ports, 1) == "t 1"
    assert versions(api_ports) == [1]


def test_one_of_two_creators_wins(open_api_ports: OpenApi) -> None:
    writers = {name: open_api_ports() for name in ("ada", "bob")}
    for number in range(ROUNDS):
        outcomes = race(
            [
                partial(
                    ports.template_catalog.create,
                    user,
                    f"t-{number}",
                    new_template(user),
                    public=False,
                )
                for user, ports in writers.items()
            ]
        )
        (won,) = (outcome for outcome in outcomes if isinstance(outcome, TemplateHead))
        assert of_type(outcomes, ConflictError) == 1
        reader = open_api_ports()
        assert reader.template_catalog.get_head(won.template_id) == won
        assert name_of(reader, 1, won.template_id) == won.user_id == won.name


def test_templates_that_are_not_there(api_ports: ApiStorage) -> None:
    create(api_ports)
    for template_id, version in (("nothing", 1), ("t", 0), ("t", -1), ("t", 2)):
        with pytest.raises(TemplateNotFoundError):
            name_of(api_ports, version, template_id)
    with pytest.raises(TemplateNotFoundError):
        api_ports.template_catalog.get_head("nothing")


# ── updating ───────────────────────────────────────────────────────────────────────────────────


def test_an_update_adds_a_version_and_moves_the_head(
    open_api_ports: OpenApi, clock: ManualClock
) -> None:
    first = create(open_api_ports())
    clock.advance(60)
    template = replace(new_template("Second"), description="new")
    second = open_api_ports().template_catalog.update(first, template, public=True)
    assert second == replace(
        first,
        latest_version=2,
        public=True,
        name="Second",
        description="new",
        updated_at=START + timedelta(seconds=60),
    )
    assert open_api_ports().template_catalog.get_head("t") == second
    assert open_api_ports().templates.load_template(second.latest) == template
    assert name_of(open_api_ports(), 1) == "t 1"


def test_a_version_is_published_if_it_was_saved_while_its_template_was_public(
    api_ports: ApiStorage,
) -> None:
    head = create(api_ports, public=False)
    for public in (True, True, False, True):
        head = update(api_ports, head, public=public)
    expected = {1: False, 2: True, 3: True, 4: False, 5: True}

    def published(version: int) -> bool:
        ref = TemplateRef(template_id="t", version=version)
        return api_ports.template_catalog.is_published(ref)

    assert {version: published(version) for version in expected} == expected
    listed = api_ports.template_catalog.list_versions("t", limit=9).items
    assert {each.version: each.published for each in listed} == expected
    for template_id, version in (("nothing", 1), ("t", 0), ("t", 6)):
        with pytest.raises(TemplateNotFoundError):
            api_ports.template_catalog.is_published(
                TemplateRef(template_id=template_id, version=version)
            )


def test_an_update_of_what_has_changed_meanwhile_is_refused(api_ports: ApiStorage) -> None:
    first = create(api_ports)
    second = update(api_ports, first)
    with pytest.raises(ConflictError):
        api_ports.template_catalog.update(first, new_template("Late"), public=True)
    early = replace(second, latest_version=3)
    with pytest.raises(ConflictError):
        api_ports.template_catalog.update(early, new_template("Early"), public=True)
    assert api_ports.template_catalog.get_head("t") == second
    assert versions(api_ports) == [2, 1]
    assert name_of(api_ports, 2) == "t 2"


def test_one_of_two_updates_wins(open_api_ports: OpenApi) -> None:
    writers = [open_api_ports() for _ in range(2)]
    head = create(writers[0])
    for _ in range(ROUNDS):
        outcomes = race(
            [
                partial(ports.template_catalog.update, head, new_template(name), public=False)
                for ports, name in zip(writers, ("one", "two"), strict=True)
            ]
        )
        (won,) = (outcome for outcome in outcomes if isinstance(outcome, TemplateHead))
        assert of_type(outcomes, ConflictError) == 1
        assert won.latest_version == head.latest_version + 1
        head = open_api_ports().template_catalog.get_head("t")
        assert head == won
        assert name_of(open_api_ports(), head.latest_version) == won.name
    assert versions(open_api_ports()) == list(range(ROUNDS + 1, 0, -1))


def test_a_deleted_template_is_not_updated(api_ports: ApiStorage) -> None:
    head = create(api_ports)
    api_ports.template_catalog.delete("t")
    with pytest.raises(TemplateNotFoundError):
        update(api_ports, head)
    with pytest.raises(TemplateNotFoundError):
        update(api_ports, replace(head, template_id="nothing"))
    assert own(api_ports) == []


def test_an_update_and_a_deletion_at_once(open_api_ports: OpenApi) -> None:
    """Whoever comes first: no head is left, and no version without an end."""
    one, two = open_api_ports(), open_api_ports()
    for number in range(ROUNDS):
        head = create(one, f"t-{number}")
        calls: list[Callable[[], object]] = [
            partial(update, one, head),
            partial(two.template_catalog.delete, head.template_id),
        ]
        updated, deleted = race(calls)
        assert deleted is None
        assert isinstance(updated, TemplateHead | TemplateNotFoundError)
        with pytest.raises(TemplateNotFoundError):
            one.template_catalog.get_head(head.template_id)
        assert own(one) == []


# ── lists ──────────────────────────────────────────────────────────────────────────────────────


def test_own_templates_are_listed_once_newest_first(
    api_ports: ApiStorage, clock: ManualClock
) -> None:
    heads = {}
    for name in ("a", "b", "c"):
        heads[name] = create(api_ports, name)
        clock.advance(1)
    create(api_ports, "other", user_id="bob")
    for _ in range(5):
        heads["a"] = update(api_ports, heads["a"])
    page = api_ports.template_catalog.list_own("ada", limit=10)
    assert page.items == (heads["c"], heads["b"], heads["a"])
    assert page.next is None
    assert own(api_ports, user_id="bob") == ["other"]
    assert own(api_ports, user_id="eve") == []


def test_public_templates_are_listed_to_everybody(
    api_ports: ApiStorage, clock: ManualClock
) -> None:
    create(api_ports, "private")
    one = create(api_ports, "one", public=True)
    clock.advance(1)
    two = create(api_ports, "two", user_id="bob", public=True)
    assert api_ports.template_catalog.list_public(limit=10).items == (two, one)
    hidden = update(api_ports, one, public=False)
    assert public(api_ports) == ["two"]
    update(api_ports, hidden, public=True)
    assert public(api_ports) == ["two", "one"]
    assert own(api_ports, user_id="bob") == ["two"]


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
def test_paging_shows_every_template_once_even_if_times_are_equal(
    api_ports: ApiStorage, clock: ManualClock, limit: int
) -> None:
    for number in range(7):
        if number in {3, 6}:
            clock.advance(1)
        update(api_ports, create(api_ports, f"t-{number}", public=True))
    everything = sorted(f"t-{number}" for number in range(7))
    for listed in (own(api_ports, limit=limit), public(api_ports, limit=limit)):
        assert sorted(listed) == everything
        assert [listed[0], set(listed[1:4])] == ["t-6", {"t-3", "t-4", "t-5"}]


@pytest.mark.parametrize("limit", [1, 2, 5, 6])
def test_versions_are_listed_newest_first(
    api_ports: ApiStorage, clock: ManualClock, limit: int
) -> None:
    head = create(api_ports)
    create(api_ports, "u")
    for _ in range(4):
        clock.advance(1)
        head = update(api_ports, head)
    assert versions(api_ports, limit=limit) == [5, 4, 3, 2, 1]
    page = api_ports.template_catalog.list_versions("t", limit=5)
    assert page.next is None
    assert [version.name for version in page.items] == ["t 5", "t 4", "t 3", "t 2", "t 1"]
    assert page.items[0].created_at == START + timedelta(seconds=4)
    assert page.items[-1].created_at == START


def test_a_template_that_goes_between_two_pages_moves_nothing(
    api_ports: ApiStorage, clock: ManualClock
) -> None:
    for number in range(4):
        create(api_ports, f"t-{number}", public=True)
        clock.advance(1)
    catalog = api_ports.template_catalog
    mine, theirs = catalog.list_own("ada", limit=2), catalog.list_public(limit=2)
    catalog.delete("t-2")
    for page in (
        catalog.list_own("ada", limit=5, after=mine.next),
        catalog.list_public(limit=5, after=theirs.next),
    ):
        assert [head.template_id for head in page.items] == ["t-1", "t-0"]


@pytest.mark.parametrize("after", STRANGE_POSITIONS)
def test_a_position_that_no_page_gave_is_refused(api_ports: ApiStorage, after: str) -> None:
    create(api_ports, public=True)
    with pytest.raises(InputError):
        api_ports.template_catalog.list_own("ada", limit=1, after=after)
    with pytest.raises(InputError):
        api_ports.template_catalog.list_public(limit=1, after=after)


@pytest.mark.parametrize("after", ["", "0", "-1", "+1", "1.0", "01", "one", " 1", "9" * 400, "²"])
def test_a_version_that_no_page_gave_is_refused(api_ports: ApiStorage, after: str) -> None:
    create(api_ports)
    with pytest.raises(InputError):
        api_ports.template_catalog.list_versions("t", limit=1, after=after)


# ── deleting ───────────────────────────────────────────────────────────────────────────────────


def test_a_deleted_template_is_found_by_nobody_but_jobs_that_pinned_it(
    open_api_ports: OpenApi,
) -> None:
    ports = open_api_ports()
    update(ports, create(ports, public=True))
    create(ports, "kept", public=True)
    for _ in range(2):
        ports.template_catalog.delete("t")
        with pytest.raises(TemplateNotFoundError):
            open_api_ports().template_catalog.get_head("t")
        assert own(ports) == public(ports) == ["kept"]
        assert [name_of(open_api_ports(), version) for version in (1, 2)] == ["t 1", "t 2"]


def test_the_id_of_a_deleted_template_stays_taken(api_ports: ApiStorage) -> None:
    """Who pinned a version of the old one would read a new one's."""
    create(api_ports)
    api_ports.template_catalog.delete("t")
    for user in ("ada", "bob"):
        with pytest.raises(ConflictError):
            api_ports.template_catalog.create(user, "t", new_template(), public=False)
        with pytest.raises(ConflictError):
            api_ports.templates.save_template(user, "t", new_template())
    assert name_of(api_ports, 1) == "t 1"
    with pytest.raises(TemplateNotFoundError):
        api_ports.template_catalog.get_head("t")


def test_a_template_that_is_not_there_is_deleted_without_a_word(api_ports: ApiStorage) -> None:
    api_ports.template_catalog.delete("nothing")
    with pytest.raises(TemplateNotFoundError):
        api_ports.template_catalog.get_head("nothing")
    assert create(api_ports, "nothing").latest_version == 1


# ── what the engine saves ──────────────────────────────────────────────────────────────────────


def test_a_saved_template_is_listed_as_a_private_one(api_ports: ApiStorage) -> None:
    for number in (1, 2, 3):
        ref = api_ports.templates.save_template("ada", "t", new_template(f"draft {number}"))
        assert ref == TemplateRef(template_id="t", version=number)
    head = api_ports.template_catalog.get_head("t")
    assert (head.latest_version, head.public, head.name) == (3, False, "draft 3")
    assert own(api_ports) == ["t"]
    assert versions(api_ports) == [3, 2, 1]
    assert update(api_ports, head).latest_version == 4


def test_saving_a_public_template_leaves_it_public(api_ports: ApiStorage) -> None:
    create(api_ports, public=True)
    api_ports.templates.save_template("ada", "t", new_template("Next"))
    assert api_ports.template_catalog.get_head("t").public
    with pytest.raises(ConflictError):
        api_ports.templates.save_template("bob", "t", new_template("Theirs"))
    assert versions(api_ports) == [2, 1]
