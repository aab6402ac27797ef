"""From a reply to the one value in it: found by fence and by balance, refused where in doubt."""

import contextlib
import json
import time
from collections.abc import Mapping

import pytest

from runtime.domain.errors import OutputError
from runtime.engine.answers import answer_of_data, answer_of_text
from tests.fixtures.readers import reader_of

NUMBERS: dict[str, object] = {"type": "array", "items": {"type": "integer"}}
SCORE: dict[str, object] = {
    "type": "object",
    "properties": {"score": {"type": "integer", "maximum": 5}},
    "required": ["score"],
}
ANYTHING: dict[str, object] = {}


def error_of(schema: Mapping[str, object], text: str, *, cut: bool = False) -> str:
    with pytest.raises(OutputError) as caught:
        reader_of(schema).read(text, cut=cut)
    return str(caught.value)


# ── A2: which value is meant ───────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("As note [a] says, the lines are: [4, 5]", [4, 5]),
        ('In {"lines": 2} and ["a"] there are [4, 5]', [4, 5]),
        ("[4, 5], or once more: [4,5].", [4, 5]),
        ("See [1].\n```json\n[4, 5]\n```\nAs in [2].", [4, 5]),
        ("```json\n[1]\n```\nNo, better:\n```json\n[4, 5]\n```", [4, 5]),
        ("Here: ```json\n[4, 5]\n```\nand [6]", [4, 5]),
        ("```\n[4, 5]```\n", [4, 5]),
        ("````md\n[4, 5]\n````", [4, 5]),
        ("~~~json\n[4, 5]\n~~~", [4, 5]),
        ("```python\nprint([1, 2])\n```\nprints [4, 5]... sorry", [4, 5]),
        ("```json\n[4, 5]\n```\n```text\nThat was it.\n```", [4, 5]),
        ("```json\n[4, 5]", [4, 5]),
        ("Lines [4-5] are [4, 5]", [4, 5]),
        ("{{ [4, 5] }}", [4, 5]),
        ("- [x] done: [4, 5]", [4, 5]),
    ],
)
def test_a2_the_value_that_fits_is_found(text: str, value: object) -> None:
    assert reader_of(NUMBERS).read(text) == value


@pytest.mark.parametrize("end", ["\n```", "\n```\nThat prints it.", ""])
def test_a2_a_list_in_code_is_a_part_of_the_code(end: str) -> None:
    assert "not valid JSON" in error_of(NUMBERS, f"```python\nprint(sum([4, 5])){end}")


@pytest.mark.parametrize(
    "text",
    [
        "As note [1] says, the lines are: [4, 5]",
        "[4, 5] or [5, 4]",
        'Draft: {"score": 3}. Final: {"score": 4}.',
        '{"score": 3} {"score": 3, "text": "x"}',
    ],
)
def test_a2_several_values_that_fit_are_no_answer(text: str) -> None:
    schema = SCORE if "score" in text else NUMBERS
    assert (
        error_of(schema, text) == "the reply holds several values that fit: give one of them only"
    )


@pytest.mark.parametrize(
    "text",
    [
        '{"score": 3, "inner": {"score": 4},}',
        "{'score': 3, 'inner': {\"score\": 4}}",
        '{score: 3, inner: {"score": 4}}',
        '{"a": {"score": 4}, ...}',
        '[{"score": 3} {"score": 3}]',
        '[{"score": 3},]',
        '[["x"], {"score": 3},]',
        '{"score": 3}\nCorrected: {"score": 4',
        '{"score": 3}\nCorrected: {',
        '```json\n{"score": 3}\n```\nCorrected:\n```json\n{"score": 4,\n```',
        '```json\n{"score": 3}\n```\nCorrected:\n```json\n{"sco',
        '{"items": [{"score": 4}, {"score',
        '{“score”: 3} {"score": 4}',
        '// {"score": 9}\n{ // the score\n"score": 3} {"score": 4}',
    ],
)
def test_a2_a_part_of_what_is_no_json_is_not_taken(text: str) -> None:
    assert error_of(SCORE, text).startswith("not valid JSON: ")


