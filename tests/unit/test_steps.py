"""Steps that fit real prompts: earlier turns, conditions, ends of replies, batches of seeds."""

from typing import Any

import orjson
import pytest

from runtime.contract import keys
from runtime.contract.exit_codes import ExitCode
from runtime.datasets.identity import template_digest
from runtime.domain.errors import TemplateError, UnclearOutputError
from runtime.domain.jobs.record import SKIPPED
from runtime.domain.jobs.sampling import Draws, SeedStrategy
from runtime.domain.models.calls import ModelReply, ModelRequest, Usage
from runtime.domain.models.price_table import PriceTable
from runtime.domain.outputs.shape import Shape
from runtime.domain.templates.document import complete_document, document_of, parse_template
from runtime.domain.templates.reshaping import output_as
from runtime.domain.templates.storage import parse_stored, stored_text
from runtime.domain.templates.template import Template
from runtime.engine.dry_run import render_record
from runtime.engine.estimating import estimate_cost
from runtime.engine.plan import make_plan
from runtime.engine.rendering.renderer import TemplateEngine
from runtime.engine.seeds import DrawnSeeds
from runtime.worker.pool import Completion
from runtime.worker.settings import WorkerSettings
from runtime.worker.worker import Worker
from tests.fixtures.worker_checks import billed, check_completed, kill
from tests.fixtures.worker_world import MODEL, WorkerWorld, at, make_template, step

TURNS = [
    {"role": "user", "content": "Name a {{ product }}."},
    {"role": "assistant", "content": "The best {{ product }}."},
]
RATING = {"type": "object", "required": ["stars"], "properties": {"stars": {"type": "integer"}}}


def refusal(**fields: Any) -> str:
    """Why a template with such a step, or such fields of its own, is refused."""
    of_template = {
        name: fields.pop(name) for name in ("batch_of", "split", "output") & fields.keys()
    }
    with pytest.raises(TemplateError) as refused:
        make_template(step(**{"name": "a", **fields}), **of_template)
    return str(refused.value)


def sent(world: WorkerWorld) -> list[dict[str, Any]]:
    """The bodies of all calls in the order in which they came."""
    return [request.body for request in world.double.requests]


def rows_of(world: WorkerWorld, job_id: str) -> list[dict[str, Any]]:
    """The rows of a dataset without splits."""
    (name,) = (
        each for each in world.object_keys(keys.exports_prefix(job_id)) if "/train.jsonl" in each
    )
    return [orjson.loads(line) for line in world.object(name).splitlines()]


def texts(body: dict[str, Any]) -> list[tuple[str, str]]:
    return [(each["role"], each["content"][0]["text"]) for each in body["messages"]]


# ── the document ───────────────────────────────────────────────────────────────────────────────


def test_every_field_is_read_written_and_stored() -> None:
    document = {
        "name": "n",
        "batch_of": 3,
        "steps": [
            {
                "id": "a",
                "prompt": "{{ seeds[0].topic }}",
                "max_tokens": 9,
                "when": "seeds | length > 2",
                "messages": [
                    {"role": "user", "content": "Hi"},
                    {"role": "assistant", "content": "{{ index }}"},
                ],
                "top_p": 0.9,
                "stop": ["###", "\n\n"],
            }
        ],
        "keep_prompts": False,
        "description": "",
    }
    template = parse_template(document)
    assert document_of(template) == document
    assert parse_stored(stored_text(template)) == template
    (only,) = template.steps
    assert only.condition == "{{ seeds | length > 2 }}"
    assert [part for part, _ in only.sources()] == ["prompt", "message 1", "message 2"]


