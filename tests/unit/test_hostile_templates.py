"""Templates that take long to read, or are read as something else. The names of the
tests begin with the id of the fault that they keep away.
"""

import json
import time
from dataclasses import replace
from itertools import product
from typing import Final, NoReturn

import pytest

from runtime.domain.errors import TemplateError
from runtime.domain.templates import check
from runtime.domain.templates.check import check_template
from runtime.domain.templates.document import (
    complete_document,
    document_of,
    parse_template,
    resolve_includes,
)
from runtime.domain.templates.storage import parse_stored, stored_text
from runtime.domain.templates.template import OnTruncation, Pin, Step
from runtime.domain.templates.text import parse_text

PLAIN_STEP: Final = {"id": "a", "prompt": "x"}


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


def test_e5_a_stored_template_is_not_checked_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    document = {
        "name": "n",
        "steps": [{"id": "a", "prompt": "{{ b }}{% include 'f' %}{% include 'g' %}"}],
        "fragments": {"f": "{{ c }}"},
    }
    pins = {"g": Pin(template_id="t", version=3), "own": Pin(template_id="u")}
    checked = replace(parse_template(document), pins=pins)
    text = stored_text(checked)

    def never(*_: object) -> NoReturn:
        raise AssertionError("checked again")

    monkeypatch.setattr(check, "check_template", never)
    assert parse_stored(text) == checked


def test_e5_another_format_is_checked_anew() -> None:
    document = json.loads(stored_text(parse_template({"name": "n", "steps": [PLAIN_STEP]})))
    document["stored"]["format"] += 1
    document["steps"][0]["prompt"] = "{{ ''.__class__ }}"
    with pytest.raises(TemplateError, match="__class__"):
        parse_stored(json.dumps(document))


@pytest.mark.parametrize(
    ("listed", "declared"), [([], True), (["b"], False), (["b", "c"], True)], ids=str
)
def test_e5_what_was_stored_before_formats_is_read(listed: list[str], *, declared: bool) -> None:
    """It always lists its requirements: the list that would be derived counts as derived."""
    document = {"name": "n", "steps": [{"id": "a", "prompt": "{{ b }}"}]}
    found = parse_stored(json.dumps({**document, "schema_requirements": listed}))
    assert found.requirements_declared is declared
    assert found.schema_requirements == tuple(listed)


# ── G1: whether requirements were declared ─────────────────────────────────────────────────────


@pytest.mark.parametrize("listed", [[], ["a"], ["b"]], ids=str)
def test_g1_declared_requirements_stay_whatever_is_included(listed: list[str]) -> None:
    """Also where they are what would have been derived before the include was there."""
    steps = [{"id": "a", "prompt": "{% if a is defined %}{{ a }}{% endif %}{% include 'f' %}"}]
    declared = parse_template({"name": "n", "steps": steps, "schema_requirements": listed})
    for kept in (
        declared,
        parse_stored(stored_text(declared)),
        parse_template(document_of(declared)),
    ):
        assert resolve_includes(kept, lambda _: "{{ b }}").schema_requirements == tuple(listed)


@pytest.mark.parametrize("chosen", OnTruncation)
def test_g1_a_stored_step_means_what_it_meant(chosen: OnTruncation) -> None:
    step = {"id": "a", "prompt": "x", "on_truncation": chosen}
    template = parse_template({"name": "n", "steps": [step], "keep_reasoning": True})
    again = parse_stored(stored_text(template))
    assert again == template
    assert again.steps[0].on_truncation is chosen


def test_g1_derived_requirements_are_derived_again() -> None:
    steps = [{"id": "a", "prompt": "{{ a }}{% include 'f' %}"}]
    derived = parse_template({"name": "n", "steps": steps})
    assert "schema_requirements" not in document_of(derived)
    assert complete_document(derived)["schema_requirements"] == ["a"]
    for kept in (
        derived,
        parse_stored(stored_text(derived)),
        parse_template(document_of(derived)),
    ):
        assert resolve_includes(kept, lambda _: "{{ b }}").schema_requirements == ("a", "b")


# ── E6: YAML that builds something else than JSON ──────────────────────────────────────────────

SEXAGESIMAL = ":".join(["1"] + ["59"] * 100_000)


@pytest.mark.parametrize(
    "text",
    [
        "a: !!int ''",
        "a: !!float ''",
        "a: !!bool x",
        "a: !!timestamp x",
        "a: !!python/object:os.system x",
        "a: !!set {b: 1}",
        "a: ! x",
        "!t {a: 1}",
        "- !t [a]",
        "? !!int 5\n: 1",
        "a: " + "9" * 100_000,
        "a: 0000-01-01",
        "a: 2001-12-14t21:59:43 +99:99",
        "--- 1\n--- 2",
    ],
)
def test_e6_what_is_no_plain_yaml_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(TemplateError) as caught:
        parse_text(text)
    assert "\n" not in str(caught.value)
    assert "not valid YAML" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1:30", "1:30"),
        (SEXAGESIMAL, SEXAGESIMAL),
        (f"{SEXAGESIMAL}.5", f"{SEXAGESIMAL}.5"),
        ("=", "="),
        ("0b_", "0b_"),
        ("0x_", "0x_"),
        ("-_", "-_"),
        ("1_000", 1000),
        ("0x1F", 31),
        ("-0.5", -0.5),
        ("+.5e+3", 500.0),
        ("yes", True),
        ("~", None),
        ("", None),
    ],
)
def test_e6_a_plain_word_is_a_number_a_truth_value_null_or_text(text: str, value: object) -> None:
    begun = time.monotonic()
    assert parse_text(f"a: {text}") == {"a": value}
    assert time.monotonic() - begun < 2


@pytest.mark.parametrize(
    ("text", "place", "advice"),
    [
        ("name: 2026-02-03", "name", 'put it into quotes, "2026-02-03"'),
        (
            "samplers:\n- {name: day, params: {values: [a, b, 2026-02-03]}}",
            "samplers[0].params.values[2]",
            'put it into quotes, "2026-02-03"',
        ),
        (
            "steps:\n- id: a\n- output_schema: {default: 2026-02-03 10:00:00}",
            "steps[1].output_schema.default",
            'put it into quotes, "2026-02-03 10:00:00"',
        ),
        ("steps: [{output_schema: {.inf: 1}}]", "steps[0].output_schema", "inf is none"),
        ("output: {columns: {yes: a}}", "output.columns", "True is none: put it into quotes"),
        (f"a: {'[' * 40}.nan{']' * 40}", f"a{'[0]' * 3}…{'[0]' * 4}", "not NaN"),
        ('{"a": {"b\\u001b": [18446744073709551616]}}', "a.b [0]", "at most 64 bits"),
    ],
)
def test_e6_what_is_no_json_is_refused_with_its_place_and_what_to_do(
    text: str, place: str, advice: str
) -> None:
    with pytest.raises(TemplateError) as caught:
        parse_template(parse_text(text))
    told = str(caught.value)
    assert told.startswith(f"{place}: ")
    assert advice in told
    assert told.isprintable()


def test_e6_a_merge_key_is_a_key_like_any_other() -> None:
    assert parse_text("<<: {a: 1}\nb: 2") == {"<<": {"a": 1}, "b": 2}
