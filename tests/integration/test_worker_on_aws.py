"""Whole jobs on emulated AWS: from the queue, through a double of Bedrock, to the export."""

import csv
import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pyarrow.parquet as pq
import pytest

from runtime.contract import keys
from runtime.contract.exit_codes import ExitCode
from runtime.domain.jobs.delivery import OutputFormat
from runtime.domain.jobs.job import JobStatus
from runtime.domain.jobs.sampling import SeedStrategy
from runtime.domain.models.price_table import PriceTable, load_prices
from tests.fixtures.session_faults import Document
from tests.fixtures.worker_world import (
    MODEL,
    SCHEMA_MODEL,
    WorkerWorld,
    at,
    indices,
    make_template,
    step,
    two_steps,
)

INPUT_NANO, OUTPUT_NANO = 35, 140
"""What the packaged table says of `MODEL`, per token."""

SCORE = {
    "type": "object",
    "properties": {"score": {"type": "integer", "minimum": 1, "maximum": 5}},
    "required": ["score"],
    "additionalProperties": False,
}


def output(record: Document, step_id: str = "review") -> Any:
    return record["generation_result"][step_id]["output"]


def marks(prompt: str) -> str:
    """What the double's reply to a prompt begins with."""
    return hashlib.sha256(f"{MODEL}\n{prompt}".encode()).hexdigest()[:12]


def nano(usage: Mapping[str, int]) -> int:
    return usage["inputTokens"] * INPUT_NANO + usage["outputTokens"] * OUTPUT_NANO


def sent_texts(world: WorkerWorld) -> list[str]:
    """The last message of each model call."""
    return [request.body["messages"][-1]["content"][0]["text"] for request in world.double.requests]


# ── generating ─────────────────────────────────────────────────────────────────────────────────


def test_every_record_holds_the_answer_to_its_own_seed(world: WorkerWorld) -> None:
    job_id = world.create_job(num_records=12)

    assert world.run() is ExitCode.DONE

    dataset = world.dataset(job_id)
    assert sorted(indices(dataset)) == list(range(12))
    for record in dataset:
        index = record["index"]
        assert record["id"] == f"{job_id}-{index}"
        assert record["seed_data_id"] == f"row-{index + 1}"
        assert output(record).startswith(marks(f"Review product {index}."))
    assert [len(batch) for batch in world.batches(job_id)] == [5, 5, 2]


def test_job_account_and_cost_table_agree_with_what_the_model_billed(world: WorkerWorld) -> None:
    job_id = world.create_job(num_records=12)

    world.run()

    billed = world.double.stats()["usage"]
    job, account = world.job(job_id), world.account(job_id)
    assert (job.status, job.error_message) == (JobStatus.COMPLETED, None)
    assert job.started_at is not None
    assert job.completed_at is not None
    assert (job.progress.records_generated, job.progress.failed_records) == (12, 0)
    assert job.progress.tokens_used == billed["totalTokens"]
    assert job.progress.cost_nano == nano(billed)
    assert (account.spent_nano, account.committed_nano) == (nano(billed), nano(billed))
    assert world.ports.costs.total(job_id) == nano(billed)


def test_a_second_step_is_asked_with_the_output_of_the_first(world: WorkerWorld) -> None:
    job_id = world.create_job(two_steps(), num_records=7)

    assert world.run() is ExitCode.DONE

    dataset = world.dataset(job_id)
    assert sorted(indices(dataset)) == list(range(7))
    for record in dataset:
        prompt = f"Answer this review of product {record['index']}: {output(record)}"
        assert output(record, "answer").startswith(marks(prompt))
    assert world.double.calls == 14


def test_the_queue_is_worked_through_in_its_order(world: WorkerWorld) -> None:
    job_ids = [world.create_job(num_records=2) for _ in range(3)]

    assert world.run() is ExitCode.DONE

    assert [world.job(job_id).status for job_id in job_ids] == [JobStatus.COMPLETED] * 3
    completed = [world.job(job_id).completed_at or world.clock.now() for job_id in job_ids]
    assert completed == sorted(completed)