def test_a_template_that_says_none_of_it_has_the_document_and_the_digest_of_before() -> None:
    template = make_template()
    assert complete_document(template)["steps"] == [step()]
    assert "batch_of" not in complete_document(template)
    # As the commit before these fields gave it.
    assert template_digest(template) == (
        "5ce4c57c6819ce2fa906686354516f962d06364e512a30731218570e1c6316c4"
    )


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"messages": TURNS[:1]}, 'step "a": messages must end with the assistant\'s turn'),
        ({"messages": TURNS[::-1]}, "message 1: role must be user: turns alternate"),
        ({"messages": [*TURNS, TURNS[1], TURNS[0]]}, "message 3: role must be user"),
        ({"messages": []}, "messages must list 1 to 100 turns"),
        ({"messages": ["Hi"]}, "message 1: a message has role and content"),
        ({"messages": [{"role": "user", "content": " "}]}, "content must be a text that is not"),
        ({"messages": [{"role": "system", "content": "x"}]}, 'field of its own, "system"'),
        ({"messages": [{"role": "asistant", "content": "x"}]}, 'mean "assistant"'),
        ({"messages": [{**TURNS[0], "contnet": 1}]}, 'unknown field "contnet"'),
        ({"messages": [TURNS[0], {"role": "assistant", "content": "{{ x( }}"}]}, "message 2, line"),
        ({"when": ""}, "when must be an expression"),
        ({"when": 3}, "when must be an expression"),
        ({"when": "seed.a =="}, 'step "a", when, line 1'),
        ({"when": "steps.b.output"}, 'step "b" does not exist'),
        ({"when": "seed.__class__"}, "not allowed"),
        ({"top_p": 1.1}, "top_p must be a number from 0 to 1"),
        ({"stop": []}, "stop must list 1 to 4 different texts"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop must list 1 to 4 different texts"),
        ({"stop": ["a", "a"]}, "stop must list 1 to 4 different texts"),
        ({"stop": [""]}, "stop must list 1 to 4 different texts"),
        ({"wehn": "true"}, 'unknown field "wehn"'),
        ({"batch_of": 0, "prompt": "x"}, "batch_of must be a whole number from 1 to 100"),
        ({"batch_of": True, "prompt": "x"}, "batch_of must be a whole number"),
        ({"batch_of": 2}, "write seeds[0].product, or a loop over seeds"),
        ({"batch_of": 2, "prompt": "{{ seed.topic }}"}, "write seeds[0].title"),
        ({"batch_of": 2, "prompt": "{% if x is defined %}{% endif %}"}, "write seeds[0].x"),
        (
            {"batch_of": 2, "prompt": "x", "split": {"test": 0.1, "by": "seed.id"}},
            "with batch_of a record has several seeds: leave out by",
        ),
        (
            {"batch_of": 2, "prompt": "x", "output": {"columns": {"t": "seed.topic"}}},
            "write a text such as {{ seeds[0].topic }}",
        ),
        (
            {
                "batch_of": 2,
                "prompt": "x",
                "output": {"columns": {"t": "steps.a.output"}, "keep": ["b"]},
            },
            "write a text such as {{ seeds[0].b }}",
        ),
    ],
)
def test_what_can_not_be_meant_is_refused_with_its_place(fields: Any, problem: str) -> None:
    assert problem in refusal(**fields)


@pytest.mark.parametrize(
    ("source", "needs"),
    [
        ("{{ seeds[0].topic }} {{ seeds[-1]['author'].name }}", ("author.name", "topic")),
        ("{% for s in seeds %}{{ s.topic }} {{ s.x | default('') }}{% endfor %}", ("topic",)),
        (
            "{% for s in seeds if s.a %}{% for t in s.tags %}{{ t.b }}{% endfor %}{% endfor %}",
            ("a", "tags"),
        ),
        ("{% if seeds[0].x is defined %}{{ seeds[0].x }}{% endif %}", ()),
        (
            "{{ seeds | length }}{{ index }}{% for x in [1] %}{{ loop.index }}{{ x }}{% endfor %}",
            (),
        ),
    ],
)
def test_what_a_batch_needs_of_every_seed_follows_from_its_items_and_loops(
    source: str, needs: tuple[str, ...]
) -> None:
    assert make_template(step("a", source), batch_of=2).schema_requirements == needs


def test_conditions_and_earlier_turns_require_what_they_read() -> None:
    template = make_template(step("a", "x", when="long == 1", messages=TURNS))
    assert template.schema_requirements == ("long", "product")


# ── earlier turns ──────────────────────────────────────────────────────────────────────────────


