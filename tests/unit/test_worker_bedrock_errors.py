"""S5: Bedrock throttles, fails, answers nonsense or not at all.

Retries have no jitter here, so none of them waits.
"""

import csv
import io
import logging
import random
import socket
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, Final

import orjson
import pyarrow.parquet as pq
import pytest

from runtime import sdk as clients
from runtime.contract import keys
from runtime.contract.exit_codes import ExitCode
from runtime.domain.errors import RenderError
from runtime.domain.jobs.delivery import OutputFormat
from runtime.domain.jobs.job import JobStatus
from runtime.domain.jobs.record import clean_text
from runtime.domain.models.outage import FAILURES_OF_AN_OUTAGE, MAX_PROBE_SECONDS
from runtime.domain.models.retry import MAX_CONSECUTIVE_FAILURES, STALL_SECONDS
from runtime.engine.rendering.renderer import RenderRequest, TemplateEngine
from runtime.logs import JsonFormatter
from tests.fixtures.bedrock_double import BedrockDouble, RuleDocument
from tests.fixtures.session_faults import Document
from tests.fixtures.worker_checks import again, billed, logged, worst_case
from tests.fixtures.worker_world import (
    WorkerWorld,
    at,
    indices,
    make_template,
    step,
    two_steps,
)

CONCURRENCY = 4
"""Of the workers that the world makes."""
EVER_LONGER_LEASE = 1e6
"""For a clock that runs fast: heartbeats follow the real one."""


HURRY: Final = 200.0
"""Seconds in each second, where an outage is waited out."""


class NoJitter(random.Random):
    def random(self) -> float:
        return 0.0


def run_through_outages(world: WorkerWorld, **overrides: Any) -> ExitCode:
    """Run a worker whose pauses between probes pass quickly."""
    world.clock.hasten(HURRY)
    # The heartbeat waits in real seconds.
    return world.run(rng=NoJitter(), lease_seconds=EVER_LONGER_LEASE, **overrides)


