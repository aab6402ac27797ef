"""The records of a dataset, chosen of what is stored: beside a choice by brute force
(N21, N23).
"""

import csv
import io
import random
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
import pyarrow.parquet as pq
import pytest

from runtime.contract.keys import REJECTED_PARTS, rejected_key
from runtime.domain.checks.check import Balance, Check, Checks, Condition, Unique
from runtime.domain.errors import ExportError
from runtime.domain.jobs.delivery import OutputFormat
from runtime.domain.jobs.job import Job, JobStatus
from runtime.domain.jobs.record import RECORD_FIELDS, Record
from runtime.domain.templates.template import TemplateRef
from runtime.engine.repeats.index import repeat_index
from runtime.export import ordering
from runtime.export.batches import Batches
from runtime.export.exporter import Exporter
from runtime.export.selection import Chosen
from tests.fixtures.job_configs import job_config
from tests.fixtures.memory_objects import MemoryObjects

START = datetime(2026, 1, 1, tzinfo=UTC)
SHORT = Condition(id="short", keep_if="steps.ask.output | length < 9")
FRESH = Unique(id="fresh", by="steps.ask.output")
TITLE = Unique(id="title", by="steps.answer.output.title")
EVEN = Balance(id="even", by="steps.answer.output.label", values=("a", "b", "c"))

Stored = tuple[int, str, str | None, str | None]
"""Index, question, title, label."""


def line(index: int, question: str, title: str | None, label: str | None) -> bytes:
    return Record(
        job_id="j",
        index=index,
        timestamp=START,
        seed_data_id="s",
        generation_result={
            "ask": {"output": question, "model": "m", "stop_reason": "end"},
            "answer": {"output": None if title is None else {"title": title, "label": label}},
        },
        attempt=index % 2,
        verdicts={"short": {"passed": True}, "even": {"passed": True, "value": label}},
    ).line()


def job_of(wanted: int, *formats: OutputFormat, candidates: int = 2000) -> Job:
    return Job(
        job_id="j",
        user_id="ada",
        status=JobStatus.RUNNING,
        config=job_config(
            template=TemplateRef(template_id="t", version=1),
            seed_data_path=None,
            seed_version=None,
            num_records=wanted,
            max_candidates=candidates,
            output_formats=formats or (OutputFormat.JSONL,),
        ),
        budget_limit="1",
        created_at=START,
        updated_at=START,
    )


def generated(rng: random.Random, count: int) -> list[Stored]:
    """Records with gaps between them, nearly in order, some of them twice."""
    indices = sorted(rng.sample(range(2 * count), count))
    indices.sort(key=lambda index: index + rng.gauss(0, 20))
    found: list[Stored] = []
    for index in indices:
        question = f" Question  {rng.randrange(count // 2)}" if rng.random() < 0.5 else f"q {index}"
        title = rng.choice([None, f"T{rng.randrange(count // 4)}", f"t{index}"])
        found.append((index, question, title, rng.choice(["a", "a", "a", "b", "c", None, "d"])))
    # A repeated write of an index, later, with another text: the first one counts.
    found += [(each[0], "another", None, None) for each in rng.sample(found, 5)]
    return found


def store(records: Sequence[Stored], rng: random.Random) -> MemoryObjects:
    objects = MemoryObjects()
    batches, number, lines = Batches(objects), 1, [line(*each) for each in records]
    while lines:
        size = rng.randrange(1, 60)
        batches.save_batch("j", number, lines[:size])
        number, lines = number + 1, lines[size:]
    return objects


