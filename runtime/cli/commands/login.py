"""`seedwright login`: asks for what signing in needs, and remembers where."""

import getpass
import os
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from runtime.cli.options import JsonOption, ProfileOption
from runtime.cli.output import ask, print_json, print_line, say
from runtime.client.cognito import Questions
from runtime.client.profiles import Profile, open_profiles
from runtime.client.sign_in import SignInTarget, log_in
from runtime.domain.errors import ConfigurationError, InputError
from runtime.server.data_folder import DataFolder, default_data_folder

PASSWORD: Final = "SEEDWRIGHT_PASSWORD"  # noqa: S105 - the name of a variable
NEW_PASSWORD: Final = "SEEDWRIGHT_NEW_PASSWORD"  # noqa: S105 - the name of a variable

EXAMPLE: Final = "Example: seedwright login --stack-outputs outputs.json --username ada"


def login(
    *,
    api_url: Annotated[str | None, typer.Option(help="URL of the API.")] = None,
    user_pool_client_id: Annotated[
        str | None, typer.Option(help="Id of the user pool's client for this command.")
    ] = None,
    region: Annotated[str | None, typer.Option(help="AWS region of the user pool.")] = None,
    stack_outputs: Annotated[
        Path | None,
        typer.Option(help="File of `cdk deploy --outputs-file`: takes the three from there."),
    ] = None,
    username: Annotated[str | None, typer.Option(help="Who signs in. [asked]")] = None,
    profile: ProfileOption = None,
    local: Annotated[
        bool, typer.Option("--local", help="Use the API of `seedwright serve` on this machine.")
    ] = False,
    data: Annotated[
        Path | None, typer.Option(help="With --local: the folder that serve was given.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Sign in to an API. The password is asked for, or read from SEEDWRIGHT_PASSWORD.

    What is not given is taken from the profile, so that signing in again needs no options.
    """
    if local:
        _report(_use_local(data), json=json)
        return
    signed_in = log_in(
        open_profiles(os.environ),
        SignInTarget(api_url=api_url, user_pool_client_id=user_pool_client_id, region=region),
        stack_outputs,
        username=username,
        name=profile,
        questions=Questions(
            username=_username, password=_password, new_password=_new_password, code=_code
        ),
    )
    _report(signed_in, json=json)


def _use_local(data: Path | None) -> Profile:
    """The profile of the API that `serve` has last offered from a folder, now the current one."""
    folder = DataFolder(data or default_data_folder(os.environ))
    profile = folder.profile()
    if profile is None:
        raise ConfigurationError(f"no API was served from {folder.path}: run `seedwright serve`")
    open_profiles(os.environ).save(profile, make_current=True)
    return profile


def _report(profile: Profile, *, json: bool) -> None:
    if json:
        print_json(
            {
                "profile": profile.name,
                "api_url": profile.api_url,
                "username": profile.username,
                "signed_in": True,
            }
        )
        return
    who = f" as {profile.username}" if profile.username else ""
    print_line(f"Signed in to {profile.api_url}{who} (profile {profile.name}).")


# ── questions ──────────────────────────────────────────────────────────────────────────────────


def _username() -> str:
    _need_terminal("use --username")
    ask("User name: ")
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
