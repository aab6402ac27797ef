"""Checks of one record: conditions, short forms and tries, in the render process."""

from collections.abc import Mapping
from time import process_time
from typing import Any

import pytest

from runtime.domain.errors import RenderError, TemplateError
from runtime.domain.jobs.sampling import Draws, draw, redraw
from runtime.domain.models.calls import ModelReply, ModelRequest
from runtime.engine.record_task import RecordTask
from runtime.engine.rendering.renderer import TemplateEngine
from runtime.engine.rendering.text_checks import PatternError, text_tests
from tests.fixtures.trying import Model, drive, plan_of, ready, task_of

STEPS = [
    {"id": "ask", "prompt": "Ask {{ ['a', 'b', 'c', 'd', 'e', 'f'] | random }} {{ topic }}"},
    {"id": "answer", "prompt": "Answer {{ steps.ask.output }}", "when": "seed.kind != 'short'"},
]


def document(*checks: object, **more: object) -> dict[str, Any]:
    return {"name": "n", "steps": STEPS, "checks": list(checks), **more}


def saying(*texts: str) -> Model:
    """The replies one after the other."""
    left = iter(texts)
    return lambda _task, _request: next(left)


def driven(
    engine: TemplateEngine,
    checks: list[object],
    model: Model,
    seed: Mapping[str, Any] | None = None,
    **more: Any,
) -> RecordTask:
    task = task_of(plan_of(document(*checks)), seed=seed or {"topic": "t", "kind": "long"}, **more)
    ended = drive(engine, task, model)
    assert ended is task, ended
    return task


def test_a_record_that_passes_is_finished_with_its_verdicts(render_engine: TemplateEngine) -> None:
    task = driven(
        render_engine,
        [
            {"id": "few", "max_words": 3},
            {"id": "asked", "keep_if": "steps.ask.output == 'why?' and seed.topic == 't'"},
            {"id": "both", "keep_if": "checks.few.passed and index == 0"},
        ],
        saying("why?", "because of rain"),
    )
    assert task.finished
    assert not task.is_rejected
    assert task.rejections == []
    assert task.verdicts == {
        "few": {"passed": True},
        "asked": {"passed": True},
        "both": {"passed": True},
    }


def test_a_rejected_try_is_followed_by_another_draw(render_engine: TemplateEngine) -> None:
    seen: list[ModelRequest] = []

    def model(_task: RecordTask, request: ModelRequest) -> str:
        seen.append(request)
        return ("one", "two words", "three", "four")[len(seen) - 1]

    task = driven(
        render_engine,
        [{"id": "few", "max_words": 1}, {"id": "any", "keep_if": "true"}],
        model,
        index=4,
    )
    assert task.finished
    assert task.attempt == 1
    (rejected,) = task.rejections
    assert (rejected.attempt, rejected.rejected_by) == (0, "few")
    assert rejected.results["answer"]["output"] == "two words"
    assert rejected.verdicts == {"few": {"passed": False}}
    assert task.results["answer"]["output"] == "four"
    assert task.verdicts == {"few": {"passed": True}, "any": {"passed": True}}
    # Other draws of filters and of the model, the same seed.
    first, second = (each.messages[0].text for each in (seen[0], seen[2]))
    assert first != second
    assert first.endswith(" t")
    assert second.endswith(" t")
    base = draw("job", 4, rows=1, draws=Draws())
    again = redraw(base, "job", 4, 1, Draws())
    assert [each.seed for each in seen] == [
        base.model_seed,
        base.model_seed + 1,
        again.model_seed,
        again.model_seed + 1,
    ]


def test_tries_are_draws_of_seed_index_and_try_alone() -> None:
    draws = [
        redraw(draw("job", index, rows=9, draws=Draws()), "job", index, attempt, Draws())
        for index in range(20)
        for attempt in range(1, 5)
    ]
    assert len({each.filter_entropy for each in draws}) == len(draws)
    assert len({each.model_seed for each in draws}) == len(draws)
    other_job = redraw(draw("other", 3, rows=9, draws=Draws()), "other", 3, 2, Draws())
    assert other_job == draws[3 * 4 + 1]
    assert max(each.filter_entropy for each in draws) < 2**63


def test_a_record_whose_every_try_is_rejected_is_rejected(render_engine: TemplateEngine) -> None:
    task = driven(
        render_engine,
        [{"id": "never", "keep_if": "steps.answer.output == 'x'"}],
        saying(*"abcdef"),
        tries=3,
    )
    assert task.is_rejected
    assert task.ended
    assert not task.finished
    assert [each.attempt for each in task.rejections] == [0, 1, 2]
    assert [each.results["answer"]["output"] for each in task.rejections] == ["b", "d", "f"]


