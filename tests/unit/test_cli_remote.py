"""Remote commands against a server that loses answers, repeats records and gives old URLs."""

import gzip
import hashlib
import os
import signal
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from threading import Event
from typing import Any

import orjson
import pytest

from runtime.cli.main import run
from runtime.client import http as client_module
from runtime.client import watching
from runtime.client.connection import state_folder
from runtime.client.transfer import size_text
from runtime.domain.templates.document import complete_document
from runtime.export.card import Card, render_card
from runtime.inputs.templates import read_template
from tests.fixtures.command import environment, start
from tests.fixtures.fake_api import CUT, JOB, TEMPLATE, FakeApi, job_document
from tests.fixtures.scripted_server import Request, Script, refusal


@pytest.fixture
def api(fake_api: FakeApi) -> FakeApi:
    return fake_api


SUBMIT = ["submit", "template.yaml", "--seeds", "seeds.jsonl", "-n", "4"]


# ── submit ─────────────────────────────────────────────────────────────────────────────────────


def test_a_job_is_submitted_with_everything_it_needs(
    api: FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*SUBMIT, "--budget", "0.5", "--format", "csv"]) == 0

    said = capsys.readouterr()
    assert "estimate: likely $0.01, at most $0.10 with m; the budget is $0.50" in said.err
    assert said.out.splitlines()[0] == f"{JOB}  QUEUED"
    assert said.out.splitlines()[-1] == f"next: seedwright watch {JOB}"
    (request,) = api.asked("POST /jobs")
    assert request.json == {
        "template_id": TEMPLATE,
        "template_version": 1,
        "seed_data_path": "seed-data/u/x/seeds.jsonl",
        "num_records": 4,
        "budget_limit": "0.5",
        "output_format": ["CSV"],
        "partition_strategy": "none",
        "seed_strategy": "shuffle",
        "random_seed": 0,
        "model": None,
        "allow_partial": False,
        "allow_on_demand": False,
    }
    assert request.headers["idempotency-key"]


def test_a_budget_below_the_likely_cost_is_for_who_allows_it(
    api: FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*SUBMIT, "--budget", "0.005", "--allow-partial"]) == 0

    assert "The budget may end this job early" in capsys.readouterr().err
    (request,) = api.asked("POST /jobs")
    assert request.json["allow_partial"] is True


def test_a_name_and_a_random_seed_go_along(api: FakeApi) -> None:
    assert run([*SUBMIT, "--name", "first try", "--random-seed", "7"]) == 0
    (request,) = api.asked("POST /jobs")
    assert (request.json["name"], request.json["random_seed"]) == ("first try", 7)


def test_jobs_end_with_what_the_month_has_left(
    api: FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    """N16."""
    yours = {"limit_usd": 20.0, "reserved_or_spent_usd": 12.5, "left_usd": 7.5}
    month = {
        "month": "2026-11",
        "limit_usd": 1000.0,
        "reserved_or_spent_usd": 240.0,
        "left_usd": 760.0,
        "yours": yours,
        "previews": 3,
    }
    api.usual["GET /dashboard/summary"] = Script(body={"month": month})
    api.usual["GET /jobs"] = Script(body={"jobs": [], "next_cursor": None})
    assert run(["jobs"]) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    assert line == (
        "2026-11: $240.00 spent or reserved of $1,000.00, $760.00 left;"
        " yours: $12.50 spent or reserved of $20.00, $7.50 left"
    )
    assert run(["jobs", "--json"]) == 0
    assert orjson.loads(capsys.readouterr().out) == {"jobs": [], "month": month}


def test_a_name_that_is_too_long_is_refused_before_anything_is_sent(
    api: FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*SUBMIT, "--name", "x" * 101]) == 2
    assert "--name: use 1 to 100 characters" in capsys.readouterr().err
    assert not api.server.requests