def test_only_the_job_that_was_asked_for_is_taken(world: WorkerWorld) -> None:
    first, second = world.create_job(num_records=2), world.create_job(num_records=2)

    assert world.run(second) is ExitCode.DONE

    assert world.job(second).status is JobStatus.COMPLETED
    assert world.job(first).status is JobStatus.QUEUED


def test_a_pinned_include_stays_as_it_was(world: WorkerWorld) -> None:
    rules = make_template(step("rules", "Be brief."))
    world.save_template("house-rules", make_template(step("rules", "Be silent.")))
    pinned = world.save_template("house-rules", rules)
    world.save_template("house-rules", make_template(step("rules", "Be verbose.")))
    reviews = make_template(step(prompt="{% include 'rules' %} Review {{ product }}."))
    job_id = world.create_job(reviews, num_records=1, includes={"rules": pinned})

    assert world.run() is ExitCode.DONE

    assert sent_texts(world) == ["Be brief. Review product 0."]
    assert world.job(job_id).status is JobStatus.COMPLETED


def test_a_pinned_seed_object_stays_as_it_was(world: WorkerWorld) -> None:
    job_id = world.create_job(num_records=2)
    path = world.job(job_id).config.seed_data_path
    assert path is not None
    world.put_object(path, b'{"product": "something else"}\n')

    world.run()

    assert sorted(sent_texts(world)) == ["Review product 0.", "Review product 1."]


# ── structured outputs ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("model", [MODEL, SCHEMA_MODEL])
def test_an_answer_that_does_not_fit_is_repaired_once(world: WorkerWorld, model: str) -> None:
    world.double.faults([{"text": '{"score": 9}', "times": 1}, {"text": '{"score": 4}'}])
    template = make_template(step(model=model, output_schema=SCORE))
    job_id = world.create_job(template, num_records=1)

    assert world.run() is ExitCode.DONE

    assert output(world.dataset(job_id)[0]) == {"score": 4}
    first, repair = (request.body for request in world.double.requests)
    constrained = model == SCHEMA_MODEL
    assert ("outputConfig" in first) is constrained
    # A model that can't be held to the schema is shown it, another one what the service left out.
    text = first["messages"][0]["content"][0]["text"]
    assert text.startswith("Review product 0.\n\n")
    assert text.endswith('\nscore: {"minimum":1,"maximum":5}') is constrained
    assert ('"score"' in text) is not constrained
    assert [message["role"] for message in repair["messages"]] == ["user", "assistant", "user"]
    assert repair["messages"][1]["content"][0]["text"] == '{"score": 9}'
    assert "score" in repair["messages"][2]["content"][0]["text"]
    assert world.job(job_id).progress.tokens_used == world.double.stats()["usage"]["totalTokens"]


def test_an_answer_that_stays_unusable_is_a_failure(world: WorkerWorld) -> None:
    world.double.faults([{"prompt": "product 1", "text": "no JSON"}, {"text": '{"score": 4}'}])
    job_id = world.create_job(make_template(step(output_schema=SCORE)), num_records=3)

    assert world.run() is ExitCode.DONE

    assert sorted(indices(world.dataset(job_id))) == [0, 2]
    (failure,) = world.failures(job_id)
    assert (failure["index"], failure["step"], failure["kind"], failure["attempts"]) == (
        1,
        "review",
        "invalid_output",
        2,
    )
    assert world.double.calls == 4


# ── exports ────────────────────────────────────────────────────────────────────────────────────


def test_all_formats_hold_the_same_records(world: WorkerWorld) -> None:
    job_id = world.create_job(num_records=7, output_formats=tuple(OutputFormat))

    assert world.run() is ExitCode.DONE

    dataset = world.dataset(job_id)
    table = pq.read_table(io.BytesIO(world.object(keys.export_key(job_id, "parquet"))))
    text = world.object(keys.export_key(job_id, "csv")).decode()
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert len(dataset) == 7
    assert table["index"].to_pylist() == indices(dataset) == [int(row["index"]) for row in rows]
    results = [record["generation_result"] for record in dataset]
    cells = [str(cell) for cell in table["generation_result"].to_pylist()]
    assert [json.loads(cell) for cell in cells] == results
    assert [json.loads(row["generation_result"]) for row in rows] == results


