"""Compares the branch coverage of packages with the limits in pyproject.toml, and says what lacks.

    make coverage        runs all tests first

Exit code 1 when a package is below its limit.
"""

import json
import sys
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from coverage import Coverage

ROOT: Final = Path(__file__).parents[2]


def measured() -> Mapping[str, Any]:
    """What coverage knows of each file, by its path in the repository."""
    coverage = Coverage()
    coverage.load()
    with tempfile.NamedTemporaryFile(suffix=".json") as report:
        coverage.json_report(outfile=report.name)
        files: Mapping[str, Any] = json.loads(Path(report.name).read_bytes())["files"]
    return files


def share(summaries: list[Mapping[str, int]], covered: str, of: str) -> float:
    """Per cent; a package without branches has all of them covered."""
    total = sum(summary[of] for summary in summaries)
    return 100 * sum(summary[covered] for summary in summaries) / total if total else 100.0


def main() -> int:
    """Print a line for each package, and every branch that no test takes."""
    limits = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    files, failed = measured(), False
    for package, limit in limits["tool"]["seedwright"]["coverage"].items():
        inside = {path: file for path, file in files.items() if path.startswith(f"{package}/")}
        summaries = [file["summary"] for file in inside.values()]
        branches = share(summaries, "covered_branches", "num_branches")
        lines = share(summaries, "covered_lines", "num_statements")
        low = not inside or branches < limit
        failed = failed or low
        verdict = f"below its limit of {limit} %" if low else f"limit {limit} %"
        print(f"{package:20} branches {branches:6.2f} %  lines {lines:6.2f} %  ({verdict})")
        for path, file in sorted(inside.items()):
            missing = [f"{start}→{max(end, 0) or 'end'}" for start, end in file["missing_branches"]]
            if missing or file["missing_lines"]:
                print(f"  {path}: branches {missing} lines {file['missing_lines']}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
