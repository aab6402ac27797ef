"""Every place that reports on a job says the same (A4): summary, `--json`, API, dashboard,
`status`, `failures.jsonl` and the rows themselves.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest

from runtime.cli.figures import count_lines
from runtime.cli.main import run
from runtime.datasets.job import LOCAL_USER
from runtime.domain.jobs.job import JobError, JobStatus, Progress
from runtime.domain.jobs.step_totals import StepTotals
from tests.fixtures.api import Api
from tests.fixtures.api_world import ApiWorld
from tests.fixtures.bedrock_double import BedrockDouble
from tests.fixtures.clock import START, ManualClock
from tests.fixtures.command import TWO_STEPS, generate_arguments, write_inputs
from tests.fixtures.fake_api import JOB, FakeApi, job_document
from tests.fixtures.local_api import open_local_api
from tests.fixtures.scripted_server import Script, scripted_server

LENIENT = ("--max-failures", "100%")
RECORDS = 6
RATED = """\
name: rated
steps:
  - id: rate
    model: openai.gpt-oss-20b-1:0
    prompt: "Rate text {{ topic }}."
    output_schema:
      type: object
      required: [stars]
      properties: {stars: {type: integer}}
"""


@dataclass(frozen=True)
class Reports:
    """All that is said about one job."""

    summary: str
    document: Any
    view: Any
    dashboard: Any
    status: str
    records: list[Any]
    failures: list[Any]


class Terminal:
    """The command in a folder of its own, with a double of Bedrock behind it."""

    def __init__(
        self, folder: Path, double: BedrockDouble, output: pytest.CaptureFixture[str]
    ) -> None:
        self.folder = folder
        self.double = double
        self._output = output

    def run(self, *arguments: str, code: int = 0) -> str:
        """What a command prints."""
        return self.said(*arguments, code=code)[0]

    def said(self, *arguments: str, code: int = 0) -> tuple[str, str]:
        """What a command prints, and what it says beside that."""
        assert run(arguments) == code
        return self._output.readouterr()

    def reports(self, clock: ManualClock, *, code: int = 0) -> Reports:
        """Generate, and ask everybody about the job."""
        summary = self.run(*generate_arguments(RECORDS, "--concurrency", "1", *LENIENT), code=code)
        document = orjson.loads(
            self.run(*generate_arguments(RECORDS, "--json", *LENIENT), code=code)
        )
        job_id = document["job_id"]
        service = open_local_api(self.folder / "out" / ".seedwright", clock)
        try:
            api = Api(service.api)
            view = api.get(f"/jobs/{job_id}", user=LOCAL_USER).body
            dashboard = api.get(f"/dashboard/jobs/{job_id}", user=LOCAL_USER).body
        finally:
            service.close()
        return Reports(
            summary=summary,
            document=document,
            view=view,
            dashboard=dashboard,
            status=self.status(view, dashboard),
            records=self._lines("dataset.jsonl"),
            failures=self._lines("failures.jsonl"),
        )

    def status(self, view: Any, dashboard: Any) -> str:
        """What `seedwright status` makes of an API's answers."""
        job_id = view["job_id"]
        with scripted_server() as server, pytest.MonkeyPatch.context() as patch:
            patch.setenv("SEEDWRIGHT_API_URL", server.url)
            patch.setenv("SEEDWRIGHT_TOKEN", "token")
            api = FakeApi(server)
            api.usual[f"GET /jobs/{job_id}"] = Script(body=view)
            api.usual[f"GET /dashboard/jobs/{job_id}"] = Script(body=dashboard)
            return self.run("status", job_id)

    def _lines(self, name: str) -> list[Any]:
        path = self.folder / "out" / name
        return (
            [orjson.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []
        )


@pytest.fixture
def terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Terminal]:
    write_inputs(tmp_path, TWO_STEPS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    for name in ("CONFIG", "STATE", "DATA"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))
    with BedrockDouble() as double:
        monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", double.url)
        yield Terminal(tmp_path, double, capsys)


def figures_of_api(steps: Any) -> dict[str, dict[str, Any]]:
    """As `--json` shows them: there money is a decimal text."""
    return {
        step: {
            **{name: each for name, each in figures.items() if "cost" not in name},
            "cost_usd": Decimal(str(figures["cost"])),
            "presumed_usd": Decimal(str(figures["presumed_cost"])),
        }
        for step, figures in steps.items()
    }


