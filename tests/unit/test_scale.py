"""The page about scale shows what its command prints."""

import subprocess
import sys
from pathlib import Path

from runtime.contract.executions import MAX_SHARDS
from runtime.operations.scale import RECORDS, Plan

PAGE = Path(__file__).parents[2] / "docs" / "scale.md"


def test_the_table_is_what_the_command_prints() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "runtime.operations.scale"],
        capture_output=True,
        text=True,
        check=True,
        cwd=PAGE.parents[1],
    )
    assert done.stdout in PAGE.read_text(encoding="utf-8")


def test_more_workers_take_less_time_and_the_same_calls() -> None:
    one, forty = Plan(workers=1), Plan(workers=40)
    assert one.calls * 40 == forty.calls
    assert one.hours > forty.hours > one.hours / 40
    assert sum(forty.dollars().values()) <= 0.30  # what a million records should cost at most
    busier = Plan(workers=10, calls_at_a_time=256)  # as many calls, from a quarter of the machines
    assert busier.calls == forty.calls
    assert sum(busier.dollars().values()) <= 0.10
    assert Plan(workers=MAX_SHARDS + 1).jobs == 2
    assert RECORDS == 1_000_000