def test_a_step_that_was_skipped_has_no_text_to_be_checked(render_engine: TemplateEngine) -> None:
    task = driven(
        render_engine,
        [
            {"id": "few", "max_words": 1},
            {"id": "there", "keep_if": "steps.answer.output | default('none') == 'none'"},
        ],
        saying("many words"),
        seed={"topic": "t", "kind": "short"},
    )
    assert task.verdicts == {
        "few": {"passed": None, "skipped": True},
        "there": {"passed": True},
    }


@pytest.mark.parametrize(
    ("keep_if", "why"),
    [
        ("seed.nope == 1", '"seed.nope" is undefined'),
        ("steps.answer.output", "keep_if gave neither true nor false"),
        ("{{ steps.answer.output | upper }}", "keep_if gave neither true nor false"),
        ("{% if false %}true{% endif %}", "keep_if gave neither true nor false"),
        ("[1] | sum > steps.answer.output", "not supported between instances"),
        (
            "{% for a in topic %}{% for b in topic %}{% for c in topic %}"
            + 3 * "{% endfor %}"
            + "true",
            "longer than 0.7 seconds",
        ),
    ],
)
def test_a_condition_that_can_t_be_decided_fails_the_record_at_its_check(
    render_engine: TemplateEngine, keep_if: str, why: str
) -> None:
    plan = plan_of(
        document({"id": "odd", "keep_if": keep_if}, schema_requirements=["topic", "kind"])
    )
    task = task_of(plan, seed={"topic": "t" * 2000, "kind": "long"})
    ended = drive(render_engine, task, saying("a", "b"))
    assert isinstance(ended, RenderError)
    assert why in str(ended)
    assert task.place == "odd"
    assert task.failure(ended.code, str(ended)).step == "odd"


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        ({"max_words": 2}, "two words", "three words here"),
        ({"max_words": 3}, "我很好", "我很好吗"),
        ({"matches": "^[A-Z]"}, "Good", "bad"),
        ({"matches": r"\d{2}"}, "the 42", "the 4"),
        ({"no_pii": True}, "write to me", "write to jo@mail.de"),
        ({"no_pii": ["ip"]}, "write to jo@mail.de", "at 8.8.8.8"),
        ({"code": "python"}, "```python\nx = 1\n```", "x = = 1"),
        ({"code": "python"}, "def f(x):\n    return x\n", "def f(x) return x"),
        ({"code": "json"}, '{"a": [1, 2.5, null]}', "{'a': 1}"),
        ({"code": "json"}, '```json\n{"a": 1}\n```', "```json\n{a: 1}\n```"),
    ],
)
def test_short_forms(render_engine: TemplateEngine, check: Any, good: str, bad: str) -> None:
    checks: list[object] = [{"id": "a", **check}]
    assert driven(render_engine, checks, saying("q", good)).finished
    task = driven(render_engine, checks, saying("q", bad), tries=1)
    assert task.is_rejected
    assert task.verdicts == {"a": {"passed": False}}


@pytest.mark.parametrize("text", ["(" * 5000, "x\0", "-" * 100_000 + "1", "[" * 100_000])
def test_code_that_a_parser_chokes_on_does_not_parse(
    render_engine: TemplateEngine, text: str
) -> None:
    plan = plan_of(document({"id": "a", "code": "python"}, {"id": "b", "code": "json"}))
    ended = drive(
        render_engine,
        task_of(plan, seed={"topic": "t", "kind": "long"}, tries=1),
        saying("q", text),
    )
    assert isinstance(ended, RenderError) or (
        isinstance(ended, RecordTask) and ended.is_rejected
    ), ended


def test_a_pattern_that_takes_for_ever_fails_the_record_and_not_the_next(
    render_engine: TemplateEngine,
) -> None:
    plan = plan_of(document({"id": "slow", "matches": "^(a+)+$"}))
    seed = {"topic": "t", "kind": "long"}
    ended = drive(render_engine, task_of(plan, seed=seed), saying("q", "a" * 60 + "!"))
    assert isinstance(ended, RenderError)
    assert str(ended) == "checking the text took longer than 0.7 seconds"
    assert drive(render_engine, fine := task_of(plan, 1, seed=seed), saying("q", "aaa")) is fine


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("(", "missing ), unterminated subpattern at position 0"),
        ("(?<=a+)b", "look-behind requires fixed-width pattern"),
        ("a{9999999999}", "it is too large or nested too deeply"),
        ("(" * 500 + ")" * 500, "it is too large or nested too deeply"),
    ],
)
def test_a_broken_pattern_is_refused_when_the_template_is_loaded(
    render_engine: TemplateEngine, pattern: str, reason: str
) -> None:
    plan = plan_of(document({"id": "fine", "max_words": 3}, {"id": "form", "matches": pattern}))
    with pytest.raises(TemplateError) as refused:
        render_engine.load(plan.template)
    assert str(refused.value) == (
        f'check "form": matches is no regular expression of Python: {reason}'
    )
    render_engine.load(plan_of(document({"id": "form", "matches": "a"})).template)


