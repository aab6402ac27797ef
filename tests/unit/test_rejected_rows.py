"""Rows of what checks did: scores of judges, and records paired with what was rejected of them."""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson
import pytest

from runtime.contract.keys import REJECTED_PARTS
from runtime.domain.errors import TemplateError
from runtime.domain.jobs.indices import IndexSet
from runtime.domain.outputs.document import output_document
from runtime.domain.templates.document import parse_template
from runtime.domain.templates.template import Template
from runtime.engine.row_sample import sample_row
from runtime.engine.rows import RowMaker, RowProblem
from runtime.export.batches import Batches
from runtime.export.rejected import FirstRejected
from tests.fixtures.memory_objects import MemoryObjects
from tests.simulation.engines import PlainEngine

SCORES = [
    {"name": "faith", "description": "?", "options": {5: "all", 1: "none"}},
    {"name": "tone", "description": "?", "options": {"kind": "x", "rude": "y"}},
]
CHECKS = [
    {"id": "quality", "judge": {"of": "steps.say.output", "scores": SCORES}},
    {"id": "short", "max_words": 5, "of": "steps.say.output"},
]
PAIRS = {
    "preference": {"prompt": "steps.ask.output", "chosen": "steps.say.output"},
    "pair_rejects": True,
}


def template(output: object, *, checks: object = CHECKS, **more: object) -> Template:
    steps = [{"id": "ask", "prompt": "Ask."}, {"id": "say", "prompt": "Answer."}]
    document = {"name": "t", "steps": steps, "output": output, "checks": checks, **more}
    return parse_template({name: each for name, each in document.items() if each is not None})


def record(index: int, said: str, *, attempt: int = 1, **more: object) -> dict[str, Any]:
    return {
        "id": f"j-{index}",
        "index": index,
        "seed_data_id": "s",
        "generation_result": {"ask": {"output": f"q{index}"}, "say": {"output": said}},
        "try": attempt,
        **more,
    }


def rows_of(
    found: Template, records: list[dict[str, Any]], rejected: Mapping[int, dict[str, Any]] = {}
) -> tuple[list[tuple[int, dict[str, Any]]], list[RowProblem]]:
    maker, problems = RowMaker(found, PlainEngine()), list[RowProblem]()
    made = maker.values(records, lambda _index: None, problems.append, rejected.get)
    return [(i, dict(zip(maker.schema, values, strict=True))) for i, values in made], problems


def test_rows_have_scores() -> None:
    columns = {
        "text": "steps.say.output",
        "faith": "checks.quality.scores.faith.score",
        "tone": "checks.quality.scores.tone.score",
        "why": "checks.quality.scores.faith.reasoning",
    }
    judged = {"quality": {"passed": None, "scores": {"faith": {"reasoning": "r", "score": 5}}}}
    unjudged = {"quality": {"passed": None, "skipped": True}}
    found = template({"columns": columns})
    rows, problems = rows_of(
        found, [record(0, "a", checks=judged), record(1, "b", checks=unjudged)]
    )
    assert rows == [
        (0, {"text": "a", "faith": 5, "tone": None, "why": "r"}),
        (1, {"text": "b", "faith": None, "tone": None, "why": None}),
    ]
    assert not problems
    kinds = {name: str(kind) for name, kind in RowMaker(found, PlainEngine()).schema.items()}
    assert kinds == {"text": "string", "faith": "int64", "tone": "string", "why": "string"}


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("checks.qualty.scores.faith.score", 'there is no judge "qualty", did you mean "quality"'),
        ("checks.quality.scores.fait.score", 'checks.quality has no "fait", did you mean "faith"'),
        ("checks.short.passed", 'there is no judge "short"'),
        ("checks", "write checks.<name>; the judges are quality"),
    ],
)
def test_a_path_that_no_judge_has_is_refused(path: str, said: str) -> None:
    with pytest.raises(TemplateError) as refused:
        template({"columns": {"x": path}})
    assert said in str(refused.value)


def test_without_judges_there_are_no_scores() -> None:
    with pytest.raises(TemplateError, match="the template has no judges"):
        template({"columns": {"x": "checks.quality.scores"}}, checks=None)


