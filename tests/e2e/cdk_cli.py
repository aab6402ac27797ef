"""The CDK command line against the emulator, as a user runs it: `npx cdk deploy --all`."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.e2e.emulator.process import ROOT, Emulator
from tests.fixtures.aws import CLEAN_ENVIRONMENT

CDK: Final = ROOT / "node_modules" / ".bin" / "cdk"
NODE_FOLDER: Final = ROOT / ".venv" / "bin"
"""Holds the Node.js of the development environment."""
SECONDS: Final = 240.0
_NO_DOCKER: Final = """\
#!/bin/sh
# Stands for Docker: the emulator runs the worker from the source tree and pulls no image.
exit 0
"""


class CdkCommand:
    """Runs the pinned command with an assembly that is already synthesized."""

    def __init__(self, *, assembly: Path, emulator: Emulator, tell: Callable[[str], None]) -> None:
        if not CDK.exists():
            raise RuntimeError("the CDK command line is not installed: run `make e2e`")
        docker = emulator.folder / "docker"
        docker.write_text(_NO_DOCKER)
        docker.chmod(0o755)
        self._assembly = assembly
        self._tell = tell
        self._folder = emulator.folder
        self._environment = {
            **CLEAN_ENVIRONMENT,
            **emulator.account,
            "PATH": f"{NODE_FOLDER}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(emulator.folder),
            "TMPDIR": str(emulator.folder),
            "AWS_ENDPOINT_URL": emulator.url,
            "CDK_DOCKER": str(docker),
            "CDK_DISABLE_CLI_TELEMETRY": "true",
            "CDK_DISABLE_VERSION_CHECK": "true",
            "CI": "true",
            "NO_COLOR": "1",
        }

    def run(self, *arguments: str) -> str:
        """What the command printed. Raises `RuntimeError` with its end when it failed."""
        self._tell(f"cdk {' '.join(arguments)}")
        done = subprocess.run(
            [CDK, "--app", self._assembly, "--no-notices", *arguments],
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"cdk {arguments[0]} failed:\n{done.stdout[-4000:]}")
        return done.stdout