@pytest.fixture(autouse=True)
def _logs_without_prompts(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """N10, whatever a test is about."""
    with caplog.at_level(logging.INFO, logger="runtime"):
        yield
    lines = [JsonFormatter().format(each) for each in caplog.get_records("call")]
    assert not [line for line in lines if "Review product" in line or "harbour" in line]


def check_completed(world: WorkerWorld, job_id: str, *, failed: Sequence[int] = ()) -> None:
    """Every index once (N1), in the list where it belongs, with the money accounted for (N3)."""
    job, account = world.job(job_id), world.account(job_id)
    assert job.status is JobStatus.COMPLETED
    assert sorted(indices(world.failures(job_id))) == sorted(failed)
    expected = set(range(job.config.num_records)) - set(failed)
    assert sorted(indices(world.dataset(job_id))) == sorted(expected)
    assert job.progress.failed_records == len(failed)
    assert job.progress.records_generated == len(expected)
    assert billed(world) <= account.spent_nano == account.committed_nano <= account.limit_nano


def failure_of(world: WorkerWorld, job_id: str, index: int) -> Document:
    (failure,) = (each for each in world.failures(job_id) if each["index"] == index)
    return failure


def always(effect: str, product: int, **fields: object) -> RuleDocument:
    rule: RuleDocument = {"effect": effect, "prompt": f"product {product}."}
    return {**rule, **fields}  # type: ignore[typeddict-item] # the fields of one


# ── S5.1: throttled ────────────────────────────────────────────────────────────────────────────


def test_throttled_calls_are_made_again_whatever_the_refusal_looks_like(
    world: WorkerWorld, caplog: pytest.LogCaptureFixture
) -> None:
    """S5.1: nothing is charged, no record fails, the log says what happened."""
    codes = ["ThrottlingException", "ModelNotReadyException", "ServiceQuotaExceededException"]
    rules = [always(code, product, times=2) for product, code in enumerate(codes)]
    rules += [
        always("throttlingException", 3, status=400, times=2),
        always("TooManyRequestsException", 4, status=429, times=2),
        always("html", 5, status=429, times=2),
    ]
    world.double.faults(rules)
    job_id = world.create_job(num_records=8)

    assert world.run(rng=NoJitter()) is ExitCode.DONE

    check_completed(world, job_id)
    assert world.double.calls == 8 + 6 * 2
    assert world.account(job_id).spent_nano == billed(world)
    lines = logged(caplog, "model call failed")
    assert {line["kind"] for line in lines} == {"throttled"}
    assert Counter(line["record"] for line in lines) == dict.fromkeys(range(6), 2)
    assert {line["job_id"] for line in lines} == {job_id}
    assert {line["step"] for line in lines} == {"review"}


def test_a_storm_of_throttling_narrows_the_window_and_calm_opens_it_again(
    world: WorkerWorld,
) -> None:
    """S5.1: 90 % of all calls are refused, for a while."""
    world.double.faults(
        [{"effect": "reply", "every": 10}, {"effect": "ThrottlingException", "times": 60}]
    )
    job_id = world.create_job(num_records=40)
    in_flight, seen = 0, []

    def watch(name: str) -> None:
        nonlocal in_flight
        in_flight += (name == "after_reserve") - (name == "after_call")
        if name == "after_reserve":
            seen.append(in_flight)

    world.clock.hasten(100)  # so that a burst is over after 5 ms
    worker = world.worker(rng=NoJitter(), crash_point=watch, lease_seconds=EVER_LONGER_LEASE)
    assert worker.run() is ExitCode.DONE

    check_completed(world, job_id)
    stats = world.double.stats()
    assert (stats["paid"], stats["received"]) == (40, 100)
    assert world.account(job_id).spent_nano == billed(world)
    assert max(seen[:CONCURRENCY]) == CONCURRENCY
    assert max(seen[40:60]) <= 2  # in the storm
    assert max(seen[80:]) == CONCURRENCY


# ── S5.2, S5.3: failed, or perhaps paid ────────────────────────────────────────────────────────


def test_a_model_that_errors_gets_one_more_try_and_then_the_record_has_failed(
    world: WorkerWorld, caplog: pytest.LogCaptureFixture
) -> None:
    """S5.2: each try is charged at its worst case."""
    world.double.faults(
        [
            always("ModelErrorException", 1),
            always("ModelTimeoutException", 2),
            always("ModelErrorException", 3, times=1),
        ]
    )
    job_id = world.create_job(num_records=6)

    assert run_through_outages(world) is ExitCode.DONE

    check_completed(world, job_id, failed=[1, 2])
    # What failed by the service has had a second pass when all else was done.
    assert world.double.calls == 6 + 3 + 2
    assert world.account(job_id).spent_nano == billed(world) + 7 * worst_case(world)
    for index in (1, 2):
        failure = failure_of(world, job_id, index)
        assert (failure["step"], failure["kind"]) == ("review", "model_failed")
        assert failure["attempts"] == 1  # of the last pass
    lines = logged(caplog, "model call failed")
    assert Counter(line["record"] for line in lines) == {1: 3, 2: 3, 3: 1}


def test_a_reply_that_is_lost_is_one_http_request_and_presumed_paid(
    world: WorkerWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S5.3: the SDK retries nothing, the worker once."""
    monkeypatch.setattr(clients, "WORKER", replace(clients.WORKER, model=0.2))
    world.double.faults(
        [
            always("timeout", 1),
            always("reset_before_reply", 2),
            always("truncated", 3),
            always("malformed_json", 4),
            always("reset_before_read", 5, times=1),
        ]
    )
    job_id = world.create_job(num_records=8)

    assert run_through_outages(world) is ExitCode.DONE

    check_completed(world, job_id, failed=[1, 2, 3, 4])
    asked = [call for call in world.calls if call.operation == "Converse"]
    assert world.double.calls == len(asked) == 8 + 4 + 1 + 4
    assert {failure["kind"] for failure in world.failures(job_id)} == {"in_doubt"}
    assert {failure["attempts"] for failure in world.failures(job_id)} == {1}  # of the last pass
    stats = world.double.stats()
    assert stats["paid"] == 16  # all but the call that was never read
    assert max(stats["prompts"].values()) == 2 + 1
    assert world.account(job_id).spent_nano > billed(world)


def test_no_step_is_paid_more_than_three_times_without_a_reply(world: WorkerWorld) -> None:
    """S5.2, S5.3: whatever the mix of failures."""
    codes = ["ModelErrorException", "InternalServerException", "reset_before_reply"]
    world.double.faults([always(code, 1, times=1, paid=True) for code in codes])
    job_id = world.create_job(num_records=3)

    assert world.run(rng=NoJitter()) is ExitCode.DONE

    check_completed(world, job_id)  # the last pass saved it
    assert world.double.calls == 2 + 3 + 1
    (failure,) = world.failure_parts(job_id)
    assert (failure["index"], failure["attempts"]) == (1, 3)


def test_bursts_of_5xx_are_borne_and_lasting_ones_fail_their_record(world: WorkerWorld) -> None:
    """S5.2: a refused 503 costs nothing, a 500 may have been billed."""
    world.double.faults(
        [
            always("ServiceUnavailableException", 1, times=5),
            always("InternalServerException", 2, times=2),
            always("ServiceUnavailableException", 3),
            always("InternalServerException", 4),
        ]
    )
    job_id = world.create_job(num_records=6)

    assert run_through_outages(world) is ExitCode.DONE

    check_completed(world, job_id, failed=[3, 4])
    assert world.double.calls == 2 + 6 + 3 + (6 + 1) + (3 + 1)
    assert world.account(job_id).spent_nano == billed(world) + 6 * worst_case(world)
    assert failure_of(world, job_id, 3)["kind"] == "unavailable"
    assert failure_of(world, job_id, 4)["kind"] == "server_fault"


def test_each_step_has_its_own_attempts(world: WorkerWorld) -> None:
    """S5.2: what the first step has used up, the second one gets again."""
    in_doubt: RuleDocument = {"effect": "ModelErrorException", "times": 1}
    world.double.faults([{**in_doubt, "prompt": "Review"}, {**in_doubt, "prompt": "Answer this"}])
    job_id = world.create_job(two_steps(), num_records=1)

    assert world.run(rng=NoJitter()) is ExitCode.DONE

    check_completed(world, job_id)
    assert world.double.stats()["received"] == 4


def test_what_was_never_sent_is_never_charged(
    world: WorkerWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S5.3: Bedrock can't be reached at first."""
    with ExitStack() as stack:
        closed = stack.enter_context(socket.socket())
        closed.bind(("127.0.0.1", 0))  # and doesn't listen
        port = closed.getsockname()[1]
        monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", f"http://127.0.0.1:{port}")
        late = BedrockDouble(port=port)

        def back_again() -> None:
            closed.close()
            stack.enter_context(late)

        # Room for little more than the calls that may be in flight.
        budget = f"0.{8 * worst_case(world):09d}"
        job_id = world.create_job(num_records=6, budget=budget)
        crash_point = at("after_call", 8, back_again)
        assert run_through_outages(world, crash_point=crash_point) is ExitCode.DONE

        check_completed(world, job_id)
        assert late.calls == 6
        assert world.account(job_id).spent_nano == billed(world, late)


def test_a_bedrock_that_nobody_reaches_fails_the_job_in_the_end(
    world: WorkerWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S5.8: waiting has an end, and costs nothing."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", url)
        job_id = world.create_job(num_records=2)
        world.clock.hasten(4 * STALL_SECONDS)
        worker = world.worker(
            rng=NoJitter(),
            lease_seconds=EVER_LONGER_LEASE,
            drain_seconds=EVER_LONGER_LEASE,  # else the end of a call may come too late
        )

        assert worker.run() is ExitCode.JOB_FAILED

    job = world.job(job_id)
    assert job.status is JobStatus.FAILED
    assert "15 minutes" in (job.error_message or "")
    assert world.account(job_id).committed_nano == 0
    assert world.records(job_id) == world.failure_parts(job_id) == []


# ── S5.4, S5.5: refused ────────────────────────────────────────────────────────────────────────


def test_a_request_that_is_refused_is_not_repeated(
    world: WorkerWorld, caplog: pytest.LogCaptureFixture
) -> None:
    """S5.4."""
    world.double.faults([always("ValidationException", 3, message="too many tokens")])
    job_id = world.create_job(num_records=6)

    assert world.run(rng=NoJitter()) is ExitCode.DONE

    check_completed(world, job_id, failed=[3])
    assert world.double.calls == 6
    assert world.account(job_id).spent_nano == billed(world)
    failure = failure_of(world, job_id, 3)
    assert (failure["kind"], failure["attempts"]) == ("rejected", 1)
    assert "too many tokens" in failure["message"]
    (line,) = logged(caplog, "model call failed")
    assert (line["job_id"], line["record"], line["step"]) == (job_id, 3, "review")
    assert line["service_code"] == "ValidationException"


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        ("AccessDeniedException", "bedrock:InvokeModel"),
        ("ResourceNotFoundException", "inference profile"),
    ],
)
def test_a_model_that_may_not_be_used_ends_the_job_at_once(
    world: WorkerWorld, caplog: pytest.LogCaptureFixture, code: str, advice: str
) -> None:
    """S5.5: what was generated is saved, the message helps, and later it goes on."""
    world.double.faults([always(code, 9)])
    job_id = world.create_job(num_records=30)
    late: list[str] = []

    def watch(name: str) -> None:
        if name == "after_reserve" and logged(caplog, "model call failed"):
            late.append(name)

    assert world.run(rng=NoJitter(), crash_point=watch) is ExitCode.JOB_FAILED

    job, account = world.job(job_id), world.account(job_id)
    assert job.status is JobStatus.FAILED
    assert advice in (job.error_message or "")
    assert late == []
    paid = world.double.stats()["paid"]
    assert len(world.records(job_id)) == job.progress.records_generated == paid >= 6
    assert account.committed_nano == billed(world)

    world.double.faults([])
    again(world, job_id)
    assert world.run() is ExitCode.DONE
    check_completed(world, job_id)
    assert world.double.stats()["paid_twice"] == 0


