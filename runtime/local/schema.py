"""Tables of the SQLite file: one step a version, from an empty file to the newest.

A new file takes every step, so it ends as an older one does that is brought up to date. Steps never
change once they are released. Columns that are added have defaults: a process of the version before
may go on writing into a file that a newer one has opened.
"""

import json
import sqlite3
from collections.abc import Callable
from typing import Final

_UNKNOWN_TIME: Final = "1970-01-01T00:00:00+00:00"
"""When a template was made that no job uses: version 1 did not note it."""

_FIRST_TABLES: Final = (
    """CREATE TABLE jobs (
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
    ) STRICT""",
    """CREATE TABLE work (
        work_id TEXT PRIMARY KEY,
        job_id TEXT NOT NULL,
        shard INTEGER,
        status TEXT NOT NULL,
        position INTEGER NOT NULL,
        owner TEXT NOT NULL DEFAULT '',
        fence INTEGER NOT NULL DEFAULT 0,
        beat INTEGER NOT NULL DEFAULT 0,
        attempt INTEGER NOT NULL DEFAULT 0
    ) STRICT""",
    "CREATE INDEX work_by_status ON work (status, position)",
    """CREATE TABLE templates (
        template_id TEXT NOT NULL,
        version INTEGER NOT NULL,
        user_id TEXT NOT NULL,
        document TEXT NOT NULL,
        PRIMARY KEY (template_id, version)
    ) STRICT""",
    """CREATE TABLE checkpoint_versions (
        work_id TEXT PRIMARY KEY,
        version INTEGER NOT NULL,
        records_generated INTEGER NOT NULL,
        fence INTEGER NOT NULL
    ) STRICT""",
    """CREATE TABLE costs (
        job_id TEXT NOT NULL,
        entry_id TEXT NOT NULL,
        cost_nano INTEGER NOT NULL,
        tokens INTEGER NOT NULL,
        PRIMARY KEY (job_id, entry_id)
    ) STRICT""",
    """CREATE TABLE accounts (
        job_id TEXT PRIMARY KEY,
        limit_nano INTEGER NOT NULL,
        spent_nano INTEGER NOT NULL
    ) STRICT""",
    """CREATE TABLE holds (
        job_id TEXT NOT NULL,
        work_id TEXT NOT NULL,
        fence INTEGER NOT NULL,
        sequence INTEGER NOT NULL,
        nano INTEGER NOT NULL,
        PRIMARY KEY (job_id, work_id)
    ) STRICT""",
)

_FOR_THE_API: Final = (
    "ALTER TABLE jobs ADD COLUMN launch_error TEXT",
    "ALTER TABLE jobs ADD COLUMN request_hash TEXT",
    # JSON objects of integers, by the kind of failure and by the model's id.
    "ALTER TABLE jobs ADD COLUMN failures_by_kind TEXT NOT NULL DEFAULT '{}'",
    "ALTER TABLE jobs ADD COLUMN cost_by_model TEXT NOT NULL DEFAULT '{}'",
    "CREATE INDEX jobs_by_user ON jobs (user_id, created_at, job_id)",
    "ALTER TABLE work ADD COLUMN launches INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE work ADD COLUMN launched_at TEXT",
    "ALTER TABLE work ADD COLUMN seen_fence INTEGER",
    "ALTER TABLE work ADD COLUMN seen_beat INTEGER",
    "ALTER TABLE work ADD COLUMN seen_at TEXT",
    "ALTER TABLE work ADD COLUMN losses INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE work ADD COLUMN lost_at INTEGER",
    "CREATE INDEX work_by_job ON work (job_id)",
    "ALTER TABLE templates ADD COLUMN name TEXT NOT NULL DEFAULT ''",
    f"ALTER TABLE templates ADD COLUMN created_at TEXT NOT NULL DEFAULT '{_UNKNOWN_TIME}'",
    # When a version of a deleted template may go.
    "ALTER TABLE templates ADD COLUMN expires_at TEXT",
    """CREATE TABLE template_heads (
        template_id TEXT PRIMARY KEY,
        user_id TEXT NOT NULL,
        latest_version INTEGER NOT NULL,
        public INTEGER NOT NULL DEFAULT 0,
        name TEXT NOT NULL,
        description TEXT NOT NULL,
        created_at TEXT NOT NULL,
        updated_at TEXT NOT NULL
    ) STRICT""",
    "CREATE INDEX heads_by_user ON template_heads (user_id, created_at, template_id)",
    "CREATE INDEX public_heads ON template_heads (public, created_at, template_id)",
)

