"""Datasets as seeds of others: by folder, by the items of an output, through a pipe."""

import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

import seedwright
from runtime.cli.main import run
from runtime.inputs.seed_reading import read_as
from runtime.inputs.seeds import read_seeds
from tests.fixtures.bedrock_double import BedrockDouble, RuleDocument
from tests.fixtures.command import billed_nano

TOPICS = """\
name: topics
steps:
  - id: list
    prompt: "Name topics of {{ area }}."
    max_tokens: 60
    output_schema:
      type: object
      additionalProperties: false
      required: [topics]
      properties:
        topics: {type: array, items: {type: string}}
"""
ARTICLES = """\
name: articles
steps:
  - id: text
    prompt: "Write about {{ item }}."
    max_tokens: 40
"""
REPLY: RuleDocument = {"text": '{"topics": ["sea", "tea", "sea"]}'}
AREAS = '{"id":"a","area":"water"}\n{"id":"b","area":"food"}\n'


@pytest.fixture
def double(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[BedrockDouble]:
    (tmp_path / "topics.yaml").write_text(TOPICS)
    (tmp_path / "articles.yaml").write_text(ARTICLES)
    (tmp_path / "areas.jsonl").write_text(AREAS)
    monkeypatch.chdir(tmp_path)
    with BedrockDouble() as running:
        monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", running.url)
        running.faults([REPLY])
        yield running


def topics(*more: str, n: int = 2) -> list[str]:
    inputs = ["topics.yaml", "--seeds", "areas.jsonl", "--seed-strategy", "ordered"]
    return ["generate", *inputs, "-n", str(n), "--backend", "bedrock", *more]


def lines_in(text: str) -> list[Any]:
    return [orjson.loads(line) for line in text.splitlines()]


def test_a_pipe_carries_rows_alone_and_ids_that_lead_back(
    double: BedrockDouble, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(topics("--out", "-")) == 0
    first = capsys.readouterr()
    rows = lines_in(first.out)
    records = lines_in(Path("datasets/topics/dataset.jsonl").read_text())

    assert [row["topics"] for row in rows] == [["sea", "tea", "sea"]] * 2
    assert {row["id"] for row in rows} == {record["id"] for record in records}
    assert "the dataset is kept in datasets/topics" in first.err
    assert "2 of 2 records" in first.err

    double.faults([])
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(first.out.encode())))
    chain = ["--seeds", "-", "--explode", "topics", "--unique", "-n", "2", "--backend", "bedrock"]
    assert run(["generate", "articles.yaml", *chain]) == 0
    assert "warning: --unique: left out 4 seeds that equal" in capsys.readouterr().err
    articles = lines_in(Path("datasets/articles/dataset.jsonl").read_text())
    assert {each["seed_data_id"] for each in articles} == {f"{rows[0]['id']}/{n}" for n in (1, 2)}

    paid = billed_nano(double)  # the folder needs none of its sources
    for name in ("articles.yaml", "areas.jsonl"):
        Path(name).unlink()
    assert run(["resume", "datasets/articles", "-n", "3"]) == 0
    assert billed_nano(double) > paid
    note = orjson.loads(Path("datasets/articles/.seedwright/seeds.json").read_bytes())
    assert note["options"] == {"explode": "topics", "unique": True}
    assert note["sources"][0]["name"] == "standard input"


def test_a_pipe_gives_what_the_folder_would(
    double: BedrockDouble, capsys: pytest.CaptureFixture[str]
) -> None:
    run(topics("--out", "-"))
    piped = lines_in(capsys.readouterr().out)

    folder = read_seeds("datasets/topics", ())
    by_rows = read_seeds("datasets/topics", (), read_as(explode="topics"))
    by_steps = read_seeds("datasets/topics", (), read_as(explode="steps.list.output.topics"))
    named = read_seeds("datasets/topics/dataset.jsonl", ("generation_result.list.output",))

    assert list(folder.rows) == piped
    assert sorted(map(str, by_rows.rows)) == sorted(map(str, by_steps.rows))
    assert len(named.rows) == 2
    assert double.calls == 2


def test_ids_lead_back_where_a_record_failed(double: BedrockDouble) -> None:
    """Rows have no id: the i-th row is that of the i-th record that did not fail."""
    double.faults([{"prompt": "food", "text": "no JSON"}, REPLY])
    run(topics("--max-failures", "100%", n=4))

    rows = list(read_seeds("datasets/topics", ()).rows)
    records = lines_in(Path("datasets/topics/dataset.jsonl").read_text())

    assert 0 < len(records) < 4
    assert [row["id"] for row in rows] == sorted(each["id"] for each in records)


def test_nothing_is_piped_of_a_dataset_that_is_not_complete(
    double: BedrockDouble, capsys: pytest.CaptureFixture[str]
) -> None:
    double.faults([REPLY])
    code = run(topics("--out", "-", "--budget", "0.0001", n=20))
    said = capsys.readouterr()

    assert (code, said.out) == (3, "")
    assert "no rows were written to standard output" in said.err
    found = seedwright.validate("articles.yaml", "datasets/topics", explode="topics")
    assert any("datasets/topics is not complete: " in each for each in found.warnings)
    assert run(topics("--out", "-", n=20)) == 0
    assert len(capsys.readouterr().out.splitlines()) == 20
    assert double.calls == 20


def test_a_reader_that_goes_loses_nothing(
    double: BedrockDouble, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Gone(io.RawIOBase):
        def writable(self) -> bool:
            return True

        def write(self, data: Any) -> int:
            del data
            raise BrokenPipeError

    class Output(io.StringIO):
        buffer = Gone()  # type: ignore[assignment]

    with monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", Output())
        code = run(topics("--out", "-"))
    said = capsys.readouterr()

    assert code == 0
    assert "the reader of the rows has gone: they are in datasets/topics" in said.err
    assert run(topics("--out", "-")) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert double.calls == 2


@pytest.mark.usefixtures("double")
def test_json_and_rows_can_not_share_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(topics("--out", "-", "--json")) == 2
    assert "both write to standard output" in capsys.readouterr().err
    assert not Path("datasets").exists()


@pytest.mark.usefixtures("double")
def test_a_changed_source_is_refused_with_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    run(topics())
    Path("areas.jsonl").write_text('{"area":"air"}\n')
    capsys.readouterr()

    assert run(topics()) == 2
    error = capsys.readouterr().err
    assert "(different seeds)" in error
    assert "`seedwright resume datasets/topics` goes on with its own seeds" in error


def test_values_of_any_form_are_seeds_as_they_were(double: BedrockDouble) -> None:
    """Parquet holds them as JSON text."""
    double.faults([{"text": '{"topics": ["sea", {"name": "tea"}], "more": [1]}'}])
    schema = {
        "type": "object",
        "additionalProperties": False,
        "required": ["topics", "more"],
        "properties": {"topics": {"type": "array"}, "more": {}},
    }
    step = {"id": "a", "prompt": "{{ area }}", "max_tokens": 50, "output_schema": schema}
    dataset = seedwright.generate(
        {"name": "any", "steps": [step]}, "areas.jsonl", n=1, backend="bedrock"
    )

    [row] = read_seeds(dataset.path, ()).rows
    items = read_seeds(dataset.path, (), read_as(explode="topics")).rows

    assert (row["topics"], row["more"]) == (["sea", {"name": "tea"}], [1])
    assert [each.get("item", each.get("name")) for each in items] == ["sea", "tea"]