def test_without_access_no_more_is_asked_than_was_in_flight(world: WorkerWorld) -> None:
    """S5.5."""
    world.double.faults([{"effect": "AccessDeniedException"}])
    job_id = world.create_job(num_records=200)

    assert world.run(rng=NoJitter()) is ExitCode.JOB_FAILED

    assert world.double.calls <= CONCURRENCY
    assert world.account(job_id).committed_nano == 0


# ── S5.6 to S5.8: records that fail ────────────────────────────────────────────────────────────


def test_every_fifth_record_fails_and_sixteen_are_left(
    world: WorkerWorld, caplog: pytest.LogCaptureFixture
) -> None:
    """S5.6: an error is listed and logged, and never becomes data."""
    said = "the words of an error"
    world.double.faults([{"effect": "ValidationException", "every": 5, "message": said}])
    job_id = world.create_job(num_records=20)

    assert world.run(rng=NoJitter()) is ExitCode.DONE

    failures = world.failures(job_id)
    check_completed(world, job_id, failed=indices(failures))
    assert len(world.dataset(job_id)) == 16
    assert len(failures) == world.job(job_id).progress.failed_records == 4
    lines = logged(caplog, "record failed")
    assert sorted(line["record"] for line in lines) == sorted(indices(failures))
    stored = [world.object(key) for key in world.object_keys(keys.batches_prefix(job_id))]
    stored.append(world.object(keys.export_key(job_id, "jsonl")))
    assert not [body for body in stored if said.encode() in body or b"Exception" in body]
    outputs = [line["generation_result"]["review"]["output"] for line in world.dataset(job_id)]
    assert len({text[:12] for text in outputs}) == 16  # each the answer to a prompt of its own


