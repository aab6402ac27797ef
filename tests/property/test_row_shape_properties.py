"""Every shape of `output:`, from records to files and back: what another library reads is what a
walk by hand makes of the same records, in each format; and the same export gives the same bytes.
"""

import csv
import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from random import Random
from typing import Any, Final

import orjson
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.domain.jobs.delivery import OutputFormat
from runtime.domain.jobs.job import Job, JobStatus, Progress
from runtime.domain.jobs.record import Record
from runtime.domain.jobs.sampling import SeedStrategy
from runtime.domain.outputs.types import Type
from runtime.domain.templates.document import parse_template
from runtime.domain.templates.template import TemplateRef
from runtime.engine.rendering.renderer import TemplateEngine
from runtime.engine.schema_check import SchemaCheck
from runtime.export.batches import Batches
from runtime.export.exporter import Exporter
from runtime.export.row_export import RowResult
from runtime.worker.exporting import JobExport
from tests.fixtures.clock import START, ManualClock
from tests.fixtures.job_configs import job_config
from tests.fixtures.memory_objects import MemoryObjects
from tests.fixtures.row_values import decoded, from_csv
from tests.fixtures.schema_samples import output_of, schema_of

RECORDS: Final = 9
SEEDS: Final[list[dict[str, Any]]] = [
    {"topic": "tea", "any": 1, "source": {"title": "T"}, "tools": [{"name": "f"}]},
    {"topic": "=ships\n\"'", "any": ["x"], "source": {"title": "é", "year": 1}, "tools": []},
    {"topic": "snow", "source": {}, "tools": [{"name": "g", "strict": None}, {}]},
]
TEXTS: Final = ("Why?", "", "=1+1", "'", 'a "b",\r\nc', "\u2028é\x00", "-")
TURN: Final = {
    "type": "object",
    "properties": {"role": {"type": "string"}, "content": {"type": "string"}},
    "required": ["role", "content"],
    "additionalProperties": False,
}
Outputs = dict[str, Any]
Seed = Mapping[str, Any]
Get = Callable[[Outputs, Seed, int], Any]


# ── values, each as a template says it and as a walk by hand finds it ──────────────────────────


TEXT_VALUES: Final[tuple[tuple[str, Get], ...]] = (
    ("steps.ask.output.question", lambda out, _seed, _index: out["question"]),
    ("steps.answer.output", lambda out, _seed, _index: out["answer"]),
    ("seed.topic", lambda _out, seed, _index: seed["topic"]),
    ('{{ "fixed" }}', lambda _out, _seed, _index: "fixed"),
    (
        "{{ topic }}/{{ steps.ask.output.question }}/{{ index }}",
        lambda out, seed, index: f"{seed['topic']}/{out['question']}/{index}",
    ),
)
DATA_VALUES: Final[tuple[tuple[str, Get], ...]] = (
    ("steps.ask.output", lambda out, _seed, _index: without(out, "answer")),
    ("steps.ask.output.v", lambda out, _seed, _index: out.get("v")),
    ("steps.ask.output.calls", lambda out, _seed, _index: out.get("calls")),
    ("seed.any", lambda _out, seed, _index: seed.get("any")),
    ("seed.source", lambda _out, seed, _index: seed["source"]),
    ("seed.source.year", lambda _out, seed, _index: seed["source"].get("year")),
    ("record.index", lambda _out, _seed, index: index),
)


def text_value(rng: Random) -> tuple[str, Get]:
    """A text of a row; data is compact JSON there."""
    if rng.random() < 0.7:
        return rng.choice(TEXT_VALUES)
    path, get = rng.choice(DATA_VALUES)
    return path, lambda *of: as_text(get(*of))


def any_value(rng: Random) -> tuple[str, Get]:
    """A value of any type."""
    return rng.choice(TEXT_VALUES + DATA_VALUES)


def as_text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else orjson.dumps(value).decode()


def without(out: Outputs, name: str) -> Outputs:
    return {each: value for each, value in out.items() if each != name}


# ── shapes ─────────────────────────────────────────────────────────────────────────────────────

Row = dict[str, Any]
Shaped = tuple[Any, Callable[[Outputs, Seed, int], Row]]


