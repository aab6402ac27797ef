"""Progress of a job with checks: what was accepted and rejected, what judging costs, how long it
takes and for how many records the budget is enough.
"""

import io
from decimal import Decimal
from typing import Any

import orjson
import pytest

from runtime.cli.main import run
from runtime.domain.checks.totals import CheckTotals
from runtime.domain.jobs.activity import Activity
from runtime.domain.jobs.check_counts import CheckCounts, check_counts_of, records_in_budget
from runtime.domain.jobs.job import Progress
from runtime.domain.jobs.shards import sum_of_progress
from runtime.domain.jobs.step_totals import (
    StepTotals,
    Tally,
    judging_nano,
    step_totals_of,
    sum_of,
)
from runtime.domain.models.calls import Usage
from runtime.progress.displays import Plain
from runtime.progress.meter import Goal, Meter
from runtime.progress.notebook import Notebook
from tests.fixtures.bedrock_double import BedrockDouble
from tests.fixtures.clock import ManualClock

CENT = 10**7
STEPS = {
    "ask": StepTotals(model="m", calls=80, cost_nano=6 * CENT),
    "good": StepTotals(model="j", calls=40, cost_nano=2 * CENT, judge=True),
}


def checked(accepted: int, tries: int, *, left_out: int = 0, **counters: Any) -> Progress:
    """Counters of a job whose `short` and `good` have rejected the other tries."""
    rejected = tries - accepted - left_out
    by = {"short": rejected // 3, "good": rejected - rejected // 3}
    return Progress(
        records_generated=accepted + left_out,
        checks=CheckTotals(
            tries=tries, rejected_by=by, left_out={"fresh": left_out} if left_out else {}
        ),
        **counters,
    )


@pytest.fixture
def meter(clock: ManualClock) -> Meter:
    """30 of 100 accepted after 60 seconds, for 8 of 20 cents."""
    meter = Meter(Goal(records=100, budget_nano=20 * CENT), clock.monotonic)
    meter.update(Progress())
    clock.advance(60)
    meter.activity = Activity()
    meter.update(checked(30, 80, left_out=2, cost_nano=8 * CENT, steps=STEPS))
    return meter


SHOWN = (
    "38% of 80 tries accepted",
    "rejected: short 16, good 32",
    "judging $0.02",
    "at this rate the budget is enough for about 75 of 100 records",
)


def test_time_left_is_by_accepted_records_a_second(meter: Meter) -> None:
    assert (meter.done, meter.rate) == (30, 0.5)
    assert meter.left() == "2:20"
    assert meter.figures()[0] == "30/100 records"


def test_what_checks_did_stands_below_the_figures_everywhere(meter: Meter) -> None:
    shown = meter.now()
    assert shown[:4] == SHOWN
    assert shown[4] == "expected $0.267"
    stream = io.StringIO()
    with Plain(meter, stream):
        pass
    assert all(each in stream.getvalue() for each in SHOWN)
    drawn: list[Any] = []
    with Notebook(meter, lambda figures, **_options: drawn.append(figures)):
        pass
    assert all(each in drawn[0]["text/plain"] for each in SHOWN)


def test_names_of_checks_steer_no_terminal(meter: Meter) -> None:
    totals = CheckTotals(tries=1, rejected_by={"\x1b[31mred": 1})
    meter.update(Progress(checks=totals))
    assert not any("\x1b" in each for each in meter.now())


def test_a_program_is_given_the_same(meter: Meter) -> None:
    found = meter.snapshot()
    assert (found.records, found.tries, found.records_in_budget) == (30, 80, 75)
    assert found.rejected_by == {"short": 16, "good": 32}
    assert found.left_out == {"fresh": 2}
    assert (found.acceptance_rate, found.judging_usd) == (0.375, Decimal("0.02"))


def test_without_checks_nothing_of_it_is_said(clock: ManualClock) -> None:
    meter = Meter(Goal(records=100, budget_nano=CENT), clock.monotonic)
    meter.activity = Activity()
    meter.update(Progress(records_generated=50, cost_nano=CENT // 2, steps={"ask": STEPS["ask"]}))
    assert meter.now() == ("expected $0.01",)
    found = meter.snapshot()
    assert (found.tries, found.acceptance_rate, found.records_in_budget) == (0, None, None)


@pytest.mark.parametrize(
    ("accepted", "tries", "cost", "enough"),
    [
        (30, 80, 8, 75),
        (4, 80, 8, None),  # too few to tell
        (10, 19, 8, None),
        (30, 80, 0, None),  # free
        (30, 80, 6, None),  # enough for all: 30 for 6 are 100 for 20
        (29, 80, 6, 96),
        (0, 80, 8, None),
    ],
)
def test_for_how_many_records_a_budget_is_enough(
    accepted: int, tries: int, cost: int, enough: int | None
) -> None:
    progress = checked(accepted, tries, cost_nano=cost * CENT)
    assert records_in_budget(progress, wanted=100, budget_nano=20 * CENT) == enough


# ── the cost of judging ────────────────────────────────────────────────────────────────────────


def test_judges_are_told_from_steps_wherever_counts_go() -> None:
    tally = Tally()
    tally.judges.add("good")
    usage = Usage(input_tokens=5, output_tokens=2)
    tally.settled("ask", "m", usage, 3)
    tally.settled("good", "j", usage, 4)
    found = tally.totals()
    assert {name: each.judge for name, each in found.items()} == {"ask": False, "good": True}
    assert judging_nano(found) == 4
    stored = orjson.loads(orjson.dumps({name: each.document() for name, each in found.items()}))
    assert {name: step_totals_of(each) for name, each in stored.items()} == found
    assert Tally(found).totals() == found  # a later claim, that has not begun to call
    parts = sum_of_progress([Progress(steps=found), Progress(steps=found)])
    assert judging_nano(parts.steps) == 8
    assert (found["good"] + found["good"]).judge
    assert not sum_of({"ask": found["ask"]}).judge


def test_what_is_stored_of_a_step_is_what_it_was_before_there_were_judges() -> None:
    document = StepTotals(model="m", calls=1).document()
    assert "judge" not in document
    assert step_totals_of(document) == StepTotals(model="m", calls=1)
    assert not step_totals_of({"model": "m", "judge": 1}).judge


def test_counts_as_the_command_and_as_an_api_give_them() -> None:
    counts = CheckCounts(accepted=3, surplus=1, tries=10, judging_nano=CENT)
    document = counts.document()
    assert (document["acceptance_rate"], document["judging_usd"]) == (0.4, "0.01")
    assert check_counts_of(document) == counts
    del document["judging_usd"]
    assert check_counts_of({**document, "judging_cost": 0.01}) == counts
    assert check_counts_of({"accepted": 3}).acceptance_rate is None
    assert next(iter(counts.texts())) == "3 accepted of 10 tries (40% passed)"
    assert list(counts.texts())[-1] == "judging $0.01"


# ── a run ──────────────────────────────────────────────────────────────────────────────────


def test_a_run_says_so_at_its_end(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command, with a judge behind a double of Bedrock: its cost is told from the steps'."""
    template = tmp_path / "template.yaml"
    template.write_text(TEMPLATE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with BedrockDouble() as double:
        monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", double.url)
        arguments = (
            "generate",
            "template.yaml",
            "-n",
            "12",
            "--backend",
            "bedrock",
            "--out",
            "out",
        )
        assert run((*arguments, "--budget", "0.5")) == 0
        out, _ = capsys.readouterr()
        assert run((*arguments, "--json")) == 0
        document = orjson.loads(capsys.readouterr().out)
        assert run(("report", "out")) == 0
        report = capsys.readouterr().out
    assert "passed); even rejected " in out
    checks = document["checks"]
    assert checks["accepted"] == 12
    assert checks["judging_usd"] == document["steps"]["good"]["cost_usd"] != "0"
    assert document["steps"]["good"]["judge"] is True
    assert document["steps"]["ask"]["judge"] is False
    judged = document["steps"]["good"]["calls"]
    assert f"judge good: 12 records judged; {judged} calls" in report
    assert "kept out by even: record 1, try 1: " in report
    line = (tmp_path / "out" / "dataset.jsonl").read_bytes().splitlines()[0]
    score = orjson.loads(line)["checks"]["good"]["scores"]["fit"]["score"]
    assert f"'{score}' " in report


TEMPLATE = """\
name: checked
steps:
  - {id: ask, prompt: "Write about {{ index }}.", max_tokens: 20, model: amazon.nova-micro-v1:0}
checks:
  - {id: even, keep_if: index % 2 == 0}
  - id: good
    judge:
      model: openai.gpt-oss-20b-1:0
      scores: [{name: fit, description: Does it fit?, options: {1: not at all, 2: hardly, 3: well}}]
"""
