"""The examples with checks give what they promise: so many records, pairs, and even labels."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq
import pytest

from runtime.cli.main import run
from tests.fixtures.bedrock_double import BedrockDouble
from tests.fixtures.checked_examples import RULES, arguments

RECORDS: Final = 24


@pytest.fixture
def double(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[BedrockDouble]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-test")
    with BedrockDouble() as running:
        yield running


def rows(
    name: str, double: BedrockDouble, capsys: pytest.CaptureFixture[str]
) -> tuple[Any, list[dict[str, Any]]]:
    """What the command says of the example's checks, and all rows of the dataset."""
    double.faults(RULES[name])
    assert run(arguments(name, RECORDS, double.url, Path())) == 0
    checks = json.loads(capsys.readouterr().out)["checks"]
    assert checks["accepted"] == RECORDS
    assert checks["tries"] > RECORDS + checks["surplus"]
    files = sorted(Path("out/data").glob("*.parquet"))
    return checks, [row for file in files for row in pq.read_table(file).to_pylist()]


def test_grounded_answers_were_judged_and_no_question_comes_twice(
    double: BedrockDouble, capsys: pytest.CaptureFixture[str]
) -> None:
    checks, found = rows("grounded-answers", double, capsys)
    assert len({row["prompt"] for row in found}) == len(found) == RECORDS
    assert set(checks["rejected_by"]) == {"grounded"}
    lines = map(json.loads, Path("out/dataset.jsonl").read_text().splitlines())
    scores = [line["checks"]["grounded"]["scores"]["faithfulness"]["score"] for line in lines]
    assert set(scores) == {3, 5}


def test_each_pair_has_a_brief_answer_and_a_rambling_one(
    double: BedrockDouble, capsys: pytest.CaptureFixture[str]
) -> None:
    checks, found = rows("kept-and-rejected", double, capsys)
    assert 0 < len(found) <= sum(checks["rejected_by"].values())
    for row in found:
        assert row["chosen"][0]["content"].startswith("Because")
        assert row["rejected"][0]["content"].startswith("Well")


def test_labels_come_equally_often(
    double: BedrockDouble, capsys: pytest.CaptureFixture[str]
) -> None:
    _, found = rows("even-tickets", double, capsys)
    assert Counter(row["label"] for row in found) == dict.fromkeys(
        ("delivery", "returns", "praise"), RECORDS // 3
    )
