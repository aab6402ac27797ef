"""Schemas that never end: where and how long outputs are checked against them. The names of the
tests begin with the id of the fault that they keep away.
"""

import time
from collections.abc import Iterator, Sequence
from typing import Any, Final

import pytest

from runtime.contract.exit_codes import ExitCode
from runtime.domain.errors import ConfigurationError, OutputCheckError, OutputError
from runtime.domain.templates.document import parse_template
from runtime.domain.templates.output_schema import MAX_PATTERNS, is_plain, schema_problem
from runtime.domain.templates.provider_schema import Way
from runtime.domain.templates.service_schema import for_service
from runtime.domain.templates.template import Step, Template
from runtime.engine.checking import OutputChecks
from runtime.engine.dry_run import example_of
from runtime.engine.outputs import MAX_CHECKED, OutputReader
from runtime.engine.rendering.renderer import CheckRequest, TemplateEngine
from runtime.engine.schema_check import SchemaCheck
from tests.fixtures.worker_world import WorkerWorld, make_template, step

FAN_LEVELS: Final = 41
FAN_OUT: Final[dict[str, Any]] = {
    "$defs": {
        **{
            f"a{level}": {"anyOf": [{"$ref": f"#/$defs/a{level + 1}"}] * 2}
            for level in range(FAN_LEVELS - 1)
        },
        f"a{FAN_LEVELS - 1}": {"type": "string"},
    },
    "$ref": "#/$defs/a0",
    "type": "integer",
}
"""Whether 7 fits takes 2 ** 40 looks at it."""
RECURSIVE: Final[dict[str, Any]] = {
    "anyOf": [
        {"type": "number"},
        {"type": "array", "items": {"$ref": "#"}, "minItems": 1},
        {"type": "array", "items": {"$ref": "#"}, "maxItems": 9},
    ]
}
SCORE: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"score": {"anyOf": [{"type": "integer"}, {"type": "null"}]}},
    "required": ["score"],
}


def nested(value: object, levels: int) -> object:
    for _ in range(levels):
        value = [value]
    return value


def with_schema(schema: dict[str, Any]) -> Template:
    return Template(name="n", steps=(Step(id="a", prompt="x", output_schema=schema),))


@pytest.fixture(scope="module")
def engine() -> Iterator[TemplateEngine]:
    with TemplateEngine() as shared:
        yield shared


# ── E1: schemas whose checks never end ─────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("schema", "value"), [(FAN_OUT, 7), (RECURSIVE, nested("x", 16))], ids=["fan-out", "recursive"]
)
def test_e1_a_check_that_never_ends_fails_one_output(
    engine: TemplateEngine, schema: dict[str, Any], value: object
) -> None:
    engine.load(with_schema(schema))
    begun = time.monotonic()
    good, bad, again = engine.check_outputs(
        [CheckRequest(step_id="a", value=each) for each in ("x", value, "x")]
    )
    assert isinstance(bad, OutputCheckError)
    assert isinstance(good, tuple)
    assert good == again
    assert time.monotonic() - begun < 10


def test_e1_a_job_with_such_a_schema_ends(world: WorkerWorld) -> None:
    """Without a repair: a second answer would be paid for, and hardly be checked."""
    world.double.faults([{"prompt": "product 1", "text": '{"score": 4}'}, {"text": "7"}])
    schema = {**FAN_OUT, "type": ["integer", "object"], "$ref": "#/$defs/a0"}
    job_id = world.create_job(make_template(step(output_schema=schema)), num_records=2)

    assert world.run() is ExitCode.JOB_FAILED

    kinds = [(each["kind"], each["attempts"]) for each in world.failures(job_id)]
    assert kinds == [("output_not_checked", 1)] * 2


def test_e1_what_the_child_checks_is_repaired_as_anything_else(world: WorkerWorld) -> None:
    world.double.faults([{"text": '{"score": "x"}', "times": 1}, {"text": '{"score": 4}'}])
    job_id = world.create_job(make_template(step(output_schema=SCORE)), num_records=1)

    assert world.run() is ExitCode.DONE

    assert world.dataset(job_id)[0]["generation_result"]["review"]["output"] == {"score": 4}
    asked = world.double.requests[1].body["messages"][2]["content"][0]["text"]
    assert 'score: "x" is not valid under any of the schemas' in asked


@pytest.mark.parametrize(
    ("schema", "plain"),
    [
        ({}, True),
        ({"type": "object", "properties": {"a": {"enum": [{"$ref": 1}]}}, "required": ["a"]}, True),
        ({"items": {"additionalProperties": False}, "prefixItems": [True, {"minimum": 1}]}, True),
        ({"properties": {"anyOf": {"type": "string"}}}, True),
        ({"properties": {"a": {"anyOf": [{}]}}}, False),
        ({"items": {"$ref": "#"}}, False),
        ({"additionalProperties": {"uniqueItems": True}}, False),
        ({"prefixItems": [{"pattern": "a"}]}, False),
        ({"patternProperties": {"a": {}}}, False),
        ({"properties": [1]}, False),
        ({"items": 5}, False),
    ],
)
def test_e1_only_plain_schemas_are_checked_in_this_process(
    schema: dict[str, Any], *, plain: bool
) -> None:
    assert is_plain(schema) is plain
    assert OutputReader(schema).needs_child is not plain


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        (
            {**FAN_OUT, "unevaluatedProperties": False},
            "may not have both $ref and unevaluated…",
        ),
        ({"pattern": "\\d" * 501}, "a pattern of more than 1000 characters"),
        ({"patternProperties": {"a" * 1001: {}}}, "a pattern of more than 1000 characters"),
        (
            {"allOf": [{"pattern": f"(a{{1,900}}){{1,9}}{n}"} for n in range(2000)]},
            f"has 2000 patterns: {MAX_PATTERNS} are allowed",
        ),
    ],
    ids=["unevaluated", "pattern", "name pattern", "patterns"],
)
def test_e1_a_schema_that_never_compiles_is_refused_at_once(
    schema: dict[str, Any], problem: str
) -> None:
    begun = time.monotonic()
    told = schema_problem(schema)
    assert told is not None
    assert problem in told
    assert time.monotonic() - begun < 2


