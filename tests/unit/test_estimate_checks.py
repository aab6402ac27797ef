"""What a dataset with checks would cost: by a given acceptance rate, and by a pilot."""

import tempfile
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import Any

import orjson
import pytest

import seedwright
from runtime.cli.main import run
from runtime.domain.errors import InputError
from runtime.domain.models.price_table import load_prices
from runtime.domain.money.acceptance_rate import assumption, read_acceptance, tries_for
from runtime.domain.money.estimate import StepSample, estimate
from runtime.domain.templates.document import parse_template
from tests.fixtures.api_world import ApiWorld
from tests.fixtures.bedrock_double import BedrockDouble
from tests.fixtures.lambda_events import ALICE

TEMPLATE: dict[str, Any] = {
    "name": "checked",
    "steps": [
        {
            "id": "ask",
            "prompt": "Write about {{ index }}.",
            "max_tokens": 20,
            "model": "amazon.nova-micro-v1:0",
        }
    ],
    "checks": [
        {"id": "even", "keep_if": "index % 2 == 0"},
        {
            "id": "good",
            "judge": {
                "model": "openai.gpt-oss-20b-1:0",
                "scores": [
                    {"name": "fit", "description": "Does it fit?", "options": {1: "a", 2: "b"}}
                ],
            },
        },
        {"id": "third", "keep_if": "index % 3 == 0"},
    ],
}
PLAIN = {name: value for name, value in TEMPLATE.items() if name != "checks"}


@pytest.fixture
def double(monkeypatch: pytest.MonkeyPatch) -> Iterator[BedrockDouble]:
    with BedrockDouble() as running:
        monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", running.url)
        yield running


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go: nothing is left there."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


# ── rates ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("value", [0.4, "0.4", "40%", " 40 % ".replace(" ", ""), Decimal("0.4")])
def test_a_rate_is_read_exactly(value: object) -> None:
    assert read_acceptance(value, records=1) == Fraction(2, 5)


@pytest.mark.parametrize(
    "value",
    [0, -0.1, 1.01, "101%", "nan", "inf", "", "a", True, None, "0", "1" * 5000, "1e9999999"],
)
def test_what_is_no_rate_is_refused(value: object) -> None:
    with pytest.raises(InputError, match=r"above 0 and at most 1, such as 0\.4 or 40%$") as refused:
        read_acceptance(value, records=1)
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize(
    ("value", "records"), [("1e-30", 1), ("1e-5000", 1), ("9e-8", 1), (5e-324, 1), (0.04, 400_001)]
)
def test_a_rate_that_no_job_has_the_tries_for_is_refused(value: object, records: int) -> None:
    with pytest.raises(InputError, match=r"more than the 10000000 tries that a job may have: ask"):
        read_acceptance(value, records=records)


def test_a_rate_that_a_job_just_has_the_tries_for_is_taken() -> None:
    assert tries_for(1, read_acceptance("1e-7", records=1)) == 10_000_000
    assert tries_for(400_000, read_acceptance("4%", records=400_000)) == 10_000_000


def test_tries_are_records_by_their_rate_rounded_up() -> None:
    """Whatever binary fractions make of it: 7 / 0.07 is a little above 100."""
    for percent in range(1, 101):
        for records in (1, 7, 30, 999_999):
            tries = tries_for(records, read_acceptance(percent / 100, records=7))
            assert tries == ceil(Fraction(records) / Fraction(percent, 100))
    assert tries_for(7, read_acceptance(0.07, records=7)) == 100


def test_every_try_is_paid() -> None:
    prices = load_prices(None)
    price = prices.price("amazon.nova-micro-v1:0", date(2026, 3, 2))
    sample = StepSample(price=price, characters=400, size=400, max_tokens=50, repairable=False)
    once, often = estimate([[sample]], records=10), estimate([[sample]], records=10, tries=25)
    assert (often.records, often.tries, once.tries) == (10, 25, None)
    for name in ("lowest_nano", "likely_nano", "highest_nano", "likely_tokens"):
        assert getattr(often, name) == getattr(once, name) * 5 // 2
    assert often.steps[0].likely_nano == often.likely_nano


def test_tries_that_a_job_does_not_have_are_told() -> None:
    assert "max-candidates" not in assumption(100, Fraction(1, 10))
    said = assumption(100, Fraction(1, 20))
    assert said == (
        "5.0% of all tries are accepted: about 2000 tries, more than the 1000 that there are by"
        " default, which give about 50 records; --max-candidates 2000 allows all"
    )
    assert "--max-candidates" not in assumption(1_000_000, Fraction(1, 100))