def test_earlier_turns_go_before_the_prompt_and_a_repair_behind_it(world: WorkerWorld) -> None:
    template = make_template(
        step("rate", "Rate it.", messages=TURNS, system="Be kind.", output_schema=RATING),
        keep_prompts=True,
    )
    world.double.faults(
        [
            {"prompt": "can't be used", "effect": "reply", "text": '{"stars": 4}'},
            {"effect": "reply", "text": "none"},
        ]
    )
    job_id = world.create_job(template, [{"product": "kettle"}], num_records=1)
    assert world.run() is ExitCode.DONE

    first, repair = map(texts, sent(world))
    earlier = [("user", "Name a kettle."), ("assistant", "The best kettle.")]
    assert first[:2] == repair[:2] == earlier
    assert [role for role, _ in repair] == ["user", "assistant"] * 2 + ["user"]
    assert repair[2:4] == [first[2], ("assistant", "none")]
    (record,) = world.dataset(job_id)
    result = record["generation_result"]["rate"]
    assert result["messages"] == [{"role": role, "content": text} for role, text in earlier]
    assert (result["prompt"], result["system"]) == ("Rate it.", "Be kind.")
    check_completed(world, job_id)


def test_a_turn_that_is_empty_fails_its_record(world: WorkerWorld) -> None:
    turns = [{"role": "user", "content": "{{ product if n else '' }}"}, TURNS[1]]
    seeds = [{"product": "a", "n": n} for n in (0, 1)]
    job_id = world.create_job(make_template(step(messages=turns)), seeds, num_records=2)
    world.run()
    (failure,) = world.failures(job_id)
    assert (failure["index"], failure["message"]) == (0, "the message 1 is empty")


def test_the_worst_case_counts_every_turn(
    render_engine: TemplateEngine, world: WorkerWorld
) -> None:
    """N3: the texts, and the marks around each of many turns."""
    row, turns = {"product": "kettle"}, TURNS * 50
    highest = [
        estimated(render_engine, world, template, [row]).highest_nano
        for template in (make_template(step()), make_template(step(messages=turns)))
    ]
    price = world.ports.prices.price(MODEL, world.clock.now().date())
    characters = 50 * len("Name a kettle." + "The best kettle.")
    assert highest[1] - highest[0] == (characters + 16 * len(turns)) * price.input


def estimated(
    engine: TemplateEngine, world: WorkerWorld, template: Template, rows: list[dict[str, Any]]
) -> Any:
    engine.load(template)
    plan = make_plan(
        template, world.ports.prices, provider="bedrock", model=None, on=world.clock.now().date()
    )
    return estimate_cost(engine, plan, rows, records=1, draws=Draws())


# ── when ───────────────────────────────────────────────────────────────────────────────────────

CHAIN = (
    step("short", "Say {{ product }}.", when='kind == "short"'),
    step(
        "long",
        "Tell {{ product }}.",
        when="{% if kind == 'long' %} True {% else %}false{% endif %}",
    ),
    step("after", "After {{ steps.long.output | default('nothing') }}", when="kind != 'none'"),
)
KINDS = [{"product": f"p{n}", "kind": kind} for n, kind in enumerate(("short", "long", "none"))]


def test_a_step_that_is_skipped_is_null_and_costs_nothing(world: WorkerWorld) -> None:
    job_id = world.create_job(make_template(*CHAIN, keep_prompts=True), KINDS, num_records=3)
    assert world.run() is ExitCode.DONE

    results = [
        record["generation_result"]
        for record in sorted(world.dataset(job_id), key=lambda each: each["index"])
    ]
    assert [[step for step, each in result.items() if each == SKIPPED] for result in results] == [
        ["long"],
        ["short"],
        ["short", "long", "after"],
    ]
    assert [list(result) for result in results] == [["short", "long", "after"]] * 3
    assert results[0]["after"]["prompt"] == "After nothing"
    assert results[1]["after"]["prompt"] == f"After {results[1]['long']['output']}"
    assert world.double.stats()["received"] == 4
    check_completed(world, job_id)
    progress = world.job(job_id).progress
    assert progress.records_generated == 3
    assert progress.cost_nano == billed(world)
    assert {name: (each.calls, each.skipped) for name, each in progress.steps.items()} == {
        "short": (1, 2),
        "long": (1, 2),
        "after": (2, 1),
    }