def filled(make: Mapping[str, tuple[str, Get]], **fixed: Any) -> Shaped:
    """Fields by name, and their row."""
    document = {name: value for name, (value, _) in make.items()}
    return document, lambda *of: {**{name: get(*of) for name, (_, get) in make.items()}, **fixed}


def columns(rng: Random) -> Shaped:
    document, row = filled({name: any_value(rng) for name in ("one", "two", "three")})
    return {"columns": document}, row


def turns(rng: Random, role: str = "role", content: str = "content") -> tuple[Any, Any]:
    """Messages with calls, and the messages of an output among them."""
    asked, answered = text_value(rng), text_value(rng)
    has_calls, has_spread = rng.random() < 0.5, role == "role" and rng.random() < 0.5
    last = {role: "assistant", content: answered[0]}
    document: list[Any] = [{role: "user", content: asked[0]}]
    document += ["steps.ask.output.turns"] if has_spread else []
    has_calls = has_calls and role == "role"
    document.append({**last, "tool_calls": "steps.ask.output.calls"} if has_calls else last)
    empty = {"tool_calls": None} if has_calls else {}

    def get(out: Outputs, seed: Seed, index: int) -> list[Row]:
        found: list[Row] = [{role: "user", content: asked[1](out, seed, index), **empty}]
        found += [{**turn, **empty} for turn in (out["turns"] if has_spread else [])]
        calls = {"tool_calls": out.get("calls")} if has_calls else {}
        return [*found, {role: "assistant", content: answered[1](out, seed, index), **calls}]

    return document, get


def messages(rng: Random) -> Shaped:
    document, get = turns(rng)
    if rng.random() < 0.5:
        return {"messages": document}, lambda *of: {"messages": get(*of)}
    return (
        {"messages": document, "tools": "seed.tools"},
        lambda out, seed, index: {"messages": get(out, seed, index), "tools": seed["tools"]},
    )


def prompt_completion(rng: Random) -> Shaped:
    document, row = filled({name: text_value(rng) for name in ("prompt", "completion")})
    return {"prompt-completion": document}, row


def preference(rng: Random) -> Shaped:
    if rng.random() < 0.5:
        document, row = filled({name: text_value(rng) for name in ("chosen", "rejected")})
        return {"preference": document}, row
    made = {name: turns(rng) for name in ("prompt", "chosen", "rejected")}
    document, row = filled(made)
    return {"preference": document}, row


def unpaired(rng: Random) -> Shaped:
    document, row = filled({name: text_value(rng) for name in ("prompt", "completion")})
    label = rng.choice(("steps.ask.output.good", "{{ steps.ask.output.good }}"))
    return {"unpaired-preference": {**document, "label": label}}, lambda out, seed, index: {
        **row(out, seed, index),
        "label": out["good"],
    }


def alpaca(rng: Random) -> Shaped:
    names = ["instruction", "output", *rng.choice(((), ("input",), ("input", "system")))]
    document, row = filled({name: text_value(rng) for name in names})
    empty = {} if "input" in names else {"input": ""}
    return {"alpaca": document}, lambda *of: {**row(*of), **empty}


def sharegpt(rng: Random) -> Shaped:
    document, get = turns(rng, "from", "value")
    return (
        {"sharegpt": {"conversations": document}},
        lambda *of: {"conversations": get(*of)},
    )


def openai(rng: Random) -> Shaped:
    if rng.random() < 0.5:
        document, get = turns(rng)
        return {"openai": {"messages": document}}, lambda *of: {"messages": get(*of)}
    asked, chosen, rejected = (turns(rng) for _ in range(3))
    document = {"input": asked[0], "preferred_output": chosen[0]}
    document["non_preferred_output"] = rejected[0]
    return {"openai": document, "tools": "seed.tools"}, lambda out, seed, index: {
        "input": {"messages": asked[1](out, seed, index), "tools": seed["tools"]},
        "preferred_output": chosen[1](out, seed, index),
        "non_preferred_output": rejected[1](out, seed, index),
    }


def bedrock(rng: Random) -> Shaped:
    system, asked, answered = (text_value(rng) for _ in range(3))
    document = [
        {"role": "system", "content": system[0]},
        {"role": "user", "content": asked[0]},
        {"role": "assistant", "content": answered[0]},
    ]
    return {"bedrock": {"messages": document}}, lambda *of: {
        "schemaVersion": "bedrock-conversation-2024",
        "system": [{"text": system[1](*of)}],
        "messages": [
            {"role": "user", "content": [{"text": asked[1](*of)}]},
            {"role": "assistant", "content": [{"text": answered[1](*of)}]},
        ],
    }


