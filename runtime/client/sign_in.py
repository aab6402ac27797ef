"""Signing in and out: find where, sign in there, remember the tokens, forget them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from runtime.client.cognito import Questions, sign_in, sign_out
from runtime.client.observer import Observer
from runtime.client.profiles import (
    DEFAULT_PROFILE,
    LOCAL_PROFILE,
    Profile,
    Profiles,
    check_url,
)
from runtime.domain.errors import InputError, SeedwrightError

_MAX_OUTPUTS_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class SignInTarget:
    """Where to sign in, as far as it is known."""

    api_url: str | None = None
    user_pool_client_id: str | None = None
    region: str | None = None


_OUTPUTS: Final = {
    "api_url": "ApiUrl",
    "user_pool_client_id": "UserPoolClientId",
    "region": "Region",
}


def log_in(
    profiles: Profiles,
    given: SignInTarget,
    outputs: Path | None,
    *,
    username: str | None,
    name: str | None,
    questions: Questions,
) -> Profile:
    """Sign in at Cognito and store the profile, which becomes the current one.

    What is not given comes from the outputs of a deployment, or from the profile of this name.
    Raises `InputError`, `ConfigurationError`, `UnauthenticatedError`.
    """
    name = name or _name_to_use(profiles.current())
    if name == LOCAL_PROFILE:
        raise InputError(f"the profile {LOCAL_PROFILE!r} is of `seedwright serve`: use --local")
    stored = profiles.get(name)
    target = _merge(given, _read_outputs(outputs) if outputs else SignInTarget(), stored)
    profile = Profile(
        name=name,
        api_url=check_url(target.api_url or ""),
        region=target.region,
        user_pool_client_id=target.user_pool_client_id,
        username=username or _known_user(stored, target) or questions.username(),
    )
    profiles.save(sign_in(profile, questions), make_current=True)
    return profile


@dataclass(frozen=True, kw_only=True, slots=True)
class SignedOut:
    """A profile without its tokens, and whether they were revoked at Cognito as well."""

    profile: Profile
    revoked: bool


def log_out(profiles: Profiles, name: str | None, observer: Observer) -> SignedOut:
    """Forget the tokens of a profile, by default the current one, and revoke them where Cognito
    can be reached. Raises `InputError` when there is no such profile.
    """
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
        observer.warning(f"The tokens are forgotten here, but could not be revoked: {error}")
    return SignedOut(profile=profile.signed_out(), revoked=revoked)


def _name_to_use(current: str | None) -> str:
    return DEFAULT_PROFILE if current in {None, LOCAL_PROFILE} else str(current)


def _merge(given: SignInTarget, outputs: SignInTarget, stored: Profile | None) -> SignInTarget:
    """Each part from the first that says it. Raises `InputError` when one is missing."""
    found: dict[str, str] = {}
    for part in _OUTPUTS:
        sources = (getattr(given, part), getattr(outputs, part), getattr(stored, part, None))
        value = next((each for each in sources if each), None)
        if value is None:
            option = f"--{part.replace('_', '-')}"
            raise InputError(f"where to sign in? {option} is missing: use it, or --stack-outputs")
        found[part] = value
    return SignInTarget(**found)


def _read_outputs(path: Path) -> SignInTarget:
    """The target from a file of `cdk deploy --outputs-file`: outputs by stack."""
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
    return SignInTarget(**{part: outputs[key] for part, key in _OUTPUTS.items()})


def _known_user(stored: Profile | None, target: SignInTarget) -> str | None:
    """Who signed in last, as long as the target is the same."""
    if stored is None or stored.user_pool_client_id != target.user_pool_client_id:
        return None
    return stored.username
