"""What is written about a job whose checks have chosen records: its selection, and the next round
of its shards. Inside the caller's transaction, with the job's row, whose fence was looked at.
"""

import json
import sqlite3
from collections.abc import Mapping
from typing import Any

from runtime.domain.checks.acceptance import grown_candidates
from runtime.domain.checks.totals import Selection
from runtime.domain.errors import ConflictError, InputError
from runtime.domain.jobs.job import JobStatus
from runtime.domain.jobs.sharding import parse_sharding


def store_selection(
    connection: sqlite3.Connection, row: sqlite3.Row, selection: Selection, *, now: str
) -> None:
    """See `ports.JobStore.set_selection`."""
    connection.execute(
        "UPDATE jobs SET selection = ?, updated_at = ? WHERE job_id = ?",
        (json.dumps(selection.document()), now, row["job_id"]),
    )


def store_round(connection: sqlite3.Connection, row: sqlite3.Row, end: int, *, now: str) -> None:
    """See `ports.JobStore.open_round`."""
    job_id, config = row["job_id"], json.loads(row["config"])
    if row["status"] != JobStatus.RUNNING:
        raise ConflictError(f"job {job_id} is {row['status']}: no round of it was opened")
    sharding = parse_sharding(config.get("sharding"))
    if sharding is None:
        raise InputError(f"job {job_id} has no shards")
    grown = sharding.grown_to(end)
    if grown is sharding:
        return
    config["sharding"] = grown.document()
    connection.execute(
        "UPDATE jobs SET config = ?, run = run + 1, updated_at = ? WHERE job_id = ?",
        (json.dumps(config, ensure_ascii=False), now, job_id),
    )


def grown_config(
    config: Mapping[str, Any], num_records: int, max_candidates: int | None
) -> dict[str, Any]:
    """The stored configuration of a job that is to have more records, or more tries. Raises
    `InputError`.
    """
    most = grown_candidates(
        config.get("max_candidates"),
        before=config["num_records"],
        num_records=num_records,
        asked=max_candidates,
    )
    grown = {**config, "num_records": num_records}
    if most is not None:
        grown["max_candidates"] = most
    sharding = parse_sharding(config.get("sharding"))
    if sharding is not None:
        rounds = sharding.grown_by_request(num_records, checked=most is not None)
        grown["sharding"] = rounds.document()
    return grown
