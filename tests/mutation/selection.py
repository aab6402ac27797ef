"""Which tests can notice a change of a line, the quickest first.

From the data of `make coverage`: which test function runs which line, and how long it takes.
"""

import xml.etree.ElementTree as ET
from collections import defaultdict
from collections.abc import Mapping
from itertools import accumulate
from pathlib import Path
from typing import Final

from coverage import CoverageData

from tests.mutation.laboratory import ROOT

FOLDER: Final = ROOT / ".coverage"
MODULE_SECONDS: Final = 25.0
"""Of tests for a line that runs when its module is imported: the quickest ones that use it."""

PROGRAMS: Final = {
    "runtime/worker/__main__.py": (
        "tests/process/test_worker_process.py",
        "tests/process/test_worker_faults.py",
    )
}


class Selection:
    """Reads what `make coverage` left. `FileNotFoundError` when it has not been run."""

    def __init__(self) -> None:
        if not (FOLDER / "data").exists() or not (FOLDER / "tests.xml").exists():
            raise FileNotFoundError("run `make coverage` first: it finds out which test runs what")
        self._data = CoverageData(basename=str(FOLDER / "data"))
        self._data.read()
        self.seconds = _durations(FOLDER / "tests.xml")
        self._files: dict[str, Mapping[int, list[str]]] = {}

    def tests_for(self, path: str, line: int, end: int) -> list[str]:
        """Node ids of the functions that run one of the lines, the quickest first."""
        lines = self._lines(path)
        found = {test for number in range(line, end + 1) for test in lines.get(number, ())}
        if found:
            return self._sorted(found)
        # It runs when its module is imported, or only in processes that tests start.
        users = {test for tests in lines.values() for test in tests}
        return [*_importing(path), *self._within(MODULE_SECONDS, self._sorted(users))]

    def _within(self, seconds: float, tests: list[str]) -> list[str]:
        passed = accumulate(self.seconds[test] for test in tests)
        return [test for test, at in zip(tests, passed, strict=True) if at <= seconds]

    def _sorted(self, tests: set[str]) -> list[str]:
        return sorted(tests, key=lambda test: (self.seconds[test], test))

    def _lines(self, path: str) -> Mapping[int, list[str]]:
        if path not in self._files:
            contexts = self._data.contexts_by_lineno(str(ROOT / path))
            self._files[path] = {
                line: [name for name in names if name in self.seconds]
                for line, names in contexts.items()
            }
        return self._files[path]


def _importing(path: str) -> list[str]:
    """Quick test files that import the module, and for a program the tests of its process."""
    module = path.removesuffix(".py").replace("/", ".")
    package, _, name = module.rpartition(".")
    imports = (f"from {module} import", f"from {package} import {name}\n")
    files = [*(ROOT / "tests/unit").glob("test_*.py"), *(ROOT / "tests/property").glob("test_*.py")]
    found = sorted(
        (
            str(file.relative_to(ROOT))
            for file in files
            if any(each in file.read_text(encoding="utf-8") for each in imports)
        ),
        key=lambda test: name not in test,  # its own tests first
    )
    return [*found, *PROGRAMS.get(path, ())]


def _durations(report: Path) -> Mapping[str, float]:
    """Seconds of each test function, all its parameters together."""
    total: dict[str, float] = defaultdict(float)
    for case in ET.parse(report).iter("testcase"):  # noqa: S314 - pytest wrote it
        module, _, group = case.get("classname", "").partition(".Test")
        path = f"{module.replace('.', '/')}.py" + (f"::Test{group}" if group else "")
        name = case.get("name", "").partition("[")[0]
        total[f"{path}::{name}"] += float(case.get("time", 0))
    return total
