"""Templates, schemas and seeds that were written to hang, break or mislead what reads them. The
names of the tests begin with the id of the fault that they keep away.
"""

import time
import unicodedata
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any, Final

import pytest

from runtime.domain.errors import OutputCheckError, OutputError, RenderError, TemplateError
from runtime.domain.templates.check import check_template
from runtime.domain.templates.document import parse_template
from runtime.domain.templates.output_schema import MAX_PATTERNS, is_plain, schema_problem
from runtime.domain.templates.template import Step, Template
from runtime.engine.outputs import OutputReader
from runtime.engine.rendering.renderer import CheckRequest, TemplateEngine
from runtime.engine.schema_check import SchemaCheck
from runtime.worker.worker import ExitCode
from tests.fixtures.rendering import failure, render, request, template
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
    assert "JSON Schema" in reader.instruction()
    with pytest.raises(OutputError, match="wrong"):
        reader.checked_by(lambda _value: ["wrong"]).read("1")


# ── E5: sources whose check takes time by their square ─────────────────────────────────────────


def test_e5_many_guards_and_many_paths_are_checked_in_time() -> None:
    names = ["".join(letters) for letters in product("abcdefghijklmnopqrst", repeat=3)]
    read = "".join(f"{{{{ a{name} }}}}" for name in names[:4500])
    asked = "".join(f"{{{{ b{name} is defined }}}}" for name in names[:4500])
    begun = time.monotonic()
    found = check_template([Step(id="a", prompt=read + asked)], {})
    assert time.monotonic() - begun < 5
    assert len(found.requirements) == 4500


def test_e5_a_guard_covers_what_is_below_it() -> None:
    source = "{{ a.b.c }}{{ a.bc }}{{ d }}{% if a.b is defined %}{% endif %}{{ d.e is defined }}"
    assert check_template([Step(id="a", prompt=source)], {}).requirements == ("a.bc", "d")


# ── E15: names of any script ───────────────────────────────────────────────────────────────────

SCRIPTS = (
    "größe",
    unicodedata.normalize("NFD", "größe"),
    "名前",
    "имя",
    "όνομα",
    "नाम",
    "שם",
    "ﬁ",
    "ª",
)


@pytest.mark.parametrize("name", SCRIPTS)
def test_e15_a_name_of_any_script_is_read(name: str) -> None:
    prompt = f"{{{{ {name} }}}}{{% set x{name} = {name} %}}{{{{ x{name} ~ deep.{name} }}}}"
    checked = parse_template({"name": "n", "steps": [{"id": "a", "prompt": prompt}]})
    seed: dict[str, Any] = {name: "q", "deep": {name: "r"}}
    with TemplateEngine(checked) as fresh:
        results = fresh.execute_template([request(**seed)])
    assert results == ["qqr"]


def test_e15_two_spellings_of_one_name_are_not_mixed_up() -> None:
    with pytest.raises(TemplateError, match=r'"fi" and "ﬁ" are one name: write seed\["fi"\]'):
        check_template([Step(id="a", prompt="{{ ﬁ }} {{ fi }}")], {})
    check_template([Step(id="a", prompt="{{ ﬁ }} {{ seed['fi'] }}")], {})


# ── E16: what the child can't do ───────────────────────────────────────────────────────────────


def test_e16_the_child_has_no_descriptor_to_open_and_no_way_to_more_rights(
    engine: TemplateEngine,
) -> None:
    engine.load(template("x"))
    child = engine._child
    assert child is not None
    process = Path(f"/proc/{child.process.pid}")
    if not process.exists():
        pytest.skip("only Linux shows the limits of a process")
    (files,) = (
        line for line in (process / "limits").read_text().splitlines() if "open files" in line
    )
    assert files.split()[3:5] == ["0", "0"]
    assert "NoNewPrivs:\t1" in (process / "status").read_text()


# ── C2: nulls ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("prompt", "named"),
    [
        ("{{ name }}", '"name" is null'),
        ("{{ author.name }}", '"author.name" is null'),
        ("{{ name | upper }}", '"name" is null'),
        ("{{ name | replace('a', 'b') }}", '"name" is null'),
        ("{{ name | string }}", '"name" is null'),
        ("{{ name | int }}", '"name" is null'),
        ("{{ name | truncate_tokens(3) }}", '"name" is null'),
        ("{{ 'a' ~ name }}", '"name" is null'),
        ("{{ tags }}", '"tags" holds a null'),
        ("{{ tags | join(', ') }}", '"tags" holds a null'),
        ("{{ tags | map('upper') | list }}", '"tags" holds a null'),
        ("{{ people | map(attribute='name') | join(', ') }}", '"people" holds a null'),
        ("{{ people | join(', ', attribute='name') }}", '"people" holds a null'),
        ("{{ name | join }}", '"name" is null'),
        ("{{ author }}", '"author" holds a null'),
        ("{% for tag in tags %}{{ tag }}{% endfor %}", '"tags" holds a null'),
        ("{% set x %}{{ name }}{% endset %}{{ x }}", '"name" is null'),
        ("{{ none }}", "a value is null"),
    ],
)
def test_c2_a_null_that_is_printed_counts_as_missing(
    engine: TemplateEngine, prompt: str, named: str
) -> None:
    seed = {"name": None, "author": {"name": None}, "tags": ["a", None], "people": [{"name": None}]}
    message = failure(engine, f"\n{prompt}", **seed)
    assert message == f"line 2: {named}; give it a value in the seed or use | default(…)"


@pytest.mark.parametrize(
    ("prompt", "text"),
    [
        ("{{ name | default('x') }}", "x"),
        ("{{ name | d('x') }}", "x"),
        ("{{ missing | default('x') }}", "x"),
        ("{{ '' | default('x') }}-{{ '' | default('x', true) }}", "-x"),
        ("{{ tags | map('default', '?') | join(' ') }}", "a ?"),
        ("{{ author.tags | default(['q']) | join }}", "q"),
        ("{{ name is none }} {{ 'no' if not name }}", "True no"),
        ("{{ author | tojson }}", '{"tags":null}'),
        ("{{ tags | select('string') | join }}", "a"),
        ("{{ 'a' ~ 1 ~ [2] }}", "a1[2]"),
        ("{{ people | join(', ', attribute='name') }}", "Ann, Bo"),
    ],
)
def test_c2_default_applies_to_a_null(engine: TemplateEngine, prompt: str, text: str) -> None:
    people = [{"name": "Ann", "age": None}, {"name": "Bo"}]
    seed = {"name": None, "author": {"tags": None}, "tags": ["a", None], "people": people}
    assert render(engine, prompt, **seed) == text


# ── C3: prompts that say nothing ───────────────────────────────────────────────────────────────


@pytest.mark.parametrize("prompt", ["{{ x }}", " \n{% if x %}text{% endif %}\t"])
def test_c3_a_prompt_that_renders_to_nothing_is_no_prompt(
    engine: TemplateEngine, prompt: str
) -> None:
    result = render(engine, prompt, x="")
    assert isinstance(result, RenderError)
    assert (result.code, str(result)) == ("render_failed", "the prompt is empty")


def test_c3_an_empty_prompt_is_never_sent(world: WorkerWorld) -> None:
    template = make_template(step(prompt="{{ product }}", system="You write."))
    seeds = [{"product": "kettle"}, {"product": " "}]
    job_id = world.create_job(template, seeds=seeds, num_records=2)

    assert world.run() is ExitCode.DONE

    (failed,) = world.failures(job_id)
    assert (failed["index"], failed["kind"], failed["message"]) == (
        1,
        "render_failed",
        "the prompt is empty",
    )
    assert world.double.calls == 1
