"""Previews: every prompt as a record would send it, and the models only when asked for."""

from collections.abc import Iterator
from typing import Any

import pytest

from runtime.engine import trial
from runtime.lambdas.templates import preview_template
from tests.fixtures.api import HandlerLogs, Reply
from tests.fixtures.api_world import ApiWorld
from tests.fixtures.bedrock_double import BedrockDouble
from tests.fixtures.clock import ManualClock
from tests.fixtures.lambda_events import BOB
from tests.fixtures.worker_world import MODEL, SCHEMA_MODEL, step

CHAIN = (
    step("review", "Review {{ product }}.", system="For {{ author.name }}."),
    step("answer", "Answer: {{ steps.review.output }}"),
)
STARS = {"type": "object", "properties": {"stars": {"type": "integer"}}, "required": ["stars"]}
DATA = {"product": "kettle", "author": {"name": "Ann"}}


@pytest.fixture
def models(api_world: ApiWorld, monkeypatch: pytest.MonkeyPatch) -> Iterator[BedrockDouble]:
    """The models behind the API's world."""
    with BedrockDouble() as double:
        monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", double.url)
        yield double
        api_world.ports.models.close()


def preview(world: ApiWorld, *steps: dict[str, Any], **body: Any) -> Reply:
    return world.post(f"/templates/{world.template(*steps)}/preview", body)


def run(world: ApiWorld, *steps: dict[str, Any], **body: Any) -> Reply:
    return preview(world, *steps, **{"run_model": True, "data": DATA, **body})


# ── rows ───────────────────────────────────────────────────────────────────────────────────────


def test_a_preview_shows_the_row_that_output_makes(
    api_world: ApiWorld, models: BedrockDouble
) -> None:
    output = {"columns": {"text": "{{ steps.answer.output }}!", "about": "seed.product"}}
    document = {"name": "n", "steps": list(CHAIN), "output": output, "split": {"test": 0.5}}
    created = api_world.post("/templates", document)
    assert created.status == 201, created
    assert created.body["document"]["output"] == output
    assert created.body["document"]["split"] == {"test": 0.5}
    path = f"/templates/{created.body['template_id']}/preview"
    assert api_world.post(path, {"data": DATA}).body["row"] == {
        "shape": "columns",
        "columns": {"text": "string", "about": "json"},
        "row": {"text": "«output of answer»!", "about": "kettle"},
        "problem": None,
    }
    reply = api_world.post(path, {"data": DATA, "run_model": True})
    answer = reply.body["steps"][1]["reply"]["output"]
    assert reply.body["row"]["row"] == {"text": f"{answer}!", "about": "kettle"}
    assert models.calls == 2


def test_an_output_that_the_steps_do_not_give_is_refused(api_world: ApiWorld) -> None:
    document = {"name": "n", "steps": list(CHAIN), "output": {"columns": {"a": "steps.x.output"}}}
    reply = api_world.post("/templates", document)
    assert reply.status == 400
    assert 'there is no step "x"' in reply.message


# ── without models ─────────────────────────────────────────────────────────────────────────────


def test_every_prompt_is_rendered_and_nothing_is_called(
    api_world: ApiWorld, models: BedrockDouble
) -> None:
    reply = preview(api_world, *CHAIN, data=DATA)
    assert reply.status == 200, reply
    shared = {"model": MODEL, "max_tokens": 64, "messages": [], "skipped": False, "reply": None}
    assert reply.body["steps"] == [
        {"step_id": "review", "prompt": "Review kettle.", "system": "For Ann.", **shared},
        {"step_id": "answer", "prompt": "Answer: «output of review»", "system": None, **shared},
    ]
    assert (reply.body["data"], reply.body["cost_usd"], reply.body["stopped"]) == (DATA, 0, None)
    assert reply.body["version"] == 1
    assert models.calls == 0


