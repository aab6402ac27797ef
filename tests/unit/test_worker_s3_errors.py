"""S6: the bucket fails, or holds what it should not. Faults are below boto3; rows 71 to 85."""

import logging
from collections.abc import Iterator
from typing import Any, Final

import pytest
from botocore.exceptions import ClientError

from runtime.contract import keys
from runtime.contract.exit_codes import ExitCode
from runtime.domain.errors import (
    ConfigurationError,
    ExportError,
    SeedError,
    StorageBusyError,
    StorageError,
)
from runtime.domain.jobs.checkpoint import Checkpoint, decode
from runtime.domain.jobs.job import JobStatus
from runtime.worker.flush_times import MAX_FLUSH_ATTEMPTS
from tests.fixtures.aws import BUCKET
from tests.fixtures.session_faults import Document, Fault
from tests.fixtures.worker_checks import again, logged, recover, written
from tests.fixtures.worker_world import WorkerWorld, at, indices, two_steps, wait_until

INTERVAL: Final = 5
SDK_ATTEMPTS: Final = 5


@pytest.fixture(autouse=True)
def _keep_logs(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.INFO, logger="runtime"):
        yield


def fail_object(world: WorkerWorld, part_of_key: str, **fault: Any) -> Fault:
    """PutObject fails for some keys; as the service being down unless told otherwise."""
    chosen = {"code": "SlowDown", "status": 503, **fault}
    return world.fail("s3", "PutObject", match=lambda call: part_of_key in call["Key"], **chosen)


