"""Ctrl-C and polite kills: what is paid for is kept, and the same command goes on."""

import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread

import orjson
import pytest

from tests.fixtures.bedrock_double import BedrockDouble
from tests.fixtures.command import environment, generate_arguments, run, start, write_inputs

RECORDS = 60
CONCURRENCY = 4
ARGUMENTS = generate_arguments(RECORDS, "--concurrency", str(CONCURRENCY))


@pytest.fixture
def double() -> Iterator[BedrockDouble]:
    with BedrockDouble(latency_ms=30) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_inputs(tmp_path)
    return tmp_path


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def finish(folder: Path, double: BedrockDouble) -> None:
    """The same command completes the dataset."""
    double.faults([])
    done = run(ARGUMENTS, cwd=folder, env=environment(double.url))
    assert done.returncode == 0, done.stderr
    lines = (folder / "out" / "dataset.jsonl").read_bytes().splitlines()
    assert sorted(orjson.loads(line)["index"] for line in lines) == list(range(RECORDS))


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_saves_says_how_to_go_on_and_pays_nothing_twice(
    folder: Path, double: BedrockDouble, signum: signal.Signals
) -> None:
    with start(ARGUMENTS, cwd=folder, env=environment(double.url)) as process:
        wait_until(lambda: double.stats()["answered"] >= 8)
        process.send_signal(signum)
        _, errors = process.communicate(timeout=30)

    paid = double.stats()["paid"]
    assert process.returncode == 130
    assert "Stopping: waiting for the answers on their way." in errors
    assert f"Stopped. {paid} of 60 records are saved in out. To go on, run the same" in errors
    assert paid < RECORDS
    finish(folder, double)
    assert (double.calls, double.stats()["paid_twice"]) == (RECORDS, 0)


def test_a_signal_that_is_ignored_stays_ignored(folder: Path, double: BedrockDouble) -> None:
    """As under nohup."""
    code = (
        "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN);"
        "os.execv(sys.executable, [sys.executable, '-m', 'runtime.cli', *sys.argv[1:]])"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, *ARGUMENTS],
        cwd=folder,
        env=environment(double.url),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        wait_until(lambda: double.stats()["answered"] >= 8)
        process.send_signal(signal.SIGHUP)

    assert process.returncode == 0
    assert double.calls == RECORDS


def test_a_second_signal_leaves_at_once_and_loses_nothing_finished(
    folder: Path, double: BedrockDouble
) -> None:
    with start(ARGUMENTS, cwd=folder, env=environment(double.url)) as process:
        wait_until(lambda: double.stats()["answered"] >= 8)
        double.faults([{"delay_ms": 20_000}])
        slow = double.calls
        wait_until(lambda: double.calls > slow)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        while "Stopping" not in process.stderr.readline():
            assert process.poll() is None
        began = time.monotonic()
        while process.poll() is None:  # one that follows at once is taken for the same
            process.send_signal(signal.SIGINT)
            time.sleep(0.01)
            assert time.monotonic() - began < 5  # the call takes 20
        errors = process.stderr.read()

    assert process.returncode == 130
    assert "Stopped at once. Finished records are saved." in errors
    finish(folder, double)
    assert double.stats()["paid_twice"] <= CONCURRENCY


class Terminal:
    """A process whose terminal is 80 columns wide, and everything it showed."""

    def __init__(self, arguments: list[str], folder: Path, env: dict[str, str]) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        code = (
            "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
            "os.execv(sys.executable, [sys.executable, '-m', 'runtime.cli', *sys.argv[1:]])"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            cwd=folder,
            env={**env, "TERM": "xterm"} | {"COLUMNS": "80"},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        self._shown = bytearray()
        self._reader = Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._master, 65536)
            except OSError:  # the last process has closed the terminal
                return
            if not data:
                return
            self._shown += data

    def press(self, keys: bytes) -> None:
        os.write(self._master, keys)

    def shown(self) -> str:
        return self._shown.decode(errors="replace")

    def close(self) -> str:
        self.process.wait(timeout=30)
        self._reader.join(timeout=30)
        os.close(self._master)
        return self.shown()


def test_on_a_terminal_there_is_a_bar_and_ctrl_c_stops(folder: Path, double: BedrockDouble) -> None:
    terminal = Terminal(ARGUMENTS, folder, environment(double.url))
    wait_until(lambda: double.stats()["answered"] >= 20)
    wait_until(lambda: "60 records" in terminal.shown() and " left" in terminal.shown())
    terminal.press(b"\x03")
    shown = terminal.close()

    assert terminal.process.returncode == 130
    last = shown[shown.rindex("━") :].splitlines()
    assert "/60 records · " in last[0]
    assert "records/s · " in last[0]
    assert last[0].endswith(" left")
    assert " tokens · $0.0" in last[1]
    assert " of $1.00 · 0 failed" in last[1]
    assert "Stopping: waiting" in shown
    assert "are saved in out. To go on, run the same command." in shown
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")
    finish(folder, double)
    assert double.stats()["paid_twice"] == 0


def test_the_notice_of_stopping_stays_on_the_terminal(folder: Path, double: BedrockDouble) -> None:
    """F1. People who don't see it press again, and pay twice."""
    terminal = Terminal(ARGUMENTS, folder, environment(double.url))
    wait_until(lambda: double.stats()["answered"] >= 8)
    double.faults([{"delay_ms": 1_500}])  # long enough for the bar to be drawn anew
    slow = double.calls
    wait_until(lambda: double.calls > slow)
    terminal.press(b"\x03")
    shown = terminal.close()

    assert terminal.process.returncode == 130
    last = shown[shown.rindex("\x1b[2K") :]
    assert "0 failed" in last
    assert "Stopping: waiting for the answers on their way. Again leaves at once." in last


def test_the_cursor_comes_back_after_a_second_ctrl_c(folder: Path, double: BedrockDouble) -> None:
    terminal = Terminal(ARGUMENTS, folder, environment(double.url))
    wait_until(lambda: double.stats()["answered"] >= 4)
    double.faults([{"delay_ms": 20_000}])
    slow = double.calls
    wait_until(lambda: double.calls > slow)
    terminal.press(b"\x03")
    wait_until(lambda: "Stopping" in terminal.shown())

    def pressed_until_it_ends() -> bool:
        terminal.press(b"\x03")
        return terminal.process.poll() is not None

    wait_until(pressed_until_it_ends)
    shown = terminal.close()

    assert terminal.process.returncode == 130
    assert "Stopped at once." in shown
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")
