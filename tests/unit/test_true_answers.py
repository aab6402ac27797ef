"""N11: what a worker stores is what its model meant, from the request to the record."""

from collections.abc import Mapping
from typing import Any

import pytest

from runtime.contract.exit_codes import ExitCode
from runtime.domain.errors import TemplateError
from runtime.domain.jobs.checkpoint import Partial, partial_of
from runtime.domain.templates.document import document_of, parse_template
from tests.fixtures.session_faults import Document
from tests.fixtures.worker_world import (
    MODEL,
    SCHEMA_MODEL,
    WorkerWorld,
    at,
    make_template,
    step,
)

NUMBERS = {"type": "array", "items": {"type": "integer"}}
CUT = "max_tokens"


def run_one(
    world: WorkerWorld, *steps: Document, **fields: object
) -> tuple[list[Document], list[Document]]:
    """The record of a job of one, or its failure."""
    job_id = world.create_job(make_template(*steps, **fields), num_records=1)
    world.run()
    is_stored = world.job(job_id).progress.records_generated == 1
    return world.dataset(job_id) if is_stored else [], world.failures(job_id)


def stored(world: WorkerWorld, *steps: Document, **fields: object) -> Mapping[str, Any]:
    """The results of the only record's steps."""
    ([record], failures) = run_one(world, *steps, **fields)
    assert failures == []
    results: Mapping[str, Any] = record["generation_result"]
    return results


def failed(world: WorkerWorld, *steps: Document, **fields: object) -> tuple[str, str, int]:
    """Kind, message and attempts of the only record's failure."""
    (records, [each]) = run_one(world, *steps, **fields)
    assert records == []
    return each["kind"], each["message"], each["attempts"]


def limits(world: WorkerWorld) -> list[int]:
    """The max_tokens of every call."""
    return [each.body["inferenceConfig"]["maxTokens"] for each in world.double.requests]


def prompt_of(world: WorkerWorld) -> str:
    text: str = world.double.requests[0].body["messages"][0]["content"][0]["text"]
    return text


# ── A1: every schema reaches its model ─────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("schema", "reply", "is_sent"),
    [
        ({"$ref": "#/$defs/a", "$defs": {"a": {"enum": ["yes"]}}}, '"yes"', True),
        ({"type": "object", "additionalProperties": {"type": "string"}}, '{"a": "b"}', False),
        ({"oneOf": [{"type": "string"}, {"type": "integer"}]}, '"a"', True),
        ({"type": "integer", "minimum": 3}, "4", True),
    ],
)
def test_a1_a_constrained_model_is_told_what_its_service_does_not_take(
    world: WorkerWorld, schema: dict[str, object], reply: str, is_sent: object
) -> None:
    world.double.faults([{"text": reply}])
    stored(world, step(model=SCHEMA_MODEL, output_schema=schema))
    assert world.double.calls == 1
    assert ("outputConfig" in world.double.requests[0].body) is is_sent
    said = prompt_of(world).removeprefix("Review product 0.")
    for keyword in ("additionalProperties", "oneOf", "minimum"):
        assert (f'"{keyword}"' in said) is (keyword in schema)
    assert bool(said) is ("$ref" not in schema)


def test_a1_a_null_for_what_is_not_there_is_left_out(world: WorkerWorld) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}}
    world.double.faults([{"text": '{"a": "x", "b": null}'}])
    results = stored(world, step(model=SCHEMA_MODEL, output_schema=schema))
    assert results["review"]["output"] == {"a": "x"}


# ── A2 and A3 ──────────────────────────────────────────────────────────────────────────────────


def test_a2_an_ambiguous_reply_is_repaired(world: WorkerWorld) -> None:
    world.double.faults(
        [
            {"text": "As note [1] says, the lines are: [4, 5]", "times": 1},
            {"text": "[4, 5]"},
        ]
    )
    results = stored(world, step(output_schema=NUMBERS))
    assert results["review"]["output"] == [4, 5]
    repair = world.double.requests[1].body["messages"][2]["content"][0]["text"]
    assert "several values that fit" in repair