class SlowPool:
    """Notes how long it is waited for while nothing is called, which takes 100 seconds each time;
    answers a call when it is asked again.
    """

    def __init__(self, world: WorkerWorld) -> None:
        self._clock = world.clock
        self._clock.hasten(0)
        self._open: list[int] = []
        self._due: list[int] = []
        self.idle_waits: list[float] = []

    def submit(self, call: int, request: ModelRequest) -> None:
        assert request.messages
        self._open.append(call)

    def wait(self, timeout: float) -> list[Completion]:
        if not self._open and not self._due:
            self.idle_waits.append(timeout)
            self._clock.advance(100)
        due, self._due, self._open = self._due, self._open, []
        reply = ModelReply(text="Fine.", usage=Usage(input_tokens=1, output_tokens=1))
        return [Completion(call=call, result=reply) for call in due]

    def withdraw(self) -> list[int]:
        return []

    def wake(self) -> None:
        pass

    def close(self) -> None:
        pass


def test_records_that_skip_everything_take_no_call_and_no_wait_and_count_as_progress(
    world: WorkerWorld, render_engine: TemplateEngine
) -> None:
    """Also where they take longer than a model that doesn't answer is waited for."""
    template = make_template(step(when="index == 59"), step("b", "x", when=False))
    job_id = world.create_job(template, num_records=60)
    pool = SlowPool(world)
    ended = Worker(
        world.ports,
        owner="worker",
        settings=WorkerSettings(concurrency=4, lease_seconds=10**6, flush_seconds=10**6),
        template_engine=render_engine,
        make_pool=lambda: pool,
    ).run()
    assert ended is ExitCode.DONE
    assert len(world.dataset(job_id)) == 60
    assert len(pool.idle_waits) > 10
    assert max(pool.idle_waits) == 0
    steps = world.job(job_id).progress.steps
    assert {name: (each.calls, each.skipped) for name, each in steps.items()} == {
        "review": (1, 59),
        "b": (0, 60),
    }


@pytest.mark.parametrize("when", ["product", "{{ kind }}{{ kind }}", "none", "missing.name"])
def test_a_condition_that_is_neither_true_nor_false_fails_the_record(
    world: WorkerWorld, when: str
) -> None:
    seeds = [{"product": "secret", "kind": "true", "missing": None}]
    template = make_template(step("a", "x"), step("b", "x", when=when), schema_requirements=[])
    job_id = world.create_job(template, seeds, num_records=1)
    world.run()
    (failure,) = world.failures(job_id)
    assert (failure["step"], failure["kind"]) == ("b", "render_failed")
    assert "secret" not in failure["message"]
    assert failure["message"]
    assert world.double.stats()["received"] == 1


@pytest.mark.parametrize("killed", [False, True])
def test_a_worker_that_was_stopped_goes_on_behind_the_steps_that_are_skipped(
    world: WorkerWorld, *, killed: bool
) -> None:
    """N1, N2, N3: a decision holds, with several seeds a record, and nothing that was saved is
    called twice.
    """
    template = make_template(
        step(
            "one",
            "One {{ index }} {{ seeds | map(attribute='product') | join('+') }}",
            when="index % 3 != 0",
        ),
        step("two", "Two {{ index }}", when="index % 2 == 0"),
        step(
            "rate",
            "{{ index }} {{ steps.one.output | d('-') }}",
            output_schema=RATING,
            when="index % 5 != 0",
        ),
        batch_of=2,
    )
    world.double.faults([{"prompt": "JSON", "effect": "reply", "text": '{"stars": 1}'}])
    seeds = [{"product": f"p{n}"} for n in range(7)]
    job_id = world.create_job(template, seeds, num_records=12, random_seed=5, scheme=2)
    for last_call in (1, 4, 6):
        if killed:
            kill(world, "after_call", last_call, concurrency=1, checkpoint_interval=1)
        else:
            stop = at("after_call", last_call, world.stop)
            assert world.run(crash_point=stop, concurrency=1) is ExitCode.INTERRUPTED
    assert world.run(concurrency=1) is ExitCode.DONE

    records = {record["index"]: record for record in world.dataset(job_id)}
    assert sorted(records) == list(range(12))
    for index, record in records.items():
        skipped = [step for step, each in record["generation_result"].items() if each == SKIPPED]
        expected = [("one", index % 3 == 0), ("two", index % 2 != 0), ("rate", index % 5 == 0)]
        assert skipped == [name for name, is_skipped in expected if is_skipped]
        first = 2 * index % 7
        assert record["seed_data_id"] == f"row-{first + 1}, row-{(first + 1) % 7 + 1}"
    # A kill takes the calls of the one record with it that was not saved.
    assert world.double.stats()["paid_twice"] <= 3 * 3 * killed
    assert billed(world) <= world.account(job_id).spent_nano


