"""From a model's text to a step's output: what is taken, what is refused and what a repair says."""

import orjson
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from runtime.domain.errors import OutputError
from runtime.domain.jobs.record import Record
from runtime.domain.templates.provider_schema import in_words
from runtime.engine.answers import MAX_DEPTH
from runtime.engine.outputs import (
    REFUSED_STOP_REASONS,
    repair_instruction,
)
from runtime.engine.schema_check import MAX_ERROR_CHARACTERS, MAX_ERRORS_SHOWN
from tests.fixtures.clock import START
from tests.fixtures.readers import reader_of

SCORE = {
    "type": "object",
    "properties": {"score": {"type": "integer", "minimum": 1}, "text": {"type": "string"}},
    "required": ["score"],
    "additionalProperties": False,
}
ANYTHING: dict[str, object] = {}


def error_of(schema: dict[str, object] | None, text: str) -> str:
    with pytest.raises(OutputError) as caught:
        reader_of(schema).read(text)
    return str(caught.value)


def test_without_a_schema_the_text_is_the_output() -> None:
    text = ' {"not": json \n'
    assert reader_of(None).read(text) == text


@pytest.mark.parametrize("schema", [None, SCORE])
@pytest.mark.parametrize("text", ["", " \n\t", "\u2028"])
def test_an_empty_reply_is_refused(schema: dict[str, object] | None, text: str) -> None:
    assert error_of(schema, text) == "the reply was empty"


@pytest.mark.parametrize(
    "text",
    [
        '{"score": 3}',
        ' \n{"score":3}\n',
        '```json\n{"score": 3}\n```',
        '```\n{\n  "score": 3\n}\n```\n',
        'Sure! Here is your JSON:\n\n{"score": 3}\n\nLet me know {if} you [need] more.',
        'Sure! {"score": 3} or, if you like, {"score": "more"}',
        'Größe 😀: {"score": 3}!',
        '{"score": 3}}',
    ],
)
def test_the_json_is_found(text: str) -> None:
    assert reader_of(SCORE).read(text) == {"score": 3}


def test_a_list_inside_prose_is_found() -> None:
    assert reader_of({"type": "array"}).read('The list:\n["a", {"b": 1}]\nDone.') == [
        "a",
        {"b": 1},
    ]


@pytest.mark.parametrize(
    "text",
    [
        "no JSON at all",
        '{"score": 3',
        '{"scores": [{"score": 3}, {"score": 4}, {"sco',
        '[{"score": 3}, {"score": 4',
        '```json\n{"score": 3, "text": "cut o',
        "{'score': 3}",
        '{"score": NaN}',
        "{",
        "}{",
        '{"score": 3, "text": "\ud800"}',
    ],
)
def test_what_is_no_whole_json_is_refused(text: str) -> None:
    """Above all the part of a value that was cut off: it would be wrong data."""
    assert error_of(ANYTHING, text).startswith("not valid JSON: ")


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=6),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
        ),
    ).filter(lambda value: isinstance(value, list | dict)),
    st.text(st.characters(codec="utf-8", exclude_characters="[{"), max_size=10),
    st.text(st.characters(codec="utf-8", exclude_characters="[{"), max_size=10),
)
def test_any_value_is_found_between_any_words(value: object, before: str, after: str) -> None:
    # A quote before and after would make the whole of it one JSON text.
    assume(not before.rstrip().endswith('"'))
    text = before + orjson.dumps(value).decode() + after
    assert reader_of(ANYTHING).read(text) == value


@settings(deadline=None)
@given(st.text(st.sampled_from('{}[]",:1a\\ \n`'), max_size=40))
def test_any_text_is_an_output_or_an_output_error(text: str) -> None:
    try:
        output = reader_of(ANYTHING).read(text)
    except OutputError:
        return
    orjson.dumps(output)


def test_errors_say_where_and_what() -> None:
    assert error_of(SCORE, '{"score": 0}') == "score: 0 is less than the minimum of 1"
    assert error_of(SCORE, "[]") == 'the document: [] is not of type "object"'
    assert error_of(SCORE, '{"text": 5}').count("; ") == 1


def test_errors_are_few_and_short() -> None:
    """A repair pays for every character of them."""
    told = error_of(
        {"type": "array", "items": {"type": "integer"}}, orjson.dumps(["x" * 5000] * 50).decode()
    )
    assert told.count("/x") == 0
    assert len(told.split("; ")) == MAX_ERRORS_SHOWN
    assert len(told) <= MAX_ERRORS_SHOWN * (MAX_ERROR_CHARACTERS + 2)


def nested(levels: int) -> str:
    return "[" * levels + "]" * levels


def test_what_is_read_can_be_stored() -> None:
    """JSON may be read deeper than it can be written: that must not end the job."""
    output = reader_of(ANYTHING).read(nested(MAX_DEPTH))
    record = Record(
        job_id="j",
        index=0,
        timestamp=START,
        seed_data_id="s",
        generation_result={"step": {"output": output}},
    )
    assert nested(MAX_DEPTH).encode() in record.line()


@pytest.mark.parametrize("levels", [MAX_DEPTH + 1, 300, 1000])
def test_what_could_not_be_stored_is_refused(levels: int) -> None:
    assert (
        error_of(ANYTHING, nested(levels)) == f"the value is nested deeper than {MAX_DEPTH} levels"
    )
    assert "nested" in error_of(ANYTHING, '{"a":' * levels + "1" + "}" * levels)


def test_nesting_beyond_all_bounds_is_refused() -> None:
    assert error_of(ANYTHING, nested(100_000)).startswith("not valid JSON: ")


def test_the_instruction_carries_the_schema() -> None:
    instruction = in_words(SCORE).instruction
    assert instruction.startswith("\n\nAnswer with one JSON value and nothing else.")
    assert orjson.loads(instruction.split("Schema:\n")[1]) == SCORE


def test_the_repair_says_what_was_wrong() -> None:
    assert repair_instruction(OutputError("score: 0 is less than the minimum of 1")) == (
        "That answer can't be used: score: 0 is less than the minimum of 1.\n"
        "Answer again with the corrected value only, without any explanation."
    )


def test_stop_reasons_of_converse_are_sorted() -> None:
    """All nine of the Converse API: four give a completion, five are refused though billed. A
    server's refusal in a field of its own is the sixth of those.
    """
    usable = {"end_turn", "tool_use", "max_tokens", "stop_sequence"}
    assert not usable & REFUSED_STOP_REASONS
    assert "refusal" in REFUSED_STOP_REASONS
    assert len(REFUSED_STOP_REASONS) == 5 + 1
