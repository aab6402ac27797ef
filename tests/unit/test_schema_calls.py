"""The first use of an output schema: alone in flight, paid like any call, and in words where the
service can't compile it.
"""

import orjson
import pytest

from runtime.contract.exit_codes import ExitCode
from runtime.domain.jobs.step_totals import sum_of
from tests.fixtures.bedrock_double import BedrockDouble, RuleDocument
from tests.fixtures.session_faults import Document
from tests.fixtures.worker_checks import check_completed, kill
from tests.fixtures.worker_world import (
    MODEL,
    SCHEMA_MODEL,
    WorkerWorld,
    make_template,
    step,
)

STARS = {"type": "object", "required": ["stars"], "properties": {"stars": {"type": "integer"}}}
WORDS = {"type": "object", "required": ["words"], "properties": {"words": {"type": "string"}}}
OTHER_SCHEMA_MODEL = "openai.gpt-oss-120b-1:0"
GRAMMAR: RuleDocument = {
    "effect": "ValidationException",
    "schema": True,
    "message": "Grammar compilation timed out.",
}


def rating(name: str = "rate", *, model: str = SCHEMA_MODEL, schema: object = STARS) -> Document:
    return step(name, "Rate {{ product }} for " + name, model=model, output_schema=schema)


def uses(double: BedrockDouble) -> dict[tuple[str, str], tuple[int, bool]]:
    """By model and name of the schema's property: most calls in flight before the first answer,
    and whether several were out later.
    """
    return {
        (model, next(iter(orjson.loads(text)["properties"]))): (
            use.most_before_answer,
            use.most > 1,
        )
        for (model, text), use in double.schemas.items()
    }


def test_f12_the_first_call_of_each_model_and_schema_is_alone_and_others_go_on(
    world: WorkerWorld,
) -> None:
    """Three pairs of model and schema and a step without one, in one template."""
    world.double.faults([{"effect": "reply", "schema": True, "delay_ms": 60}])
    steps = [
        step(),
        rating(),
        rating("twin"),
        rating("words", schema=WORDS),
        rating("other", model=OTHER_SCHEMA_MODEL),
    ]
    job_id = world.create_job(make_template(*steps), num_records=12)

    assert world.run(concurrency=8) is ExitCode.DONE

    check_completed(world, job_id)
    assert uses(world.double) == {
        (SCHEMA_MODEL, "stars"): (1, True),
        (SCHEMA_MODEL, "words"): (1, True),
        (OTHER_SCHEMA_MODEL, "stars"): (1, True),
    }
    assert world.double.stats()["max_in_flight"] > 1
    first = next(each for each in world.double.requests if "outputConfig" in each.body)
    assert "rate" in str(first.body["messages"])


def test_f12_a_failure_of_the_service_lets_the_next_call_be_the_first(world: WorkerWorld) -> None:
    """Throttled, failed and without an answer: each time one goes alone."""
    world.double.faults(
        [
            {"effect": "ThrottlingException", "schema": True, "times": 2},
            {"effect": "InternalServerException", "schema": True, "times": 1},
            {"effect": "reply", "schema": True, "delay_ms": 60},
        ]
    )
    job_id = world.create_job(make_template(rating()), num_records=8)

    assert world.run() is ExitCode.DONE

    check_completed(world, job_id)
    assert uses(world.double) == {(SCHEMA_MODEL, "stars"): (1, True)}
    assert world.job(job_id).progress.steps["rate"].calls == 8 + 3


@pytest.mark.parametrize("point", ["after_reserve", "after_call"])
def test_f12_a_first_call_that_dies_is_presumed_spent(world: WorkerWorld, point: str) -> None:
    """N1, N3: it is reserved like any other, and nobody else was out with it."""
    job_id = world.create_job(make_template(rating()), num_records=6)

    assert kill(world, point, 1, concurrency=4) is None

    assert world.double.calls <= 1
    held = world.account(job_id).committed_nano
    assert held > 0
    assert world.run() is ExitCode.DONE
    check_completed(world, job_id, paid_twice=world.double.stats()["paid_twice"])
    assert world.account(job_id).spent_nano >= held
    assert sum_of(world.job(job_id).progress.steps).calls >= 6


@pytest.mark.parametrize("model", [SCHEMA_MODEL, OTHER_SCHEMA_MODEL])
def test_f12_a_schema_that_is_not_compiled_goes_in_words(world: WorkerWorld, model: str) -> None:
    """End to end: one refused call, not paid; every record is there, and the figure is shown."""
    world.double.faults(
        [
            {**GRAMMAR, "model": model},
            {"effect": "reply", "prompt": "for rate", "text": '{"stars": 4}'},
            {"effect": "reply", "prompt": "for words", "text": '{"words": "Fine."}'},
        ]
    )
    job_id = world.create_job(
        make_template(step(model=MODEL), rating(model=model), rating("words", schema=WORDS)),
        num_records=10,
    )

    assert world.run() is ExitCode.DONE

    check_completed(world, job_id)
    results = [line["generation_result"] for line in world.dataset(job_id)]
    assert {each["rate"]["output"]["stars"] for each in results} == {4}
    rate = world.job(job_id).progress.steps["rate"]
    assert (rate.calls, rate.schema_in_prompt, rate.retried) == (10 + 1, 10, 0)
    refused = [each for each in world.double.requests if each.effect == "ValidationException"]
    assert len(refused) == (2 if model == SCHEMA_MODEL else 1)
    assert not any(each.paid for each in refused)
    shown = [each for each in world.double.requests if "JSON Schema" in str(each.body["messages"])]
    assert len(shown) >= 10
