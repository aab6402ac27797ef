"""The `seedwright` command of a user at home: their own settings, no AWS credentials."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tests.e2e.deployment import PASSWORD, TEMPORARY_PASSWORD, Deployment
from tests.fixtures import command

SECONDS: Final = 90.0


class UserCommand:
    """Runs the command in a folder that is home, working directory and settings at once."""

    def __init__(self, deployment: Deployment, folder: Path) -> None:
        self.folder = folder
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "XDG_STATE_HOME": str(folder / "state"),
            "PYTHONPATH": str(command.REPOSITORY),
            "AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER": deployment.emulator.url,
            "SEEDWRIGHT_PASSWORD": TEMPORARY_PASSWORD,
            "SEEDWRIGHT_NEW_PASSWORD": PASSWORD,
        }
        self._write("outputs.json", {"api": {**deployment.outputs, "ApiUrl": deployment.api_url}})

    def login(self, email: str) -> None:
        """Sign in for the first time, with what `cdk deploy --outputs-file` wrote."""
        self.run("login", "--stack-outputs", "outputs.json", "--username", email)

    def run(self, *arguments: str) -> Any:
        """The JSON document that the command printed. It has to end well."""
        done = command.run(
            [*arguments, "--json"], cwd=self.folder, env=self._environment, timeout=SECONDS
        )
        assert done.returncode == 0, (arguments, done.returncode, done.stdout, done.stderr)
        return json.loads(done.stdout)

    def write(self, name: str, text: str) -> None:
        """Put a file into the folder."""
        (self.folder / name).write_text(text, encoding="utf-8")

    def _write(self, name: str, document: Mapping[str, Any]) -> None:
        self.write(name, json.dumps(document))
