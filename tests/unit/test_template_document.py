"""The template document: validation, round trip, includes."""

from typing import Any

import pytest

from runtime.domain.errors import TemplateError, TemplateNotFoundError
from runtime.domain.outputs.shape import Output, Shape
from runtime.domain.outputs.values import Path
from runtime.domain.templates.document import (
    MAX_FRAGMENTS,
    document_of,
    parse_template,
    resolve_includes,
)
from runtime.domain.templates.template import DEFAULT_MAX_TOKENS, Step, Template


def document(**changes: Any) -> dict[str, Any]:
    step = {"id": "a", "prompt": "Write about {{ topic }}."}
    return {"name": "n", "steps": [step], **changes}


def with_step(**changes: Any) -> dict[str, Any]:
    return document(steps=[{"id": "a", "prompt": "p", **changes}])


def problem(of: object) -> str:
    with pytest.raises(TemplateError) as caught:
        parse_template(of)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_minimal_document_gets_the_defaults() -> None:
    template = parse_template(document())
    assert template == Template(
        name="n",
        steps=(Step(id="a", prompt="Write about {{ topic }}.", max_tokens=DEFAULT_MAX_TOKENS),),
        schema_requirements=("topic",),
        output=Output(shape=Shape.COLUMNS, fields={"a": Path("steps.a.output")}),
    )


def test_every_field_is_read() -> None:
    schema = {"type": "object", "properties": {"a": {"$ref": "#/$defs/b"}}, "$defs": {"b": {}}}
    given = document(
        description="d",
        keep_prompts=True,
        steps=[
            {"id": "one", "prompt": "{% include 'f' %}", "model": "m", "system": "{{ who }}"},
            {
                "id": "two",
                "prompt": "{{ steps.one.output }}",
                "model_tier": "cheap",
                "max_tokens": 200_000,
                "temperature": 1,
                "output_schema": schema,
            },
        ],
        fragments={"f": "{{ x.y }}"},
    )
    template = parse_template(given)
    assert template.schema_requirements == ("who", "x.y")
    assert (template.includes, template.fragments) == (("f",), {"f": "{{ x.y }}"})
    assert (template.keep_prompts, template.description) == (True, "d")
    one, two = template.steps
    assert (one.model, one.system, two.model_tier) == ("m", "{{ who }}", "cheap")
    assert (two.max_tokens, two.temperature, two.output_schema) == (200_000, 1.0, schema)
    assert parse_template(document_of(template)) == template


@pytest.mark.parametrize(
    ("given", "part"),
    [
        (None, "a template is a mapping"),
        ([], "a template is a mapping"),
        ({}, "name is missing"),
        (document(name=" "), "name must be a text that is not empty"),
        (document(name=5), "name must be a text"),
        (document(name="x" * 201), "at most 200 characters"),
        (document(description=5), "description must be a text"),
        (document(promts=1), 'unknown field "promts"'),
        (document(nmae=1), 'unknown field "nmae", did you mean "name"?'),
        (document(steps=[]), "list 1 to 50 steps"),
        (document(steps={}), "list 1 to 50 steps"),
        (document(steps=[{"id": f"s{n}", "prompt": "p"} for n in range(51)]), "list 1 to 50"),
        (document(steps=["p"]), "step 1: a step is a mapping"),
        (document(steps=[{"id": "a", "prompt": "p"}] * 2), 'step id "a" is used 2 times'),
        (document(keep_prompts=1), "keep_prompts must be true or false"),
        (document(schema_requirements="a"), "list dotted paths"),
        (document(schema_requirements=["a..b"]), "list dotted paths"),
        (document(schema_requirements=[1]), "list dotted paths"),
        (document(fragments=["f"]), "fragments: map"),
        (document(fragments={"f": 1}), "fragments: map"),
        (with_step(prompt=None), "prompt must be a text"),
        (with_step(prompt=""), "prompt must be a text that is not empty"),
        (with_step(id="1a"), "use a letter"),
        (with_step(id="_a"), "use a letter"),
        (with_step(id="a-b"), "use a letter"),
        (with_step(id="a" * 65), "use a letter"),
        (
            with_step(model_teir="cheap"),
            'step 1: unknown field "model_teir", did you mean "model_tier"',
        ),
        (with_step(model="m", model_tier="cheap"), "not both"),
        (with_step(model=""), "model must be a text"),
        (with_step(max_tokens=0), "from 1 to 200000"),
        (with_step(max_tokens=200_001), "from 1 to 200000"),
        (with_step(max_tokens=True), "must be a whole number"),
        (with_step(max_tokens=1.0), "must be a whole number"),
        (with_step(max_tokens="5"), "must be a whole number"),
        (with_step(temperature=True), "a number from 0 to 2"),
        (with_step(temperature=2.01), "a number from 0 to 2"),
        (with_step(temperature=-0.1), "a number from 0 to 2"),
        (with_step(temperature=float("nan")), "not NaN or infinity"),
        (with_step(output_schema=True), "must be a JSON Schema object"),
        (with_step(output_schema={"type": "objct"}), "is not a valid JSON Schema"),
        (with_step(output_schema={"pattern": "(?=a)"}), "is not a valid JSON Schema"),
        (with_step(output_schema={"$schema": "http://127.0.0.1:9/s"}), "not a valid JSON Schema"),
        (with_step(output_schema={"items": {"$ref": "http://127.0.0.1:9/s"}}), "to itself only"),
        (with_step(output_schema={"enum": [object()]}), "JSON values only, not object"),
        (with_step(prompt="x" * 262_145), "too large: 256 KiB"),
        (with_step(prompt="é" * 131_073), "too large: 256 KiB"),
        (with_step(output_schema={"enum": [0] * 50_000}), "too large"),
        (with_step(prompt="{{ x|nope }}"), 'step "a", prompt, line 1: there is no filter'),
    ],
)
def test_a_problem_is_named(given: object, part: str) -> None:
    assert part in problem(given)


