"""From a profile, or a URL and a token, to that API, with a sign-in that stays fresh."""

import os
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from runtime.client.http import ApiClient
from runtime.client.profiles import (
    API_URL,
    Profile,
    Profiles,
    check_url,
    choose_profile,
    open_profiles,
)
from runtime.client.transfer import Transfer
from runtime.disk import folder_of


@dataclass(frozen=True, kw_only=True, slots=True)
class Connection:
    """A client, and whose it is."""

    profile: Profile
    api: ApiClient

    def transfer(self) -> Transfer:
        """Uploads and downloads at this API."""
        return Transfer(self.profile.api_url)


def connect(name: str | None) -> Connection:
    """The API of a profile, or of the current one. Raises `UnauthenticatedError`,
    `ConfigurationError`.
    """
    profiles = open_profiles(os.environ)
    profile = choose_profile(profiles, name, os.environ)
    return Connection(profile=profile, api=ApiClient(profile.api_url, _Tokens(profiles, profile)))


def connect_to(url: str, token: str) -> Connection:
    """The API at a URL, with a token that is used as it is. Raises `ConfigurationError` for what
    is not such a URL.
    """
    profile = Profile(name=API_URL, api_url=check_url(url), access_token=token)
    return Connection(profile=profile, api=ApiClient(profile.api_url, lambda: token))


class _Tokens:
    """The access token of a profile, renewed before it ends: a watch may take days."""

    def __init__(self, profiles: Profiles, profile: Profile) -> None:
        self._profiles = profiles
        self._profile = profile
        self._lock = Lock()  # threads that share a client renew it once

    def __call__(self) -> str | None:
        with self._lock:
            if self._profile.expires_at is not None:
                from runtime.client.cognito import refreshed  # noqa: PLC0415 - most commands never need it

                fresh = refreshed(self._profile)
                if fresh is not self._profile:
                    self._profile = fresh
                    self._profiles.save(fresh, make_current=False)
            return self._profile.access_token


def state_folder() -> Path:
    """Where clients remember what they have begun: `~/.local/state/seedwright`."""
    return folder_of(os.environ, "XDG_STATE_HOME", ".local/state")
