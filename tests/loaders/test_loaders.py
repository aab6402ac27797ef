"""A dataset's folder as it stands is read by the libraries that people train with: every row, in
its split, with its types; with failures beside it and without.
"""

import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

import seedwright
from runtime.cli.main import run
from tests.fixtures.bedrock_double import BedrockDouble, RuleDocument
from tests.fixtures.examples import seed_source
from tests.loaders.conftest import ROOT, Reader

LIBRARIES: Final = ("datasets", "pandas", "polars", "duckdb")
EXAMPLES: Final = sorted(path.parent for path in (ROOT / "examples").glob("*/template.yaml"))
LIMITS: Final = frozenset(
    {"pattern", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems"}
)
MODEL: Final = "openai.gpt-oss-20b-1:0"
"""One whose replies fit a schema."""

TEXT: Final = {"type": "string"}
TURN: Final = {
    "type": "object",
    "properties": {"role": TEXT, "content": TEXT},
    "required": ["role", "content"],
    "additionalProperties": False,
}
SCHEMA: Final = {
    "type": "object",
    "properties": {
        "question": TEXT,
        "answer": TEXT,
        "score": {"type": "integer"},
        "weight": {"type": "number"},
        "good": {"type": "boolean"},
        "level": {"enum": ["easy", "hard"]},
        "tags": {"type": "array", "items": TEXT},
        "source": {
            "type": "object",
            "properties": {"title": TEXT, "year": {"type": "integer"}},
            "required": ["title"],
            "additionalProperties": False,
        },
        "turns": {"type": "array", "items": TURN},
        "calls": {"type": "array", "items": {"type": "object"}},
        "more": {},
        "maybe": {"anyOf": [TEXT, {"type": "null"}]},
    },
    "required": [
        "question",
        "answer",
        "score",
        "weight",
        "good",
        "level",
        "tags",
        "source",
        "turns",
    ],
    "additionalProperties": False,
}
OUTPUT: Final = {
    "question": "Why?",
    "answer": "Because.",
    "score": 7,
    "weight": 0.5,
    "good": True,
    "level": "easy",
    "tags": ["a", ""],
    "source": {"title": "T"},
    "turns": [{"role": "user", "content": "Hi"}],
}
OTHERS: Final[Mapping[str, dict[str, Any]]] = {
    "Ask 4": {"tags": [], "more": [1, "a"], "maybe": "x", "calls": []},
    "Ask 5": {"more": "text", "source": {"title": "U", "year": 1999}, "weight": 3},
    "Ask 6": {"more": {"a": None}, "turns": [], "score": 2**63 - 1, "calls": [{"f": 1}, {"g": ""}]},
    "Ask 7": {"more": False, "question": "=1+1\n\"'\u2028", "good": False},
}
"""What some replies say otherwise: null optional keys, empty lists, values of every form."""
SEEDS: Final = [
    {"topic": "ships", "any": 1, "nested": {"a": [1, 2]}, "tools": [{"name": "f"}]},
    {"topic": "tea", "any": "x", "extra": "y", "tools": [{"name": "g", "strict": True}]},
]
CALLS: Final = {
    "messages": [
        {"role": "user", "content": "steps.ask.output.question"},
        "steps.ask.output.turns",
        {"role": "assistant", "content": "{{ '' }}", "tool_calls": "steps.ask.output.calls"},
    ],
    "tools": "seed.tools",
    "keep": ["any", "record.index"],
}


def template(**more: Any) -> dict[str, Any]:
    prompt = "Ask {{ index }} about {{ topic }}."
    step = {"id": "ask", "prompt": prompt, "max_tokens": 400, "output_schema": SCHEMA}
    return {"name": "pairs", "steps": [step], **more}


def generate(out: Path, chosen: Any, **more: Any) -> seedwright.Dataset:
    options: dict[str, Any] = {"n": 12, "seeds": SEEDS, "model": MODEL, "formats": "jsonl", **more}
    return seedwright.generate(chosen, out=out, backend="bedrock", **options)


@pytest.fixture(scope="module")
def double() -> Iterator[BedrockDouble]:
    with BedrockDouble() as running, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", running.url)
        yield running


@pytest.fixture(scope="module")
def folders(double: BedrockDouble, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Datasets by what is special about them."""
    base = tmp_path_factory.mktemp("datasets")
    found = {name: base / name for name in ("whole", "failures", "calls")}
    replies: list[RuleDocument] = [
        {"prompt": prompt, "text": orjson.dumps({**OUTPUT, **other}).decode()}
        for prompt, other in OTHERS.items()
    ]
    double.faults([*replies, {"text": orjson.dumps(OUTPUT).decode()}])
    generate(found["whole"], template())
    generate(found["calls"], template(output=CALLS))
    double.faults(
        [
            {"prompt": "Ask 3", "effect": "ValidationException"},
            *replies,
            {"text": orjson.dumps(OUTPUT).decode()},
        ]
    )
    split = {"test": 0.3, "validation": 0.1}
    dataset = generate(found["failures"], template(split=split), formats=["jsonl", "csv"])
    keep = ["any", "nested", "extra", "seed.id"]
    dataset.export(keep=keep, formats=["jsonl", "csv"])
    # A second configuration, with the verdicts of a review.
    form = dataset.review(base / "form.jsonl", as_="messages")
    first, second, *rest = form.read_bytes().splitlines()
    dropped = {**orjson.loads(first), "keep": False}
    edit = {"messages": [{"role": "user", "content": "Edited"}]}
    edited = {**orjson.loads(second), "edit": edit}
    form.write_bytes(b"\n".join([orjson.dumps(dropped), orjson.dumps(edited), *rest]))
    done = dataset.export("messages", split="none", formats="jsonl", review=form)
    assert (done.rows.dropped, done.rows.edited) == (1, 1)
    double.faults([])
    return found


def written(folder: Path, rows: str) -> dict[str, list[Any]]:
    """The rows by split, as their copies in JSON lines have them."""
    return {
        path.stem: [orjson.loads(line) for line in path.read_bytes().splitlines()]
        for path in sorted((folder / f"{rows}-jsonl").iterdir())
    }


def decoded(value: Any, kind: pa.DataType) -> Any:
    """With values in the place of JSON texts, which most libraries leave as they are."""
    if value is None:
        return None
    if isinstance(kind, pa.JsonType):
        return orjson.loads(value)
    if pa.types.is_list(kind):
        return [decoded(each, kind.value_type) for each in value]
    if pa.types.is_struct(kind):
        return {name: decoded(each, kind.field(name).type) for name, each in value.items()}
    return value


def check(reader: Reader, folder: Path, rows: str, library: str) -> None:
    expected = written(folder, rows)
    found = reader.ask(library=library, folder=str(folder), rows=rows)
    if library != "datasets":
        schema = pq.read_schema(next((folder / rows).iterdir()))
        kinds = {field.name: field.type for field in schema}
        found = {
            split: [
                {name: decoded(value, kinds[name]) for name, value in row.items()} for row in each
            ]
            for split, each in found.items()
        }
    assert any(expected.values())
    assert found == expected


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(
    ("name", "rows"),
    [("whole", "data"), ("calls", "data"), ("failures", "data"), ("failures", "messages")],
)
def test_each_library_reads_every_row(
    reader: Reader, folders: dict[str, Path], name: str, rows: str, library: str
) -> None:
    check(reader, folders[name], rows, library)


def test_the_folders_are_what_the_tests_say(folders: dict[str, Path]) -> None:
    assert (folders["failures"] / "failures.jsonl").exists()
    assert not (folders["whole"] / "failures.jsonl").exists()
    rows = written(folders["failures"], "data")
    assert set(rows) == {"train", "test", "validation"}
    everything = [row for each in rows.values() for row in each]
    assert len(everything) == 11
    assert {type(row["more"]) for row in everything} == {type(None), list, str, dict, bool}
    assert {type(row["any"]) for row in everything} == {int, str}
    messages = [row["messages"] for row in written(folders["failures"], "messages")["train"]]
    assert [turn["content"] for turn in messages[0]] == ["Edited"]
    calls = written(folders["calls"], "data")["train"]
    assert any(turn["tool_calls"] for row in calls for turn in row["messages"])
    assert {tuple(row["tools"][0]) for row in calls} == {("name",), ("name", "strict")}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_the_folder_of_every_example_loads(
    reader: Reader, double: BedrockDouble, tmp_path: Path, example: Path
) -> None:
    del double
    folder = tmp_path / "example"
    shutil.copytree(example, folder)
    document = yaml.safe_load((example / "template.yaml").read_text(encoding="utf-8"))
    (folder / "template.yaml").write_text(yaml.safe_dump(loosened(document)), encoding="utf-8")
    generate(tmp_path / "out", folder / "template.yaml", seeds=seed_source(example.name), n=3)
    check(reader, tmp_path / "out", "data", "datasets")


def loosened(document: Any) -> Any:
    """Without what the double's replies don't keep to; no type of a column changes by it."""
    if isinstance(document, list):
        return [loosened(each) for each in document]
    if not isinstance(document, dict):
        return document
    return {name: loosened(each) for name, each in document.items() if name not in LIMITS}


def test_the_lines_that_are_printed_load_the_rows(
    reader: Reader,
    double: BedrockDouble,
    folders: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Those of a run, of an export in another shape, and of the card."""
    del double
    (tmp_path / "t.json").write_bytes(
        orjson.dumps({"name": "texts", "steps": [{"id": "text", "prompt": "Say {{ topic }}."}]})
    )
    (tmp_path / "s.json").write_bytes(orjson.dumps(SEEDS))
    out = tmp_path / "it's"
    arguments = [tmp_path / "t.json", "--seeds", tmp_path / "s.json", "--backend", "bedrock"]
    assert (
        run(["generate", *map(str, arguments), "-n", "2", "--format", "jsonl", "--out", str(out)])
        == 0
    )
    assert reader.ask(code=shown(capsys)) == written(out, "data")["train"][0]

    messages = folders["failures"]
    assert run(["export", str(messages), "--as", "messages", "--format", "jsonl"]) == 0
    assert reader.ask(code=shown(capsys)) == written(messages, "messages")["train"][0]

    card = (messages / "README.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```$", card, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    for folder, block in zip(("data", "messages"), blocks, strict=True):
        code = block.replace("path/to/this/folder", str(messages)) + "rows['train'][0]"
        assert reader.ask(code=code) == written(messages, folder)["train"][0]


def shown(capsys: pytest.CaptureFixture[str]) -> str:
    """The lines to load rows that were printed."""
    lines = capsys.readouterr().out.splitlines()
    begin = lines.index("  from datasets import load_dataset")
    return "\n".join(line[2:] for line in lines[begin : begin + 3])


def test_rows_that_are_made_again_are_loaded_again(
    reader: Reader, double: BedrockDouble, tmp_path: Path
) -> None:
    """`datasets` keeps what it has read, and doesn't look at the files: more records, other
    columns, and an edit that changes no length have to reach it.
    """
    del double
    texts = {"name": "texts", "steps": [{"id": "text", "prompt": "Say {{ index }}, {{ topic }}."}]}
    code = f"import datasets\ndatasets.load_dataset({str(tmp_path)!r})['train'].to_list()"
    dataset = generate(tmp_path, texts, n=1)
    first = reader.ask(code=code)

    def edit(text: str) -> None:
        form = dataset.review(tmp_path / f"{text}.jsonl")
        rows = [orjson.loads(line) for line in form.read_bytes().splitlines()]
        rows[0]["edit"] = {"text": text}
        form.write_bytes(b"\n".join(map(orjson.dumps, rows)))
        dataset.export(review=form)

    edit("one")
    assert reader.ask(code=code) == [{"text": "one"}]
    edit("two")
    assert reader.ask(code=code) == [{"text": "two"}]
    dataset.export(review="none", keep="topic")
    assert [list(row) for row in reader.ask(code=code)] == [["text", "topic"]]
    generate(tmp_path, texts, n=2)
    assert len(reader.ask(code=code)) == 2
    assert first[0] in [{"text": row["text"]} for row in dataset.rows()]


def test_copies_as_text_are_read_too(reader: Reader, folders: dict[str, Path]) -> None:
    """JSON lines as they are; CSV with texts for what has no type there."""
    folder = folders["failures"]
    (test,) = (each for split, each in written(folder, "data").items() if split == "test")
    lines, cells = (str(folder / f"data-{each}/test.{each}") for each in ("jsonl", "csv"))
    code = (
        f"import pandas as pd\npd.read_json({lines!r}, lines=True, dtype=False).to_dict('records')"
    )
    found = reader.ask(code=code)
    assert [row["question"] for row in found] == [row["question"] for row in test]
    code = f"import duckdb\nlen(duckdb.read_csv({cells!r}, header=True))"
    assert reader.ask(code=code) == len(test)
    rows = reader.ask(code=f"import pandas as pd\npd.read_csv({cells!r}).to_dict('records')")
    assert [orjson.loads(row["source"]) for row in rows] == [row["source"] for row in test]
