"""The SQLite file: its schema number, and its failures as errors of the tree."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.domain.errors import (
    ConfigurationError,
    StorageError,
    StorageFullError,
    StorageUnavailableError,
)
from runtime.local.database import Database
from runtime.local.schema import SCHEMA_VERSION

INSERT = "INSERT INTO costs (job_id, entry_id, cost_nano, tokens) VALUES ('j', ?, 1, 1)"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.sqlite3"


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    opened = Database(path, busy_seconds=0.05)
    yield opened
    opened.close()


def count(database: Database) -> int:
    return int(database.rows("SELECT count(*) FROM costs")[0][0])


def test_commits_are_synced_and_readers_do_not_block(database: Database) -> None:
    assert database.rows("PRAGMA synchronous")[0][0] == 2  # FULL
    assert database.rows("PRAGMA journal_mode")[0][0] == "wal"


def test_opening_again_keeps_the_rows(path: Path, database: Database) -> None:
    with database.write() as connection:
        connection.execute(INSERT, ("1",))
    again = Database(path)
    assert count(again) == 1
    assert again.rows("PRAGMA user_version")[0][0] == SCHEMA_VERSION
    again.close()


def test_a_newer_schema_is_refused_and_left_alone(path: Path) -> None:
    Database(path).close()
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    connection.close()

    with pytest.raises(ConfigurationError, match="upgrade"):
        Database(path)


def test_an_exception_takes_the_whole_transaction_back(database: Database) -> None:
    def fail() -> None:
        with database.write() as connection:
            connection.execute(INSERT, ("1",))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    assert count(database) == 0
    with database.write() as connection:
        connection.execute(INSERT, ("2",))
    assert count(database) == 1


def test_a_lock_that_another_process_keeps_may_pass(path: Path, database: Database) -> None:
    other = Database(path)
    with (
        other.write() as connection,
        pytest.raises(StorageUnavailableError) as caught,
        database.write(),
    ):
        pass
    assert caught.value.retryable
    assert count(database) == 0  # a reader never waits

    with database.write() as connection:
        connection.execute(INSERT, ("1",))
    other.close()


def test_a_full_disk_is_full_and_takes_the_transaction_back(database: Database) -> None:
    pages = database.rows("PRAGMA page_count")[0][0]
    database.rows(f"PRAGMA max_page_count = {pages}")

    def fill() -> None:
        with database.write() as connection:
            for number in range(10_000):
                connection.execute(INSERT, (str(number),))

    with pytest.raises(StorageFullError):
        fill()
    assert count(database) == 0

    database.rows("PRAGMA max_page_count = 1000000")
    fill()
    assert count(database) == 10_000


def test_a_damaged_file_is_an_error_of_the_tree(path: Path) -> None:
    path.write_bytes(b"no database" * 1000)

    with pytest.raises(StorageError, match="damaged"):
        Database(path)


def test_a_file_that_can_not_be_opened_is_an_error_of_the_tree(path: Path) -> None:
    path.mkdir()

    with pytest.raises(StorageError):
        Database(path)


def test_a_closed_database_is_an_error_of_the_tree(path: Path) -> None:
    database = Database(path)
    database.close()
    database.close()

    with pytest.raises(StorageError):
        database.rows("SELECT 1")
