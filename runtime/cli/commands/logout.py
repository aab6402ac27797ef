"""`seedwright logout`: forgets the tokens of a profile."""

import os
from typing import Final

from runtime.cli.options import JsonOption, ProfileOption
from runtime.cli.output import print_json, print_line
from runtime.cli.terminal import TerminalObserver
from runtime.client.profiles import open_profiles
from runtime.client.sign_in import log_out

EXAMPLE: Final = "Example: seedwright logout --profile dev"


def logout(*, profile: ProfileOption = None, json: JsonOption = False) -> None:
    """Forget the tokens of a profile and make them worthless. Its URL stays."""
    done = log_out(open_profiles(os.environ), profile, TerminalObserver(json=json))
    if json:
        document = {"profile": done.profile.name, "signed_in": False, "revoked": done.revoked}
        print_json(document)
    else:
        print_line(f"Signed out of {done.profile.api_url} (profile {done.profile.name}).")