def test_a_failed_record_is_listed_and_never_stored_as_data(world: WorkerWorld) -> None:
    world.double.faults([{"prompt": "product 3.", "effect": "ValidationException"}])
    job_id = world.create_job(num_records=7)

    assert world.run() is ExitCode.DONE

    assert sorted(indices(world.dataset(job_id))) == [0, 1, 2, 4, 5, 6]
    (failure,) = world.failures(job_id)
    assert failure["id"] == f"{job_id}-3"
    assert (failure["seed_data_id"], failure["step"]) == ("row-4", "review")
    assert (failure["kind"], failure["attempts"]) == ("rejected", 1)
    progress = world.job(job_id).progress
    assert (progress.records_generated, progress.failed_records) == (6, 1)
    assert world.job(job_id).status is JobStatus.COMPLETED


# ── what is pinned or drawn ────────────────────────────────────────────────────────────────────


def test_sequential_seeds_begin_again_after_the_last_one(world: WorkerWorld) -> None:
    job_id = world.create_job(
        make_template(step(prompt="Review {{ product }}, number {{ index }}.")),
        [{"product": "kettle"}, {"product": "lamp"}, {"id": "third", "product": "chair"}],
        num_records=5,
    )

    world.run()

    by_index = {record["index"]: record["seed_data_id"] for record in world.dataset(job_id)}
    assert by_index == {0: "row-1", 1: "row-2", 2: "third", 3: "row-1", 4: "row-2"}


def test_draws_depend_on_job_and_index_alone(world: WorkerWorld) -> None:
    template = make_template(
        step(prompt="{{ ['kind', 'stern', 'dry'] | random }}: {{ product }}, number {{ index }}."),
        keep_prompts=True,
    )
    seeds = [{"product": letter} for letter in "abcdefg"]
    old: dict[str, Any] = {"seed_strategy": SeedStrategy.RANDOM, "random_seed": None, "scheme": 1}
    job_id = world.create_job(template, seeds, num_records=8, **old)

    # Two workers share the job, with different numbers of calls in flight.
    assert world.run(concurrency=1, crash_point=at("after_call", 3, world.stop)) == 75
    assert world.run(concurrency=4) is ExitCode.DONE

    prompts = {
        record["index"]: record["generation_result"]["review"]["prompt"]
        for record in world.dataset(job_id)
    }
    # Written down once: another draw in a later version would change unfinished jobs.
    assert prompts == {
        0: "stern: b, number 0.",
        1: "stern: a, number 1.",
        2: "kind: a, number 2.",
        3: "kind: f, number 3.",
        4: "dry: f, number 4.",
        5: "stern: c, number 5.",
        6: "kind: a, number 6.",
        7: "dry: g, number 7.",
    }


def test_jobs_with_one_random_seed_draw_alike(world: WorkerWorld) -> None:
    seeds = [{"product": letter} for letter in "abcdefg"]

    def drawn(**options: Any) -> list[str]:
        job_id = world.create_job(
            None, seeds, num_records=8, seed_strategy=SeedStrategy.RANDOM, **options
        )
        assert world.run() is ExitCode.DONE
        by_index = {each["index"]: each["seed_data_id"] for each in world.dataset(job_id)}
        return [by_index[index] for index in range(8)]

    assert drawn(random_seed=7) == drawn(random_seed=7)
    assert drawn(random_seed=7) != drawn(random_seed=8)
    # Jobs of before scheme 2 draw by their own id.
    assert drawn(random_seed=None, scheme=1) != drawn(random_seed=None, scheme=1)