_PUBLISHED_VERSIONS: Final = (
    # Whether a version was the latest one while its template was public.
    "ALTER TABLE templates ADD COLUMN published INTEGER NOT NULL DEFAULT 0",
    """UPDATE templates SET published = 1 WHERE (template_id, version) IN (
        SELECT template_id, latest_version FROM template_heads WHERE public = 1
    )""",
)

_REPORTS: Final = (
    "ALTER TABLE jobs ADD COLUMN service_failures INTEGER NOT NULL DEFAULT 0",
    # A JSON object of `StepTotals` by step id.
    "ALTER TABLE jobs ADD COLUMN steps TEXT NOT NULL DEFAULT '{}'",
    "ALTER TABLE jobs ADD COLUMN error_code TEXT",
    "ALTER TABLE jobs ADD COLUMN retry_after TEXT",
)

_QUOTA_REFUSALS: Final = "ALTER TABLE work ADD COLUMN quota_refusals INTEGER NOT NULL DEFAULT 0"

_MONTHLY_BUDGETS: Final = (
    # An account of a stage or a user and a month, by the ids of `domain.money.accounts`.
    """CREATE TABLE budgets (
        account_id TEXT PRIMARY KEY,
        committed INTEGER NOT NULL,
        previews INTEGER NOT NULL
    ) STRICT""",
    # What a job has in the accounts of a month; NULL: nothing.
    "ALTER TABLE jobs ADD COLUMN budget_month TEXT",
    "ALTER TABLE jobs ADD COLUMN budget_reserved INTEGER",
    "ALTER TABLE jobs ADD COLUMN budget_base INTEGER",
)

# What is reserved for uploads on their way: a JSON object of [bytes, time, time] by upload.
_UPLOAD_LEDGERS: Final = """CREATE TABLE upload_ledgers (
    user_id TEXT PRIMARY KEY,
    revision INTEGER NOT NULL,
    reserved TEXT NOT NULL
) STRICT"""


_SHARDS: Final = (
    "ALTER TABLE jobs ADD COLUMN run INTEGER NOT NULL DEFAULT 1",
    # A JSON object of the counters of a shard, by their columns in `jobs`; NULL: none yet.
    "ALTER TABLE work ADD COLUMN progress TEXT",
    "ALTER TABLE work ADD COLUMN run INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE work ADD COLUMN error_message TEXT",
    "ALTER TABLE work ADD COLUMN error_code TEXT",
    "ALTER TABLE work ADD COLUMN retry_after TEXT",
)

# A shard's part of its job's budget. NULL: no worker has claimed the shard yet. All limits are
# committed by the job's account.
_SLICES: Final = """CREATE TABLE slices (
    work_id TEXT PRIMARY KEY,
    job_id TEXT NOT NULL,
    limit_nano INTEGER NOT NULL,
    spent_nano INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    fence INTEGER,
    sequence INTEGER,
    nano INTEGER
) STRICT"""
_SLICES_BY_JOB: Final = "CREATE INDEX slices_by_job ON slices (job_id)"


# A JSON object of `RequestedExport`; NULL: no rows were asked for since the job ended.
_EXPORTS: Final = "ALTER TABLE jobs ADD COLUMN export TEXT"


_CHECKS: Final = (
    # A JSON object of `CheckTotals`; NULL: its template has no checks.
    "ALTER TABLE jobs ADD COLUMN checks TEXT",
    # A JSON object of `Selection`; NULL: nothing was chosen yet.
    "ALTER TABLE jobs ADD COLUMN selection TEXT",
)


