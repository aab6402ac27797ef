"""Files that an older seedwright wrote go on working, and nothing in them is lost."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from runtime.domain.errors import StorageError
from runtime.domain.jobs.delivery import OutputFormat
from runtime.domain.jobs.job import Job, JobStatus, Progress
from runtime.domain.jobs.sampling import SeedStrategy
from runtime.domain.money.accounts import Account, Hold
from runtime.domain.ports import CheckpointVersion
from runtime.domain.templates.document import document_of
from runtime.domain.templates.template import TemplateRef
from runtime.local.database import Database
from runtime.local.schema import _STEPS, SCHEMA_VERSION
from runtime.local.storage import LocalStorage, open_storage
from tests.fixtures.clock import ManualClock
from tests.fixtures.job_configs import job_config
from tests.fixtures.storage import new_template, renamed

# The tables of schema 1, never to be changed.
VERSION_1 = """
    CREATE TABLE jobs (
        job_id TEXT PRIMARY KEY,
        user_id TEXT NOT NULL,
        status TEXT NOT NULL,
        config TEXT NOT NULL,
        budget_limit TEXT,
        records_generated INTEGER NOT NULL,
        failed_records INTEGER NOT NULL,
        tokens_used INTEGER NOT NULL,
        cost_nano INTEGER NOT NULL,
        error_message TEXT,
        created_at TEXT NOT NULL,
        updated_at TEXT NOT NULL,
        started_at TEXT,
        completed_at TEXT,
        fence INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE TABLE work (
        work_id TEXT PRIMARY KEY,
        job_id TEXT NOT NULL,
        shard INTEGER,
        status TEXT NOT NULL,
        position INTEGER NOT NULL,
        owner TEXT NOT NULL DEFAULT '',
        fence INTEGER NOT NULL DEFAULT 0,
        beat INTEGER NOT NULL DEFAULT 0,
        attempt INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE INDEX work_by_status ON work (status, position);
    CREATE TABLE templates (
        template_id TEXT NOT NULL,
        version INTEGER NOT NULL,
        user_id TEXT NOT NULL,
        document TEXT NOT NULL,
        PRIMARY KEY (template_id, version)
    ) STRICT;
    CREATE TABLE checkpoint_versions (
        work_id TEXT PRIMARY KEY,
        version INTEGER NOT NULL,
        records_generated INTEGER NOT NULL,
        fence INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE costs (
        job_id TEXT NOT NULL,
        entry_id TEXT NOT NULL,
        cost_nano INTEGER NOT NULL,
        tokens INTEGER NOT NULL,
        PRIMARY KEY (job_id, entry_id)
    ) STRICT;
    CREATE TABLE accounts (
        job_id TEXT PRIMARY KEY,
        limit_nano INTEGER NOT NULL,
        spent_nano INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE holds (
        job_id TEXT NOT NULL,
        work_id TEXT NOT NULL,
        fence INTEGER NOT NULL,
        sequence INTEGER NOT NULL,
        nano INTEGER NOT NULL,
        PRIMARY KEY (job_id, work_id)
    ) STRICT;
    PRAGMA user_version = 1;
"""
CREATED = "2026-11-20T08:00:00+00:00"
LATER = "2026-11-20T08:01:00.250000+00:00"
CONFIG = {
    "template_id": "t",
    "template_version": 1,
    "seed_data_path": "seed-data/local/s.csv",
    "seed_version": "abc",
    "num_records": 100,
    "output_format": ["JSONL"],
    "partition_strategy": "none",
    "seed_strategy": "random",
    "model": None,
    "includes": {},
    "price_table_version": "2026-11-19",
}


def old_connection(directory: Path) -> sqlite3.Connection:
    return sqlite3.connect(directory / "state.sqlite3", isolation_level=None)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A folder of version 1: a killed worker left a job RUNNING, and an older job has ended."""
    template = document_of(new_template("Reviews"))
    newer = {**document_of(renamed(new_template(), "Reviews, again")), "description": "Stars."}
    with closing(old_connection(tmp_path)) as connection:
        connection.executescript(VERSION_1)
        connection.execute("PRAGMA journal_mode = WAL")
        for job_id, status, created in (("a", "COMPLETED", CREATED), ("b", "RUNNING", LATER)):
            connection.execute(
                "INSERT INTO jobs VALUES (?, 'local', ?, ?, '25', 37, 2, 900, 1234567, NULL, ?, ?,"
                " ?, NULL, 3)",
                (job_id, status, json.dumps(CONFIG), created, LATER, LATER),
            )
            connection.execute(
                "INSERT INTO work VALUES (?, ?, NULL, ?, 1, 'host:1', 3, 7, 3)",
                (job_id, job_id, status),
            )
        connection.executemany(
            "INSERT INTO templates VALUES (?, ?, 'local', ?)",
            [
                ("t", 1, json.dumps(template)),
                ("t", 2, json.dumps(newer)),
                ("unused", 1, json.dumps(template)),
                ("damaged", 1, "{"),
            ],
        )
        connection.execute("INSERT INTO checkpoint_versions VALUES ('b', 4, 37, 3)")
        connection.execute("INSERT INTO costs VALUES ('b', 'e', 1234567, 900)")
        connection.execute("INSERT INTO accounts VALUES ('b', 25000000000, 1234567)")
        connection.execute("INSERT INTO holds VALUES ('b', 'b', 3, 9, 5000)")
    return tmp_path


@pytest.fixture
def upgraded(directory: Path, clock: ManualClock) -> Iterator[LocalStorage]:
    open_storage(directory, clock=clock).close()
    storage = open_storage(directory, clock=clock)
    yield storage
    storage.close()


def schema(path: Path) -> dict[str, object]:
    with closing(sqlite3.connect(path)) as connection:
        names = connection.execute("SELECT name FROM sqlite_master ORDER BY name").fetchall()
        return {
            name: (
                connection.execute(f"PRAGMA table_xinfo({name})").fetchall(),
                connection.execute(f"PRAGMA index_xinfo({name})").fetchall(),
            )
            for (name,) in names
        }


def test_an_old_file_and_a_new_one_end_alike(directory: Path, tmp_path: Path) -> None:
    Database(directory / "state.sqlite3").close()
    Database(tmp_path / "new.sqlite3").close()

    assert schema(directory / "state.sqlite3") == schema(tmp_path / "new.sqlite3")


def test_nothing_that_was_stored_is_lost(upgraded: LocalStorage) -> None:
    job = upgraded.jobs.get_job("b")
    assert job == Job(
        job_id="b",
        user_id="local",
        status=JobStatus.RUNNING,
        config=job_config(
            template=TemplateRef(template_id="t", version=1),
            seed_data_path="seed-data/local/s.csv",
            seed_version="abc",
            num_records=100,
            output_formats=(OutputFormat.JSONL,),
            price_table_version="2026-11-19",
            seed_strategy=SeedStrategy.RANDOM,
            random_seed=None,
            scheme=1,
        ),
        budget_limit="25",
        created_at=datetime(2026, 11, 20, 8, 1, 0, 250_000, tzinfo=UTC),
        updated_at=job.updated_at,
        progress=Progress(
            records_generated=37, failed_records=2, tokens_used=900, cost_nano=1_234_567
        ),
        started_at=job.updated_at,
    )
    assert upgraded.checkpoints.get("b") == CheckpointVersion(
        version=4, records_generated=37, fence=3
    )
    assert upgraded.costs.total("b") == 1_234_567
    assert upgraded.budgets.get_account("b") == Account(
        limit_nano=25_000_000_000,
        spent_nano=1_234_567,
        holds={"b": Hold(fence=3, sequence=9, nano=5000)},
    )


def test_a_job_that_was_interrupted_under_the_old_schema_goes_on(upgraded: LocalStorage) -> None:
    (lease,) = upgraded.queue.leases()
    assert (lease.work_id, lease.fence, lease.beat, lease.abandoned) == ("b", 3, 7, True)
    assert upgraded.queue.recover(lease)
    claim = upgraded.queue.get_next_job("me")
    assert claim is not None
    assert (claim.work_id, claim.fence, claim.attempt) == ("b", 4, 4)
    item = upgraded.work.get_work("b")
    assert (item.launches, item.launched_at, item.seen_at) == (0, None, None)
    upgraded.jobs.set_progress("b", 4, Progress(records_generated=38))


def test_every_template_gets_its_head(upgraded: LocalStorage) -> None:
    head = upgraded.template_catalog.get_head("t")
    assert (head.user_id, head.latest_version, head.public) == ("local", 2, False)
    assert (head.name, head.description) == ("Reviews, again", "Stars.")
    # As old as the first job that uses it.
    assert head.created_at.isoformat() == head.updated_at.isoformat() == CREATED
    names = [
        (each.version, each.name)
        for each in upgraded.template_catalog.list_versions("t", limit=9).items
    ]
    assert names == [(2, "Reviews, again"), (1, "Reviews")]
    heads = upgraded.template_catalog.list_own("local", limit=9).items
    assert [each.template_id for each in heads] == ["t", "unused", "damaged"]
    assert upgraded.templates.load_template(head.latest).name == "Reviews, again"
    assert upgraded.templates.save_template("local", "t", new_template("Third")).version == 3
    assert upgraded.template_catalog.get_head("t").name == "Third"


def test_the_latest_version_of_what_was_public_is_published(directory: Path) -> None:
    """Of earlier ones nobody knows: they count as private."""
    path = directory / "state.sqlite3"
    with closing(old_connection(directory)) as connection:
        connection.execute("BEGIN")
        for number, take in enumerate(_STEPS[1:2], start=2):
            take(connection)
            connection.execute(f"PRAGMA user_version = {number}")
        connection.execute("UPDATE template_heads SET public = 1 WHERE template_id = 't'")
        connection.execute("COMMIT")
    Database(path).close()
    with closing(old_connection(directory)) as connection:
        rows = connection.execute(
            "SELECT template_id, version, published FROM templates"
        ).fetchall()
    assert {(row[0], row[1]) for row in rows if row[2]} == {("t", 2)}
    assert len(rows) > 2


def test_jobs_are_listed(upgraded: LocalStorage) -> None:
    page = upgraded.job_catalog.list_jobs("local", limit=9)
    assert [job.job_id for job in page.items] == ["b", "a"]


def test_an_older_process_may_go_on_writing(directory: Path, clock: ManualClock) -> None:
    with closing(old_connection(directory)) as old:
        storage = open_storage(directory, clock=clock)
        old.execute(
            "INSERT OR IGNORE INTO jobs (job_id, user_id, status, config, budget_limit,"
            " records_generated, failed_records, tokens_used, cost_nano, error_message, created_at,"
            " updated_at, started_at, completed_at)"
            " VALUES ('c', 'local', 'QUEUED', ?, '1', 0, 0, 0, 0, NULL, ?, ?, NULL, NULL)",
            (json.dumps(CONFIG), LATER, LATER),
        )
        old.execute(
            "INSERT OR IGNORE INTO work (work_id, job_id, shard, status, position)"
            " VALUES ('c', 'c', NULL, 'QUEUED', 9)"
        )
        old.execute(
            "INSERT INTO templates (template_id, version, user_id, document)"
            " VALUES ('t', 3, 'local', ?)",
            (json.dumps(document_of(new_template())),),
        )

    assert storage.jobs.get_job("c").progress == Progress()
    assert storage.work.get_work("c").launches == 0
    assert storage.templates.save_template("local", "t", new_template()).version == 4
    storage.close()


def test_an_upgrade_that_fails_leaves_the_old_file_as_it_was(directory: Path) -> None:
    path = directory / "state.sqlite3"
    before = schema(path)
    with closing(old_connection(directory)) as connection:
        connection.execute("CREATE VIEW template_heads AS SELECT 1")
    with pytest.raises(StorageError):
        Database(path)
    with closing(old_connection(directory)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
        connection.execute("DROP VIEW template_heads")
    assert schema(path) == before

    Database(path).close()
    with closing(old_connection(directory)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
