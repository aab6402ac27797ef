"""From a profile to a client of its API, with a sign-in that stays fresh."""

import gc
import os
from dataclasses import dataclass
from pathlib import Path

from runtime.client.http import ApiClient
from runtime.client.profiles import Profile, Profiles, choose_profile, folder_of, open_profiles
from runtime.client.transfer import Transfer


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
    gc.enable()  # everything is imported: from here on the command may run for days
    profiles = open_profiles(os.environ)
    profile = choose_profile(profiles, name, os.environ)
    return Connection(profile=profile, api=ApiClient(profile.api_url, _Tokens(profiles, profile)))


class _Tokens:
    """The access token of a profile, renewed before it ends: a watch may take days."""

    def __init__(self, profiles: Profiles, profile: Profile) -> None:
        self._profiles = profiles
        self._profile = profile

    def __call__(self) -> str | None:
        if self._profile.expires_at is not None:
            from runtime.client.cognito import refreshed  # noqa: PLC0415 - most commands never need it

            fresh = refreshed(self._profile)
            if fresh is not self._profile:
                self._profile = fresh
                self._profiles.save(fresh, make_current=False)
        return self._profile.access_token


def state_folder() -> Path:
    """Where commands remember what they have begun: `~/.local/state/seedwright`."""
    return folder_of(os.environ, "XDG_STATE_HOME", ".local/state")
