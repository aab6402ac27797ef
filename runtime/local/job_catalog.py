"""Jobs as their users see them, in SQLite."""

from collections.abc import Callable, Sequence

from runtime.domain.errors import ConflictError
from runtime.domain.jobs.job import ACTIVE, MAX_ERROR_MESSAGE_CHARACTERS, Job, JobStatus
from runtime.domain.pages import Page
from runtime.domain.ports import Clock
from runtime.local.database import Database
from runtime.local.job_rows import parse_job
from runtime.local.paging import page_of, parse_place, place_of

_LIST = """
    SELECT * FROM jobs
    WHERE user_id = :user_id AND (created_at, job_id) < (:moment, :job_id)
        AND status = coalesce(:status, status)
    ORDER BY created_at DESC, job_id DESC LIMIT :limit"""
_COUNT = """
    SELECT count(*) FROM (
        SELECT 1 FROM jobs WHERE user_id = ? AND status IN (?, ?) LIMIT ?)"""
_ACTIVE = "SELECT * FROM jobs WHERE user_id = ? AND status IN (?, ?)"
_DELETE_PARTS = (
    "DELETE FROM checkpoint_versions WHERE work_id IN (SELECT work_id FROM work WHERE job_id = ?)",
    "DELETE FROM work WHERE job_id = ?",
    "DELETE FROM costs WHERE job_id = ?",
    "DELETE FROM holds WHERE job_id = ?",
    "DELETE FROM accounts WHERE job_id = ?",
    "DELETE FROM jobs WHERE job_id = ?",
)


class SqliteJobCatalog:
    """Implements `service_ports.JobCatalog`. `remove_journal` deletes the journal of a work id:
    it holds replies of the job, as the tables hold its counters.
    """

    def __init__(
        self, *, database: Database, clock: Clock, remove_journal: Callable[[str], None]
    ) -> None:
        self._database = database
        self._clock = clock
        self._remove_journal = remove_journal

    def list_jobs(
        self, user_id: str, *, limit: int, after: str | None = None, status: JobStatus | None = None
    ) -> Page[Job]:
        moment, job_id = parse_place(after)
        rows = self._database.rows(
            _LIST,
            {
                "user_id": user_id,
                "moment": moment,
                "job_id": job_id,
                "status": status,
                "limit": limit + 1,
            },
        )
        return page_of(
            rows,
            limit,
            item=parse_job,
            place=lambda row: place_of(row["created_at"], row["job_id"]),
        )

    def count_active(self, user_id: str, *, at_most: int) -> int:
        rows = self._database.rows(_COUNT, (user_id, *sorted(ACTIVE), at_most))
        return int(rows[0][0])

    def list_active(self, user_id: str) -> Sequence[Job]:
        rows = self._database.rows(_ACTIVE, (user_id, *sorted(ACTIVE)))
        return [parse_job(each) for each in rows]

    def set_launch_error(self, job_id: str, message: str | None) -> None:
        with self._database.write() as connection:
            connection.execute(
                "UPDATE jobs SET launch_error = ?, updated_at = ? WHERE job_id = ?",
                (
                    message and message[:MAX_ERROR_MESSAGE_CHARACTERS],
                    self._clock.now().isoformat(),
                    job_id,
                ),
            )

    def delete_job(self, job_id: str) -> None:
        with self._database.write() as connection:
            row = connection.execute(
                "SELECT status FROM jobs WHERE job_id = ?", (job_id,)
            ).fetchone()
            if row is None:
                return
            if row["status"] != JobStatus.DELETING:
                raise ConflictError(f"job {job_id} is {row['status']}: its data has to go first")
            work = connection.execute("SELECT work_id FROM work WHERE job_id = ?", (job_id,))
            for item in work.fetchall():
                # First, so that after a crash in between the job is still there to repeat it.
                self._remove_journal(item["work_id"])
            for statement in _DELETE_PARTS:
                connection.execute(statement, (job_id,))
