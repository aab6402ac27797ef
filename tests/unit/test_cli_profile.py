"""Profiles: which API a command talks to, what is stored and who can read it."""

import stat
from pathlib import Path

import orjson
import pytest

from runtime.client.profiles import (
    API_URL,
    TOKEN,
    Profile,
    Profiles,
    check_url,
    choose_profile,
    open_profiles,
)
from runtime.domain.errors import ConfigurationError, UnauthenticatedError

DEV = Profile(
    name="dev",
    api_url="https://api.example.com",
    region="eu-west-1",
    user_pool_client_id="client",
    username="ada",
    access_token="access",  # noqa: S106
    refresh_token="refresh",  # noqa: S106
    expires_at=2_000_000_000,
)
LOCAL = Profile(name="local", api_url="http://127.0.0.1:8765", access_token="local-token")  # noqa: S106


@pytest.fixture
def profiles(tmp_path: Path) -> Profiles:
    return Profiles(tmp_path / "config" / "config.json")


def test_what_is_saved_is_found_again(profiles: Profiles) -> None:
    profiles.save(DEV, make_current=True)
    profiles.save(LOCAL, make_current=False)
    assert (profiles.get("dev"), profiles.get("local")) == (DEV, LOCAL)
    assert profiles.current() == "dev"
    assert profiles.get("other") is None


def test_only_its_owner_can_read_the_file(profiles: Profiles) -> None:
    profiles.save(DEV, make_current=True)
    profiles.save(LOCAL, make_current=True)
    assert stat.S_IMODE(profiles.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(profiles.path.parent.stat().st_mode) == 0o700
    assert sorted(each.name for each in profiles.path.parent.iterdir()) == ["config.json", "lock"]


def test_a_file_that_others_can_read_is_refused(profiles: Profiles) -> None:
    profiles.save(DEV, make_current=True)
    profiles.path.chmod(0o640)
    with pytest.raises(ConfigurationError, match=f"chmod 600 {profiles.path}"):
        profiles.get("dev")


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b'{"current": "dev", "prof',
        b"[]",
        b'{"profiles": {}}',
        b'{"current": 5, "profiles": {}}',
        b'{"current": null, "profiles": {"dev": 3}}',
        b'{"current": null, "profiles": {"dev": {"region": "x"}}}',
        b'{"current": null, "profiles": {"dev": {"api_url": 3}}}',
        b'{"current": null, "profiles": {"dev": {"api_url": "https://a.b", "expires_at": "x"}}}',
    ],
)
def test_a_damaged_file_is_named_and_kept(profiles: Profiles, damage: bytes) -> None:
    profiles.save(DEV, make_current=True)
    profiles.path.write_bytes(damage)
    with pytest.raises(ConfigurationError, match=r"config\.json is damaged: delete it"):
        profiles.current()
    with pytest.raises(ConfigurationError, match="is damaged"):
        profiles.save(LOCAL, make_current=True)
    assert profiles.path.read_bytes() == damage


def test_fields_of_a_newer_program_do_no_harm(profiles: Profiles) -> None:
    profiles.save(LOCAL, make_current=True)
    document = orjson.loads(profiles.path.read_bytes())
    document["profiles"]["local"]["colour"] = "green"
    profiles.path.write_bytes(orjson.dumps(document))
    assert profiles.get("local") == LOCAL


def test_a_crash_while_writing_leaves_the_old_file(
    profiles: Profiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    profiles.save(DEV, make_current=True)

    def fail(_descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(KeyboardInterrupt):
        profiles.save(LOCAL, make_current=True)
    assert profiles.current() == "dev"
    assert len(list(profiles.path.parent.iterdir())) == 2


def test_no_secret_is_shown_by_accident() -> None:
    assert "access" not in repr(DEV).replace("access_token", "")
    assert "refresh" not in repr(DEV).replace("refresh_token", "")


def test_the_folder_follows_xdg(tmp_path: Path) -> None:
    path = open_profiles({"XDG_CONFIG_HOME": str(tmp_path)}).path
    assert path == tmp_path / "seedwright" / "config.json"
    home = Path.home() / ".config" / "seedwright" / "config.json"
    assert open_profiles({"XDG_CONFIG_HOME": "relative"}).path == home
    assert open_profiles({}).path == home


# ── which one ──────────────────────────────────────────────────────────────────────────────────


def test_the_current_profile_is_used_unless_another_is_named(profiles: Profiles) -> None:
    profiles.save(DEV, make_current=True)
    profiles.save(LOCAL, make_current=False)
    assert choose_profile(profiles, None, {}) == DEV
    assert choose_profile(profiles, "local", {}) == LOCAL


def test_an_unknown_profile_is_named(profiles: Profiles) -> None:
    with pytest.raises(ConfigurationError, match="no profile 'prod'"):
        choose_profile(profiles, "prod", {})


def test_a_newcomer_is_told_what_to_do(profiles: Profiles) -> None:
    with pytest.raises(UnauthenticatedError, match=r"seedwright login.*seedwright serve"):
        choose_profile(profiles, None, {})


def test_who_signed_out_is_told_so(profiles: Profiles) -> None:
    profiles.save(DEV.signed_out(), make_current=True)
    with pytest.raises(UnauthenticatedError, match=r"not signed in to https://api\.example\.com"):
        choose_profile(profiles, None, {})


def test_the_environment_needs_no_file(profiles: Profiles) -> None:
    chosen = choose_profile(profiles, None, {API_URL: "https://ci.example.com/", TOKEN: "t"})
    assert (chosen.api_url, chosen.access_token) == ("https://ci.example.com", "t")
    assert chosen.expires_at is None


def test_a_token_of_the_environment_is_not_renewed(profiles: Profiles) -> None:
    profiles.save(DEV, make_current=True)
    chosen = choose_profile(profiles, None, {TOKEN: "t"})
    assert (chosen.api_url, chosen.access_token) == (DEV.api_url, "t")
    assert (chosen.refresh_token, chosen.expires_at) == (None, None)


def test_a_stored_token_goes_to_no_other_address(profiles: Profiles) -> None:
    profiles.save(DEV, make_current=True)
    with pytest.raises(UnauthenticatedError, match=r"not signed in to https://evil\.example\.com"):
        choose_profile(profiles, None, {API_URL: "https://evil.example.com"})
    assert choose_profile(profiles, None, {API_URL: DEV.api_url}) == DEV


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.example.com",
        "ftp://api.example.com",
        "https://",
        "https://api.example.com/?a=b",
        "https://user:secret@api.example.com",
        "https://api.example.com:port",
        "http://api.example.com",
        "http://127.0.0.1.example.com",
    ],
)
def test_what_is_no_safe_address_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError):
        check_url(url)


def test_a_stage_of_an_api_may_be_in_its_path() -> None:
    assert check_url("https://a.example/x/$default") == "https://a.example/x/$default"


@pytest.mark.parametrize("url", ["http://127.0.0.1:8765", "http://localhost:1", "http://[::1]:2"])
def test_this_machine_needs_no_https(url: str) -> None:
    assert check_url(f"{url}/") == url