def agree(found: Reports) -> dict[str, dict[str, Any]]:
    """Everybody says the same of the job's steps and failures; the figures of the steps."""
    money = ("cost_usd", "presumed_usd")
    steps = {
        step: figures | {name: Decimal(figures[name]) for name in money}
        for step, figures in found.document["steps"].items()
    }
    assert figures_of_api(found.view["steps"]) == steps
    assert figures_of_api(found.dashboard["steps"]) == steps
    kinds = found.document["failures_by_kind"]
    assert kinds == found.view["failures_by_kind"] == found.dashboard["failures_by_kind"]
    assert kinds == Counter(failure["kind"] for failure in found.failures)
    for name in ("service_failures", "error_code", "retry_after"):
        assert found.document[name] == found.view[name] == found.dashboard[name], name
    assert sum(kinds.values()) == found.document["failed"] == found.view["failed_records"]
    assert sum(each["cost_usd"] for each in steps.values()) == Decimal(found.document["cost_usd"])
    tokens = sum(each["tokens_in"] + each["tokens_out"] for each in steps.values())
    assert tokens == found.document["tokens"] == found.view["tokens_used"]
    # People read the same lines of the summary and of `status`.
    told = found.summary[found.summary.index("this run") : found.summary.index("\nrows: ")]
    assert told.partition("\n")[2] in found.status
    return steps


def test_a4_cut_replies_are_reported_everywhere(terminal: Terminal, clock: ManualClock) -> None:
    """All replies end with max_tokens: not one record fails, and everybody says so."""
    terminal.double.faults([{"effect": "reply", "stop_reason": "max_tokens"}])

    found = terminal.reports(clock)

    steps = agree(found)
    assert [each["cut"] for each in steps.values()] == [RECORDS, RECORDS]
    assert f"cut at max_tokens: {2 * RECORDS} replies" in found.summary.splitlines()
    assert f"cut at max_tokens: {2 * RECORDS} replies" in found.status.splitlines()
    results = [result for each in found.records for result in each["generation_result"].values()]
    assert [each["stop_reason"] for each in results] == ["max_tokens"] * 2 * RECORDS


def test_f12_a_schema_that_is_not_compiled_is_reported_everywhere(
    terminal: Terminal, clock: ManualClock
) -> None:
    """Summary, `--json`, API, dashboard and `status` have the same figure."""
    terminal.double.faults(
        [
            {"effect": "ValidationException", "schema": True, "message": "Schema is too complex."},
            {"effect": "reply", "text": '{"stars": 4}'},
        ]
    )
    write_inputs(terminal.folder, RATED)

    found = terminal.reports(clock)

    assert agree(found)["rate"]["schema_in_prompt"] == RECORDS
    line = f"schema in the prompt: {RECORDS} calls, since the service could not compile it"
    assert line in found.summary.splitlines()
    assert line in found.status.splitlines()


def test_all_reports_on_a_job_agree(terminal: Terminal, clock: ManualClock) -> None:
    """Retries, presumed calls and failures of a job whose every reply was another one."""
    terminal.double.faults(
        [
            {"prompt": "Plan text 0 ", "effect": "ThrottlingException", "times": 1},
            {"prompt": "Plan text 1 ", "effect": "ValidationException"},
            {"prompt": "Write text 2 ", "effect": "no_usage"},
            {"prompt": "Write text 3 ", "effect": "reply", "stop_reason": "content_filtered"},
            {"effect": "reply", "text": "Ships."},
        ]
    )

    found = terminal.reports(clock)

    steps = agree(found)
    assert found.document["failures_by_kind"] == {"content_filtered": 1, "rejected": 1}
    assert (steps["plan"]["calls"], steps["plan"]["retried"]) == (RECORDS + 1, 1)
    text = steps["text"]
    assert (text["calls"], text["refused"], text["presumed"]) == (RECORDS - 1, 1, 1)
    *lines, head, plan, last = found.summary.partition("\nrows: ")[0].splitlines()[-8:]
    presumed = lines.pop()
    assert lines == [
        "failures: content_filtered 1, rejected 1",
        "cut at max_tokens: 1 reply",  # the double's own answer is longer than the limit
        "refused: 1 reply without a usable answer",
        "retried: 1 call after failures of the service",
    ]
    assert presumed.startswith("presumed: 1 call that may have been billed, counted with $0.0000")
    assert head.split() == ["step", "model", "calls", "tokens", "in", "tokens", "out", "cost"]
    assert plan.split()[:3] == ["plan", "amazon.nova-micro-v1:0", "7"]
    assert last.split()[2] == "5"