def test_b11_two_prompts_are_compared_on_the_same_seeds(world: WorkerWorld) -> None:
    """C1 and N14, too: each seed comes once before one comes twice, through a restart."""
    seeds = [{"product": letter} for letter in "abcdefg"]
    chance = "{{ ['kind', 'stern', 'dry'] | random }}: {{ product }}"
    drawn: list[list[str]] = []
    for prompt, count in ((chance, 14), (f"{chance}!", 10)):
        template = make_template(step(prompt=prompt), keep_prompts=True)
        job_id = world.create_job(
            template, seeds, num_records=count, seed_strategy=SeedStrategy.SHUFFLE
        )
        assert world.run(concurrency=1, crash_point=at("after_call", 3, world.stop)) == 75
        assert world.run(concurrency=4) is ExitCode.DONE
        records = sorted(world.dataset(job_id), key=lambda record: int(record["index"]))
        drawn.append(
            [record["generation_result"]["review"]["prompt"].rstrip("!") for record in records]
        )
    first, second = drawn
    assert sorted(each[-1] for each in first[:7]) == list("abcdefg")
    assert sorted(each[-1] for each in first[7:]) == list("abcdefg")
    assert first[:10] == second


def test_a_job_keeps_the_prices_that_it_began_with(world: WorkerWorld) -> None:
    packaged = load_prices()
    dearer = replace(packaged.prices[MODEL], input=INPUT_NANO * 2, output=OUTPUT_NANO * 2)
    later = PriceTable(
        version="later",
        prices={**packaged.prices, MODEL: dearer},
        tiers=packaged.tiers,
        tier_aliases=packaged.tier_aliases,
    )
    job_id = world.create_job(num_records=8)

    assert world.run(crash_point=at("after_call", 2, world.stop)) is ExitCode.INTERRUPTED
    assert world.run(prices=later) is ExitCode.DONE
    other = world.create_job(num_records=8)
    assert world.run(prices=later) is ExitCode.DONE

    assert world.account(other).spent_nano == 2 * world.account(job_id).spent_nano
    assert 2 * world.account(job_id).spent_nano == nano(world.double.stats()["usage"])


# ── rows ───────────────────────────────────────────────────────────────────────────────────────


def test_rows_stand_beside_the_dataset_in_the_order_of_their_index(world: WorkerWorld) -> None:
    """What an earlier export left of other rows goes; a split and a text of Jinja2 are the same
    wherever they are made.
    """
    template = make_template(
        step(),
        output={
            "messages": [
                {"role": "user", "content": "Review {{ seed.product }}."},
                {"role": "assistant", "content": "steps.review.output"},
            ],
            "keep": ["product", "record.index"],
        },
        split={"test": 0.3},
    )
    job_id = world.create_job(
        template, num_records=12, output_formats=(OutputFormat.JSONL, OutputFormat.CSV)
    )
    prefix = keys.rows_prefix(job_id)
    exports = keys.exports_prefix(job_id)
    world.put_object(f"{prefix}train-00000-of-00009.parquet", b"of before")
    world.put_object(f"{exports}data-jsonl/dev.jsonl", b"of before")

    assert world.run() is ExitCode.DONE

    names = [key.removeprefix(exports) for key in world.object_keys(exports)]
    assert {name for name in names if "/" not in name} == {"dataset.csv", "dataset.jsonl"}
    names = [name for name in names if "/" in name]
    assert names == [
        f"{folder}/{split}{ending}"
        for folder, ending in (
            ("data-csv", ".csv"),
            ("data-jsonl", ".jsonl"),
            ("data", "-00000-of-00001.parquet"),
        )
        for split in ("test", "train")
    ]
    lines = {
        split: [
            json.loads(line)
            for line in world.object(f"{exports}data-jsonl/{split}.jsonl").splitlines()
        ]
        for split in ("train", "test")
    }
    for rows in lines.values():
        assert [row["record_index"] for row in rows] == sorted(row["record_index"] for row in rows)
    outputs = {record["index"]: output(record) for record in world.dataset(job_id)}
    everything = sorted((row["record_index"], row) for rows in lines.values() for row in rows)
    assert everything == [
        (
            index,
            {
                "messages": [
                    {"role": "user", "content": f"Review product {index}."},
                    {"role": "assistant", "content": outputs[index]},
                ],
                "product": f"product {index}",
                "record_index": index,
            },
        )
        for index in range(12)
    ]
    card = world.object(keys.card_key(job_id)).decode()
    assert f"| train | {len(lines['train'])} |" in card
    (result,) = json.loads(world.object(keys.rows_result_key(job_id)))
    assert result["counts"] == {split: len(rows) for split, rows in lines.items()}
