"""What changes under a job with checks while it is under way: how many records, the budget, the
tries that it may take. The dataset is the same as in one go, and no call is paid twice.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import orjson
import pytest

from runtime.cli.main import run
from runtime.contract.exit_codes import ExitCode
from tests.fixtures.bedrock_double import BedrockDouble
from tests.fixtures.checked_job import TEMPLATE, Judgement, judge, rules

RECORDS: Final = 30
ENOUGH: Final = "5"
STOPPED: Final = 3
"""The exit code of `generate` whose budget is used up."""


@pytest.fixture
def double(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[BedrockDouble]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "template.json").write_text(json.dumps(TEMPLATE), encoding="utf-8")
    with BedrockDouble() as running:
        running.faults(rules(RECORDS))
        monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", running.url)
        yield running


def generate(*more: str, n: int = RECORDS, budget: str = ENOUGH) -> int:
    """Into the folder `out`, which may have some of it."""
    inputs = ["generate", "template.json", "-n", str(n), "--backend", "bedrock", "--out", "out"]
    return run([*inputs, "--budget", budget, "--format", "jsonl", "--concurrency", "4", *more])


def lines(name: str) -> list[dict[str, Any]]:
    """Of all files that match."""
    texts = (line for path in Path().glob(name) for line in path.read_bytes().splitlines())
    return [orjson.loads(line) for line in texts]


def judged(wanted: int) -> Judgement:
    """What is stored, worked out by hand; the dataset has to be that."""
    stored = "out/.seedwright/objects/jobs/*"
    found = judge(lines(f"{stored}/outputs/*"), lines(f"{stored}/rejected/*"), wanted)
    assert sorted(line["index"] for line in lines("out/dataset.jsonl")) == list(found.accepted)
    return found


def rated(double: BedrockDouble) -> int:
    """Calls of the judge so far, of those that the double remembers."""
    return sum("Rate the text" in str(request.body) for request in double.requests)


def test_a_budget_that_ends_amid_judging_and_grows_with_the_number_of_records(
    double: BedrockDouble,
) -> None:
    budgets = ("0.0003", "0.0006", "0.0009")
    asked = []
    for number, budget in enumerate(budgets):
        assert generate(n=RECORDS + 5 * number, budget=budget) == STOPPED
        asked.append(rated(double))
    assert generate(n=RECORDS + 10) == ExitCode.DONE

    assert 0 < asked[0] < asked[1] < asked[2] < rated(double)
    assert judged(RECORDS + 10).left_out > 0
    assert double.stats()["paid_twice"] == 0


def test_used_up_tries_fail_and_more_of_them_go_on(
    double: BedrockDouble, capsys: pytest.CaptureFixture[str]
) -> None:
    assert generate("--max-candidates", "40", "--on-exhausted", "fail", "--json") == 1
    failed = json.loads(capsys.readouterr().out)
    assert (failed["status"], failed["error_code"]) == ("FAILED", "candidates_exhausted")
    assert failed["checks"]["tries"] <= 40
    few = failed["checks"]["accepted"]
    assert 0 < few < RECORDS
    assert not Path("out/dataset.jsonl").exists()
    assert len(lines("out/dataset.partial.jsonl")) == few

    assert run(["resume", "out", "--max-candidates", "300"]) == ExitCode.DONE

    judged(RECORDS)
    assert double.stats()["paid_twice"] == 0


def change(path: str, value: object) -> Callable[[dict[str, Any]], None]:
    """Sets what is at the path of a template."""
    *way, last = path.split(".")

    def applied(document: dict[str, Any]) -> None:
        place: Any = document
        for name in way:
            place = place[int(name) if name.isdigit() else name]
        place[last] = value

    return applied


OTHERS: Final[Mapping[str, Callable[[dict[str, Any]], object]]] = {
    "an easier condition": change("checks.0.keep_if", "true"),
    "an easier judge": change("checks.1.keep_if", "scores.style.score >= 0"),
    "another question": change("checks.1.judge.prompt", "Rate the text."),
    "near repeats": change("checks.2.unique", {"by": "steps.topic.output", "near": 0.8}),
    "another order": lambda document: document["checks"].reverse(),
    "one less": lambda document: document["checks"].pop(),
    "none": lambda document: document.pop("checks"),
}


def test_other_checks_are_another_dataset(
    double: BedrockDouble, capsys: pytest.CaptureFixture[str]
) -> None:
    assert generate(budget="0.0003") == STOPPED
    calls = double.calls
    for name, apply in OTHERS.items():
        other = json.loads(json.dumps(TEMPLATE))
        apply(other)
        Path("template.json").write_text(json.dumps(other), encoding="utf-8")
        capsys.readouterr()
        assert generate() == 2, name
        assert "holds another dataset (different template)" in capsys.readouterr().err, name
    Path("template.json").write_text(json.dumps(TEMPLATE), encoding="utf-8")
    assert generate("--attempts", "3") == 2
    assert "(different --attempts)" in capsys.readouterr().err
    assert double.calls == calls

    assert generate() == ExitCode.DONE
    judged(RECORDS)
