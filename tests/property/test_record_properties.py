"""Record and failure lines: one line each, valid UTF-8, with an index that reads back."""

from datetime import UTC, datetime

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.domain.jobs.record import (
    RECORD_FIELDS,
    Failure,
    Record,
    clean_text,
    index_of,
    record_id,
)

SURROGATES = "\ud800\udbff\udc00\udfff"
any_text = st.text(st.characters(codec=None) | st.sampled_from(SURROGATES + "\ufeff\n\u2028"))
NOW = datetime(2026, 11, 23, 12, 0, 0, 5, tzinfo=UTC)


@given(any_text)
def test_clean_text_can_be_stored_and_keeps_what_was_valid(text: str) -> None:
    clean = clean_text(text)
    assert clean.encode().decode() == clean
    assert clean_text(clean) == clean
    if not any(0xD800 <= ord(character) <= 0xDFFF for character in text):
        assert clean is text


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("a\ud800b", "a\ufffdb"),
        ("a\udc00", "a\ufffd"),
        ("a\ud800", "a\ufffd"),  # noqa: PT014 - to ruff all surrogates are the same
        ("\ud83d\ude00!", "\U0001f600!"),  # a pair that came as two halves is one character
        ("\ud800\ud83d\ude00", "\ufffd\U0001f600"),
        ("\ufeffa\ud800", "\ufeffa\ufffd"),
    ],
)
def test_lone_surrogates_are_replaced(text: str, clean: str) -> None:
    assert clean_text(text) == clean


@given(st.integers(0, 2**63 - 1), any_text.map(clean_text), any_text.map(clean_text))
def test_a_record_is_one_line_with_its_index(index: int, seed: str, output: str) -> None:
    line = Record(
        job_id="j",
        index=index,
        timestamp=NOW,
        seed_data_id=seed,
        generation_result={"s": {"output": output}},
    ).line()
    assert b"\n" not in line
    assert index_of(line) == index
    document = orjson.loads(line)
    assert tuple(document) == RECORD_FIELDS
    assert document["id"] == record_id("j", index)
    assert document["timestamp"] == "2026-11-23T12:00:00.000005Z"
    assert document["seed_data_id"] == seed
    assert document["generation_result"]["s"]["output"] == output


@given(st.integers(0, 2**63 - 1), any_text.map(clean_text))
def test_a_failure_is_one_line_with_its_index(index: int, message: str) -> None:
    line = Failure(
        job_id="j",
        index=index,
        seed_data_id="row-1",
        step="s",
        kind="invalid_output",
        message=message,
        attempts=2,
    ).line()
    assert b"\n" not in line
    assert index_of(line) == index
    assert orjson.loads(line) == {
        "id": f"j-{index}",
        "index": index,
        "seed_data_id": "row-1",
        "step": "s",
        "kind": "invalid_output",
        "message": message,
        "attempts": 2,
    }


@given(st.binary())
def test_damage_is_a_value_error(line: bytes) -> None:
    try:
        index = index_of(line)
    except ValueError:
        return
    assert orjson.loads(line)["index"] == index >= 0


@pytest.mark.parametrize("index", ["1", 1.0, True, None, -1, [1]])
def test_only_a_natural_number_is_an_index(index: object) -> None:
    with pytest.raises(ValueError, match="index"):
        index_of(orjson.dumps({"index": index}))