def test_a_job_without_incidents_says_what_its_steps_did_and_nothing_else() -> None:
    assert count_lines(Progress(steps={"a": StepTotals(model="m", calls=5)})) == []


def test_failures_of_the_service_are_told_from_the_records_own() -> None:
    progress = Progress(
        failed_records=5,
        service_failures=3,
        failures_by_kind={"throttled": 3, "invalid_output": 2},
        steps={"a": StepTotals(model="m", repaired=1)},
    )
    assert count_lines(progress) == [
        "failures: invalid_output 2, throttled 3 (2 of their own, 3 of the service)",
        "repaired: 1 reply asked for again",
    ]


def test_the_api_says_why_a_job_ended_and_when_to_go_on(
    api_world: ApiWorld, terminal: Terminal
) -> None:
    job_id = api_world.job_id(JobStatus.RUNNING)
    later = START + timedelta(hours=12)
    api_world.own.jobs.set_status(
        job_id,
        JobStatus.FAILED,
        fence=api_world.own.work.get_work(job_id).fence,
        error=JobError(
            message="the quota of the day is used up", code="daily_quota", retry_after=later
        ),
    )
    view = api_world.get(f"/jobs/{job_id}").body
    dashboard = api_world.get(f"/dashboard/jobs/{job_id}").body
    for body in (view, dashboard):
        assert (body["error_code"], body["retry_after"]) == ("daily_quota", "2026-11-24T00:00:00Z")
    said = terminal.status(view, dashboard)
    assert "error: the quota of the day is used up\ntry again from 2026-11-2" in said


def test_status_says_what_checks_did_and_what_the_budget_is_enough_for(
    terminal: Terminal, clock: ManualClock
) -> None:
    reports = terminal.reports(clock)
    plain = terminal.status(reports.view, reports.dashboard)
    assert "checks" not in plain
    assert "the budget is enough" not in plain

    checks = {
        "accepted": 3,
        "surplus": 0,
        "left_out": {},
        "rejected_by": {"short": 5},
        "tries": 8,
        "acceptance_rate": 0.375,
        "judging_cost": 0.02,
        "exact": False,
    }
    shown = terminal.status(
        {**reports.view, "checks": checks}, {**reports.dashboard, "records_in_budget": 4}
    )
    assert "checks so far: 3 accepted of 8 tries (38% passed); short rejected 5 tries" in shown
    assert "; judging $0.02" in shown
    assert f"the budget is enough for about 4 of {RECORDS} records" in shown


def test_an_api_of_before_has_no_such_figures(terminal: Terminal) -> None:
    dashboard = {"seconds_left": None, "cost_by_model": {}, "failures_by_kind": {"rejected": 1}}
    said = terminal.status(job_document("COMPLETED", 4), dashboard)
    assert said.splitlines()[-1] == f"next: seedwright download {JOB}"
    assert "step" not in said


# ── estimates (F4) ─────────────────────────────────────────────────────────────────────────────

ASSUMED = (
    "  likely assumes 4 characters of prompt a token, answers of half their max_tokens, and no"
    " repairs"
)
# 24 characters of prompt and 15 tokens of answer a record, at 35 and 140 nano-USD a token.
PLAN = (
    "  plan (amazon.nova-micro-v1:0): likely $0.0000139, at most $0.000138; about 36 tokens in,"
    " 90 out"
)


def test_f4_generate_and_estimate_say_the_same_before_anything_is_paid_for(
    terminal: Terminal,
) -> None:
    inputs = ("template.yaml", "--seeds", "seeds.jsonl", "-n", f"{RECORDS}")
    alone = terminal.run("estimate", *inputs).splitlines()
    document = orjson.loads(terminal.run("estimate", *inputs, "--json"))
    assert terminal.double.calls == 0

    _, told = terminal.said(*generate_arguments(RECORDS, "--budget", "0.2"))

    _, lowest, likely, highest, *details = alone
    assert details[:2] == [ASSUMED, PLAN]
    assert details[2].startswith("  text (amazon.nova-micro-v1:0): likely $0.0000")
    assert details[2].endswith(" tokens in, 120 out")
    first, *others = told.splitlines()
    assert first == (
        f"estimate: likely {likely.split()[1]}, at most {highest.split()[1]} with"
        " amazon.nova-micro-v1:0; the budget is $0.20"
    )
    assert others[:4] == [lowest, *details]
    assert others[4].startswith("0/6 records")
    assert document["likely_assumes"] in ASSUMED
    by_step = [Decimal(each["likely_usd"]) for each in document["steps"].values()]
    assert sum(by_step) == Decimal(document["likely_usd"])


