"""What failed by the service is tried again by itself, and what failed by its own fault when asked.

Faults are the double's or below boto3; the second run is another worker on the same stores.
"""

from datetime import UTC, datetime, time
from typing import Any

import orjson
import pytest

from runtime.contract import keys
from runtime.contract.exit_codes import ExitCode
from runtime.domain.jobs.job import JobStatus
from runtime.domain.models.timeouts import LONGER, LONGEST_SECONDS, SHORTEST_SECONDS, call_timeout
from runtime.service.requeue import has_work_left, queue_again
from runtime.service.retry import retry_failed
from tests.fixtures.bedrock_double import RuleDocument
from tests.fixtures.worker_world import (
    MODEL,
    WorkerWorld,
    at,
    indices,
    make_template,
    step,
)

EVER_LONGER_LEASE = 1e6
HURRY = 200.0


def run(world: WorkerWorld, *, hurry: float = HURRY, **overrides: Any) -> ExitCode:
    """A worker for which minutes pass quickly; its heartbeat waits in real seconds."""
    world.clock.hasten(hurry)
    return world.run(lease_seconds=EVER_LONGER_LEASE, **overrides)


def failing(product: int, effect: str) -> RuleDocument:
    return {"prompt": f"product {product}.", "effect": effect}


def go_on(world: WorkerWorld, job_id: str) -> ExitCode:
    """Queue the job again, against a provider that answers everything."""
    world.double.faults([])
    queue_again(world.ports.jobs, world.ports.queue, job_id)
    return run(world)


def sent(world: WorkerWorld) -> int:
    """Calls of models by all workers."""
    return sum(call.operation == "Converse" for call in world.calls)


def check_complete(world: WorkerWorld, job_id: str, *, failed: int = 0) -> None:
    """N1, and the counters say it."""
    job = world.job(job_id)
    assert job.status is JobStatus.COMPLETED
    dataset, failures = indices(world.dataset(job_id)), indices(world.failures(job_id))
    assert sorted(dataset + failures) == list(range(job.config.num_records))
    progress = job.progress
    assert (progress.records_generated, progress.failed_records) == (len(dataset), failed)
    assert len(failures) == failed


def test_b1_twelve_seconds_of_errors_at_32_calls_lose_no_record(world: WorkerWorld) -> None:
    """Nothing failed, nothing to be tried again, and few calls were lost to it."""
    world.double.faults([{"effect": "InternalServerException"}])
    job_id = world.create_job(num_records=100)
    began = world.clock.monotonic()

    def recover(_: str) -> None:
        if world.clock.monotonic() > began + 12:
            world.double.faults([])

    assert run(world, concurrency=32, checkpoint_interval=50, crash_point=recover) is ExitCode.DONE

    check_complete(world, job_id)
    assert world.job(job_id).progress.failures_by_kind == {}
    assert world.double.calls <= 100 + 32 + 12  # in flight when it began, and its probes
    steps = world.job(job_id).progress.steps["review"]
    assert steps.presumed == world.double.calls - 100


@pytest.mark.parametrize("effect", ["InternalServerException", "ServiceUnavailableException"])
def test_b1_what_the_service_failed_is_pending_and_the_next_run_saves_it(
    world: WorkerWorld, effect: str
) -> None:
    """N13: counted and listed meanwhile (S5.2, S5.6)."""
    world.double.faults([failing(1, effect), failing(2, "ValidationException")])
    job_id = world.create_job(num_records=6)

    assert run(world) is ExitCode.DONE

    check_complete(world, job_id, failed=2)
    job = world.job(job_id)
    assert job.progress.service_failures == 1
    assert has_work_left(job)

    assert go_on(world, job_id) is ExitCode.DONE

    check_complete(world, job_id, failed=1)  # the rejected one is its own fault
    assert indices(world.failures(job_id)) == [2]
    assert not has_work_left(world.job(job_id))


def test_b1_prompts_that_the_service_can_not_answer_are_no_outage(world: WorkerWorld) -> None:
    """All else was answered: they are listed in seconds, and paid for a few times."""
    world.double.faults([{"effect": "InternalServerException", "prompt": "product 1"}])
    job_id = world.create_job(num_records=12)

    assert run(world, hurry=20.0, concurrency=12) is ExitCode.DONE

    check_complete(world, job_id, failed=3)  # 1, 10 and 11
    assert world.job(job_id).progress.service_failures == 3
    first = sent(world)
    assert first <= 9 + 3 * (3 + 1)
    queue_again(world.ports.jobs, world.ports.queue, job_id)
    assert run(world, hurry=20.0) is ExitCode.DONE
    assert sent(world) == first + 3 * 2