@pytest.mark.parametrize("keeps", [True, False])
def test_a3_reasoning_is_kept_where_the_template_asks_for_it(
    world: WorkerWorld, keeps: object
) -> None:
    thought = {"reasoningContent": {"reasoningText": {"text": "By the service."}}}
    world.double.faults(
        [{"content": [thought, {"text": "<think>In the text: [1].</think>\n[4, 5]"}]}]
    )
    results = stored(world, step(output_schema=NUMBERS), keep_reasoning=keeps)
    assert results["review"]["output"] == [4, 5]
    said = "By the service.\n\nIn the text: [1]." if keeps else None
    assert results["review"].get("reasoning") == said


def test_a3_a_repair_carries_the_answer_without_its_reasoning(world: WorkerWorld) -> None:
    world.double.faults([{"text": "<think>Hm.</think>four", "times": 1}, {"text": "[4]"}])
    stored(world, step(output_schema=NUMBERS))
    assert world.double.requests[1].body["messages"][1]["content"][0]["text"] == "four"


# ── A4 and A5: replies that were cut ───────────────────────────────────────────────────────────


def test_a4_a_cut_text_is_kept_by_default_and_says_so(world: WorkerWorld) -> None:
    world.double.faults([{"text": "A quiet", "stop_reason": CUT}])
    results = stored(world, step())
    assert (results["review"]["output"], results["review"]["stop_reason"]) == ("A quiet", CUT)


def test_a4_a_cut_text_fails_where_the_step_says_so(world: WorkerWorld) -> None:
    world.double.faults([{"text": "A quiet", "stop_reason": CUT}])
    kind, message, attempts = failed(world, step(on_truncation="fail"))
    assert (kind, attempts) == ("truncated", 1)
    assert "cut at 64 tokens (max_tokens)" in message
    assert "raise max_tokens" in message


def test_a4_a_cut_text_is_asked_for_once_more_with_twice_the_room(world: WorkerWorld) -> None:
    world.double.faults([{"text": "A quiet", "stop_reason": CUT, "times": 1}, {"text": "A mill."}])
    results = stored(world, step(on_truncation="retry"))
    assert results["review"]["output"] == "A mill."
    assert limits(world) == [64, 128]


def test_a4_a_text_that_is_cut_twice_fails(world: WorkerWorld) -> None:
    world.double.faults([{"text": "A quiet", "stop_reason": CUT}])
    kind, message, _ = failed(world, step(on_truncation="retry"))
    assert kind == "truncated"
    assert "cut at 128 tokens" in message
    assert limits(world) == [64, 128]


def test_a4_the_model_s_own_limit_holds(world: WorkerWorld) -> None:
    most = world.ports.prices.prices[MODEL].max_output_tokens
    world.double.faults([{"text": "A quiet", "stop_reason": CUT}])
    _, message, _ = failed(world, step(on_truncation="retry", max_tokens=most))
    assert limits(world) == [most]
    assert "ask for less" in message


def test_a4_json_that_is_cut_fails_without_a_repair(world: WorkerWorld) -> None:
    world.double.faults([{"text": "[4, 5", "stop_reason": CUT}])
    assert failed(world, step(output_schema=NUMBERS))[0] == "truncated"
    assert world.double.calls == 1


def test_a4_json_that_is_cut_is_read_when_it_has_room(world: WorkerWorld) -> None:
    """Cut, then wrong, then repaired: the raised limit stays with the step."""
    world.double.faults(
        [
            {"text": "[4, 5", "stop_reason": CUT, "times": 1},
            {"text": "four", "times": 1},
            {"text": "[4]"},
        ]
    )
    second = step("next", "Next: {{ steps.review.output[0] }}")
    results = stored(world, step(output_schema=NUMBERS, on_truncation="retry"), second)
    assert results["review"]["output"] == [4]
    assert limits(world) == [64, 128, 128, 64]


def test_a4_whole_json_is_an_output_whatever_was_cut_behind_it(world: WorkerWorld) -> None:
    world.double.faults([{"text": "[4, 5] because", "stop_reason": CUT}])
    results = stored(world, step(output_schema=NUMBERS, on_truncation="fail"))
    assert results["review"]["output"] == [4, 5]