def test_e1_a_large_wrong_output_is_told_in_time() -> None:
    """The library builds each of its errors, of which there are three million here."""
    check = SchemaCheck({"items": {"required": [f"field{number}" for number in range(100)]}})
    begun = time.monotonic()
    assert check.errors([{}] * 30_000) == ('0: "field0" is a required property',)
    assert len(check.errors([{}] * 3)) == 5
    assert time.monotonic() - begun < 2


def test_e1_a_reader_without_a_child_refuses_to_read() -> None:
    reader = OutputReader(RECURSIVE)
    with pytest.raises(ConfigurationError, match="render child"):
        reader.read("1")
    with pytest.raises(OutputError, match="wrong"):
        reader.checked_by(lambda _value: ["wrong"]).read("1")


@pytest.mark.parametrize(
    ("links", "reason"),
    [(2000, "its references lead too deep"), (41, None)],
    ids=["too long", "long"],
)
def test_e1_a_long_chain_of_references_goes_in_words(links: int, reason: str | None) -> None:
    chain = {f"a{n}": {"$ref": f"#/$defs/a{n + 1}"} for n in range(links)}
    form = for_service({"$ref": "#/$defs/a0", "$defs": {**chain, f"a{links}": {"type": "string"}}})
    assert form.reason == reason
    assert form.way is (Way.WORDS if reason else Way.SERVICE)


def test_e1_a_form_that_is_too_deep_to_be_sent_goes_in_words() -> None:
    levels = {
        f"a{n}": {"required": ["x"], "properties": {"x": {"$ref": f"#/$defs/a{n + 1}"}}}
        for n in range(150)
    }
    form = for_service({"$ref": "#/$defs/a0", "$defs": {**levels, "a150": {"type": "string"}}})
    assert form.way is Way.WORDS


def test_e1_an_example_of_a_schema_that_holds_itself_many_times_is_small() -> None:
    begun = time.monotonic()
    members = {f"p{number}": {"$ref": "#"} for number in range(50)}
    schema = {"type": "object", "properties": {**members, "t": {"type": "string"}}}
    example = example_of(schema, "x")
    assert example["t"] == "x"
    assert example["p49"] == {}
    assert time.monotonic() - begun < 2


def test_e1_the_child_is_asked_about_few_values_of_one_reply() -> None:
    asked: list[object] = []

    def check(value: object) -> list[str]:
        asked.append(value)
        return ["wrong"]

    reader = OutputReader(RECURSIVE).checked_by(check)
    with pytest.raises(OutputError, match="holds 21 values"):
        reader.read(" ".join(f"[{number}]" for number in range(MAX_CHECKED + 1)))
    assert asked == []
    with pytest.raises(OutputError, match="wrong"):
        reader.read(" ".join(f"[{number}]" for number in range(MAX_CHECKED)))
    assert len(asked) == MAX_CHECKED


def test_e1_the_child_gets_what_the_service_form_means(engine: TemplateEngine) -> None:
    """A null of an optional member is taken out before the check, and integers have 64 bits."""
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string", "pattern": "^a"}, "n": {"type": "integer"}},
        "required": ["n"],
    }
    template = with_schema(schema)
    engine.load(template)
    reader = OutputReader(schema, nullable=for_service(schema).nullable)
    reader = reader.checked_by(lambda value: engine.check_output("a", value))
    assert reader.read('{"name": null, "n": 1}') == {"n": 1}
    assert reader.read('Not [1] but {"name": "ab", "n": 2}.') == {"name": "ab", "n": 2}
    with pytest.raises(OutputError, match=r"^n: "):
        reader.read('{"n": 1e29}')


class CountingEngine(TemplateEngine):
    """Notes how many outputs each round trip asks about."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[int] = []

    def check_outputs(
        self, requests: Sequence[CheckRequest]
    ) -> list[tuple[str, ...] | OutputCheckError]:
        self.asked.append(len(requests))
        return super().check_outputs(requests)


def test_e1_replies_of_one_turn_are_checked_in_one_round_trip() -> None:
    """And each is read as it would be alone; what was not asked ahead is asked about then."""
    step = {"id": "a", "prompt": "x", "output_schema": RECURSIVE}
    template = parse_template({"name": "t", "steps": [step]})
    replies = ["1", "[2]", '"wrong"', "no value", "[[3]]"]
    with CountingEngine() as engine:
        engine.load(template)
        checks = OutputChecks(engine)
        reader = checks.reader("a", OutputReader(RECURSIVE))
        checks.ask_ahead(("a", reader, reply) for reply in replies)
        found = [read_or_error(reader, reply) for reply in (*replies, "4")]

    alone = OutputReader(RECURSIVE).checked_by(SchemaCheck(RECURSIVE).errors)
    assert found == [read_or_error(alone, reply) for reply in (*replies, "4")]
    assert engine.asked == [4, 1]


def read_or_error(reader: OutputReader, reply: str) -> object:
    try:
        return reader.read(reply)
    except OutputError as error:
        return str(error)