def test_a2_a_correction_that_does_not_fit_is_no_reason_to_take_the_first() -> None:
    told = error_of(SCORE, '```json\n{"score": 3}\n```\nNo:\n```json\n{"score": 9}\n```')
    assert told == "score: 9 is greater than the maximum of 5"


@pytest.mark.parametrize("text", ['{"score": 3, "score": 4}', '[{"a": {"b": 1, "b": 1}}]'])
def test_a2_a_name_that_stands_twice_has_no_value(text: str) -> None:
    assert "is listed twice in one object" in error_of(ANYTHING, text)


@pytest.mark.parametrize("text", ["1", " 12\n", "```json\n12\n```", "1.5"])
def test_a2_a_number_that_was_cut_may_have_more_digits(text: str) -> None:
    schema = {"type": "number"}
    assert error_of(schema, text, cut=True) == "the number may have more digits"
    assert isinstance(reader_of(schema).read(text), int | float)


@pytest.mark.parametrize("text", ['"one"', "[1]", '{"score": 1} and so', "true"])
def test_a2_other_values_show_where_they_end(text: str) -> None:
    reader_of(ANYTHING).read(text, cut=True)


# ── A3: reasoning ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "reasoning"),
    [
        ('<think>e.g. {"score": 1}</think>{"score": 3}', 'e.g. {"score": 1}'),
        ('<thinking>\n{"score": 1}\n</thinking>\n\n```json\n{"score": 3}\n```', '{"score": 1}'),
        ('It could be {"score": 1}.\n</think>\n{"score": 3}', 'It could be {"score": 1}.'),
        ('[THINK]{"score": 1}[/THINK]{"score": 3}', '{"score": 1}'),
        ('{"score": 3}<reasoning>It is {"score": 1}?</reasoning>', 'It is {"score": 1}?'),
        ('{"score": 3} <think>or perhaps {"score": 1', 'or perhaps {"score": 1'),
        ('<think>a <think> b</think> {"score": 1}</think>{"score": 3}', None),
        ('<think>the tag </think> ends it, {"score": 1}</think>{"score": 3}', None),
        ('<think>{"score": 1}</think>a<think>{"score": 2}</think>{"score": 3}', None),
    ],
)
def test_a3_reasoning_is_not_the_answer(text: str, reasoning: str | None) -> None:
    assert reader_of(SCORE).read(text) == {"score": 3}
    if reasoning is not None:
        assert answer_of_data(text).reasoning == reasoning


@pytest.mark.parametrize(
    "text", ['<think>{"score": 1}', '<think>{"score": 1}</think>', "a</think>"]
)
def test_a3_reasoning_alone_is_no_answer(text: str) -> None:
    assert error_of(SCORE, text) == "the reply was empty"
    assert answer_of_data(text).text == ""


@pytest.mark.parametrize(
    "text",
    ['{"score": 3, "tag": "</think>"}', 'So: {"tag": "<think>x</think>", "score": 3}.'],
)
def test_a3_a_tag_inside_a_value_is_a_part_of_it(text: str) -> None:
    assert answer_of_data(text).text == text
    assert reader_of(SCORE).read(text)


def test_a3_a_text_begins_behind_its_reasoning() -> None:
    assert reader_of(None).read("<think>Hm.</think>\n\nA quiet mill.\n") == "A quiet mill.\n"
    assert answer_of_text(" <think> Hm.\n</think>Mill").reasoning == "Hm."
    assert answer_of_text("Hm.</think>Mill").text == "Mill"
    assert answer_of_text("<think>Hm. I").text == ""
    assert answer_of_text("<think>Hm.").reasoning == "Hm."


