"""Signed addresses of the local server: each lets through what it was made for, and no more."""

import stat
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest

from runtime.domain.errors import ConfigurationError, ForbiddenError
from runtime.local.links import LocalLinks, Upload, signing_secret
from runtime.local.storage import open_storage
from tests.fixtures.clock import ManualClock
from tests.fixtures.race import race

KEY = "seed-data/ada/Größe & co?#.csv"


@pytest.fixture
def links(clock: ManualClock) -> LocalLinks:
    return LocalLinks(base_url="http://127.0.0.1:8080/", secret=b"s" * 32, clock=clock)


def download(links: LocalLinks, *, key: str = KEY) -> tuple[str, dict[str, str]]:
    """The key and the query as a server reads them from the address."""
    url = urlsplit(links.download_url(key, file_name='a "b".csv', seconds=60))
    assert url.netloc == "127.0.0.1:8080"
    return unquote(url.path.removeprefix("/objects/")), dict(parse_qsl(url.query))


def test_a_form_comes_back_as_what_it_allows(links: LocalLinks) -> None:
    form = links.upload_form(KEY, max_bytes=1000, seconds=60)

    assert form.url == "http://127.0.0.1:8080/objects"
    assert links.check_upload(form.fields) == Upload(key=KEY, max_bytes=1000)


def test_an_address_comes_back_with_its_file_name(links: LocalLinks) -> None:
    key, query = download(links)

    assert key == KEY
    assert links.check_download(key, query) == 'a "b".csv'


@pytest.mark.parametrize(
    "change",
    [
        {"key": "seed-data/bob/products.csv"},
        {"max_bytes": "1001"},
        {"max_bytes": ""},
        {"expires": "99999999999"},
        {"expires": ""},
        {"signature": ""},
        {"signature": "é\ud800"},
        {"signature": "0" * 64},
    ],
)
def test_a_form_that_was_changed_is_refused(links: LocalLinks, change: dict[str, str]) -> None:
    fields = {**links.upload_form(KEY, max_bytes=1000, seconds=60).fields, **change}

    with pytest.raises(ForbiddenError, match="signature"):
        links.check_upload(fields)


@pytest.mark.parametrize("missing", ["key", "max_bytes", "expires", "signature"])
def test_a_form_that_lacks_a_field_is_refused(links: LocalLinks, missing: str) -> None:
    fields = dict(links.upload_form(KEY, max_bytes=1000, seconds=60).fields)
    del fields[missing]

    with pytest.raises(ForbiddenError):
        links.check_upload(fields)


def test_an_address_that_was_changed_is_refused(links: LocalLinks) -> None:
    key, query = download(links)
    for changed_key, changes in (
        ("seed-data/bob/products.csv", {}),
        (key, {"file_name": "evil.html"}),
        (key, {"expires": "99999999999"}),
        (key, {"signature": ""}),
    ):
        with pytest.raises(ForbiddenError):
            links.check_download(changed_key, {**query, **changes})


def test_what_reads_does_not_write_and_what_writes_does_not_read(links: LocalLinks) -> None:
    fields = links.upload_form(KEY, max_bytes=1000, seconds=60).fields
    with pytest.raises(ForbiddenError):
        links.check_download(KEY, {**fields, "file_name": fields["max_bytes"]})
    key, query = download(links, key="k")
    with pytest.raises(ForbiddenError):
        links.check_upload({**query, "key": key, "max_bytes": query["file_name"]})


def test_parts_can_not_be_moved_from_one_field_to_the_next(
    links: LocalLinks, clock: ManualClock
) -> None:
    expires = str(int(clock.now().timestamp()) + 60)
    _, query = download(links, key=f"a{expires}")
    assert query["expires"] == expires
    with pytest.raises(ForbiddenError):
        links.check_download("a", {**query, "expires": 2 * expires})


def test_an_address_ends_at_its_second(links: LocalLinks, clock: ManualClock) -> None:
    fields = links.upload_form(KEY, max_bytes=1000, seconds=60).fields
    key, query = download(links)
    clock.advance(59)
    links.check_upload(fields)
    links.check_download(key, query)
    clock.advance(1)
    with pytest.raises(ForbiddenError, match="expired"):
        links.check_upload(fields)
    with pytest.raises(ForbiddenError, match="expired"):
        links.check_download(key, query)


def test_another_secret_signs_other_addresses(links: LocalLinks, clock: ManualClock) -> None:
    other = LocalLinks(base_url="http://127.0.0.1:8080", secret=b"t" * 32, clock=clock)

    with pytest.raises(ForbiddenError):
        links.check_upload(other.upload_form(KEY, max_bytes=1000, seconds=60).fields)


def test_the_secret_of_a_directory_is_made_once_and_for_its_owner_only(
    tmp_path: Path, clock: ManualClock
) -> None:
    open_storage(tmp_path, clock=clock).close()
    given = [bytes([number]) * 32 for number in range(4)]

    found = race([lambda each=each: signing_secret(tmp_path, new=lambda: each) for each in given])  # type: ignore[misc]

    assert len(set(found)) == 1
    assert found[0] in given
    assert signing_secret(tmp_path) == found[0]
    (path,) = tmp_path.glob("links.key*")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_secret_is_not_made_twice_alike(tmp_path: Path, clock: ManualClock) -> None:
    for name in "ab":
        open_storage(tmp_path / name, clock=clock).close()

    assert signing_secret(tmp_path / "a") != signing_secret(tmp_path / "b")


def test_half_a_secret_is_refused(tmp_path: Path, clock: ManualClock) -> None:
    open_storage(tmp_path, clock=clock).close()
    (tmp_path / "links.key").write_bytes(b"half")

    with pytest.raises(ConfigurationError, match="delete it"):
        signing_secret(tmp_path)
