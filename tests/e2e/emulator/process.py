"""The emulator as a process that a test starts and ends, and clients for it."""

import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from tests.fixtures.aws import CLEAN_ENVIRONMENT, REGION

ROOT: Final = Path(__file__).parents[3]
PYTHON: Final = ROOT / ".venv-emulator" / "bin" / "python"
ACCOUNT: Final = "123456789012"
END_SECONDS: Final = 10.0


class Emulator:
    """A context manager. Everything it writes is in one temporary folder that goes with it."""

    def __init__(self, *, bedrock_url: str) -> None:
        self._bedrock_url = bedrock_url
        self.url = ""
        self.folder = Path()
        self._process: subprocess.Popen[bytes]

    def __enter__(self) -> Self:
        if not PYTHON.exists():
            raise RuntimeError("the emulator is not installed: run `make e2e`")
        self.folder = Path(tempfile.mkdtemp(prefix="seedwright-e2e-"))
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [PYTHON, "-m", "tests.e2e.emulator"],
                cwd=ROOT,
                env={
                    "PATH": os.environ["PATH"],
                    "HOME": str(self.folder),
                    "TMPDIR": str(self.folder),
                    **CLEAN_ENVIRONMENT,
                    **self.account,
                    "EMULATOR_PYTHON": sys.executable,
                    "EMULATOR_PACKAGES": sysconfig.get_path("purelib"),
                    "EMULATOR_BEDROCK_URL": self._bedrock_url,
                },
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().decode().strip()
        if not self.url:
            self._end()
            raise RuntimeError(f"the emulator did not start:\n{self._log_end()}")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _end(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(END_SECONDS)
        # Whatever is left of the group: tasks, functions, and the emulator if it hangs.
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process.stdout.close()

    @property
    def pid(self) -> int:
        """Of the emulator, whose tasks and functions are in its process group."""
        return self._process.pid

    @property
    def log(self) -> Path:
        return self.folder / "emulator.log"

    def _log_end(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-20:])

    @property
    def account(self) -> dict[str, str]:
        """Credentials of the account itself, which may do everything."""
        return {
            "AWS_ACCESS_KEY_ID": ACCOUNT,
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_SESSION_TOKEN": "",
        }

    def client(self, service: Any, **credentials: str) -> Any:
        """A client of the account, or of whoever has these credentials."""
        import boto3  # noqa: PLC0415 - only these tests need it

        keys: Any = credentials or {
            "aws_access_key_id": ACCOUNT,
            "aws_secret_access_key": "test",
        }
        return boto3.client(service, endpoint_url=self.url, region_name=REGION, **keys)
