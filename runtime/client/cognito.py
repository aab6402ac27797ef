"""Signs in at Amazon Cognito with user name and password, and keeps the sign-in fresh.

The flow is USER_PASSWORD_AUTH: the password goes to Cognito over HTTPS and is stored nowhere. What
is kept is an access token, which holds about an hour, and a refresh token, which gives new ones.
"""

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from runtime.client.profiles import Profile
from runtime.domain.errors import (
    ConfigurationError,
    InputError,
    StorageUnavailableError,
    UnauthenticatedError,
)

if TYPE_CHECKING:
    from mypy_boto3_cognito_idp.client import CognitoIdentityProviderClient

REFRESH_BEFORE_SECONDS: Final = 120
"""An access token that ends sooner is renewed first."""

_MAX_CHALLENGES: Final = 5
_REGION: Final = re.compile(r"[a-z]{2,8}(?:-[a-z0-9]{1,16}){1,4}")
_SHOWN: Final = 40

_WRONG: Final = frozenset({"NotAuthorizedException", "UserNotFoundException"})
_WRONG_INPUT: Final[Mapping[str, str]] = {
    "InvalidPasswordException": "the new password is too weak for this user pool",
    "CodeMismatchException": "that is not the code: wait for the next one and sign in again",
    "ExpiredCodeException": "the code has expired: sign in again",
    "PasswordResetRequiredException": "the password has to be reset by an administrator",
    "UserNotConfirmedException": "the user is not confirmed yet",
    "ResourceNotFoundException": "no such user pool client: check --user-pool-client-id, --region",
    "InvalidParameterException": "the user pool client does not take passwords "
    "(ALLOW_USER_PASSWORD_AUTH)",
}
_BUSY: Final = frozenset({"TooManyRequestsException", "InternalErrorException"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Questions:
    """Asks the user for what a sign-in turns out to need. Each raises `InputError` when there is
    nobody to ask.
    """

    username: Callable[[], str]
    password: Callable[[], str]
    new_password: Callable[[], str]
    code: Callable[[], str]


def sign_in(profile: Profile, questions: Questions) -> Profile:
    """The profile with tokens. Raises `UnauthenticatedError` for a wrong name or password,
    `InputError`, `ConfigurationError` for a target that has no such sign-in.
    """
    client = _client(profile)
    try:
        reply: Mapping[str, Any] = _ask(
            lambda: client.initiate_auth(
                AuthFlow="USER_PASSWORD_AUTH",
                ClientId=_client_id(profile),
                AuthParameters={
                    "USERNAME": profile.username or "",
                    "PASSWORD": questions.password(),
                },
            ),
            wrong="wrong user name or password",
        )
        for _ in range(_MAX_CHALLENGES):
            if "AuthenticationResult" in reply:
                return _with_tokens(profile, reply["AuthenticationResult"])
            reply = _respond(client, profile, reply, questions)
    finally:
        client.close()
    raise ConfigurationError("the user pool asks for more than this command can answer")


def _respond(
    client: "CognitoIdentityProviderClient",
    profile: Profile,
    asked: Mapping[str, Any],
    questions: Questions,
) -> Mapping[str, Any]:
    challenge = asked["ChallengeName"]
    # Cognito may know the user by another name than the one that was typed.
    name = asked.get("ChallengeParameters", {}).get("USER_ID_FOR_SRP", profile.username or "")
    match challenge:
        case "NEW_PASSWORD_REQUIRED":
            answer = {"NEW_PASSWORD": questions.new_password()}
        case "SOFTWARE_TOKEN_MFA":
            answer = {"SOFTWARE_TOKEN_MFA_CODE": questions.code()}
        case _:
            raise ConfigurationError(
                f"the user pool asks for {challenge}, which this command can't answer"
            )
    return _ask(
        lambda: client.respond_to_auth_challenge(
            ClientId=_client_id(profile),
            ChallengeName=challenge,
            Session=asked["Session"],
            ChallengeResponses={"USERNAME": name, **answer},
        ),
        wrong="the sign-in was refused: begin again",
    )


def refreshed(profile: Profile, *, now: float | None = None) -> Profile:
    """The profile with an access token that holds a while: the same one if it does.

    Raises `UnauthenticatedError` when the user has to sign in again.
    """
    now = time.time() if now is None else now
    if profile.expires_at is None or profile.expires_at - now > REFRESH_BEFORE_SECONDS:
        return profile
    if profile.refresh_token is None:
        raise UnauthenticatedError("the sign-in has expired: run `seedwright login`")
    client = _client(profile)
    try:
        reply = _ask(
            lambda: client.initiate_auth(
                AuthFlow="REFRESH_TOKEN_AUTH",
                ClientId=_client_id(profile),
                AuthParameters={"REFRESH_TOKEN": profile.refresh_token or ""},
            ),
            wrong="the sign-in has expired: run `seedwright login`",
        )
    finally:
        client.close()
    return _with_tokens(profile, reply["AuthenticationResult"])


def sign_out(profile: Profile) -> None:
    """Make the refresh token worthless. Raises as `refreshed` does."""
    if profile.refresh_token is None:
        return
    client = _client(profile)
    try:
        _ask(
            lambda: client.revoke_token(
                Token=profile.refresh_token or "", ClientId=_client_id(profile)
            ),
            wrong="the sign-in had expired",
        )
    finally:
        client.close()


def _client(profile: Profile) -> "CognitoIdentityProviderClient":
    """A client without credentials: who signs in has none."""
    import boto3  # noqa: PLC0415 - a quarter of a second that only a sign-in pays
    from botocore import UNSIGNED  # noqa: PLC0415
    from botocore.config import Config  # noqa: PLC0415

    if not profile.region:
        raise ConfigurationError("the region of the user pool is missing: use --region")
    if not _REGION.fullmatch(profile.region):  # it becomes a part of a host's name
        raise InputError(f"{profile.region[:_SHOWN]!r} is not an AWS region, such as eu-west-1")
    return boto3.client(
        "cognito-idp",
        region_name=profile.region,
        config=Config(signature_version=UNSIGNED, connect_timeout=5, read_timeout=20),
    )


def _client_id(profile: Profile) -> str:
    if not profile.user_pool_client_id:
        raise ConfigurationError("the user pool client is missing: use --user-pool-client-id")
    return profile.user_pool_client_id


def _ask(call: Callable[[], Any], *, wrong: str) -> Mapping[str, Any]:
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    try:
        reply: Mapping[str, Any] = call()
    except ClientError as exc:
        code = exc.response["Error"]["Code"]
        if code in _WRONG:
            raise UnauthenticatedError(wrong) from exc
        if code in _WRONG_INPUT:
            raise InputError(_WRONG_INPUT[code]) from exc
        if code in _BUSY:
            raise StorageUnavailableError("Cognito is busy: try again in a moment") from exc
        raise ConfigurationError(f"Cognito refused the sign-in: {code}") from exc
    except BotoCoreError as exc:
        raise StorageUnavailableError(
            "Cognito can't be reached: check --region and the network"
        ) from exc
    return reply


def _with_tokens(profile: Profile, result: Mapping[str, Any]) -> Profile:
    return replace(
        profile,
        access_token=result["AccessToken"],
        # A pool that rotates refresh tokens sends a new one; others send none when they renew.
        refresh_token=result.get("RefreshToken") or profile.refresh_token,
        expires_at=int(time.time()) + int(result["ExpiresIn"]),
    )