def upgrade(connection: sqlite3.Connection, version: int) -> None:
    """Bring a file from `version` to `SCHEMA_VERSION`, inside the caller's transaction. A file that
    is newer stays as it is. Raises `sqlite3.Error`.
    """
    for number, step in enumerate(_STEPS[version:], start=version + 1):
        step(connection)
        connection.execute(f"PRAGMA user_version = {number}")


def _create_tables(connection: sqlite3.Connection) -> None:
    for statement in _FIRST_TABLES:
        connection.execute(statement)


def _add_what_the_api_needs(connection: sqlite3.Connection) -> None:
    for statement in _FOR_THE_API:
        connection.execute(statement)
    _describe_templates(connection)


def _note_what_is_published(connection: sqlite3.Connection) -> None:
    """Of versions that were replaced before, nobody knows whether they were ever public: they
    count as private.
    """
    for statement in _PUBLISHED_VERSIONS:
        connection.execute(statement)


def _add_what_reports_need(connection: sqlite3.Connection) -> None:
    for statement in _REPORTS:
        connection.execute(statement)


def _count_quota_refusals(connection: sqlite3.Connection) -> None:
    connection.execute(_QUOTA_REFUSALS)


def _add_monthly_budgets(connection: sqlite3.Connection) -> None:
    """Jobs of before are in no account: what they end with returns nowhere."""
    for statement in _MONTHLY_BUDGETS:
        connection.execute(statement)


def _add_upload_ledgers(connection: sqlite3.Connection) -> None:
    connection.execute(_UPLOAD_LEDGERS)


def _add_shards(connection: sqlite3.Connection) -> None:
    """Jobs of before have one piece of work each."""
    for statement in _SHARDS:
        connection.execute(statement)


def _add_slices(connection: sqlite3.Connection) -> None:
    connection.execute(_SLICES)
    connection.execute(_SLICES_BY_JOB)


def _add_exports(connection: sqlite3.Connection) -> None:
    connection.execute(_EXPORTS)


def _add_checks(connection: sqlite3.Connection) -> None:
    for statement in _CHECKS:
        connection.execute(statement)


def _describe_templates(connection: sqlite3.Connection) -> None:
    """Give every template its head and every version its name. A template is as old as the first
    job that uses it.
    """
    used: dict[object, str] = {}
    for config, created_at in connection.execute("SELECT config, created_at FROM jobs"):
        template_id = _document(config).get("template_id")
        used[template_id] = min(created_at, used.get(template_id, created_at))
    versions = connection.execute(
        "SELECT template_id, version, user_id, document FROM templates"
        " ORDER BY template_id, version"
    ).fetchall()
    for template_id, version, user_id, text in versions:
        document = _document(text)
        name = str(document.get("name") or template_id)
        made = used.get(template_id, _UNKNOWN_TIME)
        connection.execute(
            "UPDATE templates SET name = ?, created_at = ? WHERE template_id = ? AND version = ?",
            (name, made, template_id, version),
        )
        connection.execute(  # the last version wins
            "INSERT OR REPLACE INTO template_heads (template_id, user_id, latest_version, name,"
            " description, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                template_id,
                user_id,
                version,
                name,
                str(document.get("description") or ""),
                made,
                made,
            ),
        )


def _document(text: str) -> dict[str, object]:
    """A stored JSON object; empty where a row is damaged, which must not keep the rest closed."""
    try:
        document = json.loads(text)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


_STEPS: Final[tuple[Callable[[sqlite3.Connection], None], ...]] = (
    _create_tables,
    _add_what_the_api_needs,
    _note_what_is_published,
    _add_what_reports_need,
    _count_quota_refusals,
    _add_monthly_budgets,
    _add_upload_ledgers,
    _add_shards,
    _add_slices,
    _add_exports,
    _add_checks,
)

SCHEMA_VERSION: Final = len(_STEPS)
"""Stored as SQLite's `user_version`: how many steps a file has taken."""
