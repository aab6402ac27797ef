"""Where the API is and how to sign in: named profiles in one file that only its owner can read.

    ~/.config/seedwright/config.json    {"current": "dev", "profiles": {"dev": {"api_url": …}}}

`XDG_CONFIG_HOME` moves it. The file holds tokens: it is written with mode 0600, all at once, and
refused when others can read it.
"""

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import orjson

from runtime.disk import disk_errors, exclusive, folder_of, write_private
from runtime.domain.addresses import is_loopback
from runtime.domain.errors import ConfigurationError, UnauthenticatedError

API_URL: Final = "SEEDWRIGHT_API_URL"
TOKEN: Final = "SEEDWRIGHT_TOKEN"  # noqa: S105 - the name of a variable

LOCAL_PROFILE: Final = "local"
DEFAULT_PROFILE: Final = "default"
SIGN_IN: Final = "run `seedwright login`, or `seedwright serve` for an API on this machine"

_HOST: Final = re.compile(
    r"[0-9a-f:.]{2,45}|(?=.{1,253}$)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*"
    r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
)
"""An address, or a name whose labels DNS takes; of another script in its ASCII form."""
_PATH: Final = re.compile(r"(?:/[A-Za-z0-9._~$-]*)*")
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True, kw_only=True, slots=True)
class Profile:
    """One API and one user of it. `expires_at` is in seconds since 1970; None: the token stays.

    `user_pool_client_id` and `region` say where to sign in; a local API has neither.
    """

    name: str
    api_url: str
    region: str | None = None
    user_pool_client_id: str | None = None
    username: str | None = None
    access_token: str | None = field(default=None, repr=False)
    refresh_token: str | None = field(default=None, repr=False)
    expires_at: int | None = None

    def signed_out(self) -> "Profile":
        """The same API and user without tokens."""
        return replace(self, access_token=None, refresh_token=None, expires_at=None)


_FIELDS: Final = frozenset(each.name for each in fields(Profile)) - {"name"}


class Profiles:
    """The file of profiles. Every method raises `ConfigurationError` when it is damaged."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def get(self, name: str) -> Profile | None:
        """A profile by its name."""
        return self._read()[1].get(name)

    def current(self) -> str | None:
        """The name of the profile that commands use when none is named."""
        return self._read()[0]

    def save(self, profile: Profile, *, make_current: bool) -> None:
        """Store a profile; with `make_current` also use it from now on."""
        folder = self.path.parent
        with disk_errors(f"create {folder}"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Two commands that sign in at once must not forget each other's profile.
        with exclusive(folder / "lock"):
            current, profiles = self._read()
            profiles[profile.name] = profile
            self._write(profile.name if make_current else current, profiles)

    def _read(self) -> tuple[str | None, dict[str, Profile]]:
        try:
            with self.path.open("rb") as file:
                if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & _OTHERS:
                    raise ConfigurationError(
                        f"{self.path} holds tokens and others can read it: chmod 600 {self.path}"
                    )
                document = orjson.loads(file.read())
        except FileNotFoundError:
            return None, {}
        except OSError as exc:
            raise ConfigurationError(f"{self.path} can't be read: {exc.strerror}") from exc
        except orjson.JSONDecodeError as exc:
            raise self._damaged() from exc
        return self._parse(document)

    def _parse(self, document: Any) -> tuple[str | None, dict[str, Profile]]:
        try:
            profiles = {
                str(name): Profile(name=name, **{key: each[key] for key in each if key in _FIELDS})
                for name, each in document["profiles"].items()
            }
            current = document["current"]
        except (KeyError, TypeError, AttributeError) as exc:
            raise self._damaged() from exc
        if not isinstance(current, str | None) or not all(map(_is_sound, profiles.values())):
            raise self._damaged()
        return current, profiles

    def _damaged(self) -> ConfigurationError:
        return ConfigurationError(
            f"{self.path} is damaged: delete it and run `seedwright login` again"
        )

    def _write(self, current: str | None, profiles: Mapping[str, Profile]) -> None:
        document = {
            "current": current,
            "profiles": {
                name: {
                    key: value
                    for key, value in asdict(profile).items()
                    if key in _FIELDS and value is not None
                }
                for name, profile in profiles.items()
            },
        }
        write_private(self.path, orjson.dumps(document, option=orjson.OPT_INDENT_2))


def _is_sound(profile: Profile) -> bool:
    """Whether every field has the type that it should have."""
    texts = asdict(profile)
    expires_at = texts.pop("expires_at")
    return (
        texts["api_url"] is not None
        and all(isinstance(text, str | None) for text in texts.values())
        and isinstance(expires_at, int | None)
    )


def open_profiles(environment: Mapping[str, str]) -> Profiles:
    """The profiles of this user."""
    return Profiles(folder_of(environment, "XDG_CONFIG_HOME", ".config") / "config.json")


def choose_profile(profiles: Profiles, name: str | None, environment: Mapping[str, str]) -> Profile:
    """The profile that a command uses: the one it names, or the current one.

    `SEEDWRIGHT_API_URL` and `SEEDWRIGHT_TOKEN` go before what is stored. A stored token is never
    sent to another URL than its own. Raises `UnauthenticatedError` where there is no token,
    `ConfigurationError` for an unknown profile or a bad URL.
    """
    url, token = environment.get(API_URL), environment.get(TOKEN)
    if url is not None:
        url = check_url(url)
    stored: Profile | None = None
    wanted = name
    if wanted or not (url and token):
        wanted = wanted or profiles.current()
        stored = profiles.get(wanted) if wanted else None
        if wanted and stored is None:
            raise ConfigurationError(f"no profile {wanted!r}: {SIGN_IN}")
    if stored is None:
        if url is None:
            raise UnauthenticatedError(f"no API is known yet: {SIGN_IN}")
        stored = Profile(name=API_URL, api_url=url)
    elif url not in {None, stored.api_url}:
        stored = Profile(name=API_URL, api_url=str(url))
    if token:
        stored = replace(stored.signed_out(), access_token=token)
    if stored.access_token is None:
        raise UnauthenticatedError(
            f"not signed in to {stored.api_url}: run `{login_command(stored.api_url)}`"
        )
    return stored


def login_command(url: str) -> str:
    """What signs in to the API at a URL."""
    return f"seedwright login{' --local' if is_loopback(url) else ''}"


def check_url(url: str) -> str:
    """The URL of an API without a slash at its end. Raises `ConfigurationError`.

    Anywhere but on this machine it has to be HTTPS: every request carries a token.
    """
    try:
        parts = urlsplit(url.strip())
        host, _ = parts.hostname, parts.port
    except ValueError as exc:
        raise ConfigurationError(f"{url!r} is not the URL of an API") from exc
    if (
        parts.scheme not in {"http", "https"}
        or not _HOST.fullmatch(host or "")
        or not _PATH.fullmatch(parts.path)
        or parts.query
        or parts.fragment
        or "#" in url
        or "?" in url
    ):
        raise ConfigurationError(
            f"{url!r} is not the URL of an API, such as https://api.example.com"
        )
    if parts.username or parts.password:
        raise ConfigurationError("the URL of an API holds no user and no password")
    if parts.scheme == "http" and not is_loopback(url):
        raise ConfigurationError(f"{url!r} would carry the token in the clear: use https://")
    return url.strip().rstrip("/")