def test_a_seed_is_made_up_from_what_the_template_needs(api_world: ApiWorld) -> None:
    reply = preview(api_world, *CHAIN)
    assert reply.body["data"] == {"author": {"name": "«author.name»"}, "product": "«product»"}
    first = reply.body["steps"][0]
    assert (first["prompt"], first["system"]) == ("Review «product».", "For «author.name».")


def test_a_path_beside_a_longer_one(api_world: ApiWorld) -> None:
    prompt = "{{ a }}{{ a.b.c }}{{ a.b }}"
    assert preview(api_world, step(prompt=prompt)).body["data"] == {"a": {"b": {"c": "«a.b.c»"}}}


def test_later_steps_see_the_shape_of_an_output(api_world: ApiWorld) -> None:
    reply = preview(
        api_world,
        step("rate", output_schema=STARS),
        step("use", "{{ steps.rate.output.stars + 1 }}"),
        data=DATA,
    )
    assert reply.body["steps"][1]["prompt"] == "2"


def test_an_older_version(api_world: ApiWorld) -> None:
    template_id = api_world.template()
    body = {"name": "T", "steps": [step(prompt="New.")]}
    assert api_world.put(f"/templates/{template_id}", body).status == 200
    for version, prompt in ((None, "New."), (1, "Review kettle."), (2, "New.")):
        reply = api_world.post(
            f"/templates/{template_id}/preview", {"data": DATA, "version": version}
        )
        assert reply.body["steps"][0]["prompt"] == prompt
    assert api_world.post(f"/templates/{template_id}/preview", {"version": 3}).status == 404


def test_includes_are_in_it(api_world: ApiWorld) -> None:
    rules = api_world.template(step(prompt="Be brief, {{ who }}."), user=BOB, public=True)
    for name in (rules, "Reviews"):
        steps = [step(prompt=f"{{% include '{name}' %}}")]
        mine = api_world.post("/templates", {"name": "Mine", "steps": steps}).body["template_id"]
        reply = api_world.post(f"/templates/{mine}/preview", {})
        assert reply.body["data"] == {"who": "«who»"}
        assert reply.body["steps"][0]["prompt"] == "Be brief, «who»."


def test_data_that_lacks_something(api_world: ApiWorld) -> None:
    reply = preview(api_world, *CHAIN, data={"author": "Ann"})
    assert reply.status == 400
    assert "the template needs author.name, product" in reply.message
    assert [each["field"] for each in reply.body["error"]["details"]] == [
        "data.author.name",
        "data.product",
    ]


def test_e4_data_that_lacks_many_things_is_told_of_twenty(api_world: ApiWorld) -> None:
    prompt = "".join(f"{{{{ a{number} }}}}" for number in range(900))
    reply = preview(api_world, step(prompt=prompt), data={"author": "Ann"})
    assert reply.status == 400
    assert "a115 and 880 more, which" in reply.message
    assert len(reply.body["error"]["details"]) == 20


@pytest.mark.parametrize("run_model", [False, True])
def test_a_step_that_can_not_be_rendered_is_named(
    api_world: ApiWorld,
    models: BedrockDouble,
    run_model: bool,  # noqa: FBT001 - a parameter
) -> None:
    first = step("a", "{{ n + 1 }}")
    reply = preview(api_world, first, step("b"), data={"n": "x", **DATA}, run_model=run_model)
    assert (reply.status, reply.body["error"]["code"]) == (400, "invalid_template")
    assert reply.message.startswith("step 'a' can't be rendered: ")
    assert "made-up" not in reply.message
    assert models.calls == 0


def test_made_up_data_is_blamed_where_it_may_be_to_blame(api_world: ApiWorld) -> None:
    reply = preview(api_world, step("a", "{{ n + 1 }}"))
    assert reply.status == 400
    assert "give a seed as `data`" in reply.message


def test_an_endless_prompt_ends(api_world: ApiWorld) -> None:
    loop = "{% for a in range(9999) %}{% for b in range(9) %}{{ x }}{% endfor %}{% endfor %}"
    reply = preview(api_world, step("a", loop), data={"x": "x" * 1000})
    assert reply.status == 400
    assert "step 'a'" in reply.message