def by_hand(
    records: Sequence[Stored], wanted: int, checks: Checks
) -> tuple[list[int], dict[str, list[int]]]:
    """The accepted, and those that each check leaves out, written down again from the rules."""
    first: dict[int, Stored] = {}
    for each in records:
        first.setdefault(each[0], each)
    kept: list[list[str | None]] = []
    left: dict[str, list[int]] = {}
    accepted: list[int] = []
    taken = dict.fromkeys(EVEN.values, 0)
    for index, question, title, label in (first[index] for index in sorted(first)):
        texts = [question, title]
        shown = [None if text is None else " ".join(text.casefold().split()) for text in texts]
        places = [(int(check.by != FRESH.by), check.id) for check in checks.unique]
        used = [(place, name) for place, name in places if shown[place] is not None]
        repeated = [name for place, name in used if shown[place] in {own[place] for own in kept}]
        if repeated:
            left.setdefault(repeated[0], []).append(index)
            continue
        kept.append(shown)
        if checks.balance is None:
            if len(accepted) < wanted:
                accepted.append(index)
        elif label not in taken:
            left.setdefault("even", []).append(index)
        else:
            # Room while it has less than its part; what the parts leave over goes to whoever asks.
            part, over = divmod(wanted, len(taken))
            more = sum(count > part for count in taken.values())
            if taken[label] < part or (taken[label] == part and more < over):
                taken[label] += 1
                accepted.append(index)
    return accepted, left


def chosen_of(
    objects: MemoryObjects, checks: Checks, wanted: int, *, expected: int | None = None
) -> Chosen:
    return Exporter(objects).choose(job_of(wanted), checks, repeat_index, expected=expected)


SETS: dict[str, tuple[Check, ...]] = {
    "records": (SHORT,),
    "unique": (SHORT, FRESH),
    "twice": (TITLE, SHORT, FRESH),
    "balance": (EVEN,),
    "all": (EVEN, FRESH, TITLE),
}


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("window", [600, ordering.WINDOW_BYTES])
def test_a_choice_by_hand_is_the_same(
    name: str, window: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ordering.IndexOrder.__init__, "__kwdefaults__", _windowed(window))
    checks = Checks(SETS[name])
    for seed in range(4):
        rng = random.Random(seed)  # noqa: S311
        records = generated(rng, 300)
        objects = store(records, rng)
        for wanted in (1, 40, 299):
            accepted, left = by_hand(records, wanted, checks)
            chosen = chosen_of(objects, checks, wanted)
            assert list(chosen.accepted) == accepted
            assert {check: list(some) for check, some in chosen.left_out.items()} == left
            assert list(chosen.passed) == sorted({each[0] for each in records})
            selection = chosen.selection
            assert (selection.wanted, selection.records) == (wanted, 300)
            assert selection.accepted == len(accepted)
            assert selection.surplus == 300 - len(accepted) - sum(map(len, left.values()))


def _windowed(window: int) -> dict[str, Any]:
    return {**(ordering.IndexOrder.__init__.__kwdefaults__ or {}), "window_bytes": window}