def verl(rng: Random) -> Shaped:
    truth, extra, asked = any_value(rng), any_value(rng), text_value(rng)
    document = {
        "data_source": '{{ "own" }}',
        "prompt": [{"role": "user", "content": asked[0]}],
        "ability": "seed.topic",
        "reward_model": {"style": '{{ "rule" }}', "ground_truth": truth[0]},
        "extra_info": {"value": extra[0]},
    }
    return {"verl": document}, lambda out, seed, index: {
        "data_source": "own",
        "prompt": [{"role": "user", "content": asked[1](out, seed, index)}],
        "ability": seed["topic"],
        "reward_model": {"style": "rule", "ground_truth": truth[1](out, seed, index)},
        "extra_info": {"value": extra[1](out, seed, index)},
    }


SHAPES: Final = (
    *(columns, messages, prompt_completion, preference, unpaired),
    *(alpaca, sharegpt, openai, bedrock, verl),
)


# ── records, and what is exported of them ──────────────────────────────────────────────────────


def outputs(rng: Random, schema: Any) -> Outputs:
    """What the steps of one record gave; optional names may be missing, or null."""
    found: Outputs = {
        "question": rng.choice(TEXTS),
        "answer": rng.choice(TEXTS),
        "good": rng.random() < 0.5,
        "turns": [
            {"role": rng.choice(("user", "assistant")), "content": rng.choice(TEXTS)}
            for _ in range(rng.randint(0, 2))
        ],
    }
    if rng.random() < 0.7:
        found["calls"] = [rng.choice(({}, {"name": "f"}, {"n": [1, None]})) for _ in range(2)]
    value, check = output_of(rng, schema), SchemaCheck(schema)
    if not check.errors(value):
        found["v"] = value
    return found


@dataclass(frozen=True, kw_only=True)
class Ports:
    clock: ManualClock = field(default_factory=ManualClock)
    objects: MemoryObjects = field(default_factory=MemoryObjects)


def a_job(records: int) -> Job:
    return Job(
        job_id="j",
        user_id="u",
        status=JobStatus.COMPLETED,
        config=job_config(
            template=TemplateRef(template_id="t", version=1),
            seed_data_path="seed-data/u/s.json",
            seed_version=None,
            num_records=RECORDS,
            seed_strategy=SeedStrategy.ORDERED,
            output_formats=tuple(OutputFormat),
        ),
        budget_limit=None,
        created_at=START,
        updated_at=START,
        completed_at=START,
        progress=Progress(records_generated=records, failed_records=RECORDS - records),
    )


def stored(rng: Random, objects: MemoryObjects, found: Mapping[int, Outputs]) -> None:
    """Seeds, and the records in batches in any order."""
    objects.put("seed-data/u/s.json", orjson.dumps(SEEDS), content_type="application/json")
    lines = [
        Record(
            job_id="j",
            index=index,
            timestamp=START + timedelta(seconds=index),
            seed_data_id=f"row-{index % len(SEEDS)}",
            generation_result={
                "ask": {"output": without(each, "answer"), "model": "m"},
                "answer": {"output": each["answer"], "model": "m"},
            },
        ).line()
        for index, each in found.items()
    ]
    rng.shuffle(lines)
    middle = rng.randint(0, len(lines))
    for number, batch in enumerate((lines[:middle], lines[middle:]), start=1):
        if batch:
            Batches(objects).save_batch("j", number, batch)


def files(objects: MemoryObjects) -> dict[str, bytes]:
    return {key: body for key, body in objects.bodies.items() if key.startswith("jobs/j/")}


def read(objects: MemoryObjects, result: RowResult, split: str) -> Iterator[tuple[str, list[Any]]]:
    """The rows of a split in each format; those of CSV as far as it can say them."""
    kinds: Mapping[str, Type] = result.columns
    base = "jobs/j/exports/data"
    table = pq.read_table(io.BytesIO(objects.get(f"{base}/{split}-00000-of-00001.parquet")))
    assert table.column_names == list(kinds)
    parquet = [
        {name: decoded(value, kinds[name]) for name, value in row.items()}
        for row in table.to_pylist()
    ]
    yield "parquet", parquet
    lines = objects.get(f"{base}-jsonl/{split}.jsonl").splitlines()
    yield "jsonl", [orjson.loads(line) for line in lines]
    text = objects.get(f"{base}-csv/{split}.csv").decode()
    head, *cells = csv.reader(io.StringIO(text, newline=""))
    assert head == list(kinds)
    yield (
        "csv",
        [
            {name: from_csv(cell, kinds[name]) for name, cell in zip(head, row, strict=True)}
            for row in cells
        ],
    )