def test_patterns_are_compiled_where_they_can_be_killed() -> None:
    """Some need seconds: the parent spends none on them, and the child not many."""
    slow = "|".join(["(?i:[\0-\uffff])"] * 90)
    checks = [{"id": f"c{number}", "matches": f"{slow}|{number}"} for number in range(20)]
    before = process_time()
    plan = plan_of(document(*checks))
    assert process_time() - before < 0.3
    given = {each.id: (each.kind, each.argument) for each in plan.template.checks.texts}
    with pytest.raises(PatternError, match=r'^check "c0": .* longer than 0\.2 seconds: make them'):
        text_tests(given, seconds=0.2)


def test_a_value_that_is_no_text_fails_the_record(render_engine: TemplateEngine) -> None:
    steps = [{"id": "a", "prompt": "x", "output_schema": {"type": "object"}}]
    plan = plan_of(
        {
            "name": "n",
            "steps": steps,
            "checks": [{"id": "c", "max_words": 1, "of": "steps.a.output.b"}],
        }
    )
    ended = drive(render_engine, task_of(plan), saying('{"b": 3}'))
    assert isinstance(ended, RenderError)
    assert str(ended) == "steps.a.output.b is no text in this record"
    fine = task_of(plan)
    assert drive(render_engine, fine, saying("{}")) is fine
    assert fine.verdicts == {"c": {"passed": None, "skipped": True}}


def test_a_balance_notes_the_value_that_it_counts(render_engine: TemplateEngine) -> None:
    steps = [
        {
            "id": "a",
            "prompt": "x",
            "output_schema": {"type": "object", "properties": {"good": {"type": "boolean"}}},
        }
    ]
    check = {"id": "even", "balance": {"by": "steps.a.output.good", "values": [True, False]}}
    plan = plan_of({"name": "n", "steps": steps, "checks": [check]})
    found = []
    for reply in ('{"good": true}', '{"good": false}', "{}"):
        task = task_of(plan)
        assert drive(render_engine, task, saying(reply)) is task
        found.append(task.verdicts)
    assert found == [{"even": {"passed": None, "value": each}} for each in ("true", "false", None)]


def test_a_task_goes_on_from_what_was_saved_of_it(render_engine: TemplateEngine) -> None:
    """At each turn of a record: what was paid is not asked again, and the same record comes out."""
    plan = plan_of(document({"id": "few", "max_words": 1}, {"id": "any", "keep_if": "true"}))
    seed = {"topic": "t", "kind": "long"}
    texts = {0: ("q0", "two words"), 1: ("q1", "one")}

    def model(task: RecordTask, _request: ModelRequest) -> str:
        return texts[task.attempt][len(task.results)]

    whole = task_of(plan, seed=seed)
    assert drive(render_engine, whole, model) is whole
    assert task_of(plan, seed=seed).partial is None
    task = task_of(plan, seed=seed)
    calls = 0
    while True:
        assert ready(render_engine, task) is None
        task.rejections.clear()
        after = task_of(plan, seed=seed)
        if task.partial is not None:
            after.resume(task.partial)
        assert (after.attempt, after.verdicts, after.draw) == (
            task.attempt,
            task.verdicts,
            task.draw,
        )
        if task.ended:
            break
        assert ready(render_engine, after) is None
        assert after.request().messages == task.request().messages
        task = after
        task.calls += 1
        calls += 1
        assert task.answered(ModelReply(text=model(task, task.request()), usage=None)) is None
    assert calls == 4
    assert task.finished
    assert (task.results, task.verdicts) == (whole.results, whole.verdicts)
    assert task.partial is not None
    assert task.partial.attempt == 1


def test_a_try_that_has_nothing_paid_yet_is_not_forgotten(render_engine: TemplateEngine) -> None:
    plan = plan_of(document({"id": "never", "keep_if": "false"}))
    task = task_of(plan, seed={"topic": "t", "kind": "long"}, tries=3)
    for text in ("a", "b"):
        assert ready(render_engine, task) is None
        assert task.answered(ModelReply(text=text, usage=None)) is None
    assert ready(render_engine, task) is None
    assert task.attempt == 1
    assert task.partial is not None
    assert (task.partial.steps, task.partial.attempt) == ({}, 1)


def test_what_no_check_asks_takes_no_round_trip(render_engine: TemplateEngine) -> None:
    """Templates without checks: nothing is asked of the render process that was not before."""
    plan = plan_of({"name": "n", "steps": STEPS})
    task = task_of(plan, seed={"topic": "t", "kind": "long"})
    assert drive(render_engine, task, saying("q", "a")) is task
    assert task.finished
    assert task.verdicts == {}
    assert task.partial is not None
    assert task.partial.document() == {"steps": task.results, "invalid": None}