def test_a_prompt_that_writes_a_skipped_output_says_so(world: WorkerWorld) -> None:
    template = make_template(step("a", "x", when=False), step("b", "After {{ steps.a.output }}"))
    job_id = world.create_job(template, num_records=1)
    world.run()
    (failure,) = world.failures(job_id)
    assert failure["message"] == (
        'line 1: "steps.a.output" is null: its step was skipped or gave it so; use | default(…)'
    )


def test_the_dry_run_takes_every_step_but_shows_what_is_skipped(
    render_engine: TemplateEngine, world: WorkerWorld
) -> None:
    template = make_template(
        step("a", "{{ product.upper() }}", when="product is not none"),
        step("b", "x", when="steps.a.output == 'yes'"),
        step("c", "x", when="'n' in steps.b.output"),
    )
    render_engine.load(template)
    rows = [{"product": None}]
    a, b, c = render_record(render_engine, template, rows, job_id="", index=0, draws=Draws())
    assert (a.prompt, a.skipped, b.skipped, c.skipped) == ("", True, False, False)
    found = estimated(render_engine, world, template, [{"product": "kettle"}])
    assert [each.step for each in found.steps] == ["a", "b", "c"]
    assert all(each.tokens_out for each in found.steps)


def test_a_condition_that_no_seed_can_decide_is_told_before_anything_is_paid(
    render_engine: TemplateEngine,
) -> None:
    template = make_template(step("a", "x", when="product"))
    render_engine.load(template)
    with pytest.raises(TemplateError, match="neither true nor false"):
        render_record(
            render_engine, template, [{"product": "p"}], job_id="", index=0, draws=Draws()
        )


# ── rows ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("shape", ["messages", "sharegpt", "bedrock"])
def test_a_message_of_a_step_that_was_skipped_is_left_out(world: WorkerWorld, shape: str) -> None:
    """And so a dialogue has as many turns as it has."""
    role, content = ("from", "value") if shape == "sharegpt" else ("role", "content")
    roles = ("human", "gpt") if shape == "sharegpt" else ("user", "assistant")
    turns = [{role: roles[n % 2], content: f"steps.s{n}.output"} for n in range(4)]
    field = {"messages": None, "sharegpt": "conversations", "bedrock": "messages"}[shape]
    template = make_template(
        *(step(f"s{n}", f"{{{{ product }}}} {n}", when=f"turns > {n}") for n in range(4)),
        output={shape: turns if field is None else {field: turns}},
    )
    seeds = [{"product": "p", "turns": n} for n in (2, 4, 1)]
    job_id = world.create_job(template, seeds, num_records=3)
    assert world.run() is ExitCode.DONE
    rows = [row[field or "messages"] for row in rows_of(world, job_id)]
    assert [[turn[role] for turn in row] for row in rows] == [
        [roles[n % 2] for n in range(count)] for count in (2, 4, 1)
    ]
    assert all(turn[content] and turn[content] != [{"text": None}] for row in rows for turn in row)


def test_the_turns_before_a_prompt_go_into_messages(world: WorkerWorld) -> None:
    turns = ["steps.a.messages", {"role": "user", "content": "steps.a.prompt"}]
    with pytest.raises(TemplateError, match="needs keep_prompts: true"):
        make_template(step("a"), output={"messages": turns})
    template = make_template(
        step("a", messages=TURNS),
        step("b", "x"),
        keep_prompts=True,
        output={"messages": [*turns, "steps.b.messages"]},
    )
    job_id = world.create_job(template, [{"product": "kettle"}], num_records=1)
    assert world.run() is ExitCode.DONE
    (row,) = rows_of(world, job_id)
    assert [turn["content"] for turn in row["messages"]] == [
        "Name a kettle.",
        "The best kettle.",
        "Review kettle.",
    ]