def test_nobody_waits_for_what_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Records in order, with gaps between them, never wait on the disk."""
    monkeypatch.setattr(ordering.IndexOrder.__init__, "__kwdefaults__", _windowed(6000))
    monkeypatch.setattr(ordering, "temporary_file", lambda _things: pytest.fail("on the disk"))
    records = [(3 * index, f"q {index}", None, None) for index in range(300)]
    objects = store(records, random.Random(1))  # noqa: S311
    assert len(chosen_of(objects, Checks((FRESH,)), 300).accepted) == 300


def test_near_texts_are_left_out_by_the_rule_of_the_check() -> None:
    objects = MemoryObjects()
    words = "one two three four five six seven eight nine ten"
    texts = [words, f"{words} eleven", "quite another text about something else", words.upper()]
    Batches(objects).save_batch("j", 1, [line(i, text, None, None) for i, text in enumerate(texts)])
    near = Unique(id="near", by="steps.ask.output", near=0.8)
    chosen = chosen_of(objects, Checks((near,)), 10)
    assert list(chosen.accepted) == [0, 2]
    assert {check: list(some) for check, some in chosen.left_out.items()} == {"near": [1, 3]}


def test_a_choice_of_other_records_than_were_counted_is_refused() -> None:
    objects = store([(0, "a", None, None), (4, "b", None, None)], random.Random(1))  # noqa: S311
    assert chosen_of(objects, Checks((SHORT,)), 9, expected=2).selection.accepted == 2
    with pytest.raises(ExportError, match="2 distinct records but 3 were counted"):
        chosen_of(objects, Checks((SHORT,)), 9, expected=3)


def rejected(index: int, attempt: int, check: str) -> bytes:
    document = orjson.loads(line(index, "no", None, None))
    return orjson.dumps({**document, "try": attempt, "rejected_by": check})


def test_what_was_rejected_is_listed_each_try_once() -> None:
    objects = MemoryObjects()
    records = [("a", "a"), ("A", "a"), ("b", "z"), ("c", "a")]
    lines = [line(index, text, None, label) for index, (text, label) in enumerate(records)]
    Batches(objects).save_batch("j", 1, lines)
    parts = Batches(objects, REJECTED_PARTS)
    first, second, third = rejected(0, 0, "short"), rejected(7, 0, "short"), rejected(7, 1, "q")
    parts.save_batch("j", 1, [first, second])
    parts.save_batch("j", 2, [second, third], shard=1)
    exporter, checks = Exporter(objects), Checks((FRESH, EVEN))
    job = job_of(1)
    chosen = exporter.choose(job, checks, repeat_index)
    result = exporter.export_data(job, expected=4, chosen=chosen)
    lines = objects.bodies[rejected_key("j")].splitlines()
    assert lines[:3] == [first, second, third]
    said = [(each["index"], each["rejected_by"]) for each in map(orjson.loads, lines[3:])]
    assert said == [(1, "fresh"), (2, "even")]  # the last one is surplus, and rejected by nobody
    assert (result.records, result.rejected) == (1, 5)
    assert [orjson.loads(each)["index"] for each in _dataset(objects)] == [0]
    objects.delete([key for key in objects.bodies if "/rejected/" in key])
    chosen = exporter.choose(job_of(4), Checks((SHORT,)), repeat_index)
    exporter.export_data(job_of(4), expected=4, chosen=chosen)
    assert rejected_key("j") not in objects.bodies


def _dataset(objects: MemoryObjects) -> list[bytes]:
    return objects.bodies["jobs/j/exports/dataset.jsonl"].splitlines()


def test_a_job_that_stops_lists_what_was_rejected_so_far() -> None:
    objects = MemoryObjects()
    Batches(objects, REJECTED_PARTS).save_batch("j", 1, [rejected(3, 0, "short")])
    Exporter(objects).export_failures(job_of(4))
    assert objects.bodies[rejected_key("j")] == rejected(3, 0, "short") + b"\n"


def test_columns_of_checks_come_after_the_others() -> None:
    objects = MemoryObjects()
    Batches(objects).save_batch("j", 1, [line(1, "a", None, "b"), line(2, "=b", None, None)])
    job, exporter = job_of(2, OutputFormat.PARQUET, OutputFormat.CSV), Exporter(objects)
    chosen = exporter.choose(job, Checks((SHORT,)), repeat_index)
    exporter.export_data(job, expected=2, chosen=chosen)
    table = pq.read_table(io.BytesIO(objects.bodies["jobs/j/exports/dataset.parquet"]))
    names = [*RECORD_FIELDS, "try", "checks"]
    assert (table.column_names, table["try"].to_pylist()) == (names, [1, 0])
    assert str(table.schema.field("try").type) == "int64"
    passed = {"short": {"passed": True}}
    verdicts = [{**passed, "even": {"passed": True, "value": value}} for value in ("b", None)]
    assert [orjson.loads(str(each)) for each in table["checks"].to_pylist()] == verdicts
    text = objects.bodies["jobs/j/exports/dataset.csv"].decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert (list(rows[0]), [row["try"] for row in rows]) == (names, ["1", "0"])
    assert [orjson.loads(row["checks"]) for row in rows] == verdicts
