"""N15: the fuzzers, quickly: two seconds a kind from one seed, and all cases that were found."""

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import pytest

from tests.fuzz.case import kept_cases, read_case
from tests.fuzz.hunt import attempt, hunt
from tests.fuzz.kinds import KINDS
from tests.fuzz.shrink import shrink

SECONDS: Final = float(os.environ.get("FUZZ_SECONDS", "2"))


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_found(kind: str) -> None:
    report = hunt(kind, "1", SECONDS)
    assert report.problem is None, str(report)
    # Kinds that refuse everything, or try next to nothing, would prove nothing.
    assert len(report.ends) >= 2, str(report)
    assert report.inputs >= SECONDS, str(report)


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_found_stays_mended(kind: str) -> None:
    paths = kept_cases(kind)
    problems = attempt(kind, [read_case(path) for path in paths]) if paths else []
    assert [each for each in zip(paths, problems, strict=True) if each[1] is not None] == []


def test_a_fuzzer_notices_what_goes_wrong() -> None:
    told = {
        "fine": None,
        "fault": "FaultError: trapped",
        "escape": "SeedError: nobody took it",
        "print": "FaultError: something was printed",
        "slow": "s of processor time",
        "grow": "FaultError: the process grew by",
        "abort": "the process died of signal 6",
        "hang": "one case takes more than",
    }
    with ThreadPoolExecutor(2) as threads:
        found = dict(
            zip(
                told, threads.map(lambda do: attempt("traps", [{"words": [do]}]), told), strict=True
            )
        )
    for trap, expected in told.items():
        [problem] = found[trap]
        assert problem == expected or (problem and expected and expected in problem), trap


def test_a_search_ends_with_a_small_case_and_is_repeatable() -> None:
    first, second = hunt("traps", "7", 9), hunt("traps", "7", 9)
    assert first.problem in {"FaultError: trapped", "SeedError: nobody took it"}
    assert len(first.case["words"]) == 1
    assert (first.case, first.inputs) == (second.case, second.inputs)


def test_shrinking_keeps_what_fails_and_the_shape_of_the_case() -> None:
    case = {"text": "x" * 500 + "bad" + "y" * 500, "list": [1, {"a": "b", "c": ["d"]}], "n": 5}
    small = shrink(case, lambda each: "bad" in each["text"], seconds=20)
    assert small == {"text": "bad", "list": [], "n": 5}
