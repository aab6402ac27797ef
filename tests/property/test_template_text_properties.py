"""Whatever a template holds, it comes back from its file, as YAML and as JSON."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.domain.errors import TemplateError
from runtime.domain.templates.document import document_of, parse_template
from runtime.domain.templates.measure import MAX_DOCUMENT_DEPTH
from runtime.domain.templates.text import parse_text, render_yaml

ODD = ["\n", " ", "\t", "\r", "\x85", "\u2028", "\ufeff", "\x00", "\x07", "|", ">", "#", ": ", "- "]
ODD += ["'", '"', "\\", "%", "@", "`", "&", "*", "!", "~", "null", "yes", "1_0", "0x1f", "<<", "="]
texts = st.lists(st.characters(codec="utf-8") | st.sampled_from(ODD), max_size=12).map("".join)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63) + 1, 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
documents = st.dictionaries(texts, values, max_size=4)


@given(documents)
def test_a_document_comes_back_from_yaml(document: dict[str, Any]) -> None:
    assert parse_text(render_yaml(document)) == document


@given(documents, st.booleans())
def test_a_document_comes_back_from_json(
    document: dict[str, Any],
    ascii_only: bool,  # noqa: FBT001 - drawn
) -> None:
    assert parse_text(json.dumps(document, ensure_ascii=ascii_only)) == document
    assert parse_text(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode()) == document


names = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S")), min_size=1)
plain = texts.filter(lambda text: not {"{", "}", "\\"} & set(text))
prompts = plain.filter(str.strip)
schemas = st.fixed_dictionaries({"description": texts, "enum": st.lists(values, min_size=1)})


@st.composite
def templates(draw: st.DrawFn) -> dict[str, Any]:
    """A document of any template, optional fields included."""
    count = draw(st.integers(1, 3))
    optional = {
        "system": prompts,
        "temperature": st.floats(0, 1),
        "max_tokens": st.integers(1, 200_000),
        "output_schema": schemas,
        "model": names.map(lambda name: name[:200]),
    }
    steps = [
        {
            "id": f"s{n}",
            "prompt": draw(prompts),
            **draw(st.fixed_dictionaries({}, optional=optional)),
        }
        for n in range(count)
    ]
    return {
        "name": draw(names)[:200],
        "description": draw(texts),
        "keep_prompts": draw(st.booleans()),
        "steps": steps,
    }


@given(templates())
def test_a_template_comes_back_from_its_export(document: dict[str, Any]) -> None:
    template = parse_template(document)
    exported = document_of(template)
    for text in (render_yaml(exported), orjson.dumps(exported).decode()):
        again = parse_template(parse_text(text))
        assert again == template
        assert document_of(again) == exported


pieces = st.sampled_from([*ODD, *"{}[],:"])


@given(st.lists(pieces | st.characters(codec="utf-8"), max_size=30).map("".join))
def test_arbitrary_text_gives_a_document_or_one_kind_of_error(text: str) -> None:
    try:
        parse_text(text)
    except TemplateError as error:
        message = str(error)
    else:
        return
    assert message.splitlines() == [message]


@given(
    st.recursive(scalars | st.floats() | st.integers(), lambda inner: st.lists(inner, max_size=2))
)
def test_what_a_document_may_hold_is_what_json_keeps(value: Any) -> None:
    document = {
        "name": "n",
        "steps": [{"id": "a", "prompt": "p", "output_schema": {"enum": [value]}}],
    }
    try:
        template = parse_template(document)
    except TemplateError:
        return
    exported = document_of(template)
    assert orjson.loads(orjson.dumps(exported)) == exported


@pytest.mark.parametrize("beyond", [0, 1])
def test_depth_has_one_limit_for_documents_and_texts(beyond: int) -> None:
    value: Any = "x"
    levels = MAX_DOCUMENT_DEPTH - 4 + beyond  # document, steps, step and output_schema
    for _ in range(levels):
        value = [value]
    step = {"id": "a", "prompt": "p", "output_schema": {"const": value}}
    document = {"name": "n", "steps": [step]}
    flow = json.dumps(document).replace('"name"', "name")  # no JSON any more
    for read in (
        lambda: document,
        lambda: parse_text(json.dumps(document)),
        lambda: parse_text(flow),
    ):
        if beyond:
            with pytest.raises(TemplateError, match="nested deeper"):
                parse_template(read())
        else:
            assert parse_template(read()).steps[0].output_schema == {"const": value}
