"""What the calls of each step did: counted, kept over claims, and in agreement with the job."""

from decimal import Decimal
from typing import Any

import pytest

from runtime.contract.exit_codes import ExitCode
from runtime.domain.jobs.job import Progress
from runtime.domain.jobs.step_totals import COUNTS, StepTotals, Tally, steps_of, sum_of
from runtime.domain.models.calls import Usage
from tests.fixtures.worker_world import (
    MODEL,
    SCHEMA_MODEL,
    WorkerWorld,
    at,
    make_template,
    step,
)

SCHEMA = {"type": "object", "required": ["stars"], "properties": {"stars": {"type": "integer"}}}
GOOD = '{"stars": 4}'


def agrees(progress: Progress) -> None:
    """Nothing is counted that the job doesn't know, and nothing is left out."""
    total = sum_of(progress.steps)
    assert total.cost_nano == progress.cost_nano == sum(progress.cost_by_model.values())
    assert total.tokens_in + total.tokens_out == progress.tokens_used
    assert 0 <= total.presumed_nano <= total.cost_nano


def test_a4_what_replies_were_is_counted_by_step(world: WorkerWorld) -> None:
    """Cut, repaired, refused, retried and presumed, each at the step where it happened."""
    world.double.faults(
        [
            {"prompt": "product 1.", "effect": "reply", "stop_reason": "content_filtered"},
            {"prompt": "product 2.", "effect": "ThrottlingException", "times": 2},
            {"prompt": "product 3.", "effect": "InternalServerException", "times": 1},
            {"prompt": "product 4.", "effect": "reply", "stop_reason": "max_tokens"},
            {"prompt": "product 5.", "effect": "ValidationException"},
            {"prompt": "product 6!", "effect": "no_usage", "times": 1},
            {"prompt": "product 7!", "effect": "reply", "text": "four", "times": 1},
            {"model": SCHEMA_MODEL, "effect": "reply", "text": GOOD},
        ]
    )
    rating = step("rate", "Rate {{ product }}!", model=SCHEMA_MODEL, output_schema=SCHEMA)
    job_id = world.create_job(make_template(step(), rating), num_records=10)

    assert world.run() is ExitCode.DONE

    progress = world.job(job_id).progress
    review, rate = progress.steps["review"], progress.steps["rate"]
    assert (review.model, rate.model) == (MODEL, SCHEMA_MODEL)
    assert review.calls == 10 + 2 + 1
    assert (review.cut, review.refused, review.repaired) == (1, 1, 0)
    assert (review.retried, review.presumed) == (3, 1)
    assert review.presumed_nano > 0
    assert (rate.calls, rate.repaired, rate.presumed) == (8 + 1, 1, 1)
    assert (rate.cut, rate.refused, rate.retried) == (0, 0, 0)
    agrees(progress)


def test_two_claims_count_together(world: WorkerWorld) -> None:
    """A worker that stopped and its successor."""
    world.double.faults([{"prompt": "product 1.", "effect": "ThrottlingException", "times": 1}])
    job_id = world.create_job(num_records=8)
    stop = at("after_call", 4, world.stop)
    assert world.run(crash_point=stop, concurrency=1) is ExitCode.INTERRUPTED
    first = world.job(job_id).progress.steps["review"]
    assert 0 < first.calls < 9

    assert world.run() is ExitCode.DONE

    progress = world.job(job_id).progress
    assert (progress.steps["review"].calls, progress.steps["review"].retried) == (9, 1)
    agrees(progress)


@pytest.fixture
def tally() -> Tally:
    tally = Tally({"a": StepTotals(model="m", calls=1, tokens_in=5, cost_nano=7)})
    tally.settled("a", "m", Usage(input_tokens=1, output_tokens=2, cache_read_tokens=10), 3)
    return tally


def test_a_cache_counts_as_prompt(tally: Tally) -> None:
    expected = StepTotals(model="m", calls=2, tokens_in=16, tokens_out=2, cost_nano=10)
    assert tally.totals() == {"a": expected}


def test_claims_and_steps_add_up(tally: Tally) -> None:
    tally.add({"a": StepTotals(model="m", cut=2), "b": StepTotals(model="n", presumed=1)})
    tally.not_billed("b", "n")
    assert sum_of(tally.totals()) == StepTotals(
        model="n", calls=3, tokens_in=16, tokens_out=2, cost_nano=10, cut=2, presumed=1
    )
    assert sum_of({}) == StepTotals(model="")


def test_documents_of_tables_with_decimals_are_read() -> None:
    counts: dict[str, Any] = dict.fromkeys(COUNTS, 2)
    stored = {"review": {"model": "m"} | {name: Decimal(2) for name in COUNTS}}
    assert steps_of(stored) == {"review": StepTotals(model="m", **counts)}
    assert steps_of({"review": {"model": "m"}}) == {"review": StepTotals(model="m")}
