"""Mutation testing: does a test fail when the code is wrong?

    make mutate                    the named mutants and a sample of 200
    make mutate MUTANTS=all        every mutant (hours)
    python -m tests.mutation.run --sample 50 --seed 3 --only runtime/worker/saver.py

Needs the data of `make coverage`. Survivors are listed; those that were looked at are in
`judged.json` with the judgement. Exit code 1 if a named mutant lives, or less than `--least` per
cent of a package's sample die.
"""

import argparse
import json
import math
import random
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.mutation.laboratory import ROOT, Laboratory, Verdict
from tests.mutation.mutants import Mutant, mutants_of
from tests.mutation.named import NAMED, Named
from tests.mutation.selection import Selection

PACKAGES: Final = ("runtime/domain", "runtime/engine", "runtime/export", "runtime/worker")
JUDGED: Final = Path(__file__).with_name("judged.json")
MAX_SECONDS: Final = 120.0
"""Of tests for one mutant, by their recorded time; slower ones are left out."""
FILE_SECONDS: Final = 5.0
"""What a whole file of quick tests may take."""
LEAST_SECONDS: Final = 30.0
SLOWNESS: Final = 4.0
"""How much longer than recorded tests may take before a mutant counts as hanging. They are recorded
while coverage is measured, which is slower already.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    mutant: Mutant
    verdict: Verdict


def all_mutants(only: str | None) -> list[Mutant]:
    """Of all packages, in the order of files and text."""
    paths = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    names = [str(path.relative_to(ROOT)) for path in paths]
    return [
        mutant
        for name in names
        if only is None or name == only
        for mutant in mutants_of(name, (ROOT / name).read_bytes())
    ]


def tests_within(selection: Selection, mutant: Mutant) -> tuple[list[str], float]:
    """Tests for a mutant, and how long they take together."""
    end = mutant.line + mutant.old.count("\n")
    chosen: list[str] = []
    total = 0.0
    for test in selection.tests_for(mutant.path, mutant.line, end):
        seconds = selection.seconds.get(test, FILE_SECONDS)
        if chosen and total + seconds > MAX_SECONDS:
            break
        total += seconds
        chosen.append(test)
    return chosen, total


class Runner:
    """Judges mutants; a test that fails without any mutant is no judge."""

    def __init__(self, laboratory: Laboratory, selection: Selection) -> None:
        self._laboratory = laboratory
        self._selection = selection
        self._sound: dict[str, bool] = {}
        if not self._is_sound("tests/unit/test_jobs.py"):
            raise RuntimeError("the tests don't run in the copy of the repository")

    def judge(self, mutant: Mutant) -> Verdict:
        source = mutant.apply((ROOT / mutant.path).read_bytes())
        tests, seconds = tests_within(self._selection, mutant)
        tests = [test for test in tests if self._sound.get(test, True)]
        limit = LEAST_SECONDS + SLOWNESS * seconds
        while tests:
            verdict = self._laboratory.run(tests, seconds=limit, changed={mutant.path: source})
            killer = (verdict.killer or "").partition("[")[0]
            judges = [test for test in tests if killer == test or killer.startswith(f"{test}::")]
            if not judges or self._is_sound(killer):
                return verdict
            tests.remove(judges[0])
        return Verdict(killer=None, seconds=0)

    def _is_sound(self, test: str) -> bool:
        if test not in self._sound:
            limit = LEAST_SECONDS + SLOWNESS * self._selection.seconds.get(test, FILE_SECONDS)
            verdict = self._laboratory.run([test], seconds=limit, changed={})
            self._sound[test] = verdict.killer is None
        return self._sound[test]


def judge_named(laboratory: Laboratory, named: Named) -> Verdict:
    """Raises `ValueError` if the code has no such place any more."""
    source = (ROOT / named.path).read_text(encoding="utf-8")
    if source.count(named.old) != 1:
        raise ValueError(f'"{named.name}" does not fit {named.path}: write it anew')
    changed = source.replace(named.old, named.new).encode()
    return laboratory.run(named.tests, seconds=600, changed={named.path: changed})


def wilson(killed: int, total: int) -> tuple[float, float]:
    """The interval, in per cent, that holds the true share in 95 of 100 samples."""
    if not total:
        return 0.0, 100.0
    z, share = 1.96, killed / total
    middle = (share + z * z / (2 * total)) / (1 + z * z / total)
    width = (
        z
        / (1 + z * z / total)
        * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    )
    return 100 * (middle - width), 100 * (middle + width)


def report(results: Sequence[Result], judged: Mapping[str, str], least: float) -> bool:
    """Print the score of each package and its survivors; whether all have their score."""
    good = True
    for package in PACKAGES:
        inside = [each for each in results if each.mutant.path.startswith(f"{package}/")]
        if not inside:
            continue
        lived = [each.mutant for each in inside if each.verdict.killer is None]
        killed = len(inside) - len(lived)
        low, high = wilson(killed, len(inside))
        score = 100 * killed / len(inside)
        good = good and score >= least
        print(
            f"{package}: {killed} of {len(inside)} killed, {score:.1f} %"
            f" (95 % interval {low:.1f} to {high:.1f})"
        )
        for mutant in lived:
            print(f"  lived  line {mutant.line}  {mutant.name}")
            print(f"         {judged.get(mutant.name, 'not judged yet')}")
    return good


def run_sample(runner: Runner, arguments: argparse.Namespace) -> bool:
    mutants = all_mutants(arguments.only)
    print(f"{len(mutants)} mutants", flush=True)
    if arguments.sample != "all":
        count = min(int(arguments.sample), len(mutants))
        mutants = random.Random(arguments.seed).sample(mutants, count)  # noqa: S311 - repeatable
    results = []
    for number, mutant in enumerate(mutants, start=1):
        verdict = runner.judge(mutant)
        results.append(Result(mutant=mutant, verdict=verdict))
        print(
            f"{number:5} {verdict.seconds:6.1f} s  {mutant.name}"
            f"\n             {verdict.killer or 'LIVED'}",
            flush=True,
        )
    judged = json.loads(JUDGED.read_text(encoding="utf-8")) if JUDGED.exists() else {}
    return report(results, judged, arguments.least)


def run_named(laboratory: Laboratory) -> bool:
    tests = sorted({test for named in NAMED for test in named.tests})
    if (failed := laboratory.run(tests, seconds=1800, changed={}).killer) is not None:
        raise RuntimeError(f"{failed} fails without a mutant")
    lived = 0
    for named in NAMED:
        verdict = judge_named(laboratory, named)
        lived += verdict.killer is None
        print(f"{verdict.seconds:6.1f} s  {named.name}\n          {verdict.killer or 'LIVED'}")
        sys.stdout.flush()
    print(f"{len(NAMED) - lived} of {len(NAMED)} named mutants killed")
    return lived == 0


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sample", default="200", help='how many, or "all"; 0 for none')
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", help="mutants of this file")
    parser.add_argument("--least", type=float, default=85.0, help="per cent to be killed")
    parser.add_argument("--no-named", action="store_true")
    arguments = parser.parse_args()
    good = True
    with tempfile.TemporaryDirectory(prefix="seedwright-mutants-") as directory:
        laboratory = Laboratory(Path(directory))
        if not arguments.no_named:
            good = run_named(laboratory)
        if arguments.sample != "0":
            good = run_sample(Runner(laboratory, Selection()), arguments) and good
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
