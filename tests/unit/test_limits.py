"""Every limit to the last unit: what keeps it is taken, and one more is refused."""

from collections.abc import Callable, Mapping
from typing import Any

import orjson
import pytest
from jinja2.exceptions import FilterArgumentError

from runtime.domain.errors import OutputError, TemplateError
from runtime.domain.templates.check import check_template
from runtime.domain.templates.document import parse_template
from runtime.domain.templates.measure import measure
from runtime.domain.templates.output_schema import schema_problem
from runtime.domain.templates.storage import stored_text
from runtime.domain.templates.template import Step
from runtime.domain.templates.text import parse_text
from runtime.engine.outputs import OutputReader
from runtime.engine.rendering.filters import extract_keywords


def check(prompt: str) -> None:
    check_template((Step(id="a", prompt=prompt),), {})


def document(**fields: Any) -> dict[str, Any]:
    return {"name": "T", "steps": [{"id": "a", "prompt": "x"}], **fields}


def steps(count: int) -> None:
    parse_template(document(steps=[{"id": f"s{n}", "prompt": "x"} for n in range(count)]))


def step_field(name: str) -> Callable[[object], None]:
    return lambda value: void(
        parse_template(document(steps=[{"id": "a", "prompt": "x", name: value}]))
    )


def void(_: object) -> None:
    pass


def nested_loops(depth: int) -> None:
    check("{% for a in x %}" * depth + "{% endfor %}" * depth)


def rounds(count: int) -> None:
    inner = f"{{% for b in range({count // 10}) %}}{{% endfor %}}"
    check("{% for a in range(10) %}" + inner + "{% endfor %}")


def nested_expression(depth: int) -> None:
    """The text, its output, and what is nested in it."""
    check("{{ " + "not " * (depth - 3) + "x }}")


def attributes(count: int) -> None:
    check("{{ x" + ".a" * count + " }}")


def stored(size: int) -> None:
    """A text of quotation marks, which JSON writes with two characters each."""
    empty = len(stored_text(parse_template(document(description=""))))
    marks, rest = divmod(size - empty, 2)
    step = {"id": "a", "prompt": "x" + "y" * rest}
    stored_text(parse_template(document(description='"' * marks, steps=[step])))


def nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value


LIMITS: Mapping[str, tuple[Callable[[int], object], int]] = {
    "bytes of a document": (lambda size: measure({"k": "x" * (size - 1)}), 256 * 1024),
    "values of a document": (lambda count: measure([1] * (count - 1)), 50_000),
    "levels of a document": (lambda depth: measure(nested(depth + 1)), 64),
    "bytes of a text": (lambda size: parse_text("#" * (size - 9) + "\nname: T\n"), 512 * 1024),
    "characters of a name": (lambda size: parse_template(document(name="x" * size)), 200),
    "steps": (steps, 50),
    "output tokens": (step_field("max_tokens"), 200_000),
    "range()": (lambda stop: check(f"{{{{ range({stop}) }}}}"), 10_000),
    "numbers": (lambda number: check(f"{{{{ {number} }}}}"), 1_000_000),
    "nested loops": (nested_loops, 8),
    "rounds of loops": (rounds, 100_000),
    "indent": (lambda width: check(f"{{{{ x|indent({width}) }}}}"), 100),
    "round": (lambda digits: check(f"{{{{ x|round({digits}) }}}}"), 15),
    "nesting of an expression": (nested_expression, 100),
    "attributes of a value": (attributes, 100),
    # Beside the names there are prompt, output, and a system text without anything in it.
    "parts of a template": (lambda count: check("{{ x }}" * (count - 3)), 20_000),
}


@pytest.mark.parametrize("name", LIMITS)
def test_a_template_to_the_limit(name: str) -> None:
    take, limit = LIMITS[name]
    take(limit)
    with pytest.raises(TemplateError):
        take(limit + (10 if name == "rounds of loops" else 1))


def test_a_stored_template_to_the_limit() -> None:
    stored(380_000)
    with pytest.raises(TemplateError, match="380001 bytes"):
        stored(380_001)


def test_an_output_to_the_limit() -> None:
    reader = OutputReader({})
    shapes: tuple[Callable[[int], object], ...] = (nested, in_mappings)
    for shape in shapes:
        reader.read(orjson.dumps(shape(100)).decode())
        with pytest.raises(OutputError, match="deeper than 100"):
            reader.read(orjson.dumps(shape(101)).decode())


def in_mappings(levels: int) -> Any:
    value: Any = {}
    for _ in range(levels - 1):
        value = {"a": value}
    return value


def test_what_is_told_of_an_output_to_the_limit() -> None:
    reader = OutputReader({"items": {"type": "integer"}})
    with pytest.raises(OutputError) as caught:
        reader.read(orjson.dumps(["x" * 5000] * 6).decode())
    told = str(caught.value).split("; ")
    assert [len(each) for each in told] == [300] * 5


def test_what_is_told_of_a_schema_to_the_limit() -> None:
    problem = schema_problem({"type": "x" * 5000})
    assert problem is not None
    assert len(problem.partition(": ")[2]) == 300


def test_keywords_to_the_limit() -> None:
    text = " ".join(f"{a}{b}x" for a in "abcdefghijkl" for b in "abcdefghijkl")
    assert len(extract_keywords(text, 100)) == 100
    assert extract_keywords(text, 1) == ["aax"]
    with pytest.raises(FilterArgumentError, match="1 to 100 words"):
        extract_keywords(text, 101)


@pytest.mark.parametrize("value", [0, 1, 0.25])
def test_a_temperature_is_a_float(value: float) -> None:
    step = {"id": "a", "prompt": "x", "temperature": value}
    (found,) = parse_template(document(steps=[step])).steps
    assert (found.temperature, type(found.temperature)) == (value, float)