def test_a_record_is_paired_with_what_was_rejected_of_it() -> None:
    found = template(PAIRS)
    records = [record(index, f"good {index}") for index in range(130)]
    rejected = {i: record(i, f"bad {i}", attempt=0) for i in range(0, 130, 2)}
    rows, problems = rows_of(found, records, rejected)
    assert rows == [
        (i, {"prompt": f"q{i}", "chosen": f"good {i}", "rejected": f"bad {i}"})
        for i in range(0, 130, 2)
    ]
    assert [(each.index, each.column) for each in problems] == [
        (i, "rejected") for i in range(1, 130, 2)
    ]


def test_messages_are_paired_too() -> None:
    turns = [{"role": "assistant", "content": "steps.say.output"}]
    asked = [{"role": "user", "content": "steps.ask.output"}]
    found = template({"preference": {"prompt": asked, "chosen": turns}, "pair_rejects": True})
    ((_, row),) = rows_of(found, [record(0, "good")], {0: record(0, "bad")})[0]
    assert [row["chosen"][0]["content"], row["rejected"][0]["content"]] == ["good", "bad"]


def test_what_is_said_to_be_rejected_is_read_of_the_rejected_try() -> None:
    output = {**PAIRS, "preference": {**PAIRS["preference"], "rejected": "steps.ask.output"}}  # type: ignore[dict-item]
    other = record(0, "bad")
    other["generation_result"]["ask"]["output"] = "another question"
    rows, _ = rows_of(template(output), [record(0, "good")], {0: other})
    assert rows[0][1] == {"prompt": "q0", "chosen": "good", "rejected": "another question"}


def test_a_pair_is_given_back_as_it_was_read() -> None:
    found = template(PAIRS)
    again = template(output_document(found.output))
    assert (again.output, again.output.pair_rejects) == (found.output, True)
    assert "pair_rejects" not in str(
        output_document(template({"columns": {"a": "seed.id"}}).output)
    )


@pytest.mark.parametrize(
    ("output", "checks", "said"),
    [
        ({"columns": {"a": "seed.id"}, "pair_rejects": True}, CHECKS, "is for preference alone"),
        (PAIRS, None, "needs checks of records"),
        (PAIRS, [{"id": "u", "unique": {"by": "steps.say.output"}}], "needs checks of records"),
        ({**PAIRS, "pair_rejects": "yes"}, CHECKS, "must be true or false"),
    ],
)
def test_pairs_that_there_can_not_be_are_refused(output: object, checks: object, said: str) -> None:
    with pytest.raises(TemplateError, match=said):
        template(output, checks=checks)


def test_a_row_is_shown_before_anything_is_paid() -> None:
    shown = sample_row(PlainEngine(), template(PAIRS), {})
    assert shown.row is not None
    assert (set(shown.row), shown.problem) == ({"prompt", "chosen", "rejected"}, None)
    columns = {"faith": "checks.quality.scores.faith.score"}
    shown = sample_row(PlainEngine(), template({"columns": columns}), {})
    assert shown.row == {"faith": 5}


def test_a_check_of_the_last_step_is_one_of_records() -> None:
    assert template(PAIRS, checks=[{"id": "short", "max_words": 5}]).output.pair_rejects


def lines(*tries: tuple[int, int, str]) -> Iterator[bytes]:
    for index, attempt, said in tries:
        yield orjson.dumps(record(index, said, attempt=attempt, rejected_by="short"))


def test_the_first_rejected_try_of_the_dataset_s_records_is_found() -> None:
    objects, accepted = MemoryObjects(), IndexSet(50)
    for index in (3, 7, 9):
        accepted.add(index)
    parts = Batches(objects, REJECTED_PARTS)
    parts.save_batch("j", 1, list(lines((7, 1, "second"), (3, 0, "three"), (8, 0, "not ours"))))
    parts.save_batch("j", 2, list(lines((7, 0, "first"), (40, 0, "beyond"))), shard=0)
    with FirstRejected(parts.load_all_batches("j"), accepted) as rejected:
        said = {
            index: None if found is None else found["generation_result"]["say"]["output"]
            for index in range(60)
            for found in [rejected.of(index)]
        }
    assert {index: text for index, text in said.items() if text} == {3: "three", 7: "first"}