def test_f4_a_dataset_that_goes_on_or_is_for_scripts_has_no_estimate(terminal: Terminal) -> None:
    _, told = terminal.said(*generate_arguments(RECORDS, "--json"))
    assert told == ""
    _, told = terminal.said(*generate_arguments(RECORDS))
    assert told == ""


def test_f4_a_seed_that_can_not_be_rendered_ends_no_run_for_its_estimate(
    terminal: Terminal,
) -> None:
    write_inputs(terminal.folder, TWO_STEPS.replace("{{ index }}", "{{ 1 // (index - 3) }}"))

    out, told = terminal.said(*generate_arguments(RECORDS, *LENIENT))

    assert "5 of 6 records, 1 failed" in out
    assert "estimate" not in told


def test_f4_submit_says_what_each_step_is_likely_to_cost(
    api_world: ApiWorld, terminal: Terminal
) -> None:
    """The answer of the real handler, through the command."""
    order = api_world.order(num_records=4)
    asked = {name: order[name] for name in ("template_id", "seed_data_path", "num_records")}
    answer = api_world.post("/jobs/estimate", asked).body
    assert answer["checks_assume"] is None
    answer["checks_assume"] = "what is assumed"
    with scripted_server() as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEEDWRIGHT_API_URL", server.url)
        patch.setenv("SEEDWRIGHT_TOKEN", "token")
        api = FakeApi(server)
        api.usual["POST /jobs/estimate"] = Script(body=answer)
        inputs = ("template.yaml", "--seeds", "seeds.jsonl", "-n", "4")
        _, told = terminal.said("submit", *inputs)

    lines = told.splitlines()
    assert lines[-4].startswith("  lowest   $")
    assert lines[-3:-1] == [ASSUMED, "  checks: what is assumed"]
    assert lines[-1].startswith("  review (us.amazon.nova-micro-v1:0): likely $0.0000")
    assert lines[-1].endswith(" tokens in, 128 out")


# ── nulls (C2) ─────────────────────────────────────────────────────────────────────────────────


def test_c2_validate_counts_nulls_on_the_paths_that_the_template_needs(terminal: Terminal) -> None:
    template = TWO_STEPS.replace("{{ topic }}", "{{ a.topic | default('tea') }}")
    write_inputs(terminal.folder, template + "schema_requirements: [a.topic, kind]\n")
    seeds = [
        {"kind": "x", "other": None, "a": {"topic": None if number % 2 else "ships"}}
        for number in range(9)
    ]
    (terminal.folder / "seeds.jsonl").write_bytes(b"\n".join(map(orjson.dumps, seeds)))

    lines = terminal.run("validate", "template.yaml", "--seeds", "seeds.jsonl").splitlines()

    (told,) = [line for line in lines if " null in " in line]
    assert told == (
        "warning: a.topic is null in 4 of 9 seeds: a prompt that prints it without a default fails"
        " their records"
    )


def test_c2_seeds_of_an_api_say_it_too(terminal: Terminal) -> None:
    report = {"valid": True, "records": 9, "paths": ["topic"], "problems": [], "truncated": False}
    with scripted_server() as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEEDWRIGHT_API_URL", server.url)
        patch.setenv("SEEDWRIGHT_TOKEN", "token")
        api = FakeApi(server)
        api.usual["POST /seed-data/validate"] = Script(body=report | {"nulls": {"topic": 2}})
        shown = terminal.run("seeds", "validate", "seeds.jsonl")
    assert "warning: topic is null in 2 of 9 seeds: " in shown


def test_c5_prompts_that_are_too_long_for_a_model_are_told_before_the_run(
    terminal: Terminal,
) -> None:
    """By `validate`, `estimate` and `generate`; the embedded model takes 2 048 tokens."""
    template = "name: t\nsteps:\n  - {id: ask, prompt: '{{ text }}', max_tokens: 64}\n"
    (terminal.folder / "template.yaml").write_text(template)
    seeds = [{"text": "word " * 3500}, {"text": "short"}]
    (terminal.folder / "seeds.jsonl").write_bytes(b"\n".join(map(orjson.dumps, seeds)))
    inputs = ("template.yaml", "--seeds", "seeds.jsonl", "--backend")

    warning = "step ask: the prompts of about 1 of 2 records and their max_tokens are more than"
    assert warning in terminal.said("validate", *inputs, "local")[0]
    assert warning in terminal.said("estimate", *inputs, "local", "-n", "2")[0]
    assert "more than" not in terminal.said("estimate", *inputs, "bedrock", "-n", "2")[0]