def test_b1_paid_steps_of_a_postponed_record_are_not_paid_again(world: WorkerWorld) -> None:
    template = make_template(step(), step("second", "Second about {{ product }}."))
    world.double.faults([{"prompt": "Second about product 1.", "effect": "ModelErrorException"}])
    job_id = world.create_job(template, num_records=3)
    assert run(world) is ExitCode.DONE

    assert go_on(world, job_id) is ExitCode.DONE

    check_complete(world, job_id)
    # Five that were answered at once; the other twice, once in the last pass, and once more.
    assert sent(world) == 5 + 2 + 1 + 1


def test_b1_a_job_of_before_gives_back_what_the_service_failed(world: WorkerWorld) -> None:
    """A checkpoint for which every failure was final."""
    world.double.faults([failing(1, "ModelErrorException"), failing(2, "ValidationException")])
    job_id = world.create_job(num_records=5)
    assert run(world) is ExitCode.DONE
    key = keys.checkpoint_key(job_id)
    document = orjson.loads(world.object(key))
    document |= {"pending": []}
    for name in ("postponed", "voided", "steps"):
        del document[name]
    world.put_object(key, orjson.dumps(document))

    assert go_on(world, job_id) is ExitCode.DONE

    check_complete(world, job_id, failed=1)
    assert indices(world.failures(job_id)) == [2]


@pytest.mark.parametrize("point", ["after_recover", "after_failures_put", "after_checkpoint"])
def test_a_retry_is_neither_forgotten_nor_repeated(world: WorkerWorld, point: str) -> None:
    """Records fail again: they cost one more call each, wherever a worker stops between."""
    world.double.faults([failing(1, "ValidationException"), failing(3, "ValidationException")])
    job_id = world.create_job(num_records=5)
    assert run(world) is ExitCode.DONE
    assert retry_failed(world.ports.objects, job_id)
    queue_again(world.ports.jobs, world.ports.queue, job_id)

    def stop() -> None:
        world.stop()

    assert run(world, crash_point=at(point, 1, stop)) in {ExitCode.INTERRUPTED, ExitCode.DONE}
    progress = world.job(job_id).progress
    assert (progress.records_generated, progress.failed_records) == (3, 2)
    run(world)

    check_complete(world, job_id, failed=2)
    assert sent(world) == 5 + 2
    assert has_work_left(world.job(job_id)) is False


def test_b4_a_quota_of_the_day_ends_the_run_at_once(world: WorkerWorld) -> None:
    """The machine is released, the job says why and when, and going on is all it takes."""
    message = "Too many tokens per day, please wait before trying again."
    world.double.faults([{"effect": "ThrottlingException", "message": message}])
    job_id = world.create_job(num_records=20)

    assert world.run() is ExitCode.JOB_FAILED

    job = world.job(job_id)
    assert (job.status, job.error_code) == (JobStatus.FAILED, "quota_used_up")
    assert "quota of the day" in (job.error_message or "")
    assert world.double.calls <= 4
    assert job.retry_after is not None
    assert job.retry_after > datetime.now(UTC)
    assert job.retry_after.time() == time()
    assert job.progress.failed_records == 0
    assert world.account(job_id).committed_nano == 0

    assert go_on(world, job_id) is ExitCode.DONE

    check_complete(world, job_id)
    assert world.job(job_id).error_code is None


def test_b7_prompts_that_can_not_be_rendered_stop_a_job(world: WorkerWorld) -> None:
    """Though nothing was paid for them: a million would take days."""
    template = make_template(step(prompt="{{ 1 // 0 }}"))
    job_id = world.create_job(template, num_records=3000)

    assert world.run() is ExitCode.JOB_FAILED

    job = world.job(job_id)
    assert job.error_code == "records_failing"
    assert "render_failed" in (job.error_message or "")
    assert 20 <= job.progress.failed_records < 100
    assert world.double.calls == 0


def test_b8_a_budget_below_one_call_says_so(world: WorkerWorld) -> None:
    job_id = world.create_job(num_records=3, budget="0.000001")

    assert world.run() is ExitCode.BUDGET_EXCEEDED

    message = world.job(job_id).error_message or ""
    assert "too small for one call: the next may cost up to $0.0000" in message
    assert "used up" not in message


def test_b3_a_long_answer_is_waited_for_longer_and_never_as_long_twice(world: WorkerWorld) -> None:
    assert call_timeout(64) == SHORTEST_SECONDS < call_timeout(4096) < LONGEST_SECONDS
    assert call_timeout(10**6) == LONGEST_SECONDS
    world.fail("bedrock-runtime", "Converse", times=1, after_write=True)
    job_id = world.create_job(make_template(step(max_tokens=4096)), num_records=1)

    assert run(world) is ExitCode.DONE

    check_complete(world, job_id)
    waits = [call.patience for call in world.calls if call.operation == "Converse"]
    assert waits == [call_timeout(4096), LONGER * call_timeout(4096)]
    assert world.double.stats()["received"] == 2
    assert MODEL in world.job(job_id).progress.steps["review"].model