def test_names_are_a_column_where_a_job_has_one(
    api: FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = job_document()
    named = job_document(config={**plain["config"], "name": "erster Versuch"})
    api.answers["GET /jobs"] = [
        Script(body={"jobs": [plain, named], "next_cursor": None}),
        Script(body={"jobs": [plain], "next_cursor": None}),
    ]
    assert run(["jobs"]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split()[:3] == ["job", "name", "status"]
    assert ["erster Versuch" in row for row in rows] == [False, True]
    assert run(["jobs"]) == 0
    assert capsys.readouterr().out.split()[:2] == ["job", "status"]


def test_a_lost_answer_is_asked_for_with_the_same_request(api: FakeApi) -> None:
    api.answers["POST /jobs"] = [CUT, CUT]
    assert run(SUBMIT) == 0
    requests = api.asked("POST /jobs")
    assert len(requests) == 3
    assert len({request.headers["idempotency-key"] for request in requests}) == 1
    assert len({request.body for request in requests}) == 1


def test_the_same_command_after_a_lost_answer_makes_no_second_job(
    api: FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    api.answers["POST /jobs"] = [CUT] * client_module.ATTEMPTS

    assert run(SUBMIT) == 1
    assert "Run the same command again: it creates no second job" in capsys.readouterr().err
    assert run(SUBMIT) == 0
    assert "asking for it again" in capsys.readouterr().err
    assert run(SUBMIT) == 0  # a new one: the last one has had its answer

    keys = [request.headers["idempotency-key"] for request in api.asked("POST /jobs")]
    assert len(set(keys[:-1])) == 1
    assert keys[-1] != keys[0]
    assert len(api.asked("POST /objects")) == 2


def pending_of_before(url: str, strategy: str) -> Path:
    """What the version of November 2026 (042a8e6) kept of `SUBMIT` when its answer was lost."""
    body = Path("seeds.jsonl").read_bytes()
    parts = {
        "template": complete_document(read_template(Path("template.yaml"))),
        "seeds": ["seeds.jsonl", hashlib.sha256(body).hexdigest()],
        "num_records": 4,
        "budget_limit": "1",
        "output_format": ["JSONL", "PARQUET"],
        "model": None,
        "seed_strategy": strategy,
        "partition_strategy": "none",
        "allow_partial": False,
        "allow_on_demand": False,
        "api": url,
        "user": None,
    }
    name = hashlib.sha256(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)).hexdigest()
    path = state_folder() / "submissions" / f"{name}.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(orjson.dumps({"key": "before", "body": {"seed_strategy": strategy}}))
    return path


@pytest.mark.parametrize(
    ("kept", "named", "goes_on"),
    [
        ("random", [], True),
        ("random", ["--seed-strategy", "random"], True),
        ("random", ["--seed-strategy", "shuffle"], False),
        ("random", ["--random-seed", "1"], False),
        ("sequential", ["--seed-strategy", "sequential"], True),
        ("sequential", [], False),
    ],
)
def test_a_lost_answer_to_an_earlier_version_is_asked_for_again(
    api: FakeApi, kept: str, named: list[str], *, goes_on: bool
) -> None:
    pending = pending_of_before(api.server.url, kept)

    assert run([*SUBMIT, *named]) == 0

    (request,) = api.asked("POST /jobs")
    assert (request.headers["idempotency-key"] == "before") is goes_on
    assert (request.json == {"seed_strategy": kept}) is goes_on
    assert pending.exists() is not goes_on


@pytest.mark.parametrize("changed", ["-n", "seeds.jsonl", "template.yaml"])
def test_another_command_after_a_lost_answer_is_another_job(
    api: FakeApi, tmp_path: Path, changed: str
) -> None:
    api.answers["POST /jobs"] = [CUT] * client_module.ATTEMPTS
    run(SUBMIT)
    if changed == "-n":
        assert run([*SUBMIT[:-1], "5"]) == 0
    else:
        text = (tmp_path / changed).read_text()
        (tmp_path / changed).write_text(text.replace("tea", "milk").replace("sentence", "word"))
        assert run(SUBMIT) == 0
    keys = {request.headers["idempotency-key"] for request in api.asked("POST /jobs")}
    assert len(keys) == 2


def test_a_refused_job_is_forgotten(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    api.answers["POST /jobs"] = [refusal(429, "limit_reached", "you have 5 jobs")]
    assert run(SUBMIT) == 2
    assert capsys.readouterr().err.splitlines()[-1] == "error: you have 5 jobs"
    assert run(SUBMIT) == 0
    keys = [request.headers["idempotency-key"] for request in api.asked("POST /jobs")]
    assert len(set(keys)) == 2


def test_a_job_that_the_month_has_no_room_for_is_refused(
    api: FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    api.answers["POST /jobs"] = [refusal(402, "monthly_budget", "$1.00 is left of the month")]
    assert run(SUBMIT) == 2
    assert capsys.readouterr().err.splitlines()[-1] == "error: $1.00 is left of the month"


def test_seeds_with_problems_make_no_job(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    problems = [
        {"row": row, "line": row, "path": "topic", "message": "topic is missing"}
        for row in range(1, 6)
    ]
    api.usual["POST /seed-data/validate"] = Script(
        body={"valid": False, "problems": problems, "total_problems": 9}
    )
    assert run(SUBMIT) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "record 1 (line 1): topic is missing; record 2" in error
    assert error.endswith("record 3 (line 3): topic is missing; 6 more like this")
    assert api.asked("POST /jobs") == []


def test_a_seed_file_that_is_too_large_is_not_sent(
    api: FakeApi, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "seeds.jsonl").write_bytes(b'{"topic": "x"}\n' * 100)
    assert run(SUBMIT) == 2
    assert "seeds.jsonl: 1.5 KB; the limit is 1.0 KB" in capsys.readouterr().err
    assert api.asked("POST /objects") == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["template.yaml", "--seeds", "nothing.csv", "-n", "1"], "nothing.csv: no such file"),
        (["nothing.yaml", "--seeds", "seeds.jsonl", "-n", "1"], "nothing.yaml: no such file"),
        (["template.yaml", "--seeds", "seeds.jsonl", "-n", "0"], "-n is 0"),
        (["template.yaml", "--seeds", "seeds.jsonl", "-n", "1", "--budget", "x"], "a budget is"),
        (["template.yaml", "--seeds", "template.yaml", "-n", "1"], "seeds are .json, .jsonl"),
    ],
)
def test_wrong_input_is_seen_before_a_job_is_made(
    api: FakeApi, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert run(["submit", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert api.asked("POST /jobs") == []


def test_a_stop_in_the_middle_forgets_nothing(api: FakeApi, tmp_path: Path) -> None:
    """A real process, which is waiting for the answer to its job."""
    asked, answer = Event(), Event()

    def hold(request: Request) -> Script:
        if (request.method, request.path) == ("POST", "/jobs"):
            asked.set()
            answer.wait(30)
        return api.answer(request)

    api.server.otherwise = hold
    env = environment(**{name: value for name, value in os.environ.items() if "_" in name})
    with start(SUBMIT, cwd=tmp_path, env=env) as process:
        assert asked.wait(30)
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=30)
    answer.set()
    assert (process.returncode, out) == (130, "")
    assert "Traceback" not in error

    api.server.otherwise = api.answer
    assert run(SUBMIT) == 0
    first, second = api.asked("POST /jobs")
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]


def test_what_was_created_is_said(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(SUBMIT) == 0
    assert f"template 'one-step': created ({TEMPLATE})\n" in capsys.readouterr().err
    for name in ("create", "import"):
        api.usual["POST /templates/import"] = api.usual["POST /templates"]
        assert run(["templates", name, "template.yaml"]) == 0
        assert capsys.readouterr().out.splitlines()[0] == f"{TEMPLATE}  one-step is created"


def test_a_script_reads_one_document_and_nothing_else(
    api: FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    api.answers["POST /jobs"] = [CUT] * client_module.ATTEMPTS
    assert run([*SUBMIT, "--json"]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1  # the error
    assert run([*SUBMIT, "--watch", "--json"]) == 0
    said = capsys.readouterr()
    assert (orjson.loads(said.out)["job_id"], said.err) == (JOB, "")
    assert api.asked("POST /jobs/estimate") == []


@pytest.mark.parametrize(("valid", "state"), [(True, "valid"), (False, "2 problems")])
def test_seeds_are_valid_or_have_problems(
    api: FakeApi, capsys: pytest.CaptureFixture[str], *, valid: bool, state: str
) -> None:
    problems = [{"row": 2, "line": None, "path": "topic", "message": "topic is missing"}]
    api.usual["POST /seed-data/validate"] = Script(
        body={
            "valid": valid,
            "records": 149,
            "paths": ["topic"],
            "problems": [] if valid else problems,
            "total_problems": 0 if valid else 2,
            "truncated": not valid,
        }
    )
    assert run(["seeds", "validate", "seeds.jsonl"]) == (0 if valid else 2)
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == f"seed-data/u/x/seeds.jsonl: 149 seeds, {state}"
    assert shown[2:] == ([] if valid else ["record 2: topic is missing", "… and more"])


# ── watch ──────────────────────────────────────────────────────────────────────────────────────


def test_f2_a_watch_says_that_a_job_waits_for_its_worker(
    api: FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    api.answers[f"GET /jobs/{JOB}"] = [
        Script(body=job_document(status, records))
        for status, records in (("QUEUED", 0), ("QUEUED", 0), ("RUNNING", 2), ("COMPLETED", 4))
    ]
    times = count(step=6)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("runtime.cli.terminal.time.monotonic", lambda: next(times))
        patch.setattr(watching, "_GROWTH", 0.0)  # time flies
        assert run(["watch", JOB]) == 0
    first, queued, *_, last = capsys.readouterr().err.splitlines()
    assert not first.endswith("waiting for a worker")
    assert queued.endswith(" failed · waiting for a worker")
    assert last.startswith("4/4 records")
    assert last.endswith(" failed")


@pytest.mark.parametrize(
    ("status", "code"),
    [("COMPLETED", 0), ("FAILED", 1), ("BUDGET_EXCEEDED", 3), ("CANCELLED", 1)],
)
def test_the_exit_code_of_a_watch_is_the_jobs(
    api: FakeApi, capsys: pytest.CaptureFixture[str], status: str, code: int
) -> None:
    api.answers[f"GET /jobs/{JOB}"] = [
        Script(body=job_document("QUEUED", 0)),
        Script(body=job_document("RUNNING", 2)),
        Script(body=job_document(status, 3, error_message="why\x1b[31m")),
    ]
    assert run(["watch", JOB]) == code
    said = capsys.readouterr()
    assert said.err.splitlines()[-1].startswith("3/4 records")
    assert said.out.splitlines()[0] == f"{JOB}  {status}"
    assert "error: why [31m" in said.out


def test_a_watch_survives_an_api_that_is_away(
    api: FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    lost = [CUT] * client_module.ATTEMPTS
    api.answers[f"GET /jobs/{JOB}"] = [
        Script(body=job_document("RUNNING", 2)),
        *lost,
        refusal(500, "internal", "on our side"),
    ]
    assert run(["watch", JOB]) == 0
    said = capsys.readouterr()
    assert said.err.count("Trying again") == 1
    assert "The API answers again." in said.err


def test_a_stopped_watch_stops_no_job(
    api: FakeApi, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", interrupt)
    api.usual[f"GET /jobs/{JOB}"] = Script(body=job_document("RUNNING", 2))
    assert run(["watch", JOB]) == 130
    assert capsys.readouterr().err.endswith(f"The job goes on. next: seedwright watch {JOB}\n")
    assert {each.method for each in api.server.requests} == {"GET"}


def test_a_watch_of_nothing_ends_at_once(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    api.usual[f"GET /jobs/{JOB}"] = refusal(404, "not_found", f"no job {JOB}: check the id")
    assert run(["watch", JOB]) == 2
    assert capsys.readouterr().err == f"error: no job {JOB}: check the id\n"


# ── download ───────────────────────────────────────────────────────────────────────────────────


def line(index: int) -> bytes:
    return orjson.dumps({"id": f"{JOB}-{index}", "index": index}) + b"\n"


def files(api: FakeApi, contents: dict[str, bytes], *, kind: str) -> list[dict[str, Any]]:
    """Files as the API lists them, which the server gives."""
    listed = []
    for number, (name, content) in enumerate(contents.items()):
        api.usual[f"GET /objects/{number}"] = Script(body=content)
        listed.append(
            {
                "kind": kind,
                "name": name,
                "format": "JSONL",
                "size": len(content),
                "url": f"{api.server.url}/objects/{number}?signature=secret",
            }
        )
    return listed


def page(listed: list[dict[str, Any]], cursor: str | None = None, **more: Any) -> Script:
    document = {
        "job_id": JOB,
        "status": "RUNNING",
        "complete": False,
        "records_generated": 9,
        "files": listed,
        "expires_in": 900,
        "next_cursor": cursor,
    }
    return Script(body={**document, **more})


DOWNLOAD = f"GET /jobs/{JOB}/download"


def test_a_dataset_comes_in_all_its_files(
    api: FakeApi, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").mkdir()
    for name in ("dataset.partial.jsonl", "failures.partial.jsonl"):
        (tmp_path / "out" / name).write_bytes(line(0))
    listed = files(
        api,
        {
            "exports/dataset.jsonl": line(0) + line(1),
            "exports/date=2026-11-23/records.jsonl": line(1),
            "failures.jsonl": b"{}\n",
        },
        kind="dataset",
    )
    api.usual[DOWNLOAD] = page(listed, status="COMPLETED", complete=True)

    assert run(["download", JOB, "--out", "out"]) == 0

    assert capsys.readouterr().out.splitlines() == [
        f"out/dataset.jsonl  {2 * len(line(0))} B",
        f"out/date=2026-11-23/records.jsonl  {len(line(0))} B",
        "out/failures.jsonl  3 B",
    ]
    assert (tmp_path / "out" / "dataset.jsonl").read_bytes() == line(0) + line(1)
    assert not list((tmp_path / "out").glob("*.partial.jsonl"))


def test_a_dataset_comes_with_its_report(api: FakeApi, tmp_path: Path) -> None:
    """Also when its URL has become too old; what the API calls it is no path."""
    listed = files(api, {"exports/dataset.jsonl": line(0)}, kind="dataset")
    url = f"{api.server.url}/objects"
    old = {"name": "../../victim", "size": 6, "url": f"{url}/old?signature=secret"}
    api.usual["GET /objects/old"] = Script(status=403, body=b"expired")
    api.usual["GET /objects/new"] = Script(body=b"<html>")
    fresh = {**old, "url": f"{url}/new?signature=secret"}
    more: dict[str, Any] = {"status": "COMPLETED", "complete": True}
    api.answers[DOWNLOAD] = [page(listed, report=old, **more), page(listed, report=fresh, **more)]

    assert run(["download", JOB, "--out", "out"]) == 0

    assert (tmp_path / "out" / "report.html").read_bytes() == b"<html>"
    assert sorted(each.name for each in (tmp_path / "out").iterdir()) == [
        "dataset.jsonl",
        "report.html",
    ]


def test_rows_come_with_their_card_unless_it_is_the_users_own(api: FakeApi, tmp_path: Path) -> None:
    parquet = "data/train-00000-of-00001.parquet"
    contents = {f"exports/{parquet}": b"PAR1", "exports/data-csv/test.csv": b"a\n"}
    listed = files(api, contents, kind="dataset")
    api.usual["GET /objects/card"] = Script(body=b"# ours\n")
    card = {"name": "README.md", "size": 7, "url": f"{api.server.url}/objects/card?signature=s"}
    api.usual[DOWNLOAD] = page(listed, card=card, status="COMPLETED", complete=True)

    assert run(["download", JOB, "--out", "out"]) == 0
    out = tmp_path / "out"
    assert (out / parquet).read_bytes() == b"PAR1"
    assert (out / "data-csv" / "test.csv").read_bytes() == b"a\n"
    assert (out / "README.md").read_bytes() == b"# ours\n"

    (out / "README.md").write_bytes(b"# mine\n")
    assert run(["download", JOB, "--out", "out"]) == 0
    assert (out / "README.md").read_bytes() == b"# mine\n"


def card_of_ours() -> bytes:
    """Of a dataset that was downloaded before."""
    card = Card(
        name="n",
        description="",
        configurations=[],
        template="",
        version="1",
        finished_at=datetime(2026, 1, 1, tzinfo=UTC),
        requested=1,
        records=1,
        failures={},
        steps={},
        cost_nano=0,
    )
    return render_card(card).encode()


def test_rows_of_an_earlier_export_do_not_stay_beside_the_new_ones(
    api: FakeApi, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A dataset that grew has other parts; what has other names is the user's."""
    new = "data/train-00000-of-00002.parquet"
    listed = files(api, {f"exports/{new}": b"PAR1"}, kind="dataset")
    api.usual[DOWNLOAD] = page(listed, status="COMPLETED", complete=True)
    old = {"data/train-00000-of-00001.parquet", "data-jsonl/test.jsonl", "data-csv/train.csv"}
    own = {"data/mine.parquet", "data-jsonl/notes.txt", "old/train-00000-of-00001.parquet"}
    out = tmp_path / "out"
    for name in (*old, *own):
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(b"PAR1")

    def rows() -> set[str]:
        return {path.relative_to(out).as_posix() for path in out.glob("*/*")}

    (out / "README.md").write_bytes(b"# mine\n")
    assert run(["download", JOB, "--out", "out"]) == 0
    assert rows() == {new, *old, *own}
    assert "is not of this dataset and stays" in capsys.readouterr().err

    (out / "README.md").write_bytes(card_of_ours())
    assert run(["download", JOB, "--out", "out"]) == 0
    assert rows() == {new, *own}


def test_rows_of_every_shape_come_and_replace_those_of_before(api: FakeApi, tmp_path: Path) -> None:
    """A shape that this download does not bring stays, and so do files of the user's own; the name
    of the folder itself says nothing.
    """
    folders = ("data", "messages", "prompt-completion", "unpaired-preference", "verl")
    new = {f"{each}/train-00000-of-00002.parquet" for each in folders}
    new |= {"messages-jsonl/train.jsonl", "unpaired-preference-csv/train.csv"}
    names = ["dataset.jsonl", *sorted(new)]
    listed = files(api, {f"exports/{each}": b"PAR1" for each in names}, kind="dataset")
    api.usual[DOWNLOAD] = page(listed, status="COMPLETED", complete=True)
    old = {"messages/train-00000-of-00001.parquet", "messages-csv/train.csv"}
    own = {"messages/mine.parquet", "alpaca/train-00000-of-00001.parquet"}
    out = tmp_path / "alpaca"
    for name in (*old, *own):
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(b"PAR1")
    (out / "README.md").write_bytes(card_of_ours())

    assert run(["download", JOB, "--out", "alpaca"]) == 0
    assert {path.relative_to(out).as_posix() for path in out.glob("*/*")} == new | own


@pytest.mark.parametrize(
    "name",
    [
        "data/../../victim.parquet",
        "messages/../../victim.parquet",
        "messages/.hidden.parquet",
        "messages-csv/train.jsonl",
        "messages-xml/train.jsonl",
        "records/train-00000-of-00001.parquet",
        "data/.hidden.jsonl",
        "data/train-1-of-2.parquet",
        "other/train-00000-of-00001.parquet",
        "data/a/b.jsonl",
        "data/train.jsonl",
        "data-csv/train.jsonl",
    ],
)
def test_what_is_no_row_file_is_refused(
    api: FakeApi, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    api.usual[DOWNLOAD] = page(
        [{"kind": "dataset", "name": f"exports/{name}", "size": 1, "url": f"{api.server.url}/x"}],
        status="COMPLETED",
        complete=True,
    )
    assert run(["download", JOB, "--out", "out"]) != 0
    assert "is refused" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_what_is_there_so_far_is_one_file_without_repetitions(
    api: FakeApi, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = files(
        api,
        {
            "outputs/batch-0001.jsonl": line(0) + line(999_999),
            "outputs/shard-0001/batch-0001.jsonl": line(999_999) + line(2).rstrip(),
            "outputs/shard-0001/batch-0002.jsonl": line(3),
        },
        kind="batch",
    )
    api.answers[DOWNLOAD] = [page(listed[:2], "next"), page(listed[2:])]

    assert run(["download", JOB, "--json"]) == 0

    document = orjson.loads(capsys.readouterr().out)
    target = tmp_path / "datasets" / JOB / "dataset.partial.jsonl"
    assert target.read_bytes() == line(0) + line(999_999) + line(2) + line(3)
    assert document["records"] == 4
    assert document["complete"] is False
    assert document["files"] == [
        {"path": str(target.relative_to(tmp_path)), "size": target.stat().st_size}
    ]
    assert [each.name for each in target.parent.iterdir()] == [target.name]
    assert [each.path for each in api.asked(DOWNLOAD)][-1].endswith("?cursor=next")


def test_failures_so_far_have_a_file_of_their_own(
    api: FakeApi, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = {f"failures/part-000{each}.jsonl": line(each) + line(5) for each in (1, 2)}
    listed = files(api, {"outputs/batch-0001.jsonl": line(0), **parts}, kind="batch")
    failures = [{**each, "kind": "failures"} for each in listed[1:]]
    api.answers[DOWNLOAD] = [page(listed[:1], "next"), page(failures)]

    assert run(["download", JOB, "--out", "out"]) == 0

    said = capsys.readouterr()
    assert [each.split()[0] for each in said.out.splitlines()] == [
        "out/dataset.partial.jsonl",
        "out/failures.partial.jsonl",
    ]
    assert "this is 1 record" in said.err
    merged = (tmp_path / "out" / "failures.partial.jsonl").read_bytes()
    assert merged == line(1) + line(5) + line(2)


def test_a_part_is_called_a_part(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    api.usual[DOWNLOAD] = page(files(api, {"outputs/batch-0001.jsonl": line(0)}, kind="batch"))
    assert run(["download", JOB]) == 0
    said = "Not the whole dataset: the job is RUNNING, this is 1 record.\n"
    assert capsys.readouterr().err == said


def test_an_address_that_has_expired_is_renewed(api: FakeApi, tmp_path: Path) -> None:
    listed = files(api, {"exports/dataset.jsonl": line(0)}, kind="dataset")
    api.usual[DOWNLOAD] = page(listed, complete=True)
    api.answers["GET /objects/0"] = [Script(status=403)]
    assert run(["download", JOB, "--out", "out"]) == 0
    assert (tmp_path / "out" / "dataset.jsonl").read_bytes() == line(0)
    assert len(api.asked(DOWNLOAD)) == 2


@pytest.mark.parametrize(
    "name", ["exports/../../stolen", "/etc/stolen", "exports/..", "..", "exports/x/../../../stolen"]
)
def test_a_file_goes_nowhere_else(
    api: FakeApi, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    api.usual[DOWNLOAD] = page(files(api, {name: b"x"}, kind="dataset"))
    assert run(["download", JOB, "--out", "out"]) == 2
    assert "which is refused" in capsys.readouterr().err
    assert not list(tmp_path.rglob("stolen"))


def test_a_job_without_records_has_nothing_to_download(
    api: FakeApi, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    api.usual[DOWNLOAD] = page([], status="QUEUED")
    assert run(["download", JOB]) == 2
    assert capsys.readouterr().err == f"error: job {JOB} is QUEUED and has no records yet\n"
    assert not (tmp_path / "datasets").exists()


@pytest.mark.parametrize("damage", [b"{", b'{"index": -1}\n', b'{"index": 10000000}\n'])
def test_a_damaged_batch_gives_no_dataset(
    api: FakeApi, tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: bytes
) -> None:
    listed = files(api, {"outputs/batch-0001.jsonl": line(0) + damage}, kind="batch")
    api.usual[DOWNLOAD] = page(listed)
    assert run(["download", JOB, "--out", "out"]) == 1
    assert "is damaged" in capsys.readouterr().err
    assert list((tmp_path / "out").iterdir()) == []


# ── others ─────────────────────────────────────────────────────────────────────────────────────


def test_deleting_asks_and_a_script_has_to_say_yes(
    api: FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    api.usual[f"DELETE /jobs/{JOB}"] = Script(status=204)
    assert run(["delete", JOB]) == 2
    assert "use --yes to confirm" in capsys.readouterr().err
    assert api.asked(f"DELETE /jobs/{JOB}") == []
    assert run(["delete", JOB, "--yes"]) == 0
    assert api.asked(f"DELETE /jobs/{JOB}")[0].path.endswith("?action=delete")


def test_a_deletion_whose_answer_was_lost_has_happened(api: FakeApi) -> None:
    api.answers[f"DELETE /jobs/{JOB}"] = [CUT, refusal(404, "not_found", "no job")]
    assert run(["delete", JOB, "--yes"]) == 0


def test_an_id_is_one_segment_of_a_path(api: FakeApi) -> None:
    api.usual["GET /jobs/..%2Fdashboard%2Fsummary"] = refusal(400, "invalid_input", "a UUID")
    assert run(["status", "../dashboard/summary"]) == 2
    assert api.server.requests[-1].path == "/jobs/..%2Fdashboard%2Fsummary"


def test_lists_go_over_pages_and_stop_at_the_limit(
    api: FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    document = job_document()
    api.usual["GET /jobs"] = Script(body={"jobs": [document] * 2, "next_cursor": "c"})
    assert run(["jobs", "--limit", "3", "--status", "running", "--json"]) == 0
    assert len(orjson.loads(capsys.readouterr().out)["jobs"]) == 3
    assert [each.path for each in api.asked("GET /jobs")] == [
        "/jobs?limit=3&status=RUNNING",
        "/jobs?limit=3&cursor=c&status=RUNNING",
    ]


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 KB"),
        (1_234_567, "1.2 MB"),
        (5 * 10**15, "5000.0 TB"),
    ],
)
def test_sizes_are_readable(size: int, text: str) -> None:
    assert size_text(size) == text


def test_seeds_of_any_source_are_uploaded_as_json_lines(
    api: FakeApi, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "many").mkdir()
    (tmp_path / "many" / "b.tsv").write_text("topic\ttags\ntea\tx\n")
    (tmp_path / "many" / "a.jsonl.gz").write_bytes(gzip.compress(b'{"topic":"sea"}\n'))
    (tmp_path / "latin.csv").write_bytes(b"topic\ncaf\xe9\n")
    sources = ["--seeds", "many", "--seeds", "latin.csv", "--encoding", "latin-1"]

    assert run(["submit", "template.yaml", *sources, "-n", "1"]) == 0
    sent = api.asked("POST /objects")[0].body
    rows = [orjson.loads(line) for line in sent.splitlines() if line.startswith(b"{")]

    assert [row["topic"] for row in rows] == ["sea", "tea", "café"]
    asked = api.asked("POST /seed-data/upload-url")[0].json
    assert asked == {"filename": "seeds.jsonl", "size": 85}
    assert "warning: null for what only other files have: tags" in capsys.readouterr().err
    assert run(["seeds", "upload", "many", "--unique"]) == 0
    assert len(api.asked("POST /objects")) == 2


# ── seeds ──────────────────────────────────────────────────────────────────────────────────────

SEED_ID = "0f1e2d3c-4b5a-4968-8776-655443322110"
SEED_KEY = f"seed-data/u/{SEED_ID}/a.jsonl"


def test_seeds_are_listed_with_sizes_and_dates_and_deleted(
    api: FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [
        {"s3_key": SEED_KEY, "filename": "a.jsonl", "size": 1_200_000_000, "seed_id": SEED_ID},
        {"s3_key": "seed-data/u/b.csv", "filename": "b.csv", "size": 7},
    ]
    files[0]["uploaded_at"] = "2026-11-28T09:00:00Z"
    api.usual["GET /seed-data"] = Script(body={"files": files, "next_cursor": None})
    api.usual[f"DELETE /seed-data/{SEED_ID}"] = Script(status=204)
    assert run(["seeds", "list"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in shown[1:3]] == [
        [SEED_KEY, "1.2", "GB"],
        ["seed-data/u/b.csv", "7", "B"],
    ]
    assert "2026-11-28" in shown[1]
    assert shown[3] == "2 files, 1.2 GB"
    assert run(["seeds", "delete", SEED_KEY, "--yes"]) == 0
    assert capsys.readouterr().out == f"{SEED_KEY} is deleted.\n"
    assert run(["seeds", "delete", SEED_ID, "--yes", "--json"]) == 0
    assert len(api.asked(f"DELETE /seed-data/{SEED_ID}")) == 2
    assert run(["seeds", "delete", "a.jsonl", "--yes"]) == 2
    assert "a.jsonl is not the key of uploaded seeds" in capsys.readouterr().err


def test_a_validation_shows_types_repeated_ids_and_the_first_prompt(
    api: FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    prompt = {"step_id": "review", "prompt": "Review\x1b[0m\nkettle.", "system": None}
    api.usual["POST /seed-data/validate"] = Script(
        body={
            "valid": True,
            "complete": False,
            "records": 3,
            "paths": ["topic", "n"],
            "types": {"topic": ["text", "null"]},
            "nulls": {"topic": 1},
            "warnings": ["1 seed has an id that an earlier one has"],
            "first_prompts": [prompt],
            "problems": [],
            "total_problems": 0,
            "truncated": False,
        }
    )
    assert run(["seeds", "validate", "seeds.jsonl"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert "the file is large" in shown[1]
    assert shown[2] == "a template can read: topic (text, null), n"
    assert shown[3].startswith("warning: topic is null in 1 of 3 seeds")
    assert shown[4] == "warning: 1 seed has an id that an earlier one has"
    assert shown[5] == "review, prompt for the first seed:"
    assert "\x1b" not in "".join(shown)
    assert shown[-1] == "  kettle."


def test_an_api_of_before_is_not_told_the_size(api: FakeApi) -> None:
    details = [{"field": "size", "message": "is not a field of this operation"}]
    error = {"code": "invalid_input", "message": "size: is not", "details": details}
    api.answers["POST /seed-data/upload-url"] = [Script(status=400, body={"error": error})]
    assert run(["seeds", "upload", "seeds.jsonl"]) == 0
    asked = [each.json for each in api.asked("POST /seed-data/upload-url")]
    size = Path("seeds.jsonl").stat().st_size
    assert asked == [{"filename": "seeds.jsonl", "size": size}, {"filename": "seeds.jsonl"}]


def test_seeds_without_room_are_not_sent(api: FakeApi, capsys: pytest.CaptureFixture[str]) -> None:
    error = {"code": "seed_quota", "message": "your seeds may take 1 GB", "details": []}
    api.usual["POST /seed-data/upload-url"] = Script(status=409, body={"error": error})
    assert run(["seeds", "upload", "seeds.jsonl"]) != 0
    assert "your seeds may take 1 GB" in capsys.readouterr().err
    assert api.asked("POST /objects") == []
