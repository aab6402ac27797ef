"""Replies of a real model: each is read as the value in it or refused, never as another."""

import json
from pathlib import Path
from typing import Any, Final

import jsonschema_rs
import pytest

from runtime.domain.errors import OutputError
from runtime.engine.outputs import CUT_STOP_REASON
from tests.fixtures.readers import reader_of
from tests.fixtures.replies.make import NAMES, NUMBERS, REVIEW

SCHEMAS: Final[dict[str, dict[str, Any]]] = {
    "review": REVIEW,
    "numbers": NUMBERS,
    "names": NAMES,
    "object": {"type": "object"},
    "list": {"type": "array"},
    "anything": {},
}
CASES: Final = [
    json.loads(line)
    for line in (Path(__file__).parents[1] / "fixtures/replies/cases.jsonl").read_text().split("\n")
    if line
]


def read(name: str, case: dict[str, Any]) -> list[Any]:
    """The output in a list; an empty one for a refusal."""
    reader = reader_of(SCHEMAS[name])
    try:
        return [reader.read(case["text"], cut=case["stop_reason"] == CUT_STOP_REASON)]
    except OutputError:
        return []


def test_there_are_200_of_them() -> None:
    assert len(CASES) >= 200
    assert len({case["text"] for case in CASES}) > 190
    assert sum(case["stop_reason"] == CUT_STOP_REASON for case in CASES) > 60


def test_a2_each_reply_gives_the_answer_that_was_decided_by_hand() -> None:
    wrong = [case for case in CASES if read(case["schema"], case) != case["answer"]]
    assert wrong == []
    assert any(case["answer"] for case in CASES)


@pytest.mark.parametrize("name", ["object", "list", "anything"])
def test_a2_under_a_looser_schema_no_reply_is_read_as_a_part_of_it(name: str) -> None:
    for case in CASES:
        output = read(name, case)
        fitting = [v for v in case["values"] if jsonschema_rs.is_valid(SCHEMAS[name], v)]
        # A text that is a JSON value as a whole may also be no list and no object.
        assert output == [] or output[0] in fitting or json.loads(case["text"]) == output[0], case


def test_whole_values_are_not_refused() -> None:
    """The other side of caution: most replies that hold one object and end by themselves."""
    ended = [
        case
        for case in CASES
        if case["stop_reason"] != CUT_STOP_REASON
        and len(case["values"]) == 1
        and isinstance(case["values"][0], dict)
        and case["values"][0]
    ]
    taken = [case for case in ended if read("object", case) == case["values"]]
    assert len(ended) >= 20
    assert len(taken) >= 0.8 * len(ended), [case["text"] for case in ended if case not in taken]
