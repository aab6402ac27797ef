"""Ctrl-C in a script that imports Seedwright: it raises, everything paid for is kept, and the same
script goes on.
"""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
import pytest

from tests.fixtures.bedrock_double import BedrockDouble
from tests.fixtures.command import environment, write_inputs

RECORDS = 60
CONCURRENCY = 4
SCRIPT = f"""
import sys
import seedwright

try:
    dataset = seedwright.generate(
        "template.yaml", "seeds.jsonl", n={RECORDS}, backend="bedrock", out="out",
        concurrency={CONCURRENCY},
    )
except KeyboardInterrupt as error:
    print("interrupted:", *error.__notes__, flush=True)
    sys.exit(7)
print(len(dataset), "records")
"""


@pytest.fixture
def double() -> Iterator[BedrockDouble]:
    with BedrockDouble(latency_ms=30) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_inputs(tmp_path)
    return tmp_path


def start_script(folder: Path, double: BedrockDouble) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        cwd=folder,
        env=environment(double.url),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def finish(folder: Path, double: BedrockDouble) -> None:
    """The same script completes the dataset."""
    double.faults([])
    with start_script(folder, double) as process:
        shown, errors = process.communicate(timeout=60)
    assert (process.returncode, shown) == (0, f"{RECORDS} records\n"), errors
    lines = (folder / "out" / "dataset.jsonl").read_bytes().splitlines()
    assert sorted(orjson.loads(line)["index"] for line in lines) == list(range(RECORDS))


def test_ctrl_c_saves_raises_and_pays_nothing_twice(folder: Path, double: BedrockDouble) -> None:
    with start_script(folder, double) as process:
        wait_until(lambda: double.stats()["answered"] >= 8)
        process.send_signal(signal.SIGINT)
        shown, errors = process.communicate(timeout=30)

    paid = double.stats()["paid"]
    assert process.returncode == 7, errors
    assert errors == ""
    assert shown == (
        f"interrupted: {paid} of {RECORDS} records are saved in out. "
        "To go on, make the same call.\n"
    )
    assert paid < RECORDS
    finish(folder, double)
    assert (double.calls, double.stats()["paid_twice"]) == (RECORDS, 0)


def test_a_second_ctrl_c_does_not_wait_and_loses_nothing_finished(
    folder: Path, double: BedrockDouble
) -> None:
    with start_script(folder, double) as process:
        wait_until(lambda: double.stats()["answered"] >= 8)
        double.faults([{"delay_ms": 20_000}])
        slow = double.calls
        wait_until(lambda: double.calls > slow)
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        while process.poll() is None:
            process.send_signal(signal.SIGINT)
            time.sleep(0.05)
            assert time.monotonic() - began < 10  # the call takes 20
        process.communicate()

    assert process.returncode != 0
    finish(folder, double)
    assert double.stats()["paid_twice"] <= CONCURRENCY


def test_a_script_that_is_terminated_goes_on_too(folder: Path, double: BedrockDouble) -> None:
    """It keeps the handler that it had for SIGTERM, which ends it."""
    with start_script(folder, double) as process:
        wait_until(lambda: double.stats()["answered"] >= 8)
        process.terminate()
        process.communicate(timeout=30)

    assert process.returncode == -signal.SIGTERM
    finish(folder, double)
    assert double.stats()["paid_twice"] <= CONCURRENCY
