"""The journal's file: whole lines, also after a kill and on a full disk."""

import resource
from pathlib import Path

import pytest

from runtime.domain.errors import StorageError, StorageFullError
from runtime.local.journal import FileJournal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journals" / "job%230.jsonl"


def test_lines_come_back_in_order(path: Path) -> None:
    journal = FileJournal(path)
    assert list(journal.replay()) == []
    for line in (b"one", b"", b"\x00\xff"):
        journal.append(line)

    assert list(journal.replay()) == [b"one", b"", b"\x00\xff"]
    assert list(FileJournal(path).replay()) == [b"one", b"", b"\x00\xff"]


@pytest.mark.parametrize("torn", [b"t", b"torn" * 50_000, b"\0" * 70_000])
@pytest.mark.parametrize("whole", [b"", b"one\ntwo\n"])
def test_a_torn_last_line_is_cut_off_when_opened(path: Path, whole: bytes, torn: bytes) -> None:
    FileJournal(path)
    path.write_bytes(whole + torn)

    FileJournal(path).append(b"next")

    assert path.read_bytes() == whole + b"next\n"


def test_a_torn_last_line_is_cut_off_by_replay(path: Path) -> None:
    journal = FileJournal(path)
    path.write_bytes(b"one\ntor")

    assert list(journal.replay()) == [b"one"]
    journal.append(b"two")
    assert list(journal.replay()) == [b"one", b"two"]


def test_reset_forgets_everything(path: Path) -> None:
    journal = FileJournal(path)
    journal.reset()
    journal.append(b"one")
    journal.reset()
    assert list(journal.replay()) == []

    journal.append(b"two")
    assert list(journal.replay()) == [b"two"]


def test_reset_keeps_some_lines_even_when_they_are_read_from_the_journal(path: Path) -> None:
    journal = FileJournal(path)
    for number in range(10):
        journal.append(b"%d" % number)

    journal.reset(line for line in journal.replay() if line > b"6")
    assert list(journal.replay()) == [b"7", b"8", b"9"]

    journal.append(b"10")
    journal.reset(line for line in journal.replay() if line > b"6")
    assert list(journal.replay()) == [b"7", b"8", b"9"]
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_a_reset_that_fails_keeps_every_line(path: Path) -> None:
    journal = FileJournal(path)
    journal.append(b"one")
    journal.append(b"two")

    def fail() -> bytes:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        journal.reset(fail() if line == b"two" else line for line in journal.replay())
    assert list(journal.replay()) == [b"one", b"two"]


def test_a_line_break_inside_a_line_is_refused(path: Path) -> None:
    journal = FileJournal(path)

    with pytest.raises(StorageError):
        journal.append(b"one\ntwo")
    assert list(journal.replay()) == []


def test_a_short_write_is_taken_back(path: Path) -> None:
    journal = FileJournal(path)
    journal.append(b"one")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(StorageFullError):
            journal.append(bytes(2000))  # the kernel takes 996 bytes of it
        assert path.read_bytes() == b"one\n"
        journal.append(bytes(995))
        with pytest.raises(StorageFullError):
            journal.append(b"")  # the kernel takes nothing
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    journal.append(b"two")
    assert list(journal.replay()) == [b"one", bytes(995), b"two"]


def test_a_device_without_space_is_full(path: Path) -> None:
    journal = FileJournal(path)
    path.symlink_to("/dev/full")

    with pytest.raises(StorageFullError):
        journal.append(b"one")
