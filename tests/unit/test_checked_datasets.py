"""Datasets of templates with checks on a laptop: what the folder, Python and the command say."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

import seedwright
from runtime.cli.main import run
from tests.fixtures.bedrock_double import BedrockDouble

SEEDS = [{"topic": f"topic {letter}"} for letter in "abcdefg"]
STEP = {"id": "text", "prompt": "Say {{ topic }} {{ index }}.", "max_tokens": 20}
KEPT = {"id": "kept", "keep_if": "index % 5 in [1, 3]"}
MODEL = "us.amazon.nova-micro-v1:0"


@pytest.fixture
def double(monkeypatch: pytest.MonkeyPatch) -> Iterator[BedrockDouble]:
    with BedrockDouble() as running:
        monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", running.url)
        yield running


def template(**more: Any) -> dict[str, Any]:
    return {"name": "one", "steps": [STEP], "checks": [KEPT], **more}


def good(count: int) -> list[int]:
    return [index for index in range(10 * count) if index % 5 in {1, 3}][:count]


def generate(folder: Path, n: int, **more: Any) -> seedwright.Dataset:
    asked = more.pop("template", None) or template()
    return seedwright.generate(
        asked,
        SEEDS,
        n=n,
        budget=5,
        out=folder,
        model=MODEL,
        backend="bedrock",
        formats=["jsonl", "parquet"],
        **more,
    )


def indices(dataset: seedwright.Dataset) -> list[int]:
    return sorted(record["index"] for record in dataset)


@pytest.mark.usefixtures("double")
def test_a_dataset_has_the_records_that_pass(tmp_path: Path, double: BedrockDouble) -> None:
    dataset = generate(tmp_path / "out", 12, attempts=1)
    assert (len(dataset), indices(dataset)) == (12, good(12))
    checks = dataset.report["checks"]
    assert (checks["accepted"], checks["exact"]) == (12, True)
    assert checks["rejected_by"] == {"kept": checks["tries"] - 12 - checks["surplus"]}
    rejected = list(dataset.rejected())
    assert len(rejected) == checks["rejected_by"]["kept"]
    assert {each["rejected_by"] for each in rejected} == {"kept"}
    assert (tmp_path / "out" / "rejected.jsonl") in dataset.files
    first = next(iter(dataset))
    assert (first["try"], first["checks"]) == (0, {"kept": {"passed": True}})
    assert dataset.to_arrow().column_names[-2:] == ["try", "checks"]
    statistics = dataset.statistics()
    assert (statistics["records"], statistics["missing"]) == (12, 0)
    assert statistics["checks"] == checks
    assert len(list(dataset.rows())) == 12
    # More of them: what there is comes first, and nothing that was made is made again.
    calls = len(double.requests)
    more = generate(tmp_path / "out", 12 + checks["surplus"], attempts=1)
    assert indices(more) == good(12 + checks["surplus"])
    assert len(double.requests) == calls
    most = generate(tmp_path / "out", 20, attempts=1)
    assert indices(most) == good(20)
    assert len(list(most.rows())) == 20


@pytest.mark.usefixtures("double")
def test_a_dataset_in_shards_has_them_too(tmp_path: Path) -> None:
    one = generate(tmp_path / "one", 12, attempts=1)
    many = generate(tmp_path / "many", 12, attempts=1, workers=2)
    assert indices(many) == good(12) == indices(one)
    assert [row["text"] for row in many.rows()] == [row["text"] for row in one.rows()]
    assert many.report["checks"]["accepted"] == 12


@pytest.mark.usefixtures("double")
def test_used_up_tries_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "template.json"
    path.write_bytes(orjson.dumps(template()))
    seeds = tmp_path / "seeds.jsonl"
    seeds.write_bytes(b"".join(orjson.dumps(each) + b"\n" for each in SEEDS))
    arguments = ["generate", str(path), "--seeds", str(seeds), "-n", "10"]
    arguments += [
        "--budget",
        "5",
        "--backend",
        "bedrock",
        "--model",
        MODEL,
        "--max-candidates",
        "15",
        "--attempts",
        "1",
    ]
    assert run([*arguments, "--out", str(tmp_path / "out")]) == 0
    shown = capsys.readouterr()
    assert "6 of 10 records" in shown.out
    assert "checks: 6 accepted of 15 tries (40% passed); kept rejected 9 tries" in shown.out
    assert "4 records of 10 missing: the tries are used up." in shown.err
    assert "has 6 of 10 records" in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.usefixtures("double")
def test_pairs_are_made_of_a_dataset_that_is_there(tmp_path: Path) -> None:
    either = {"id": "draw", "keep_if": "[1, 2] | random == 1"}
    asked = template(checks=[either])
    dataset = generate(tmp_path / "out", 20, template=asked)
    pairs = {
        "preference": {"prompt": "seed.topic", "chosen": "steps.text.output"},
        "pair_rejects": True,
    }
    exported = dataset.export(template={**asked, "output": pairs})
    paired = {each["index"] for each in dataset.rejected()} & {*indices(dataset)}
    assert (exported.rows.rows, exported.rows.without_row) == (len(paired), 20 - len(paired))
    assert 0 < len(paired) < 20
    for row in dataset.rows("preference"):
        assert set(row) == {"prompt", "chosen", "rejected"}