def test_texts_that_no_answer_holds(api_world: ApiWorld) -> None:
    steps = [step(f"s{n}", "{{ x }}") for n in range(3)]
    reply = preview(api_world, *steps, data={"x": "x" * 350_000})
    assert reply.status == 413
    assert str(preview_template.MAX_ANSWER_CHARACTERS) in reply.message


@pytest.mark.parametrize(
    "body", [{"data": []}, {"data": "x"}, {"version": 0}, {"run_model": "yes"}, {"run_model": 1}]
)
def test_fields_of_a_preview(api_world: ApiWorld, body: dict[str, Any]) -> None:
    reply = preview(api_world, **body)
    assert reply.status == 400
    assert reply.body["error"]["details"][0]["field"] == next(iter(body))


# ── with models ────────────────────────────────────────────────────────────────────────────────


def test_each_step_is_called_in_order_and_paid_for(
    api_world: ApiWorld, models: BedrockDouble
) -> None:
    reply = run(api_world, *CHAIN)
    assert reply.status == 200, reply
    first, second = reply.body["steps"]
    assert first["reply"]["text"] == first["reply"]["output"]
    assert second["prompt"] == f"Answer: {first['reply']['output']}"
    assert reply.body["stopped"] is None
    price = api_world.ports.prices.prices[MODEL]
    for each in (first, second):
        usage = each["reply"]["usage"]
        nano = usage["input_tokens"] * price.input + usage["output_tokens"] * price.output
        assert each["reply"]["cost_usd"] == pytest.approx(nano / 1e9, rel=1e-12)
        assert each["reply"]["stop_reason"] == "end_turn"
    total = sum(each["reply"]["cost_usd"] for each in (first, second))
    assert reply.body["cost_usd"] == pytest.approx(total)
    assert models.calls == 2
    assert [request.body.get("system") for request in models.requests] == [
        [{"text": "For Ann."}],
        None,
    ]


def test_max_tokens_are_capped(api_world: ApiWorld, models: BedrockDouble) -> None:
    reply = run(api_world, step(max_tokens=4000))
    assert reply.body["steps"][0]["max_tokens"] == trial.MAX_OUTPUT_TOKENS
    [request] = models.requests
    assert request.body["inferenceConfig"]["maxTokens"] == trial.MAX_OUTPUT_TOKENS
    assert preview(api_world, step(max_tokens=4000)).body["steps"][0]["max_tokens"] == 4000


@pytest.mark.parametrize("model", [MODEL, SCHEMA_MODEL])
def test_an_output_with_a_schema_is_data(
    api_world: ApiWorld, models: BedrockDouble, model: str
) -> None:
    models.faults([{"text": '{"stars": 4}'}])
    reply = run(
        api_world,
        step("rate", model=model, output_schema=STARS),
        step("use", "{{ steps.rate.output.stars + 1 }}"),
    )
    rate, use = reply.body["steps"]
    assert rate["reply"]["output"] == {"stars": 4}
    assert use["prompt"] == "5"


def test_an_output_that_does_not_fit_is_repaired_once(
    api_world: ApiWorld, models: BedrockDouble
) -> None:
    models.faults([{"text": "four", "times": 1}, {"text": '{"stars": 4}'}])
    reply = run(api_world, step("rate", output_schema=STARS))
    first, second = reply.body["steps"]
    assert (first["reply"]["text"], first["reply"]["output"]) == ("four", None)
    assert second["reply"]["output"] == {"stars": 4}
    assert reply.body["stopped"] is None