def test_a_template_engine_that_raises_costs_one_record(
    world: WorkerWorld, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S5.7."""
    worker = world.worker(rng=NoJitter())
    execute = worker.template_engine.execute_template

    def raising(requests: Sequence[RenderRequest]) -> list[str | RenderError]:
        if any(request.index == 7 for request in requests):
            raise RuntimeError("Review product 7 can't be rendered")
        return execute(requests)

    monkeypatch.setattr(worker.template_engine, "execute_template", raising)
    job_id = world.create_job(num_records=12)

    assert worker.run() is ExitCode.DONE

    check_completed(world, job_id, failed=[7])
    assert world.double.calls == 11
    failure = failure_of(world, job_id, 7)
    assert (failure["kind"], failure["step"], failure["attempts"]) == ("render_failed", "review", 0)
    (line,) = logged(caplog, "record failed")
    assert (line["job_id"], line["record"]) == (job_id, 7)


def test_a_prompt_that_can_not_be_rendered_costs_one_record(world: WorkerWorld) -> None:
    """S5.7: with the real engine, and a seed that the template divides by."""
    template = make_template(step(prompt="Review {{ 12 // count }} products."))
    seeds = [{"count": count} for count in (1, 2, 0, 3)]
    job_id = world.create_job(template, seeds, num_records=4)
    assert isinstance(world.worker().template_engine, TemplateEngine)

    assert world.run() is ExitCode.DONE

    check_completed(world, job_id, failed=[2])
    assert world.double.calls == 3


@pytest.mark.parametrize(
    ("effect", "attempts"),
    [
        ("ValidationException", 1),
        ("empty_text", 2),
    ],
)
def test_a_model_that_fails_every_call_is_not_paid_for_ever(
    world: WorkerWorld, effect: str, attempts: int
) -> None:
    """S5.8: twenty records in a row are enough."""
    world.double.faults([{"effect": effect}])
    job_id = world.create_job(num_records=200)

    assert world.run(rng=NoJitter()) is ExitCode.JOB_FAILED

    job, account = world.job(job_id), world.account(job_id)
    assert job.status is JobStatus.FAILED
    assert f"{MAX_CONSECUTIVE_FAILURES} records failed one after" in (job.error_message or "")
    open_records = 2 * CONCURRENCY
    most = attempts * (MAX_CONSECUTIVE_FAILURES + open_records)
    assert MAX_CONSECUTIVE_FAILURES * attempts <= world.double.calls <= most
    assert job.progress.failed_records == len(world.failure_parts(job_id))
    assert billed(world) <= account.committed_nano <= account.limit_nano


@pytest.mark.parametrize("effect", ["ModelErrorException", "InternalServerException"])
def test_b5_a_model_that_is_down_is_asked_now_and_then_and_not_for_ever(
    world: WorkerWorld, effect: str
) -> None:
    """S5.8: what is in flight when it begins, and one call a probe, whatever they cost."""
    world.double.faults([{"effect": effect}])
    job_id = world.create_job(num_records=200)
    world.clock.hasten(4 * STALL_SECONDS)
    worker = world.worker(
        rng=NoJitter(), lease_seconds=EVER_LONGER_LEASE, drain_seconds=EVER_LONGER_LEASE
    )

    assert worker.run() is ExitCode.JOB_FAILED

    job, account = world.job(job_id), world.account(job_id)
    assert (job.status, job.error_code) == (JobStatus.FAILED, "models_failing")
    assert "15 minutes" in (job.error_message or "")
    assert job.retry_after is not None
    probes = STALL_SECONDS / (MAX_PROBE_SECONDS / 2) + 6
    assert world.double.calls <= CONCURRENCY + FAILURES_OF_AN_OUTAGE + probes
    assert job.progress.failed_records == job.progress.service_failures
    assert job.progress.failed_records == len(world.failure_parts(job_id)) < 200
    assert billed(world) <= account.committed_nano <= account.limit_nano


# ── strange answers ────────────────────────────────────────────────────────────────────────────


def test_what_a_model_stops_for_is_billed_and_decides(world: WorkerWorld) -> None:
    """A cut text is stored with its reason, a refusal is listed; neither is repeated."""
    refusals = [
        "content_filtered",
        "guardrail_intervened",
        "malformed_model_output",
        "malformed_tool_use",
        "model_context_window_exceeded",
    ]
    rules = [always("reply", product, stop_reason=why) for product, why in enumerate(refusals)]
    world.double.faults([*rules, always("reply", 5, stop_reason="max_tokens")])
    job_id = world.create_job(num_records=7)

    assert world.run(rng=NoJitter()) is ExitCode.DONE

    check_completed(world, job_id, failed=range(5))
    kinds = {failure["index"]: failure["kind"] for failure in world.failures(job_id)}
    assert kinds == dict(enumerate(refusals))
    reasons = {
        record["index"]: record["generation_result"]["review"]["stop_reason"]
        for record in world.dataset(job_id)
    }
    assert reasons == {5: "max_tokens", 6: "end_turn"}
    assert world.double.calls == 7
    assert world.account(job_id).spent_nano == billed(world)
    assert world.job(job_id).progress.tokens_used == world.double.stats()["usage"]["totalTokens"]


def test_an_answer_that_does_not_fit_is_repaired_at_most_once(world: WorkerWorld) -> None:
    """Cut JSON, prose instead of JSON, nothing at all."""
    schema = {
        "type": "object",
        "properties": {"score": {"type": "integer", "maximum": 5}},
        "required": ["score"],
    }
    world.double.faults(
        [
            always("reply", 0, text='{"score": ', stop_reason="max_tokens"),
            always("reply", 1, text="I would say 3.", times=1),
            always("empty_text", 2),
            always("reply", 3, text='{"score": 6}'),
            {"text": '{"score": 3}'},
        ]
    )
    job_id = world.create_job(make_template(step(output_schema=schema)), num_records=6)

    assert world.run(rng=NoJitter()) is ExitCode.DONE

    check_completed(world, job_id, failed=[0, 2, 3])
    outputs = [record["generation_result"]["review"]["output"] for record in world.dataset(job_id)]
    assert outputs == [{"score": 3}] * 3
    assert world.double.calls == 6 + 3
    # What was cut would be cut again: it is not repaired.
    kinds = {each["index"]: (each["kind"], each["attempts"]) for each in world.failures(job_id)}
    assert kinds == {0: ("truncated", 1), 2: ("invalid_output", 2), 3: ("invalid_output", 2)}
    assert world.account(job_id).spent_nano == billed(world)


HOSTILE = (
    "nul \x00 inside",
    "control \x01\x02\x1b[31m\x7f",
    "not characters \ufffe\uffff",
    "half a pair \ud800 and the other \udfff",
    "line\r\nbreaks\u2028of\u2029all\x85kinds",
    '=HYPERLINK("http://x","y"),"',
    "right to left \u202e and joined \U0001f469\u200d\U0001f680",
)


def test_hostile_answers_are_stored_as_they_are_and_break_no_export(world: WorkerWorld) -> None:
    """Control characters, lone surrogates, formulas, a text of 4 MiB."""
    rules = [always("reply", product, text=text) for product, text in enumerate(HOSTILE)]
    world.double.faults([*rules, always("huge", len(HOSTILE))])
    count = len(HOSTILE) + 1
    job_id = world.create_job(num_records=count, output_formats=tuple(OutputFormat))

    assert world.run() is ExitCode.DONE

    check_completed(world, job_id)
    dataset = {each["index"]: each["generation_result"] for each in world.dataset(job_id)}
    outputs = [dataset[index]["review"]["output"] for index in range(count)]
    assert outputs[:-1] == [clean_text(text) for text in HOSTILE]
    assert len(outputs[-1]) == 4 * 2**20
    table = pq.read_table(io.BytesIO(world.object(keys.export_key(job_id, "parquet"))))
    in_table = {row["index"]: orjson.loads(row["generation_result"]) for row in table.to_pylist()}
    assert in_table == dataset
    text = world.object(keys.export_key(job_id, "csv")).decode("utf-8-sig")
    before = csv.field_size_limit(10**8)
    try:
        rows = list(csv.DictReader(io.StringIO(text, newline="")))
    finally:
        csv.field_size_limit(before)
    assert {int(row["index"]): orjson.loads(row["generation_result"]) for row in rows} == dataset