def test_all_problems_of_shape_are_named_at_once() -> None:
    message = problem({"name": 1, "steps": [{"id": "a", "max_tokens": 0, "x": 1}]})
    for part in ("name must", "prompt is missing", "max_tokens must", 'unknown field "x"'):
        assert part in message


def test_yaml_aliases_that_multiply_are_refused() -> None:
    value: Any = ["x"]
    for _ in range(40):
        value = [value, value]
    assert "too large" in problem(with_step(output_schema={"enum": value}))


def test_declared_requirements_stay_as_they_are() -> None:
    template = parse_template(document(schema_requirements=["b.c", "a", "a"]))
    assert template.schema_requirements == ("a", "b.c")
    assert parse_template(document(schema_requirements=[])).schema_requirements == ()


class Library:
    def __init__(self, **sources: str) -> None:
        self.sources = sources
        self.asked: list[str] = []

    def load(self, name: str) -> str:
        self.asked.append(name)
        if name not in self.sources:
            raise TemplateNotFoundError(f"Template not found: {name}")
        return self.sources[name]


def including(*names: str, **changes: Any) -> Template:
    prompt = "".join(f"{{% include '{name}' %}}" for name in names)
    return parse_template(document(steps=[{"id": "a", "prompt": prompt}], **changes))


def test_includes_are_resolved_to_a_complete_document() -> None:
    library = Library(f="{{ x }}{% include 'g' %}", g="{{ y.z }}")
    before = including("f", "g")
    assert (before.includes, before.schema_requirements) == (("f", "g"), ())
    template = resolve_includes(before, library.load)
    assert template.schema_requirements == ("x", "y.z")
    assert template.includes == ("f", "g")
    assert template.fragments == library.sources
    assert sorted(library.asked) == ["f", "g"]
    assert parse_template(document_of(template)) == template
    assert resolve_includes(template, Library().load) == template


def test_declared_requirements_survive_the_includes() -> None:
    template = resolve_includes(
        including("f", schema_requirements=["only"]), Library(f="{{ x }}").load
    )
    assert template.schema_requirements == ("only",)


def test_an_include_that_does_not_exist_says_so() -> None:
    with pytest.raises(TemplateNotFoundError, match="Template not found: f"):
        resolve_includes(including("f"), Library().load)


def test_a_cycle_ends_with_its_chain() -> None:
    library = Library(f="{% include 'g' %}", g="{% include 'f' %}")
    with pytest.raises(TemplateError, match="f → g → f"):
        resolve_includes(including("f"), library.load)


def test_a_chain_without_end_is_stopped() -> None:
    asked: list[str] = []

    def endless(name: str) -> str:
        asked.append(name)
        return f"{{% include '{name}x' %}}"

    with pytest.raises(TemplateError, match="x → xx → xxx → xxxx → xxxxx → xxxxxx"):
        resolve_includes(including("x"), endless)
    assert len(asked) == 5


def test_fragments_are_checked() -> None:
    with pytest.raises(TemplateError, match='fragment "f", line 1'):
        resolve_includes(including("f"), Library(f="{{ ''.__class__ }}").load)


def test_fragments_count_towards_the_size() -> None:
    half = "x" * 140_000
    with pytest.raises(TemplateError, match="too large"):
        resolve_includes(including("f", "g"), Library(f=half, g=half).load)


def test_there_is_a_limit_of_fragments() -> None:
    names = [f"f{number}" for number in range(MAX_FRAGMENTS + 1)]
    with pytest.raises(TemplateError, match="50 fragments"):
        resolve_includes(including(*names), lambda _name: "x")