def test_the_figures_of_a_rate(double: BedrockDouble) -> None:
    once = seedwright.estimate(TEMPLATE, n=100)
    found = seedwright.estimate(TEMPLATE, n=100, acceptance="25%")
    assert (once.tries, found.tries) == (None, 400)
    for name in ("lowest_nano", "likely_nano", "highest_nano", "likely_tokens"):
        assert getattr(found, name) == 4 * getattr(once, name)
    assert [each.step for each in found.steps] == ["ask", "good"], "judges are paid as well"
    document = found.document()
    assert (document["tries"], once.document()["tries"]) == (400, 100)
    assert document["checks_assume"] == "25.0% of all tries are accepted: about 400 tries"
    assert "each record is counted as accepted at its first try" in str(once.checks_assume)
    assert seedwright.estimate(PLAIN, n=100).checks_assume is None
    assert double.calls == 0


def test_a_template_without_checks_has_no_rate() -> None:
    with pytest.raises(InputError, match="has no checks: leave the acceptance rate out"):
        seedwright.estimate(PLAIN, n=100, acceptance=0.5)


def test_the_api_takes_a_rate(api_world: ApiWorld) -> None:
    order = api_world.order(num_records=100)
    asked = {name: order[name] for name in ("template_id", "seed_data_path", "num_records")}
    plain = api_world.post("/jobs/estimate", asked).body
    assert (plain["tries"], plain["checks_assume"]) == (100, None)
    assert api_world.post("/jobs/estimate", {**asked, "acceptance": 0.5}).status == 400
    for wrong in (0, 1.5, "many"):
        assert api_world.post("/jobs/estimate", {**asked, "acceptance": wrong}).status == 400

    document = {**TEMPLATE, "steps": [{"id": "ask", "prompt": "{{ product }}", "max_tokens": 9}]}
    asked["template_id"] = api_world.own.new_id()
    api_world.own.template_catalog.create(
        ALICE, asked["template_id"], parse_template(document), public=False
    )
    once = api_world.post("/jobs/estimate", asked).body
    found = api_world.post("/jobs/estimate", {**asked, "acceptance": 0.4}).body
    assert (once["tries"], found["tries"]) == (100, 250)
    refused = api_world.post("/jobs/estimate", {**asked, "acceptance": 5e-324})
    assert refused.status == 400
    assert "more than the 10000000 tries" in str(refused.body)
    assert "at its first try" in once["checks_assume"]
    assert found["checks_assume"] == "40.0% of all tries are accepted: about 250 tries"
    assert found["likely_usd"] == pytest.approx(2.5 * once["likely_usd"], rel=1e-6)


# ── pilots ─────────────────────────────────────────────────────────────────────────────────────


def test_a_pilot_measures_the_rate_and_leaves_nothing(
    double: BedrockDouble, temporary: Path
) -> None:
    found = seedwright.estimate(TEMPLATE, n=100, pilot=12, budget=0.05)
    pilot = found.pilot
    assert pilot is not None
    # 0 to 11: of those that can be divided by two the judge is asked, and 0 and 6 stay.
    assert double.calls == 12 + 6
    assert (pilot.tries, pilot.accepted, pilot.failed, pilot.note) == (12, 2, 0, "")
    assert pilot.rejected_by == {"even": 6, "third": 4}
    assert pilot.acceptance == Fraction(1, 6)
    assert found.tries == 600
    assert pilot.cost_nano > 0
    usual = seedwright.estimate(TEMPLATE, n=100, acceptance="16.666666666666666666666666666666667%")
    assert found.likely_nano == usual.likely_nano
    assert not list(temporary.iterdir())
    assert {each.name for each in temporary.parent.iterdir()} == {"temporary"}
    shown = "\n".join(pilot.lines(found))
    assert "pilot: 2 (17%) of 12 tries accepted; even rejected 6 (50%); third rejected 4" in shown
    assert "nothing of it is kept" in shown
    assert "at what its tries have cost: about $0.0" in shown


