"""Runs a fuzzer in a process of its own and finds what that process can't tell: that it hangs, or
that it died.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psutil

from tests.fuzz.case import Case, encode
from tests.fuzz.shrink import shrink

HANG_CPU_SECONDS: Final = 3.0
"""Processor time after which a case counts as one that never ends."""
HANG_SECONDS: Final = 60.0
"""The same for a case that waits, on a machine that is busy."""
_POLL_SECONDS: Final = 0.1
_ROOT: Final = Path(__file__).parents[2]


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What a fuzzer did. `problem` is None if nothing was wrong; `case` is then None, too."""

    kind: str
    seed: str
    inputs: int
    seconds: float
    ends: Mapping[str, int] = field(default_factory=dict)
    problem: str | None = None
    case: Case = None

    def __str__(self) -> str:
        rate = self.inputs / max(self.seconds, 0.001)
        line = f"{self.kind}: {self.inputs} inputs in {self.seconds:.0f} s, {rate:.0f} a second"
        ends = ", ".join(f"{word} {count}" for word, count in sorted(self.ends.items()))
        if self.problem is None:
            return f"{line} (seed {self.seed}; {ends})"
        return f"{line} (seed {self.seed}): {self.problem}\n{encode(self.case)[:4000].decode()}"


def hunt(kind: str, seed: str, seconds: float, *, shrink_seconds: float = 0.0) -> Report:
    """Search for so long, or until something is found."""
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        folder = Path(name)
        told = _watched([kind, seed, str(seconds), name], folder)
        result = _result(folder)
        number, case = _announced(folder)
    if told is None and result is not None:
        return Report(
            kind=kind,
            seed=seed,
            inputs=result["inputs"],
            seconds=result["seconds"],
            ends=result["ends"],
            problem=result.get("problem"),
            case=result.get("case"),
        )
    problem = told or "the process died"
    if shrink_seconds:
        case = shrink(case, lambda each: attempt(kind, [each]) == [problem], seconds=shrink_seconds)
    return Report(
        kind=kind,
        seed=seed,
        inputs=number,
        seconds=time.monotonic() - begun,
        problem=problem,
        case=case,
    )


def attempt(kind: str, cases: Sequence[Case]) -> list[str | None]:
    """What is wrong with each case, tried in one process. Where one kills it, with that alone."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        folder = Path(name)
        (folder / "given.json").write_bytes(encode(cases))
        told = _watched([kind, name], folder)
        result = _result(folder)
        number = int(_number(folder))
    if told is None and result is not None:
        problems: list[str | None] = result["problems"]
        return problems
    return [told if at == number else None for at in range(1, len(cases) + 1)]


def _watched(arguments: list[str], folder: Path) -> str | None:
    """Run the worker to its end; how it failed if that was not by itself."""
    errors = folder / "errors"
    with errors.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz.worker", *arguments],
            cwd=_ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            start_new_session=True,
        )
    try:
        hung = _until_ended(process, folder)
    finally:
        _kill(process)
    if hung or process.returncode == 0:
        return hung
    if process.returncode > 0:  # a defect of the fuzzer itself, or no kind of that name
        raise RuntimeError(errors.read_text()[-2000:])
    return f"the process died of signal {-process.returncode}"


def _until_ended(process: "subprocess.Popen[bytes]", folder: Path) -> str | None:
    """Wait. Says so when one case takes too long."""
    watched = psutil.Process(process.pid)
    number = begun = used = 0.0
    while True:
        with suppress(subprocess.TimeoutExpired):
            process.wait(_POLL_SECONDS)
            return None
        with suppress(psutil.Error):
            now, cpu = time.monotonic(), sum(watched.cpu_times()[:2])
            current = _number(folder)
            if current != number or not current:
                number, begun, used = current, now, cpu
            elif cpu - used > HANG_CPU_SECONDS or now - begun > HANG_SECONDS:
                return f"one case takes more than {HANG_CPU_SECONDS:g} s and goes on"


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """The process and what it has started."""
    with suppress(psutil.Error):
        for child in psutil.Process(process.pid).children(recursive=True):
            with suppress(psutil.Error):
                child.kill()
    process.kill()
    process.wait()


def _result(folder: Path) -> Mapping[str, Any] | None:
    with suppress(FileNotFoundError):
        found: Mapping[str, Any] = json.loads((folder / "result.json").read_bytes())
        return found
    return None


def _number(folder: Path) -> float:
    with suppress(FileNotFoundError, ValueError, IndexError):
        return float((folder / "case.json").read_bytes()[:12])
    return 0.0


def _announced(folder: Path) -> tuple[int, Case]:
    """Number and text of the last case."""
    head, _, body = (folder / "case.json").read_bytes().partition(b"\n")
    number, length = map(int, head.split())
    return number, json.loads(body[:length])
