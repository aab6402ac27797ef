"""One way to replace a file and to lock one: whole, private, and through no planted link."""

import errno
import os
import stat
from pathlib import Path

import pytest

from runtime.disk import (
    exclusive,
    locked,
    open_lock,
    remove_leftovers,
    replace_by_link,
    replacing,
    try_lock,
    write_private,
)
from runtime.domain.errors import ConfigurationError, StorageError


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "out" / "dataset.jsonl"


def test_a_file_appears_whole_at_the_end_of_the_block(target: Path) -> None:
    with replacing(target) as file:
        file.write(b"new")
        assert not target.exists()

    assert target.read_bytes() == b"new"
    assert list(target.parent.iterdir()) == [target]


def test_a_block_that_fails_leaves_the_old_file_and_nothing_else(target: Path) -> None:
    write_private(target, b"old")

    def fail() -> None:
        with replacing(target) as file:
            file.write(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert target.read_bytes() == b"old"
    assert list(target.parent.iterdir()) == [target]


def test_a_fault_of_the_disk_names_what_was_done(target: Path) -> None:
    def fail() -> None:
        with replacing(target, action="reset the journal"):
            raise OSError(errno.EIO, "staged")

    with pytest.raises(StorageError, match=r"could not reset the journal \(EIO\)"):
        fail()


def test_only_the_owner_reads_what_is_private(target: Path) -> None:
    with replacing(target) as file:
        file.write(b"everyone's")
    target.chmod(0o644)

    write_private(target, b"secret")

    assert stat.S_IMODE(target.stat().st_mode) == 0o600


def test_a_planted_link_is_not_written_through(
    target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """E9."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    target.parent.mkdir()
    for name in (f".{target.name}.part", f".{target.name}.tmp", f".{target.name}.00.part"):
        (target.parent / name).symlink_to(victim)
    target.symlink_to(victim)

    write_private(target, b"mine")
    # Even the random name, were it known, would not do.
    monkeypatch.setattr("secrets.token_hex", lambda _bytes: "00")
    with pytest.raises(StorageError, match="EEXIST"), replacing(target):
        pass

    assert victim.read_bytes() == b"precious"
    assert target.read_bytes() == b"mine"
    assert not target.is_symlink()


def test_a_lock_is_not_opened_through_a_link(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    (tmp_path / "lock").symlink_to(victim)

    with pytest.raises(StorageError, match="ELOOP"), exclusive(tmp_path / "lock"):
        pass

    assert not victim.exists()


def test_a_file_is_linked_into_its_place(target: Path, tmp_path: Path) -> None:
    source = tmp_path / "export"
    source.write_bytes(b"rows")
    write_private(target, b"old")

    replace_by_link(source, target)
    replace_by_link(source, target)  # a rename of two names of one file does nothing

    assert target.samefile(source)
    assert list(target.parent.iterdir()) == [target]


def test_a_file_is_copied_where_there_are_no_links(
    target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: object) -> None:
        raise OSError(errno.EPERM, "staged")

    source = tmp_path / "export"
    source.write_bytes(b"rows")
    target.parent.mkdir()
    monkeypatch.setattr(os, "link", refuse)

    replace_by_link(source, target)

    assert target.read_bytes() == b"rows"
    assert not target.samefile(source)


def test_what_a_killed_process_left_is_removed(target: Path) -> None:
    write_private(target, b"whole")
    other = target.with_name(".other.jsonl.00.part")
    for each in (target.with_name(f".{target.name}.00.part"), other):
        each.write_bytes(b"half")

    remove_leftovers(target)
    remove_leftovers(target.parent / "no folder" / "file")

    assert set(target.parent.iterdir()) == {target, other}


def test_a_lock_is_held_for_the_block_and_refused_meanwhile(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    taken = ConfigurationError("another process has it: wait")

    with exclusive(path):
        with (
            pytest.raises(ConfigurationError, match="another process"),
            locked(open_lock(path), path, taken=taken),
        ):
            pytest.fail("two held it")
        descriptor = open_lock(path)
        assert not try_lock(descriptor)
    assert try_lock(descriptor)
    os.close(descriptor)
