"""Runs chosen tests against a mutant, in a copy of the repository and in a process of its own.

The copy is read by everything that the tests start too. A process is forked from one that has
imported all libraries and nothing of the project: to import them takes longer than most tests.
"""

import os
import py_compile
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
COPIED: Final = ("runtime", "tests", "examples", "docs", "skills", "pyproject.toml", "README.md")
LIBRARIES: Final = (
    *("pytest", "hypothesis", "hypothesis.stateful", "psutil", "typer", "rich"),
    *("botocore.session", "botocore.client", "moto.core.models", "moto.dynamodb.models"),
    *("moto.dynamodb.responses", "moto.s3.models", "moto.s3.responses"),
    *("jinja2", "jsonschema_rs", "orjson", "pyarrow.parquet"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """`killer` is the test or module that failed, or how else it ended; None for a survivor."""

    killer: str | None
    seconds: float


class Laboratory:
    """A copy of the repository in `directory`. Never change the repository while it is made."""

    def __init__(self, directory: Path) -> None:
        self.root = directory
        ignored = shutil.ignore_patterns("__pycache__", "*.pyc", "weights")
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, directory / name, ignore=ignored)
            elif source.exists():
                shutil.copy2(source, directory / name)
        for path in (*directory.glob("runtime/**/*.py"), *directory.glob("tests/**/*.py")):
            # By hash: times of files are too coarse to tell a mutant from what it was.
            py_compile.compile(
                str(path), invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH
            )
        for library in LIBRARIES:
            with suppress(ImportError):
                __import__(library)

    def run(self, tests: Sequence[str], *, seconds: float, changed: dict[str, bytes]) -> Verdict:
        """The first of `tests` (node ids) that fails with the `changed` files, within `seconds`."""
        begun = time.monotonic()
        for path, source in changed.items():
            (self.root / path).write_bytes(source)
        try:
            killer = self._fork(tests, seconds)
        finally:
            for path in changed:
                shutil.copy2(ROOT / path, self.root / path)
        return Verdict(killer=killer, seconds=time.monotonic() - begun)

    def _fork(self, tests: Sequence[str], seconds: float) -> str | None:
        report = self.root / "failed.txt"
        report.unlink(missing_ok=True)
        child = os.fork()
        if child == 0:
            os.setsid()
            _be_pytest(self.root, tests, report)
        deadline = time.monotonic() + seconds
        while True:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                break
            if time.monotonic() > deadline:
                os.killpg(child, signal.SIGKILL)
                os.waitpid(child, 0)
                return "timeout"
            time.sleep(0.02)
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)  # what the tests have left behind
        code = os.waitstatus_to_exitcode(status)
        if code == 0:
            return None
        # Without a failed test: it can't be imported, or its last resort has ended the process.
        return report.read_text() if report.exists() else f"exit code {code}"


class _FirstFailure:
    def __init__(self, report: Path) -> None:
        self._report = report

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed and not self._report.exists():
            self._report.write_text(report.nodeid)

    def pytest_collectreport(self, report: Any) -> None:
        self.pytest_runtest_logreport(report)  # a mutant that can't even be imported


def _be_pytest(root: Path, tests: Sequence[str], report: Path) -> None:
    """Never returns."""
    code = 99
    try:
        import pytest  # noqa: PLC0415 - imported already, in the parent

        nowhere = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(nowhere, descriptor)
        os.chdir(root)
        sys.path[:] = [str(root), *(path for path in sys.path if path not in {"", str(ROOT)})]
        sys.dont_write_bytecode = True
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
        for name in [name for name in sys.modules if name.split(".")[0] in {"tests", "runtime"}]:
            del sys.modules[name]
        options = ["-x", "-q", "--assert=plain", "-p", "no:cacheprovider", "-p", "no:xdist"]
        base = f"--basetemp={root / 'tmp'}"
        code = int(pytest.main([*options, base, *tests], plugins=[_FirstFailure(report)]))
    finally:
        os._exit(code)
