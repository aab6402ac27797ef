"""`seedwright login` and `seedwright logout`."""

from pathlib import Path
from typing import Annotated

import typer

from runtime.cli.options import JsonOption, ProfileOption


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    app.command(
        "login",
        epilog="Example: seedwright login --stack-outputs outputs.json --username ada",
    )(login_command)
    app.command("logout", epilog="Example: seedwright logout --profile dev")(logout_command)


def login_command(
    api_url: Annotated[str | None, typer.Option(help="Address of the API.")] = None,
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
    from runtime.cli.remote.signing_in import Place, login, login_local  # noqa: PLC0415

    if local:
        login_local(data, json=json)
        return
    place = Place(api_url=api_url, user_pool_client_id=user_pool_client_id, region=region)
    login(place, stack_outputs, username=username, name=profile, json=json)


def logout_command(profile: ProfileOption = None, json: JsonOption = False) -> None:
    """Forget the tokens of a profile and make them worthless. Its address stays."""
    from runtime.cli.remote.signing_in import logout  # noqa: PLC0415

    logout(profile, json=json)