def test_f12_a_schema_that_is_not_compiled_is_shown_in_the_prompt(
    api_world: ApiWorld, models: BedrockDouble
) -> None:
    """As in a job: the refused call costs nothing, and one more is made."""
    models.faults(
        [
            {"effect": "ValidationException", "schema": True, "message": "Schema is too complex."},
            {"text": '{"stars": 4}'},
        ]
    )
    reply = run(api_world, step("rate", model=SCHEMA_MODEL, output_schema=STARS))
    (rate,) = reply.body["steps"]
    assert (rate["reply"]["output"], reply.body["stopped"]) == ({"stars": 4}, None)
    assert models.calls == 2
    assert models.stats()["paid"] == 1


def test_an_output_that_stays_wrong_ends_it(api_world: ApiWorld, models: BedrockDouble) -> None:
    models.faults([{"text": "four"}])
    reply = run(api_world, step("rate", output_schema=STARS), step("never"))
    assert [each["step_id"] for each in reply.body["steps"]] == ["rate", "rate"]
    assert reply.body["stopped"].startswith("step 'rate': not valid JSON")
    assert "after one repair" in reply.body["stopped"]
    assert reply.body["cost_usd"] > 0
    assert models.calls == 2


def test_a_reply_without_usage_counts_at_its_worst(
    api_world: ApiWorld, models: BedrockDouble
) -> None:
    models.faults([{"effect": "no_usage"}])
    reply = run(api_world, step()).body["steps"][0]["reply"]
    assert reply["usage"] is None
    price = api_world.ports.prices.prices[MODEL]
    worst = price.worst_case(prompt_bytes=len("Review kettle."), max_tokens=64)
    assert reply["cost_usd"] == pytest.approx(worst / 1e9)


def test_usage_that_has_no_price_counts_at_its_worst(
    api_world: ApiWorld, models: BedrockDouble
) -> None:
    usage = {"inputTokens": 1, "outputTokens": 1, "totalTokens": 3, "cacheWriteInputTokens": 1}
    models.faults([{"usage": usage}])
    reply = run(api_world, step(model=SCHEMA_MODEL)).body["steps"][0]["reply"]
    price = api_world.ports.prices.prices[SCHEMA_MODEL]
    assert price.cache_write is None
    worst = price.worst_case(prompt_bytes=len("Review kettle."), max_tokens=64)
    assert reply["cost_usd"] == pytest.approx(worst / 1e9)


@pytest.mark.parametrize(
    "effect", ["AccessDeniedException", "ThrottlingException", "ValidationException", "html"]
)
def test_a_model_that_can_not_be_called(
    api_world: ApiWorld, models: BedrockDouble, handler_logs: HandlerLogs, effect: str
) -> None:
    models.faults([{"effect": effect, "message": "secret detail", "status": 503}])
    reply = run(api_world, step())
    assert (reply.status, reply.body["error"]["code"]) == (502, "model_error")
    assert "secret" not in reply.text + handler_logs.text
    assert "kettle" not in handler_logs.text
    assert models.calls == 1, "a paid call is never repeated behind the user's back"


def test_what_was_paid_for_is_shown_when_a_later_model_fails(
    api_world: ApiWorld, models: BedrockDouble
) -> None:
    models.faults([{"effect": "AccessDeniedException", "prompt": "Answer"}])
    reply = run(api_world, *CHAIN)
    assert reply.status == 200
    assert [each["step_id"] for each in reply.body["steps"]] == ["review"]
    assert reply.body["stopped"] == "step 'answer': the model gave no answer (fatal)"


def test_what_was_paid_for_is_shown_when_a_later_prompt_fails(
    api_world: ApiWorld, models: BedrockDouble
) -> None:
    reply = run(api_world, step("a"), step("b", "{{ steps.a.output + 1 }}"))
    assert reply.status == 200
    assert len(reply.body["steps"]) == models.calls == 1
    assert reply.body["stopped"].startswith("step 'b': can't be rendered")


def test_a_preview_never_costs_more_than_its_limit(
    api_world: ApiWorld, models: BedrockDouble
) -> None:
    dear = "global.anthropic.claude-sonnet-4-5-20250929-v1:0"
    long = {"x": "x" * 390_000}
    reply = run(api_world, step("a", "{{ x }}", model=dear), data=long)
    assert reply.status == 200
    assert (reply.body["steps"], reply.body["cost_usd"]) == ([], 0)
    assert reply.body["stopped"].startswith("step 'a': the calls could cost more than $1.00")
    assert models.calls == 0


