"""Local storage shared by real processes, some of which are killed (SIGKILL) on the way."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from runtime.domain.jobs.job import JobStatus
from runtime.local.journal import FileJournal
from runtime.local.objects import DirectoryObjects
from runtime.local.storage import LocalStorage, open_storage
from tests.fixtures.clock import ManualClock
from tests.fixtures.storage import new_job

PRELUDE = """
import os, sys, time
from datetime import UTC, datetime
from pathlib import Path
from runtime.domain.errors import *
from runtime.local.journal import FileJournal
from runtime.local.objects import DirectoryObjects
from runtime.local.storage import open_storage

class Clock:
    def now(self): return datetime.now(UTC)
    def monotonic(self): return time.monotonic()

directory = Path(sys.argv[1])
def ready(): print("ready", flush=True)
def wait(): sys.stdin.readline()
"""


@contextmanager
def child(code: str, directory: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that runs `code` and is told to go on by a line on its stdin."""
    process = subprocess.Popen(
        [sys.executable, "-c", PRELUDE + code, str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def line_of(process: subprocess.Popen[str]) -> str:
    return stream(process.stdout).readline().strip()


def go(process: subprocess.Popen[str]) -> None:
    stdin = stream(process.stdin)
    stdin.write("\n")
    stdin.flush()


def stream(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[LocalStorage]:
    opened = open_storage(tmp_path, clock=ManualClock())
    yield opened
    opened.close()


CLAIM = """
storage = open_storage(directory, clock=Clock())
claim = storage.queue.get_next_job("child")
"""


def test_work_of_a_killed_process_is_recovered_at_once(
    storage: LocalStorage, tmp_path: Path
) -> None:
    storage.jobs.create_job(new_job("job", ManualClock(), shards=2))
    other = storage.queue.claim("job#0", "other")
    assert other is not None
    storage.queue.finish(other, JobStatus.COMPLETED, run=1)
    with child(CLAIM + "ready(); wait()", tmp_path) as process:
        assert line_of(process) == "ready"
        (lease,) = storage.queue.leases()
        assert not lease.abandoned
        assert not storage.queue.recover(lease)  # a live process keeps its work …
        process.send_signal(signal.SIGSTOP)
        assert not storage.queue.recover(lease)  # … also while it is stopped
        assert storage.queue.claim("job#1", "me") is None

        process.kill()
        process.wait()

    (lease,) = storage.queue.leases()
    assert lease.abandoned
    assert storage.queue.recover(lease)
    assert not storage.queue.recover(lease)
    claim = storage.queue.claim("job#1", "me")
    assert claim is not None
    assert (claim.work_id, claim.shard, claim.fence, claim.attempt) == ("job#1", 1, 2, 2)
    assert [each.abandoned for each in storage.queue.leases()] == [False]


def test_a_forked_child_does_not_keep_a_dead_parents_work(
    storage: LocalStorage, tmp_path: Path
) -> None:
    storage.jobs.create_job(new_job("job", ManualClock()))
    fork = """
if (pid := os.fork()) == 0:
    print(os.getpid(), flush=True)
    time.sleep(60)
    os._exit(0)
wait()
"""
    with child(CLAIM + fork, tmp_path) as process:
        grandchild = int(line_of(process))
        try:
            process.kill()
            process.wait()
            assert [each.abandoned for each in storage.queue.leases()] == [True]
        finally:
            os.kill(grandchild, signal.SIGKILL)


def test_many_processes_claim_each_item_once(storage: LocalStorage, tmp_path: Path) -> None:
    storage.jobs.create_job(new_job("job", ManualClock(), shards=40))
    code = """
storage = open_storage(directory, clock=Clock())
ready(); wait()
while claim := storage.queue.get_next_job("child"):
    print(claim.work_id, flush=True)
    storage.costs.add("job", entry_id=claim.work_id, cost_nano=1, tokens=1)
    storage.queue.finish(claim, "COMPLETED")
"""
    with (
        child(code, tmp_path) as a,
        child(code, tmp_path) as b,
        child(code, tmp_path) as c,
    ):
        for process in (a, b, c):
            assert line_of(process) == "ready"
        for process in (a, b, c):
            go(process)
        claimed = [line for each in (a, b, c) for line in each.communicate()[0].split()]

    assert sorted(claimed) == sorted(f"job#{shard}" for shard in range(40))
    assert storage.costs.total("job") == 40
    assert storage.queue.leases() == []


def test_many_processes_may_open_a_new_directory(tmp_path: Path) -> None:
    code = """
ready(); wait()
for turn in range(10):
    storage = open_storage(directory / "new", clock=Clock())
    storage.costs.add("job", entry_id=f"{os.getpid()}-{turn}", cost_nano=1, tokens=1)
    storage.objects.put(f"{os.getpid()}/{turn}", b"x", content_type="")
    storage.close()
"""
    with (
        child(code, tmp_path) as a,
        child(code, tmp_path) as b,
        child(code, tmp_path) as c,
    ):
        for process in (a, b, c):
            assert line_of(process) == "ready"
        for process in (a, b, c):
            go(process)
        for process in (a, b, c):
            assert process.wait(60) == 0

    storage = open_storage(tmp_path / "new", clock=ManualClock())
    assert storage.costs.total("job") == 30
    assert len(list(storage.objects.list(""))) == 30
    storage.close()


def test_of_racing_processes_one_creates_the_object(tmp_path: Path) -> None:
    code = """
objects = DirectoryObjects(directory)
ready(); wait()
for turn in range(50):
    try:
        objects.put_if_absent(f"race/{turn}", b"%d" % os.getpid() * 5000, content_type="")
    except ObjectExistsError:
        continue
    print(turn, flush=True)
"""
    with child(code, tmp_path) as a, child(code, tmp_path) as b:
        for process in (a, b):
            assert line_of(process) == "ready"
        for process in (a, b):
            go(process)
        won = {each.pid: {int(n) for n in each.communicate()[0].split()} for each in (a, b)}

    objects = DirectoryObjects(tmp_path)
    assert won[a.pid] | won[b.pid] == set(range(50))
    assert not won[a.pid] & won[b.pid]
    for pid, turns in won.items():
        for turn in turns:
            assert objects.get(f"race/{turn}") == b"%d" % pid * 5000
    objects.close()


def test_a_journal_whose_writer_is_killed_has_whole_lines_only(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    code = """
journal = FileJournal(directory / "journal")
number = 0
while True:
    journal.append(b"%d:" % number + b"x" * 200_000)
    number += 1
    print(number, flush=True)
"""
    acknowledged = 0
    for kills in range(3):
        path.unlink(missing_ok=True)
        with child(code, tmp_path) as process:
            for _ in range(5 + kills):
                acknowledged = int(line_of(process))
            process.kill()
            rest = stream(process.stdout).read().split()
            acknowledged = int(rest[-1]) if rest else acknowledged

        lines = list(FileJournal(path).replay())
        assert lines == [b"%d:" % n + b"x" * 200_000 for n in range(len(lines))]
        assert acknowledged <= len(lines) <= acknowledged + 1


def test_a_killed_writer_leaves_no_object_and_its_leftovers_go(tmp_path: Path) -> None:
    code = """
objects = DirectoryObjects(directory)
with objects.open_writer("export", content_type="") as writer:
    writer.write(b"x" * 3_000_000)
    ready(); wait()
"""
    objects = DirectoryObjects(tmp_path)
    with child(code, tmp_path) as process:
        assert line_of(process) == "ready"
        DirectoryObjects(tmp_path).close()  # leaves the live process alone
        assert leftovers(tmp_path) == 1
        process.kill()
        process.wait()
        assert leftovers(tmp_path) == 1

    DirectoryObjects(tmp_path).close()

    assert leftovers(tmp_path) == 0
    assert list(objects.list("")) == []
    objects.put("export", b"x", content_type="")
    objects.close()


def leftovers(directory: Path) -> int:
    return len(list((directory / ".tmp").glob("*/*")))