def test_a4_a_raised_limit_outlives_its_worker(world: WorkerWorld) -> None:
    """The first worker is stopped after the cut reply: its successor doesn't pay for it again."""
    world.double.faults([{"text": "A quiet", "stop_reason": CUT, "times": 1}, {"text": "A mill."}])
    job_id = world.create_job(make_template(step(on_truncation="retry")), num_records=1)

    assert world.run(crash_point=at("after_call", 1, world.stop)) == 75
    assert world.run() is ExitCode.DONE

    assert limits(world) == [64, 128]
    assert len(world.dataset(job_id)) == 1


def test_a4_what_is_known_of_a_cut_reply_can_be_stored() -> None:
    for partial in (Partial(steps={}, raised=True), Partial(steps={"a": {}}, invalid="x")):
        assert partial_of(partial.document()) == partial
    assert "raised" not in Partial(steps={}).document()


@pytest.mark.parametrize("schema", [None, NUMBERS])
def test_a5_a_reply_that_is_all_reasoning_is_cut_and_not_paid_twice(
    world: WorkerWorld, schema: dict[str, object] | None
) -> None:
    thought = {"reasoningContent": {"reasoningText": {"text": "Let me think."}}}
    contents: list[list[dict[str, Any]]] = [
        [thought],
        [thought, {"text": ""}],
        [{"text": "<think>Let me"}],
    ]
    for content in contents:
        world.double.reset()
        world.double.faults([{"content": content, "stop_reason": CUT}])
        kind, message, attempts = failed(world, step(output_schema=schema))
        assert (kind, attempts, world.double.calls) == ("truncated", 1, 1)
        assert "raise max_tokens" in message


# ── A6: no Jinja in a schema ───────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "schema",
    [
        {"const": "{{ label }}"},
        {"enum": ["a", "{% if x %}b{% endif %}"]},
        {"properties": {"{{ name }}": {"type": "string"}}},
        {"type": "string", "description": "for {{\n label }}"},
        {"items": {"anyOf": [{"pattern": "{# all #}"}]}},
    ],
)
def test_a6_jinja_in_a_schema_is_refused(schema: dict[str, object]) -> None:
    with pytest.raises(TemplateError, match="a schema is the same for every record") as caught:
        make_template(step(output_schema=schema))
    assert 'step "review": output_schema holds {' in str(caught.value)


@pytest.mark.parametrize("pattern", ["^{a}$", r"^\{\{x", "^[0-9]{2}{3}$", "100 %}"])
def test_a6_braces_that_are_no_jinja_stay(pattern: str) -> None:
    make_template(step(output_schema={"type": "string", "description": pattern}))


# ── A7, A9 ─────────────────────────────────────────────────────────────────────────────────────


def test_a7_an_integer_beyond_64_bits_is_no_output(world: WorkerWorld) -> None:
    world.double.faults([{"text": "[1, 123456789012345678901234567890]"}])
    kind, message, _ = failed(world, step(output_schema=NUMBERS))
    assert kind == "invalid_output"
    assert message.startswith("1: a number that 64 bits can't hold")


def test_a9_kept_prompts_have_their_system_text(world: WorkerWorld) -> None:
    steps = (step(system="You sell a {{ product }}."), step("next", "Next."))
    results = stored(world, *steps, keep_prompts=True)
    assert results["review"]["prompt"] == "Review product 0."
    assert results["review"]["system"] == "You sell a product 0."
    assert "system" not in results["next"]


# ── the document ───────────────────────────────────────────────────────────────────────────────


def test_the_new_fields_are_read_and_written() -> None:
    template = make_template(step(on_truncation="retry"), keep_reasoning=True)
    document = document_of(template)
    assert (document["keep_reasoning"], document["steps"][0]["on_truncation"]) == (True, "retry")
    assert parse_template(document) == template
    plain = document_of(make_template(step(on_truncation="keep"), keep_reasoning=False))
    assert "keep_reasoning" not in plain
    assert "on_truncation" not in plain["steps"][0]


@pytest.mark.parametrize("value", ["drop", True, 1, ["keep"]])
def test_an_unknown_way_is_refused(value: object) -> None:
    with pytest.raises(TemplateError, match="on_truncation must be one of keep, fail, retry"):
        make_template(step(on_truncation=value))