@pytest.mark.parametrize("given", [{"messages": TURNS}, {}])
def test_messages_that_follow_from_a_template_leave_no_earlier_turn_out(
    given: dict[str, Any],
) -> None:
    template = make_template(step("a", **given), keep_prompts=True)
    if given:
        with pytest.raises(UnclearOutputError, match="not certain"):
            output_as(template, Shape.MESSAGES)
    else:
        assert "steps.a.prompt" in str(output_as(template, Shape.MESSAGES))


# ── top_p and stop ─────────────────────────────────────────────────────────────────────────────


def test_top_p_and_stop_are_sent_and_a_stop_sequence_is_a_normal_end(world: WorkerWorld) -> None:
    world.double.faults([{"effect": "reply", "text": "a", "stop_reason": "stop_sequence"}])
    template = make_template(step(top_p=0.5, stop=["###"], on_truncation="fail"), step("b", "x"))
    job_id = world.create_job(template, num_records=1)
    assert world.run() is ExitCode.DONE
    config = {"maxTokens": 64, "topP": 0.5, "stopSequences": ["###"]}
    assert [body["inferenceConfig"] for body in sent(world)] == [config, {"maxTokens": 64}]
    (record,) = world.dataset(job_id)
    assert record["generation_result"]["review"]["stop_reason"] == "stop_sequence"


def test_what_a_model_is_known_to_refuse_is_told_before_anything_is_paid(
    world: WorkerWorld,
) -> None:
    claude = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
    on = world.clock.now().date()
    for fields in ({"top_p": 0.5}, {"temperature": 0.5}, {"stop": "x"}):
        template = make_template(step(model=claude, **fields))
        make_plan(template, world.ports.prices, provider="bedrock", model=None, on=on)
    both = make_template(step(top_p=0.5, temperature=0.5))
    make_plan(both, world.ports.prices, provider="bedrock", model=None, on=on)
    pinned = PriceTable.decode(world.ports.prices.encode())
    with pytest.raises(TemplateError, match="takes no temperature with top_p: leave it out"):
        make_plan(both, pinned, provider="bedrock", model=claude, on=on)


# ── several seeds a record ─────────────────────────────────────────────────────────────────────


def test_a_batch_has_the_draws_that_follow_each_other(world: WorkerWorld) -> None:
    seeds = [{"product": f"p{n}", "id": f"s{n}"} for n in range(5)]
    prompt = "{% for seed_of in seeds %}{{ seed_of.product }};{% endfor %}"
    job_id = world.create_job(
        make_template(step(prompt=prompt), batch_of=3, keep_prompts=True), seeds, num_records=3
    )
    assert world.run() is ExitCode.DONE
    records = sorted(world.dataset(job_id), key=lambda each: each["index"])
    assert [record["seed_data_id"] for record in records] == [
        "s0, s1, s2",
        "s3, s4, s0",
        "s1, s2, s3",
    ]
    prompts = [record["generation_result"]["review"]["prompt"] for record in records]
    assert prompts == ["p0;p1;p2;", "p3;p4;p0;", "p1;p2;p3;"]


def test_every_seed_of_the_file_has_to_have_what_a_batch_needs(world: WorkerWorld) -> None:
    template = make_template(step(prompt="{{ seeds[0].product }}"), batch_of=2)
    job_id = world.create_job(template, [{"product": "a"}, {"produkt": "b"}], num_records=1)
    world.run()
    assert "'product'" in str(world.job(job_id).error_message)


@pytest.mark.parametrize(
    "strategy", [SeedStrategy.SHUFFLE, SeedStrategy.RANDOM, SeedStrategy.ORDERED]
)
def test_a_batch_of_one_draws_as_no_batch_does(strategy: SeedStrategy) -> None:
    rows = [{"n": n} for n in range(11)]
    draws = Draws(seed_strategy=strategy, random_seed=4)
    plain = DrawnSeeds(rows, job_id="j", draws=draws)
    one, three = (DrawnSeeds(rows, job_id="j", draws=draws, batch_of=k) for k in (1, 3))
    for index in range(30):
        assert one(index).row == {"seeds": [plain(index).row]}
        assert one(index).entropy == plain(index).entropy == three(index).entropy
        rows_of_three = [plain(each).row for each in range(3 * index, 3 * index + 3)]
        assert three(index).row == {"seeds": rows_of_three}
