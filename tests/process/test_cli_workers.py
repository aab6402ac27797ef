"""`--workers`: several processes on one dataset, killed and stopped, lose and repeat nothing."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
import pytest

from tests.fixtures.bedrock_double import BedrockDouble
from tests.fixtures.command import environment, generate_arguments, start, write_inputs
from tests.fixtures.served import User

RECORDS = 48
WORKERS = 2
CONCURRENCY = 2
ARGUMENTS = generate_arguments(
    RECORDS, "--workers", str(WORKERS), "--concurrency", str(CONCURRENCY), "--format", "jsonl"
)


@pytest.fixture
def double() -> Iterator[BedrockDouble]:
    with BedrockDouble(latency_ms=80) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_inputs(tmp_path)
    return tmp_path


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def owners(folder: Path) -> set[int]:
    """The processes that hold a shard now, or did when they died."""
    locks = (folder / "out" / ".seedwright" / "locks").glob("*%23*.lock")
    found = set()
    for path in locks:
        try:
            found.add(int(path.read_text() or "0"))
        except FileNotFoundError:
            continue
    return found - {0}


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def indices(folder: Path) -> list[int]:
    lines = (folder / "out" / "dataset.jsonl").read_bytes().splitlines()
    return [orjson.loads(line)["index"] for line in lines]


def test_killed_workers_and_a_killed_command_lose_and_repeat_nothing(
    folder: Path, double: BedrockDouble
) -> None:
    env = environment(double.url)
    with start(ARGUMENTS, cwd=folder, env=env) as process:
        wait_until(lambda: double.stats()["answered"] >= 6 and len(owners(folder)) == WORKERS)
        one = min(owners(folder))
        os.kill(one, signal.SIGKILL)
        answered = double.stats()["answered"]
        wait_until(lambda: double.stats()["answered"] >= answered + 6)
        left = owners(folder) - {one}
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    wait_until(lambda: not any(map(is_alive, left)))
    stopped = double.stats()["paid"]
    assert 12 <= stopped < RECORDS

    done = User(folder, env).try_run("resume", "out", "--workers", "1")

    assert done.returncode == 0, done.stderr
    assert sorted(indices(folder)) == list(range(RECORDS))
    # Only the call that the killed worker had on its way.
    assert double.stats()["paid_twice"] <= CONCURRENCY // WORKERS
    assert double.stats()["paid"] - double.stats()["paid_twice"] == RECORDS


def test_ctrl_c_stops_all_workers_and_pays_nothing_twice(
    folder: Path, double: BedrockDouble
) -> None:
    env = environment(double.url)
    with start(ARGUMENTS, cwd=folder, env=env) as process:
        wait_until(lambda: double.stats()["answered"] >= 6 and len(owners(folder)) == WORKERS)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    paid = double.stats()["paid"]
    assert process.returncode == 130
    assert f"Stopped. {paid} of {RECORDS} records are saved in out." in errors
    assert paid < RECORDS
    done = User(folder, env).try_run(*ARGUMENTS)
    assert done.returncode == 0, done.stderr
    assert sorted(indices(folder)) == list(range(RECORDS))
    assert (double.calls, double.stats()["paid_twice"]) == (RECORDS, 0)
