"""Prompts and seeds that break or mislead what renders them. The names of the
tests begin with the id of the fault that they keep away.
"""

import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime.contract.exit_codes import ExitCode
from runtime.domain.errors import RenderError, TemplateError
from runtime.domain.templates.check import check_template
from runtime.domain.templates.document import (
    parse_template,
)
from runtime.domain.templates.template import Step
from runtime.engine.rendering.renderer import TemplateEngine
from tests.fixtures.rendering import failure, render, request, template
from tests.fixtures.worker_world import WorkerWorld, make_template, step


@pytest.fixture(scope="module")
def engine() -> Iterator[TemplateEngine]:
    with TemplateEngine() as shared:
        yield shared


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
