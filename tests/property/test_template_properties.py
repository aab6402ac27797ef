"""Properties of templates: no text upsets the check, documents round-trip, renders repeat."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.domain.errors import TemplateError
from runtime.domain.templates.check import check_template
from runtime.domain.templates.document import document_of, parse_template
from runtime.domain.templates.template import Step, Template
from runtime.engine.rendering.renderer import RenderRequest, TemplateEngine

TOKENS = (
    *("{{", "}}", "{%", "%}", "{#", "#}", "{%-", "-%}", "\n", " ", "'", '"', "\\", "(", ")", "["),
    *("]", "{", "}", ",", ".", ":", "|", "~", "*", "**", "%", "+", "-", "/", "//", "=", "==", "<"),
    *("for", "in", "if", "else", "endfor", "endif", "set", "endset", "include", "with", "endwith"),
    *("raw", "endraw", "filter", "endfilter", "macro", "endmacro", "is", "not", "and", "defined"),
    *("a", "b", "seed", "steps", "here", "output", "index", "loop", "range", "self", "_x", "upper"),
    *("default", "join", "map", "round", "indent", "tojson", "attribute", "1", "2", "9999999", "é"),
)
VALUE = st.sampled_from(
    ["a", "a.b", "seed.a", "index", "'x'", "3", "[1, a]", "{'k': a}", "c", "a[0]", "a|d('x')"]
)
FILTER = st.sampled_from(["", "|upper", "|tojson", "|string|truncate_tokens(3)", "|d(1)", "|list"])
STATEMENT = st.recursive(
    st.one_of(
        st.text(max_size=8).map(lambda text: text.replace("{", "").replace("}", "")),
        st.builds("{{{{ {}{} }}}}".format, VALUE, FILTER),
        st.builds("{{% set c = {} %}}".format, VALUE),
    ),
    lambda inner: st.one_of(
        st.builds("{}{}".format, inner, inner),
        st.builds("{{% if {} %}}{}{{% else %}}{}{{% endif %}}".format, VALUE, inner, inner),
        st.builds("{{% for c in {} %}}{}{{% endfor %}}".format, VALUE, inner),
    ),
    max_leaves=8,
)
NAME = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), st.text(max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def engine() -> Iterator[TemplateEngine]:
    with TemplateEngine() as shared:
        yield shared


def checked(prompt: str) -> Template | None:
    steps = (Step(id="here", prompt=prompt),)
    try:
        found = check_template(steps, {})
    except TemplateError:
        return None
    return Template(
        name="n", steps=steps, schema_requirements=found.requirements, includes=found.includes
    )


@settings(deadline=None, max_examples=300)
@given(st.one_of(st.text(), st.lists(st.sampled_from(TOKENS)).map(" ".join)))
def test_the_check_raises_template_errors_only(prompt: str) -> None:
    checked(prompt)
    checked("{{ " + prompt + " }}")
    checked("{% " + prompt + " %}")


@settings(deadline=None, max_examples=100)
@given(prompt=STATEMENT, seed=st.dictionaries(st.sampled_from(["a", "b", "c"]), JSON, max_size=3))
def test_what_the_check_accepts_compiles_and_renders_the_same_twice(
    engine: TemplateEngine, prompt: str, seed: dict[str, Any]
) -> None:
    template = checked(prompt)
    if template is None or template.includes:
        return
    engine.load(template)
    request = RenderRequest(step_id="here", index=3, seed=seed, entropy=11)
    first, second = engine.execute_template([request, request])
    assert str(first) == str(second)
    # A seed with every required path may still hold the wrong values, but lacks none.
    if all(has(seed, path) for path in template.schema_requirements):
        assert re.search(r'"(a|a\.b|seed\.a)" is undefined', str(first)) is None


def has(seed: Any, path: str) -> bool:
    for part in path.split("."):
        if not isinstance(seed, dict) or part not in seed:
            return False
        seed = seed[part]
    return True


@settings(deadline=None, max_examples=50)
@given(
    entropies=st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=12, unique=True),
    cut=st.integers(0, 12),
)
def test_draws_do_not_depend_on_the_batch(
    engine: TemplateEngine, entropies: list[int], cut: int
) -> None:
    prompt = (
        "{{ range(999)|list|random }} {{ none|writing_style }} {{ 'A. B. C.'|random_sentence }}"
    )
    engine.load(Template(name="n", steps=(Step(id="here", prompt=prompt),)))
    requests = [
        RenderRequest(step_id="here", index=index, seed={}, entropy=entropy)
        for index, entropy in enumerate(entropies)
    ]
    whole = engine.execute_template(requests)
    parts = engine.execute_template(requests[cut:]) + engine.execute_template(requests[:cut])
    assert whole == parts[len(requests[cut:]) :] + parts[: len(requests[cut:])]
    assert all(isinstance(text, str) for text in whole)


STEP = st.fixed_dictionaries(
    {"prompt": STATEMENT.filter(str.strip)},
    optional={
        "model": NAME,
        "system": STATEMENT.filter(str.strip),
        "max_tokens": st.integers(1, 200_000),
        "temperature": st.floats(0, 1),
        "output_schema": st.just({"type": "object", "properties": {"a": {"type": "string"}}}),
    },
)


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    ids = draw(st.lists(NAME, min_size=1, max_size=4, unique=True))
    document: dict[str, Any] = {
        "name": draw(st.text(min_size=1, max_size=20).filter(str.strip)),
        "steps": [{"id": step_id, **draw(STEP)} for step_id in ids],
    }
    if draw(st.booleans()):
        document["description"] = draw(st.text(max_size=20))
        document["keep_prompts"] = draw(st.booleans())
        document["schema_requirements"] = draw(st.lists(NAME, max_size=3))
    if draw(st.booleans()):
        document["steps"][0]["prompt"] += "{% include 'f' %}"
        document["fragments"] = {"f": draw(STATEMENT)}
    return document


@settings(deadline=None, max_examples=100)
@given(documents())
def test_documents_round_trip(document: dict[str, Any]) -> None:
    try:
        template = parse_template(document)
    except TemplateError:
        return
    stored = document_of(template)
    assert parse_template(stored) == template
    assert document_of(parse_template(stored)) == stored


@settings(deadline=None, max_examples=200)
@given(st.dictionaries(st.sampled_from(["name", "steps", "fragments", "nme"]), JSON) | JSON)
def test_no_document_raises_anything_but_template_errors(document: object) -> None:
    with pytest.raises(TemplateError):
        parse_template(document)
