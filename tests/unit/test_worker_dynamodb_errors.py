"""S7: tables fail, refuse, or answer too late. Faults are below boto3; rows 36, 55, 74 and 78."""

import logging
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

import pytest
from botocore.exceptions import ClientError

from runtime.contract import keys
from runtime.contract.exit_codes import ExitCode
from runtime.contract.tables import (
    CHECKPOINT_METADATA,
    COST_TRACKING,
    JOBS,
    QUEUE,
    TEMPLATES,
    Table,
)
from runtime.domain.errors import (
    ConflictError,
    StorageUnavailableError,
    TemplateNotFoundError,
)
from runtime.domain.jobs.checkpoint import Checkpoint, decode
from runtime.domain.jobs.job import MAX_ERROR_MESSAGE_CHARACTERS, JobStatus
from runtime.domain.ports import CheckpointVersion, Claim
from runtime.domain.templates.template import TemplateRef
from runtime.worker.checkpoints import MAX_ATTEMPTS
from runtime.worker.worker import Worker
from tests.fixtures.aws import BUCKET, read_item
from tests.fixtures.session_faults import Fault
from tests.fixtures.worker_checks import billed, logged, queue_status, recover
from tests.fixtures.worker_world import (
    WorkerWorld,
    at,
    indices,
    make_template,
    step,
    two_steps,
)

SDK_ATTEMPTS: Final = 5
REFUSED: Final[dict[str, Any]] = {"code": "ConditionalCheckFailedException", "status": 400}


@pytest.fixture(autouse=True)
def _keep_logs(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.INFO, logger="runtime"):
        yield


def fail_table(
    world: WorkerWorld, table: Table, operation: str, value: str | None = None, **fault: Any
) -> Fault:
    """Calls of one table fail; with `value` only those whose expression uses that value."""
    return world.fail(
        "dynamodb",
        operation,
        match=lambda call: (
            call["TableName"] == table.name
            and (value is None or value in call.get("ExpressionAttributeValues", ()))
        ),
        **{"code": "InternalServerError", "status": 500, **fault},
    )


def create_job_with(world: WorkerWorld, ref: TemplateRef) -> str:
    """A job of one record that pins `ref`, whether it exists or not."""
    job = world.job(world.create_job(num_records=1))
    world.ports.queue.finish(claim_of(world.worker(owner="nobody")), JobStatus.CANCELLED)
    pinned = replace(job, job_id="pinned", config=replace(job.config, template=ref))
    world.ports.jobs.create_job(pinned)
    return "pinned"


def claim_of(worker: Worker) -> Claim:
    claim = worker.queue.get_next_job(worker.owner)
    assert claim is not None
    return claim


def assert_versions_agree(world: WorkerWorld, job_id: str) -> int:
    """The table and the blob of a checkpoint say the same; the version."""
    metadata = read_item(world.aws, CHECKPOINT_METADATA, job_id=job_id)
    blob = decode(world.object(keys.checkpoint_key(job_id)))
    assert metadata["version"] == blob.version
    assert metadata["records_generated"] == blob.records_generated
    return blob.version


def assert_whole(world: WorkerWorld, job_id: str, *, records: int) -> None:
    job = world.job(job_id)
    assert (job.status, job.error_message) == (JobStatus.COMPLETED, None)
    assert job.progress.records_generated == records
    assert sorted(indices(world.dataset(job_id))) == list(range(records))
    listed = world.aws.s3.list_object_versions(Bucket=BUCKET, Prefix=keys.batches_prefix(job_id))
    assert set(Counter(version["Key"] for version in listed["Versions"]).values()) == {1}
    account = world.account(job_id)
    assert billed(world) <= account.spent_nano == account.committed_nano <= account.limit_nano


# ── claiming ───────────────────────────────────────────────────────────────────────────────────


def test_s7_1_a_lost_race_moves_on_to_the_next_job(world: WorkerWorld) -> None:
    first, second = world.create_job(num_records=1), world.create_job(num_records=1)
    fault = fail_table(world, QUEUE, "UpdateItem", times=1, **REFUSED)
    worker = world.worker()

    assert claim_of(worker).job_id == second

    assert fault.hits == 1
    assert queue_status(world, first) == "QUEUED"


def test_s7_1_an_empty_queue_or_races_that_are_all_lost_give_none(world: WorkerWorld) -> None:
    worker = world.worker()
    assert worker.queue.get_next_job("me") is None

    jobs = [world.create_job(num_records=1) for _ in range(3)]
    fault = fail_table(world, QUEUE, "UpdateItem", **REFUSED)
    assert worker.queue.get_next_job("me") is None
    assert fault.hits == len(jobs)


