"""From a profile to a client of its API, with a fresh sign-in."""

import os
from dataclasses import dataclass
from pathlib import Path

from runtime.cli.client import ApiClient
from runtime.cli.profile import Profile, Profiles, choose_profile, folder_of, open_profiles
from runtime.cli.transfer import Transfer


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
    profile = _fresh(profiles, choose_profile(profiles, name, os.environ))
    return Connection(profile=profile, api=ApiClient(profile.api_url, profile.access_token))


def _fresh(profiles: Profiles, profile: Profile) -> Profile:
    if profile.expires_at is None:
        return profile
    from runtime.cli.cognito import refreshed  # noqa: PLC0415 - boto3, only when it is needed

    fresh = refreshed(profile)
    if fresh is not profile:
        profiles.save(fresh, make_current=False)
    return fresh


def state_folder() -> Path:
    """Where commands remember what they have begun: `~/.local/state/seedwright`."""
    return folder_of(os.environ, "XDG_STATE_HOME", ".local/state")