def test_a_pilot_tries_each_record_once(double: BedrockDouble, temporary: Path) -> None:
    """Also those that are opened after others have ended: the rate is that of first tries."""
    checks = [{"id": "late", "keep_if": "index >= 60"}]
    found = seedwright.estimate(
        {**TEMPLATE, "checks": checks}, n=100, pilot=80, budget=0.05, concurrency=1
    )
    assert found.pilot is not None
    assert (found.pilot.tries, found.pilot.accepted) == (80, 20)
    assert not list(temporary.iterdir())
    assert double.calls == 80


def test_the_command_has_pilots(
    double: BedrockDouble, temporary: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("t.json").write_bytes(orjson.dumps(_texts(TEMPLATE)))
    arguments = ("estimate", "t.json", "-n", "100", "--pilot", "6", "--budget", "0.05")
    assert run(arguments) == 0
    out = capsys.readouterr().out
    assert "pilot: 1 (17%) of 6 tries accepted; even rejected 3 (50%)" in out
    assert "checks: 16.7% of all tries are accepted: about 600 tries" in out
    assert run((*arguments, "--json")) == 0
    document = orjson.loads(capsys.readouterr().out)
    assert (document["tries"], document["pilot"]["acceptance"]) == (600, 0.1667)
    assert Decimal(document["pilot"]["cost_usd"]) > 0
    assert not list(temporary.iterdir())
    assert run(("estimate", "t.json", "-n", "100", "--acceptance", "50%")) == 0
    assert "50.0% of all tries are accepted: about 200 tries" in capsys.readouterr().out
    assert double.calls == 2 * (6 + 3)


def _texts(document: dict[str, Any]) -> dict[str, Any]:
    """As JSON has it: keys are texts."""
    good = document["checks"][1]
    scores = [{**good["judge"]["scores"][0], "options": {"1": "a", "2": "b"}}]
    checks = [*document["checks"]]
    checks[1] = {**good, "judge": {**good["judge"], "scores": scores}}
    return {**document, "checks": checks}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"pilot": 6}, "say with budget"),
        ({"pilot": 0, "budget": 1}, "a number of tries from 1 to 1000"),
        ({"pilot": 1001, "budget": 1}, "a number of tries from 1 to 1000"),
        ({"pilot": True, "budget": 1}, "a number of tries from 1 to 1000"),
        ({"pilot": 6, "budget": 1, "acceptance": 0.5}, "leave acceptance out"),
        ({"budget": 1}, "budget is for a pilot"),
        ({"pilot": 6, "budget": 0}, "budget"),
    ],
)
def test_what_is_refused_is_refused_before_anything_is_paid(
    double: BedrockDouble, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        seedwright.estimate(TEMPLATE, n=100, **options)
    with pytest.raises(InputError):
        seedwright.estimate(PLAIN, n=100, pilot=6, budget=1)
    assert double.calls == 0


def test_a_pilot_whose_budget_is_used_up_says_what_it_has_seen(
    double: BedrockDouble, temporary: Path
) -> None:
    found = seedwright.estimate(
        TEMPLATE | {"checks": TEMPLATE["checks"][:1]}, n=100, pilot=500, budget="0.0002"
    )
    pilot = found.pilot
    assert pilot is not None
    assert 0 < pilot.tries < 500
    assert pilot.cost_nano <= 200_000
    assert pilot.note.startswith(f"of 500 tries {pilot.tries} were made: ")
    assert pilot.acceptance == Fraction(pilot.accepted, pilot.tries)
    assert double.calls == pilot.tries
    assert not list(temporary.iterdir())


def test_a_pilot_without_an_accepted_record_gives_no_rate(
    double: BedrockDouble, temporary: Path
) -> None:
    never = TEMPLATE | {"checks": [{"id": "never", "keep_if": "index < 0"}]}
    found = seedwright.estimate(never, n=100, pilot=4, budget=0.05)
    assert found.pilot is not None
    assert found.pilot.acceptance is None
    assert found.tries is None
    assert "nothing was accepted" in "\n".join(found.pilot.lines(found))
    assert not list(temporary.iterdir())
    assert double.calls == 4


def test_a_pilot_that_the_service_fails_says_what_it_spent(
    double: BedrockDouble, temporary: Path
) -> None:
    double.faults([{"effect": "AccessDeniedException"}])
    with pytest.raises(seedwright.JobFailedError, match=r"has spent \$0.00; nothing of it is kept"):
        seedwright.estimate(TEMPLATE, n=100, pilot=4, budget=0.05)
    assert not list(temporary.iterdir())
