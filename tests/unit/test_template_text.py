"""Template files: what is refused before it is built, and how a document is written."""

import json
from pathlib import Path
from typing import Any

import pytest

from runtime.domain.errors import TemplateError
from runtime.domain.templates.document import document_of, parse_template
from runtime.domain.templates.measure import MAX_DOCUMENT_DEPTH
from runtime.domain.templates.text import MAX_TEXT_BYTES, parse_text, render_yaml

EXAMPLES = sorted(Path("examples").glob("*/template.yaml"))


def problem(text: str, name: str = "") -> str:
    with pytest.raises(TemplateError) as caught:
        parse_text(text, name=name)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\nb: [x, 'y']", {"a": 1, "b": ["x", "y"]}),
        ('{"a": 1}', {"a": 1}),
        ('\ufeff {"a": "\\ud83d\\ude00\\/"}', {"a": "😀/"}),
        ("{a: 1, b: c}", {"a": 1, "b": "c"}),
        ("{% raw", None),
        ("", None),
    ],
)
def test_json_and_yaml(text: str, expected: Any) -> None:
    if text.startswith("{%"):
        assert "not valid YAML" in problem(text)
    else:
        assert parse_text(text) == expected


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("a: b: c", "t.yaml, line 1, column 5: not valid YAML"),
        ('{"a": 1, "a": 2}', "t.yaml: not valid JSON: 'a' stands twice"),
        ('{"b": {"a": 1, "a": 2}}', "stands twice"),
        ('{"a": Infinity}', "t.yaml: not valid JSON: Infinity is no JSON number"),
        ('{"a": ' + "9" * 5000 + "}", "t.yaml: not valid JSON: "),
        ("a: 1\na: 2", "t.yaml, line 2, column 1: not valid YAML: 'a' stands here twice"),
        ("[a, b]: 1", "a key has to be a plain text"),
        ("a: &b [1]\nc: *b", "t.yaml, line 2, column 4: not valid YAML: aliases (*name) are not"),
        ("a: \x07", "t.yaml: not valid YAML"),
        ("a: 2026-02-31", "t.yaml: not valid YAML: day is out of range"),
        ("a: !!python/name:os.system", "not valid YAML"),
        ("a: '\ud800'", "not valid YAML"),
        ("x" * (MAX_TEXT_BYTES + 1), "t.yaml: larger than 512 KiB"),
        ("é" * (MAX_TEXT_BYTES // 2 + 1), "larger than 512 KiB"),
        ("[" * (MAX_DOCUMENT_DEPTH + 1), "nested deeper than 64 levels"),
    ],
)
def test_what_is_refused(text: str, part: str) -> None:
    assert part in problem(text, "t.yaml")


def test_a_place_alone() -> None:
    assert problem("a: b: c").startswith("line 1, column 5: not valid YAML: ")
    assert problem('{"a": NaN}').startswith("not valid JSON: ")


def test_depth_is_counted_in_and_out() -> None:
    assert parse_text("[" * 64 + "]" * 64) is not None
    assert len(parse_text("[]\n" and "\n".join("- [[]]" for _ in range(100)))) == 100


def test_deep_json_ends_in_an_error_and_not_in_a_crash() -> None:
    assert "nested" in problem('{"a":' * 80_000 + "1" + "}" * 80_000)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.parent.name)
def test_examples_come_back(path: Path) -> None:
    """S1: export and import of a template give the same template."""
    template = parse_template(parse_text(path.read_text(encoding="utf-8")))
    document = document_of(template)
    for text in (render_yaml(document), json.dumps(document)):
        assert parse_template(parse_text(text)) == template


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 5


def test_what_stands_twice_is_written_twice() -> None:
    shared = ["x", "y"]
    text = render_yaml({"a": shared, "b": shared})
    assert "&" not in text
    assert parse_text(text) == {"a": shared, "b": shared}