def test_s7_1_many_workers_claim_every_job_exactly_once(world: WorkerWorld) -> None:
    jobs = [world.create_job(num_records=1) for _ in range(8)]
    workers = [world.worker(owner=f"owner-{number}") for number in range(4)]
    claims: list[Claim] = []
    errors: list[BaseException] = []
    start = threading.Barrier(len(workers))

    def claim_all(worker: Worker) -> None:
        start.wait()
        try:
            while claim := worker.queue.get_next_job(worker.owner):
                claims.append(claim)
        except BaseException as error:  # noqa: BLE001 - asserted below
            errors.append(error)

    threads = [threading.Thread(target=claim_all, args=(worker,)) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    assert sorted(claim.job_id for claim in claims) == sorted(jobs)
    for claim in claims:
        assert read_item(world.aws, QUEUE, work_id=claim.work_id)["owner"] == claim.owner
        assert claim.fence == claim.attempt == 1


# ── templates ──────────────────────────────────────────────────────────────────────────────────


def test_s7_2_a_template_that_can_not_be_read_fails_the_job(world: WorkerWorld) -> None:
    job_id = world.create_job()
    fault = fail_table(world, TEMPLATES, "GetItem")

    with pytest.raises(StorageUnavailableError) as caught:
        world.worker().templates.load_template(world.job(job_id))
    assert isinstance(caught.value.__cause__, ClientError)
    assert fault.hits == SDK_ATTEMPTS

    assert world.run() is ExitCode.JOB_FAILED
    assert world.job(job_id).status is JobStatus.FAILED
    assert queue_status(world, job_id) == "FAILED"
    assert world.double.calls == 0


def test_s7_2_the_pinned_version_is_loaded_whatever_came_before_and_after(
    world: WorkerWorld,
) -> None:
    refs = [
        world.save_template("letters", make_template(step(prompt=f"{word} {{{{ product }}}}.")))
        for word in ("Praise", "Blame", "Ignore")
    ]
    create_job_with(world, refs[1])

    assert world.run() is ExitCode.DONE

    (request,) = world.double.requests
    assert request.body["messages"][0]["content"][0]["text"] == "Blame product 0."


@pytest.mark.parametrize(
    "ref",
    [
        TemplateRef(template_id="nowhere", version=1),
        TemplateRef(template_id="template-1", version=2),
    ],
)
def test_s7_3_a_template_that_is_not_there_is_a_value_error(
    world: WorkerWorld, ref: TemplateRef
) -> None:
    job_id = create_job_with(world, ref)  # template-1 exists, but has only version 1

    with pytest.raises(ValueError, match="Template not found") as caught:
        world.worker().templates.load_template(world.job(job_id))
    assert isinstance(caught.value, TemplateNotFoundError)

    assert world.run() is ExitCode.JOB_FAILED
    assert world.job(job_id).status is JobStatus.FAILED
    assert "Template not found" in (world.job(job_id).error_message or "")
    assert world.double.calls == 0


# ── progress and cost ──────────────────────────────────────────────────────────────────────────


def test_s7_4_progress_that_can_not_be_written_is_logged_and_said_at_the_end(
    world: WorkerWorld, caplog: pytest.LogCaptureFixture
) -> None:
    fault = fail_table(world, JOBS, "UpdateItem", ":records_generated")
    job_id = world.create_job(num_records=12)
    seen: list[int] = []

    def clear() -> None:
        seen.append(world.job(job_id).progress.records_generated)
        fault.clear()

    assert world.run(crash_point=at("before_status", 1, clear)) is ExitCode.DONE

    assert seen == [0]
    assert len(logged(caplog, "progress not updated")) >= 3
    assert_whole(world, job_id, records=12)


def test_s7_4_progress_that_can_never_be_written_does_not_stop_the_job(world: WorkerWorld) -> None:
    fault = fail_table(world, JOBS, "UpdateItem", ":records_generated")
    job_id = world.create_job(num_records=7)

    assert world.run() is ExitCode.DONE

    assert fault.hits
    assert world.job(job_id).status is JobStatus.COMPLETED
    assert sorted(indices(world.dataset(job_id))) == list(range(7))


def test_s7_5_cost_that_can_not_be_written_is_logged_and_returned(
    world: WorkerWorld, caplog: pytest.LogCaptureFixture
) -> None:
    fault = fail_table(world, COST_TRACKING, "PutItem")
    job_id = world.create_job(num_records=7)

    assert world.run() is ExitCode.DONE

    assert fault.hits
    assert len(logged(caplog, "cost not recorded")) == 2
    assert world.ports.costs.total(job_id) == 0
    assert_whole(world, job_id, records=7)  # the ledger has it

    world.create_job()
    worker = world.worker()
    claim = claim_of(worker)
    cost = worker.costs.update_cost_tracking(claim, serial=1, cost_nano=4321, tokens=3)
    assert cost == 4321


# ── checkpoints ────────────────────────────────────────────────────────────────────────────────


def test_s7_6_a_version_conflict_is_merged_and_no_finished_index_forgotten(
    world: WorkerWorld,
) -> None:
    world.create_job()
    worker = world.worker()
    claim = claim_of(worker)
    checkpoints = worker.checkpoints
    fresh = Checkpoint(job_id=claim.job_id)
    theirs = replace(fresh, records_generated=6, next_index=8, pending=(2, 5), current_batch=3)
    ours = replace(fresh, records_generated=4, next_index=6, pending=(2, 3), current_batch=2)
    assert checkpoints.save_checkpoint(claim, theirs).version == 1

    saved = checkpoints.save_checkpoint(claim, ours)

    assert (saved.version, saved.records_generated, saved.next_index) == (2, 6, 8)
    assert saved.pending == (2,)  # 5 is finished in ours, 3 in theirs
    assert saved.current_batch == 3
    assert checkpoints.load_checkpoint(claim) == saved
    assert assert_versions_agree(world, claim.job_id) == 2


def test_s7_6_a_job_goes_on_after_a_conflict(
    world: WorkerWorld, caplog: pytest.LogCaptureFixture
) -> None:
    job_id = world.create_job(num_records=12)

    def somebody_saves() -> None:
        stored = world.ports.checkpoints.get(job_id)
        assert stored is not None
        world.ports.checkpoints.put(
            job_id, CheckpointVersion(version=stored.version + 1, records_generated=0, fence=1)
        )

    assert world.run(crash_point=at("after_batch_put", 2, somebody_saves)) is ExitCode.DONE

    assert len(logged(caplog, "checkpoint version conflict")) == 1
    assert assert_versions_agree(world, job_id) == 5
    assert_whole(world, job_id, records=12)


def test_s7_6_row_78_a_version_whose_reply_was_lost_is_no_conflict(
    world: WorkerWorld, caplog: pytest.LogCaptureFixture
) -> None:
    fault = fail_table(world, CHECKPOINT_METADATA, "UpdateItem", after_write=True, times=3)
    job_id = world.create_job(num_records=12)

    assert world.run() is ExitCode.DONE

    assert fault.hits == 3
    assert len(logged(caplog, "checkpoint version conflict")) == 0
    assert assert_versions_agree(world, job_id) == 4  # three batches, and the end
    assert_whole(world, job_id, records=12)


def test_s7_7_a_conflict_that_persists_is_raised_after_three_attempts(world: WorkerWorld) -> None:
    job_id = world.create_job(num_records=40)
    fault = fail_table(world, CHECKPOINT_METADATA, "UpdateItem", **REFUSED)
    worker = world.worker()
    claim = claim_of(worker)

    with pytest.raises(ConflictError):
        worker.checkpoints.save_checkpoint(claim, Checkpoint(job_id=job_id))
    assert fault.hits == MAX_ATTEMPTS == 3

    worker.queue.release(claim)
    assert world.run(concurrency=4) is ExitCode.JOB_FAILED
    assert "checkpoint" in (world.job(job_id).error_message or "")
    assert world.double.calls <= 5 + 4  # one batch, and what was in flight
    assert len(world.records(job_id)) == world.double.stats()["paid"]


# ── how a job ends ─────────────────────────────────────────────────────────────────────────────


def test_s7_8_a_queue_that_fails_at_the_end_does_not_hide_a_complete_job(
    world: WorkerWorld, caplog: pytest.LogCaptureFixture
) -> None:
    fault = fail_table(world, QUEUE, "UpdateItem", ":ended")
    job_id = world.create_job(num_records=3)

    assert world.run(job_id) is ExitCode.DONE

    assert fault.hits == SDK_ATTEMPTS
    assert len(logged(caplog, "work item not finished")) == 1
    assert_whole(world, job_id, records=3)
    assert queue_status(world, job_id) == "RUNNING"

    # Whoever finds the item later only ends it.
    fault.clear()
    recover(world, job_id)
    assert world.run() is ExitCode.DONE
    assert queue_status(world, job_id) == "COMPLETED"
    assert world.double.calls == 3


def test_a_work_item_whose_job_is_gone_is_ended(
    world: WorkerWorld, caplog: pytest.LogCaptureFixture
) -> None:
    job_id = world.create_job(num_records=3)
    world.aws.dynamodb.delete_item(TableName=JOBS.name, Key={"job_id": {"S": job_id}})

    assert world.run() is ExitCode.JOB_FAILED

    assert queue_status(world, job_id) == "FAILED"
    assert [line["work_id"] for line in logged(caplog, "work item without a job")] == [job_id]
    assert world.double.calls == 0
    assert world.run() is ExitCode.DONE  # nothing is left


def test_s7_9_the_error_message_is_cut_to_1000_characters(world: WorkerWorld) -> None:
    job_id = create_job_with(world, TemplateRef(template_id="t" * 1500, version=1))

    assert world.run() is ExitCode.JOB_FAILED

    item = read_item(world.aws, JOBS, job_id=job_id)
    assert len(item["error_message"]) == MAX_ERROR_MESSAGE_CHARACTERS == 1000
    assert item["error_message"].startswith("Template not found: ttt")


# ── outages, and owners that come back ─────────────────────────────────────────────────────────


def test_row_55_without_tables_no_call_is_made_that_no_hold_covers(
    world: WorkerWorld, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("runtime.worker.generation.MAX_WAIT_SECONDS", 0.01)
    world.clock.hasten(200)
    job_id = world.create_job(two_steps(), num_records=30)
    faults: list[Fault] = []
    passed: Counter[str] = Counter()
    covers: list[bool] = []

    def crash_point(name: str) -> None:
        passed[name] += 1
        if name == "after_call" and passed[name] == 3:
            operations = ("UpdateItem", "GetItem", "Query", "PutItem")
            faults.extend(fail_table(world, JOBS, operation) for operation in operations)
        if name in {"after_reserve", "after_call"}:
            covers.append(billed(world) <= world.account(job_id).committed_nano)
            covers.append(passed["after_reserve"] - passed["after_call"] <= 4)

    def recover_after_a_while(record: logging.LogRecord) -> bool:
        if record.getMessage() == "budget not reachable":
            unreachable.append(world.double.calls)
            if len(unreachable) == 3:
                for fault in faults:
                    fault.clear()
        return True

    unreachable: list[int] = []
    guard_log = logging.getLogger("runtime.worker.budget_guard")
    guard_log.addFilter(recover_after_a_while)
    try:
        code = world.run(crash_point=crash_point, lease_seconds=1e6, flush_seconds=1e6)
    finally:
        guard_log.removeFilter(recover_after_a_while)

    assert code is ExitCode.DONE
    assert len(unreachable) == 3
    assert unreachable[0] < 30  # the outage held the job up
    assert all(covers)
    assert len(logged(caplog, "budget not reachable")) == 3
    assert_whole(world, job_id, records=30)
    assert world.double.stats()["paid_twice"] == 0


@pytest.mark.parametrize(
    ("point", "nth"),
    [
        ("after_claim", 1),
        ("after_call", 7),
        ("before_batch_put", 2),
        ("after_batch_put", 1),
        ("between_checkpoint_writes", 1),
        ("after_checkpoint", 1),
        ("before_export", 1),
        ("before_status", 1),
    ],
)
def test_rows_36_74_what_a_late_owner_writes_is_refused_or_adopted(
    world: WorkerWorld, point: str, nth: int
) -> None:
    """The first worker sleeps at `point` for longer than its lease, and a second one does all."""
    job_id = world.create_job(two_steps(), num_records=12)
    ends: list[tuple[object, ...]] = []

    def end() -> tuple[object, ...]:
        return (
            world.job(job_id),
            world.account(job_id),
            world.dataset(job_id),
            queue_status(world, job_id),
        )

    def sleep() -> None:
        recover(world, job_id)
        assert world.run() is ExitCode.DONE
        ends.append(end())

    # Its heartbeat is slow: only the conditions of its writes stand in its way.
    assert world.run(crash_point=at(point, nth, sleep)) is ExitCode.INTERRUPTED

    assert_whole(world, job_id, records=12)
    assert ends == [end()]
    assert world.double.stats()["paid_twice"] <= (5 + 4) * 2