def hurry(world: WorkerWorld, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Let the pauses between attempts pass quickly; settings under which no lease ends by it."""
    monkeypatch.setattr("runtime.worker.generation.MAX_WAIT_SECONDS", 0.01)
    world.clock.hasten(200)
    return {"lease_seconds": 1e6, "flush_seconds": 1e6}


def retry(world: WorkerWorld, job_id: str) -> ExitCode:
    """What a user does after a failure, when nothing has to pass quickly any more."""
    world.clock.hasten(1)
    again(world, job_id)
    return world.run()


def error_of(world: WorkerWorld, job_id: str) -> str:
    """Why the job is FAILED."""
    job = world.job(job_id)
    assert job.status is JobStatus.FAILED
    return job.error_message or ""


def assert_whole(world: WorkerWorld, job_id: str, *, records: int) -> None:
    assert world.job(job_id).status is JobStatus.COMPLETED
    assert sorted(indices(world.dataset(job_id))) == list(range(records))
    batches = written(world, keys.batches_prefix(job_id))
    assert len(batches) == len(set(batches))
    assert world.double.stats()["paid_twice"] == 0


# ── seeds ──────────────────────────────────────────────────────────────────────────────────────


def test_s6_1_seeds_that_are_not_there_fail_the_job_and_name_the_key(world: WorkerWorld) -> None:
    key = f"{keys.seed_prefix('ada')}gone.jsonl"
    job_id = world.create_job(seed_data_path=key, seed_version=None)

    with pytest.raises(SeedError, match="not found") as caught:
        world.worker().seeds.load_seed_data(key, version=None, requirements=())
    assert key in str(caught.value)

    assert world.run() is ExitCode.JOB_FAILED
    assert key in error_of(world, job_id)
    assert world.double.calls == 0


def test_s6_1_a_pinned_version_that_was_deleted_is_not_replaced_by_another(
    world: WorkerWorld,
) -> None:
    job_id = world.create_job()
    config = world.job(job_id).config
    assert config.seed_data_path is not None
    assert config.seed_version is not None
    world.put_object(config.seed_data_path, b'{"product": "another"}\n')
    world.aws.s3.delete_object(
        Bucket=BUCKET, Key=config.seed_data_path, VersionId=config.seed_version
    )

    assert world.run() is ExitCode.JOB_FAILED
    assert config.seed_data_path in error_of(world, job_id)
    assert world.double.calls == 0


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (b'{"product": "a"}\n{"product": \n', "line 2, column"),
        (b'{"product": "a"}\n{"other": "b"}\n', "record 2"),
        (b'{"product": "\xff"}\n', "line 1, column 14"),
        (b"", "no seeds"),
    ],
)
def test_s6_2_damaged_seeds_fail_the_job_and_say_where(
    world: WorkerWorld, body: bytes, place: str
) -> None:
    key = f"{keys.seed_prefix('ada')}damaged.jsonl"
    job_id = world.create_job(seed_data_path=key, seed_version=world.put_object(key, body))

    assert world.run() is ExitCode.JOB_FAILED

    assert "damaged.jsonl" in error_of(world, job_id)
    assert place in error_of(world, job_id)
    assert world.double.calls == 0


# ── checkpoints ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("code", "status", "error"),
    [("AccessDenied", 403, StorageError), ("SlowDown", 503, StorageBusyError)],
)
def test_s6_3_an_error_of_s3_reaches_who_saves_a_checkpoint(
    world: WorkerWorld, code: str, status: int, error: type[StorageError]
) -> None:
    job_id = world.create_job()
    fail_object(world, "checkpoint.json", code=code, status=status)
    worker = world.worker()
    claim = worker.queue.get_next_job("me")
    assert claim is not None

    with pytest.raises(error) as caught:
        worker.checkpoints.save_checkpoint(claim, Checkpoint(job_id=job_id))

    assert type(caught.value) is error
    assert isinstance(caught.value.__cause__, ClientError)
    assert caught.value.__cause__.response["Error"]["Code"] == code


def test_s6_3_a_job_whose_checkpoint_can_not_be_saved_stops_paying(world: WorkerWorld) -> None:
    fault = fail_object(world, "checkpoint.json", code="AccessDenied", status=403)
    job_id = world.create_job(num_records=40)

    assert world.run(concurrency=4) is ExitCode.JOB_FAILED

    assert "checkpoint.json" in error_of(world, job_id)
    assert INTERVAL <= world.double.calls <= INTERVAL + 4
    assert len(world.records(job_id)) == world.double.stats()["paid"]

    # Row 77: the batches are saved, no checkpoint tells of them, and they are not paid for again.
    fault.clear()
    assert retry(world, job_id) is ExitCode.DONE
    assert_whole(world, job_id, records=40)


@pytest.mark.parametrize("blob", [b'{"schema": 1, "job_', b'{"schema": 99}', b"[]", None])
def test_s6_3_row_81_a_damaged_checkpoint_is_rebuilt_from_the_batches(
    world: WorkerWorld, caplog: pytest.LogCaptureFixture, blob: bytes | None
) -> None:
    job_id = world.create_job(num_records=14)
    assert world.run(crash_point=at("after_batch_put", 2, world.stop)) is ExitCode.INTERRUPTED
    key = keys.checkpoint_key(job_id)
    if blob is None:
        world.aws.s3.delete_object(Bucket=BUCKET, Key=key)
    else:
        world.put_object(key, blob)

    assert world.run() is ExitCode.DONE

    assert len(logged(caplog, "checkpoint corrupt")) == (blob is not None)
    assert_whole(world, job_id, records=14)
    assert world.job(job_id).progress.records_generated == 14


# ── batches ────────────────────────────────────────────────────────────────────────────────────


def test_s6_4_row_73_a_bucket_that_is_down_stops_the_paying_and_then_the_job(
    world: WorkerWorld, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def first_batch_is_saved(call: Document) -> bool:
        return "/outputs/" in call["Key"] and "0001" not in call["Key"]

    settings = hurry(world, monkeypatch)
    fault = world.fail("s3", "PutObject", "SlowDown", status=503, match=first_batch_is_saved)
    job_id = world.create_job(num_records=60)

    assert world.run(concurrency=4, **settings) is ExitCode.JOB_FAILED

    assert "batch-0002.jsonl" in error_of(world, job_id)
    assert len(logged(caplog, "batch not saved")) >= MAX_FLUSH_ATTEMPTS
    assert fault.hits >= SDK_ATTEMPTS * MAX_FLUSH_ATTEMPTS
    # The saved batch, the failed one, and one beyond it.
    assert 2 * INTERVAL < world.double.calls <= 3 * INTERVAL
    saved = len(world.records(job_id))
    assert saved == world.job(job_id).progress.records_generated == INTERVAL

    fault.clear()
    assert retry(world, job_id) is ExitCode.DONE
    assert sorted(indices(world.dataset(job_id))) == list(range(60))
    assert world.double.stats()["paid_twice"] <= 2 * INTERVAL


def test_s6_4_a_batch_is_saved_when_the_bucket_comes_back(
    world: WorkerWorld, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    settings = hurry(world, monkeypatch)
    fault = fail_object(world, "/outputs/", times=2 * SDK_ATTEMPTS + 1)
    job_id = world.create_job(two_steps(), num_records=12)

    assert world.run(**settings) is ExitCode.DONE

    assert fault.hits == 2 * SDK_ATTEMPTS + 1
    assert len(logged(caplog, "batch not saved")) == 2
    assert_whole(world, job_id, records=12)
    assert world.job(job_id).progress.records_generated == 12


def test_s6_4_row_71_a_batch_whose_reply_was_lost_is_one_object(world: WorkerWorld) -> None:
    fault = fail_object(world, "/outputs/", after_write=True, times=2)
    job_id = world.create_job(num_records=7)

    assert world.run() is ExitCode.DONE

    assert fault.hits == 2
    assert [len(batch) for batch in world.batches(job_id)] == [5, 2]
    assert_whole(world, job_id, records=7)


@pytest.mark.parametrize(
    ("code", "status"),
    [("ConditionalRequestConflict", 409), ("BadDigest", 400), ("XAmzContentChecksumMismatch", 400)],
)
def test_s6_4_rows_72_75_a_refusal_that_may_pass_is_tried_again(
    world: WorkerWorld, monkeypatch: pytest.MonkeyPatch, code: str, status: int
) -> None:
    monkeypatch.setattr("runtime.aws.objects._CONFLICT_PAUSES", (0.0, 0.0, 0.0))
    settings = hurry(world, monkeypatch)
    fault = fail_object(world, "/outputs/", code=code, status=status, times=2)
    job_id = world.create_job(num_records=7)

    assert world.run(**settings) is ExitCode.DONE

    assert fault.hits == 2
    assert_whole(world, job_id, records=7)


# ── export ─────────────────────────────────────────────────────────────────────────────────────


def test_s6_5_an_export_that_fails_keeps_the_batches_and_is_retried_without_a_model(
    world: WorkerWorld,
) -> None:
    fault = fail_object(world, "/exports/", code="AccessDenied", status=403)
    job_id = world.create_job(num_records=12)

    assert world.run() is ExitCode.JOB_FAILED

    assert "dataset" in error_of(world, job_id)
    assert [len(batch) for batch in world.batches(job_id)] == [5, 5, 2]
    assert world.object_keys(f"jobs/{job_id}/exports/") == []

    fault.clear()
    assert retry(world, job_id) is ExitCode.DONE
    assert world.double.calls == 12
    assert_whole(world, job_id, records=12)
    assert world.job(job_id).error_message is None


def test_s6_5_row_85_a_batch_that_vanished_is_no_short_dataset(world: WorkerWorld) -> None:
    job_id = world.create_job(num_records=12)

    def lose_a_batch() -> None:
        world.aws.s3.delete_object(Bucket=BUCKET, Key=keys.batch_key(job_id, 2))

    assert world.run(crash_point=at("before_export", 1, lose_a_batch)) is ExitCode.JOB_FAILED

    assert "7 distinct records but 12" in error_of(world, job_id)
    assert world.object_keys(f"jobs/{job_id}/exports/") == []


def test_s6_5_row_83_an_upload_that_breaks_off_leaves_the_old_dataset(world: WorkerWorld) -> None:
    job_id = world.create_job(num_records=12)
    assert world.run() is ExitCode.DONE
    before = world.dataset(job_id)
    fault = world.fail("s3", "UploadPart", "SlowDown", status=503)
    worker = world.worker()
    objects: Any = worker.exporter._objects
    objects._part_bytes = 1024  # several parts, as of a large dataset

    with pytest.raises(ExportError, match="could not be written"):
        worker.exporter.export_data(world.job(job_id), expected=12)

    assert fault.hits == SDK_ATTEMPTS
    assert world.dataset(job_id) == before
    assert "Uploads" not in world.aws.s3.list_multipart_uploads(Bucket=BUCKET)


def test_s6_5_row_82_a_late_owner_publishes_nothing_over_its_successors_dataset(
    world: WorkerWorld,
) -> None:
    job_id = world.create_job(num_records=30, budget="0.000200000")
    published: list[list[int]] = []

    def be_late() -> None:
        recover(world, job_id)
        world.ports.jobs.set_budget(job_id, "10")
        first = world.workers[-1]
        assert world.run() is ExitCode.DONE
        published.append(sorted(indices(world.dataset(job_id))))
        wait_until(lambda: first._control.reason is not None)

    late = at("mid_export", 1, be_late)
    assert world.run(crash_point=late, heartbeat_seconds=0.05) is ExitCode.INTERRUPTED

    assert published == [list(range(30))]
    assert sorted(indices(world.dataset(job_id))) == list(range(30))
    assert world.job(job_id).status is JobStatus.COMPLETED


# ── the bucket itself ──────────────────────────────────────────────────────────────────────────


def test_s6_6_without_a_bucket_no_worker_starts(world: WorkerWorld) -> None:
    with pytest.raises(ConfigurationError, match="BUCKET_NAME"):
        world.run(variables={"BUCKET_NAME": ""})

    assert world.calls == []


def test_s6_7_batches_that_can_not_be_listed_are_none_and_nothing_is_exported(
    world: WorkerWorld, caplog: pytest.LogCaptureFixture
) -> None:
    job_id = world.create_job(num_records=7)
    faults: list[Fault] = []

    def hide_batches() -> None:
        faults.append(
            world.fail(
                "s3",
                "ListObjectsV2",
                "AccessDenied",
                status=403,
                match=lambda call: call["Prefix"] == keys.batches_prefix(job_id),
            )
        )

    assert world.run(crash_point=at("before_export", 1, hide_batches)) is ExitCode.JOB_FAILED

    assert "could not be listed" in error_of(world, job_id)
    assert len(logged(caplog, "batches not listed")) == 1
    worker = world.worker()
    assert list(worker.batches.load_all_batches(job_id)) == []
    for expected in (7, None):
        with pytest.raises(ExportError, match="could not be listed"):
            worker.exporter.export_data(world.job(job_id), expected=expected)
    assert world.object_keys(f"jobs/{job_id}/exports/") == []

    faults[0].clear()
    assert retry(world, job_id) is ExitCode.DONE
    assert_whole(world, job_id, records=7)


def test_s6_7_whoever_can_not_see_the_batches_does_not_pay_for_them_again(
    world: WorkerWorld,
) -> None:
    job_id = world.create_job(num_records=12)
    assert world.run(crash_point=at("after_batch_put", 1, world.stop)) is ExitCode.INTERRUPTED
    calls = world.double.calls
    world.fail("s3", "ListObjectsV2", "SlowDown", status=503)

    assert world.run() is ExitCode.JOB_FAILED

    assert world.double.calls == calls
    assert world.job(job_id).status is JobStatus.FAILED


def test_the_checkpoint_says_what_the_batches_hold(world: WorkerWorld) -> None:
    """S6.3, S6.4: the truth that the tests above rebuild."""
    job_id = world.create_job(num_records=7)

    assert world.run() is ExitCode.DONE

    checkpoint = decode(world.object(keys.checkpoint_key(job_id)))
    assert (checkpoint.records_generated, checkpoint.next_index) == (7, 7)
    assert (checkpoint.current_batch, checkpoint.pending) == (3, ())
