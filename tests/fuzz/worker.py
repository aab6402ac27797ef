"""The process that tries cases; it may hang or die. `hunt` is its parent.

    python -m tests.fuzz.worker KIND SEED SECONDS FOLDER       search
    python -m tests.fuzz.worker KIND FOLDER                    try the cases in FOLDER/given.json

Before each try the case is in FOLDER/case.json, behind a line with its number and length. How it
ended is in FOLDER/result.json; without that file the process died or was killed over the case. What
is printed goes to FOLDER/output, where nothing may arrive.
"""

import itertools
import os
import re
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any, Final

from tests.fuzz.case import Case, FaultError, Kind, encode, kept_cases, read_case
from tests.fuzz.kinds import open_kind
from tests.fuzz.shrink import shrink
from tests.fuzz.words import change

CPU_SECONDS: Final = 2.0
"""Most that one case may take in this process; others are judged by their own limits."""
GROWTH_BYTES: Final = 700 * 1024 * 1024
"""By which this process may grow over all cases."""
SHRINK_SECONDS: Final = 20.0
_CHANGED_SHARE: Final = 0.15
_ALIKE_CHARACTERS: Final = 25
"""Problems that begin alike are one problem."""
_HIGHEST: Final = re.compile(rb"VmHWM:\s+([0-9]+) kB")


class Trial:
    """Tries cases of a kind and judges them."""

    def __init__(self, kind: Kind, folder: Path) -> None:
        self._kind = kind
        self._case = os.open(folder / "case.json", os.O_RDWR | os.O_CREAT, 0o600)
        self._begun = _peak()
        self._number = 0

    def announce(self, case: Case) -> None:
        """Leave the case where the parent finds it."""
        self._number += 1
        body = encode(case)
        os.pwrite(self._case, b"%12d %12d\n" % (self._number, len(body)) + body, 0)

    def attempt(self, case: Case) -> str:
        """The kind's word for how it ended. Raises what is wrong."""
        begun = time.process_time()
        word = self._kind.check(case)
        took = time.process_time() - begun
        if took > CPU_SECONDS:
            raise FaultError(f"{took:.1f} s of processor time, at most {CPU_SECONDS} are allowed")
        grown = _peak() - self._begun
        if grown > GROWTH_BYTES:
            self._begun = _peak()  # it never falls: others would be blamed
            raise FaultError(f"the process grew by {grown // 2**20} MiB")
        if os.fstat(1).st_size:
            os.ftruncate(1, 0)
            raise FaultError("something was printed")
        return word

    def outcome(self, case: Case) -> tuple[str, str | None]:
        """The kind's word for how a case ended, and what is wrong with it in one line."""
        self.announce(case)
        try:
            return self.attempt(case), None
        except Exception as exc:  # noqa: BLE001 - whatever escapes is the finding
            return "fault", describe(exc)


def describe(exc: Exception) -> str:
    """A fault with the innermost place in this project where it was raised."""
    place, link = "", exc.__traceback__
    while link is not None:
        file = link.tb_frame.f_code.co_filename
        if f"{os.sep}runtime{os.sep}" in file:
            place = f" ({file.rpartition(f'{os.sep}runtime{os.sep}')[2]}:{link.tb_lineno})"
        link = link.tb_next
    return " ".join(f"{type(exc).__name__}: {exc}".split())[:1000] + place


def search(kind: Kind, seed: str, seconds: float, folder: Path) -> None:
    """Try cases until the time is over or one fails; then make that one small."""
    trial = Trial(kind, folder)
    kept = [read_case(path) for path in kept_cases(kind.name)]
    ends: Counter[str] = Counter()
    begun = time.monotonic()
    for number in itertools.count(1):
        rng = Random(f"{seed}/{number}")
        case = _next_case(kind, rng, kept)
        word, problem = trial.outcome(case)
        ends[word] += 1
        report = {"inputs": number, "seconds": time.monotonic() - begun, "ends": ends}
        if problem is not None:
            found = {**report, "problem": problem, "case": case}
            _write(folder, found)  # what is smaller may hang
            small = shrink(case, _fails_alike(trial, problem), seconds=SHRINK_SECONDS)
            _write(folder, {**found, "problem": trial.outcome(small)[1] or problem, "case": small})
            return
        if time.monotonic() - begun > seconds:
            _write(folder, report)
            return


def _next_case(kind: Kind, rng: Random, kept: Sequence[Case]) -> Case:
    if kept and rng.random() < _CHANGED_SHARE:
        return change(rng, rng.choice(kept))
    case = kind.make(rng)
    return change(rng, case) if rng.random() < _CHANGED_SHARE else case


def _fails_alike(trial: Trial, problem: str) -> Callable[[Case], bool]:
    alike = problem[:_ALIKE_CHARACTERS]

    def fails(case: Case) -> bool:
        found = trial.outcome(case)[1]
        return found is not None and found[:_ALIKE_CHARACTERS] == alike

    return fails


def _write(folder: Path, report: dict[str, Any]) -> None:
    temporary = folder / "result.part"
    temporary.write_bytes(encode(report))
    temporary.replace(folder / "result.json")


def main() -> None:
    """Search, or try what is given."""
    kind_name, *rest, folder_name = sys.argv[1:]
    folder = Path(folder_name)
    output = os.open(folder / "output", os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(output, 1)
    kind = open_kind(kind_name, folder)
    try:
        if rest:
            search(kind, rest[0], float(rest[1]), folder)
            return
        trial = Trial(kind, folder)
        given = read_case(folder / "given.json")
        _write(folder, {"problems": [trial.outcome(case)[1] for case in given]})
    finally:
        kind.close()


def _peak() -> int:
    """Bytes that this process has held at most."""
    # The other figure counts what was there before the program began; only Linux has this one.
    status = Path("/proc/self/status")
    if status.exists() and (found := _HIGHEST.search(status.read_bytes())):
        return int(found[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main()