def agrees(found: Any, expected: Any) -> bool:
    """Whether it is the same but for its form: null stands for what an object lacks, and names
    that a schema doesn't mention stay in the record.
    """
    if isinstance(found, dict) and isinstance(expected, dict):
        return all(agrees(value, expected.get(name)) for name, value in found.items())
    if isinstance(found, list) and isinstance(expected, list):
        pairs = zip(found, expected, strict=False)
        return len(found) == len(expected) and all(agrees(*pair) for pair in pairs)
    if isinstance(found, bool) or isinstance(expected, bool):
        return found is expected
    if isinstance(found, float) and isinstance(expected, int):
        return found == float(expected)  # a number of 64 bits is rounded above 2**53
    return bool(found == expected)


@pytest.fixture(scope="module")
def engine() -> Iterator[TemplateEngine]:
    with TemplateEngine() as shared:
        yield shared


@settings(max_examples=8)
@given(number=st.integers(0, 2**63))
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
def test_every_shape_comes_back_from_every_format(
    engine: TemplateEngine, shape: Callable[[Random], Shaped], number: int
) -> None:
    rng = Random(number)  # noqa: S311 - drawn again when it fails
    schema = schema_of(rng)
    properties = {
        "question": {"type": "string"},
        "good": {"type": "boolean"},
        "turns": {"type": "array", "items": TURN},
        "calls": {"type": "array", "items": {"type": "object"}},
        "v": schema,
    }
    required = ["question", "good", "turns"]
    asked: dict[str, Any] = {"type": "object", "properties": properties, "required": required}
    asked["additionalProperties"] = False
    document, row = shape(rng)
    split = rng.choice((None, {"test": 0.4}, {"test": 0.3, "dev": 0.3, "by": "seed.topic"}))
    template = parse_template(
        {
            "name": "n",
            "steps": [
                {"id": "ask", "prompt": "x", "output_schema": asked},
                {"id": "answer", "prompt": "y"},
            ],
            "output": {**document, "keep": ["record.index", "seed.id"]},
            **({} if split is None else {"split": split}),
        }
    )
    indices = sorted(rng.sample(range(RECORDS), k=rng.randint(1, RECORDS)))
    found = {index: outputs(rng, schema) for index in indices}
    ports, job = Ports(), a_job(len(found))
    stored(rng, ports.objects, found)
    export = JobExport(Exporter(ports.objects), ports, engine)

    (result,) = export.export(job, template, expected=len(found))

    assert result.without_row == 0
    where: dict[int, str] = {}
    for name in result.counts:
        for kind, rows in read(ports.objects, result, name):
            own = [int(each["record_index"]) for each in rows]
            assert own == sorted(own)
            where |= dict.fromkeys(own, name)
            for index, each in zip(own, rows, strict=True):
                seed = SEEDS[index % len(SEEDS)]
                expected = {
                    **row(found[index], seed, index),
                    "record_index": index,
                    "seed_id": f"row-{index % len(SEEDS)}",
                }
                assert set(each) == set(expected)
                if kind == "csv":  # null and the empty text are one
                    expected = {
                        key: "" if value is None else value for key, value in expected.items()
                    }
                assert agrees(each, expected), (kind, each, expected)
    assert sorted(where) == indices
    if split is not None and "by" in split:
        sources = {(index % len(SEEDS), name) for index, name in where.items()}
        assert len(sources) == len({source for source, _ in sources})

    # The same again, later: dataset, rows, card, report and what is noted of them.
    before = files(ports.objects)
    assert {"jobs/j/README.md", "jobs/j/report.html", "jobs/j/rows.json"} <= set(before)
    ports.clock.advance(86_400)
    export.export(replace(job, updated_at=ports.clock.now()), template, expected=len(found))
    assert files(ports.objects) == before
