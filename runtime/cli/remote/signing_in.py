"""What `login` and `logout` do: find the place, ask, sign in, remember."""

import getpass
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import orjson

from runtime.cli.remote.output import print_json, say
from runtime.client.cognito import Questions, sign_in, sign_out
from runtime.client.profiles import (
    DEFAULT_PROFILE,
    LOCAL_PROFILE,
    Profile,
    check_url,
    open_profiles,
)
from runtime.domain.errors import ConfigurationError, InputError, SeedwrightError
from runtime.server.data_folder import DataFolder, default_data_folder

PASSWORD: Final = "SEEDWRIGHT_PASSWORD"  # noqa: S105 - the name of a variable
NEW_PASSWORD: Final = "SEEDWRIGHT_NEW_PASSWORD"  # noqa: S105 - the name of a variable

_MAX_OUTPUTS_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where to sign in, as far as it was said."""

    api_url: str | None = None
    user_pool_client_id: str | None = None
    region: str | None = None


_OUTPUTS: Final = {
    "api_url": "ApiUrl",
    "user_pool_client_id": "UserPoolClientId",
    "region": "Region",
}


def login(
    given: Place, outputs: Path | None, *, username: str | None, name: str | None, json: bool
) -> None:
    """Sign in at Cognito and store the profile, which becomes the current one."""
    profiles = open_profiles(os.environ)
    name = name or _name_to_use(profiles.current())
    if name == LOCAL_PROFILE:
        raise InputError(f"the profile {LOCAL_PROFILE!r} is of `seedwright serve`: use --local")
    stored = profiles.get(name)
    place = _merge(given, _read_outputs(outputs) if outputs else Place(), stored)
    profile = Profile(
        name=name,
        api_url=check_url(place.api_url or ""),
        region=place.region,
        user_pool_client_id=place.user_pool_client_id,
        username=username or _known_user(stored, place) or _ask_user(),
    )
    questions = Questions(password=_password, new_password=_new_password, code=_code)
    profiles.save(sign_in(profile, questions), make_current=True)
    _report(profile, json=json)


def login_local(data: Path | None, *, json: bool) -> None:
    """Use the API that `serve` has last offered from a folder."""
    folder = DataFolder(data or default_data_folder(os.environ))
    profile = folder.profile()
    if profile is None:
        raise ConfigurationError(f"no API was served from {folder.path}: run `seedwright serve`")
    open_profiles(os.environ).save(profile, make_current=True)
    _report(profile, json=json)


def logout(name: str | None, *, json: bool) -> None:
    """Forget tokens, and revoke them where Cognito can be reached."""
    profiles = open_profiles(os.environ)
    name = name or profiles.current()
    profile = profiles.get(name) if name else None
    if profile is None:
        raise InputError(f"no profile {name!r}" if name else "nobody is signed in")
    profiles.save(profile.signed_out(), make_current=False)
    revoked = True
    try:
        sign_out(profile)
    except SeedwrightError as error:
        revoked = False
        say(f"The tokens are forgotten here, but could not be revoked: {error}")
    if json:
        print_json({"profile": profile.name, "signed_in": False, "revoked": revoked})
    else:
        print(f"Signed out of {profile.api_url} (profile {profile.name}).")


def _name_to_use(current: str | None) -> str:
    return DEFAULT_PROFILE if current in {None, LOCAL_PROFILE} else str(current)


def _merge(given: Place, outputs: Place, stored: Profile | None) -> Place:
    """Each part from the first that says it. Raises `InputError` when one is missing."""
    found: dict[str, str] = {}
    for part in _OUTPUTS:
        sources = (getattr(given, part), getattr(outputs, part), getattr(stored, part, None))
        value = next((each for each in sources if each), None)
        if value is None:
            option = f"--{part.replace('_', '-')}"
            raise InputError(f"where to sign in? {option} is missing: use it, or --stack-outputs")
        found[part] = value
    return Place(**found)


def _read_outputs(path: Path) -> Place:
    """The place from a file of `cdk deploy --outputs-file`: outputs by stack."""
    try:
        with path.open("rb") as file:
            document: Any = orjson.loads(file.read(_MAX_OUTPUTS_BYTES))
    except OSError as exc:
        raise InputError(f"{path}: can't be read: {exc.strerror}") from exc
    except orjson.JSONDecodeError as exc:
        raise InputError(f"{path}: not a file of `cdk deploy --outputs-file`") from exc
    stacks = document.values() if isinstance(document, Mapping) else ()
    outputs: dict[str, Any] = {}
    for stack in stacks:
        if isinstance(stack, Mapping):
            outputs |= stack
    missing = [key for key in _OUTPUTS.values() if not isinstance(outputs.get(key), str)]
    if missing:
        raise InputError(f"{path} has no output {', '.join(missing)}: is it of this project?")
    return Place(**{part: outputs[key] for part, key in _OUTPUTS.items()})


def _known_user(stored: Profile | None, place: Place) -> str | None:
    """Who signed in last, as long as the place is the same."""
    if stored is None or stored.user_pool_client_id != place.user_pool_client_id:
        return None
    return stored.username


# ── questions ──────────────────────────────────────────────────────────────────────────────────


def _ask_user() -> str:
    _need_terminal("use --username")
    print("User name: ", end="", file=sys.stderr, flush=True)
    name = sys.stdin.readline().strip()
    if not name:
        raise InputError("no user name was given")
    return name


def _password() -> str:
    return os.environ.get(PASSWORD) or _hidden("Password: ", f"set {PASSWORD}")


def _new_password() -> str:
    given = os.environ.get(NEW_PASSWORD)
    if given:
        return given
    say("This password has to be replaced.")
    first = _hidden("New password: ", f"set {NEW_PASSWORD}")
    if _hidden("New password again: ", "") != first:
        raise InputError("the two new passwords differ: sign in again")
    return first


def _code() -> str:
    return _hidden("Code of your authenticator app: ", "sign in on a terminal")


def _hidden(prompt: str, otherwise: str) -> str:
    _need_terminal(otherwise)
    answer = getpass.getpass(prompt, stream=sys.stderr).strip()
    if not answer:
        raise InputError("nothing was typed: sign in again")
    return answer


def _need_terminal(otherwise: str) -> None:
    if not sys.stdin.isatty():
        raise InputError(f"there is no terminal to ask on: {otherwise}")


def _report(profile: Profile, *, json: bool) -> None:
    if json:
        document = replace(profile.signed_out())
        print_json(
            {
                "profile": document.name,
                "api_url": document.api_url,
                "username": document.username,
                "signed_in": True,
            }
        )
        return
    who = f" as {profile.username}" if profile.username else ""
    print(f"Signed in to {profile.api_url}{who} (profile {profile.name}).")