@pytest.mark.parametrize(
    "text", ["Put it between <think> and </think>.", "A mill.\n<think>is a tag", " mill "]
)
def test_a3_a_text_about_the_tags_stays_as_it_is(text: str) -> None:
    assert answer_of_text(text).text == text


# ── A7: numbers that no column holds ───────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "digits", ["9223372036854775808", "-9223372036854775809", "1" + "0" * 29, "9" * 300]
)
def test_a7_a_whole_number_beyond_64_bits_is_refused_with_its_place(digits: str) -> None:
    typed = {"items": {"properties": {"n": {"type": "integer"}}}}
    for schema in (ANYTHING, typed):
        told = error_of(schema, f'[{{"n": 1}}, {{"n": {digits}}}]')
        assert told == "1/n: a number that 64 bits can't hold"
    assert error_of({"type": "number"}, digits).startswith("the document: ")


def test_a7_the_ends_of_64_bits_are_numbers() -> None:
    for number in (2**63 - 1, -(2**63)):
        assert reader_of({"type": "integer"}).read(str(number)) == number


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"n": {"type": "integer"}}},
        {"properties": {"n": {"type": ["integer", "null"]}}},
        {"properties": {"n": {"$ref": "#/$defs/n"}}, "$defs": {"n": {"type": "integer"}}},
        {"properties": {"n": {"anyOf": [{"type": "integer", "maximum": 1e300}]}}},
        {"additionalProperties": {"type": "integer"}},
    ],
)
def test_a7_a_typed_integer_is_of_64_bits_however_it_is_written(
    schema: Mapping[str, object],
) -> None:
    assert error_of(schema, '{"n": 1.2e29}').startswith("n: ")
    assert reader_of(schema).read('{"n": 12}') == {"n": 12}
    assert reader_of({"type": "number"}).read("1.2e29") == 1.2e29


def test_a7_the_author_s_own_limits_stay() -> None:
    schema: dict[str, object] = {"type": "integer", "minimum": 1, "maximum": 5}
    assert "maximum of 5" in error_of(schema, "6")
    assert "minimum of 1" in error_of(schema, "0")
    named: dict[str, object] = {"enum": [{"type": "integer"}]}
    assert reader_of(named).read('{"type": "integer"}') == {"type": "integer"}


@pytest.mark.parametrize("digits", ["1e-400", "-2.5e-999"])
def test_a7_a_number_that_would_become_zero_is_refused(digits: str) -> None:
    assert "64 bits" in error_of({"type": "number"}, digits)
    assert reader_of({"type": "number"}).read("0.0e-999") == 0


def test_a7_a_number_beyond_all_floats_is_refused() -> None:
    assert error_of(ANYTHING, '{"n": 1e999}').startswith("not valid JSON: ")


# ── whatever comes ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "text",
    [
        "[" * 200_000 + "x",
        "[x" * 200_000,
        "{a" * 200_000,
        '{"a":' * 200_000,
        "[1]x" * 100_000,
        "`" * 400_000,
        "```" + " " * 200_000 + "```x" * 50_000,
        "```json\n[1" * 40_000,
        "<think>[1]</think>" * 20_000,
        "</think>[1,[" * 5_000,
        "[ " * 200_000,
        "[[x" * 100_000,
        "[t" * 200_000,
        "</think>" + "[1,t" * 100_000,
    ],
    ids=range(14),
)
def test_a_hostile_reply_is_read_or_refused_in_time(text: str) -> None:
    began = time.process_time()
    for schema in (NUMBERS, None):
        with contextlib.suppress(OutputError):
            reader_of(schema).read(text)
    assert time.process_time() - began < 5


@pytest.mark.parametrize("value", [None, False, 0, "", [], {}])
def test_a2_a_fenced_value_may_be_empty(value: object) -> None:
    text = f"So:\n```json\n{json.dumps(value)}\n```\nNot [1]."
    assert reader_of(ANYTHING).read(text) == value