def test_no_call_begins_too_late(
    api_world: ApiWorld, models: BedrockDouble, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    client: Any = api_world.ports.models
    converse = client.converse

    def slow(request: Any) -> Any:
        clock.advance(trial.MAX_START_SECONDS + 0.1)
        return converse(request)

    monkeypatch.setattr(client, "converse", slow)
    reply = run(api_world, *CHAIN)
    assert len(reply.body["steps"]) == models.calls == 1
    assert reply.body["stopped"].startswith("step 'answer': no time is left")


def test_nothing_of_a_preview_is_logged_or_stored(
    api_world: ApiWorld, models: BedrockDouble, handler_logs: HandlerLogs
) -> None:
    before = api_world.items("Templates")
    assert run(api_world, step()).status == 200
    assert handler_logs.text == ""
    assert len(api_world.items("Templates")) == len(before) + 2, "the test's own template"
    assert not api_world.items("Jobs")
    assert not api_world.object_keys()
    assert models.stats()["paid_twice"] == 0


# ── checks ─────────────────────────────────────────────────────────────────────────────────────

JUDGE = {
    "scores": [
        {"name": "tone", "description": "How is it?", "options": {"kind": "k", "cold": "c"}},
    ],
    "model": SCHEMA_MODEL,
}


def with_checks(world: ApiWorld, *checks: dict[str, Any]) -> str:
    document = {"name": "n", "steps": list(CHAIN), "checks": list(checks)}
    created = world.post("/templates", document)
    assert created.status == 201, created
    assert [each["id"] for each in created.body["document"]["checks"]] == [
        each["id"] for each in checks
    ]
    return f"/templates/{created.body['template_id']}/preview"


def test_a_preview_shows_what_checks_say_and_a_judge_is_a_call(
    api_world: ApiWorld, models: BedrockDouble
) -> None:
    path = with_checks(
        api_world,
        {"id": "any", "keep_if": "steps.answer.output | length > 1"},
        {"id": "quality", "judge": JUDGE, "sample": 0.001},
        {"id": "few", "max_words": 1},
        {"id": "last", "keep_if": "true"},
    )
    shown = api_world.post(path, {"data": DATA}).body
    assert shown["checks"] == []
    assert [each["step_id"] for each in shown["steps"]] == ["review", "answer", "quality"]
    assert "«output of answer»" in shown["steps"][2]["prompt"]
    assert models.calls == 0

    reply = api_world.post(path, {"data": DATA, "run_model": True}).body
    assert models.calls == 3
    judge = reply["steps"][2]
    assert judge["model"] == SCHEMA_MODEL
    assert reply["cost_usd"] == pytest.approx(
        sum(each["reply"]["cost_usd"] for each in reply["steps"])
    )
    assert reply["stopped"] is None
    scores = judge["reply"]["output"]
    assert scores["tone"]["score"] in {"kind", "cold"}
    # One try: the first check that is not passed ends it.
    assert reply["checks"] == [
        {"check_id": "any", "passed": True, "scores": None, "value": None},
        {"check_id": "quality", "passed": None, "scores": scores, "value": None},
        {"check_id": "few", "passed": False, "scores": None, "value": None},
    ]
    assert reply["row"]["row"] is not None


def test_a_check_that_can_t_be_decided_stops_a_preview_at_its_name(
    api_world: ApiWorld, models: BedrockDouble
) -> None:
    path = with_checks(api_world, {"id": "odd", "keep_if": "steps.answer.output"})
    reply = api_world.post(path, {"data": DATA, "run_model": True}).body
    assert reply["stopped"].startswith("check 'odd': can't be rendered: keep_if gave neither")
    assert reply["checks"] == []
    assert models.calls == 2
