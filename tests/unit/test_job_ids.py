"""Jobs named by the beginning of their id, and what lists and messages say to people."""

from pathlib import Path

import pytest

import seedwright
from runtime.cli.main import run
from runtime.client.api_client import Client
from runtime.domain.errors import InputError, NotFoundError
from runtime.domain.wording import counted, sentence
from tests.fixtures.fake_api import JOB, TEMPLATE, FakeApi, job_document
from tests.fixtures.hostile_api import DOWNLOAD, file, page
from tests.fixtures.scripted_server import Script

OTHER = f"{JOB[:6]}ff{JOB[8:]}"
START = JOB[:8]


@pytest.fixture
def api(fake_api: FakeApi) -> FakeApi:
    """With two jobs whose ids begin alike."""
    jobs = [job_document("COMPLETED", 4), job_document("COMPLETED", 4, job_id=OTHER)]
    fake_api.usual |= {
        "GET /jobs": Script(body={"jobs": jobs, "next_cursor": None}),
        f"GET /dashboard/jobs/{JOB}": Script(
            body={"seconds_left": None, "cost_by_model": {}, "failures_by_kind": {}}
        ),
        f"DELETE /jobs/{JOB}": Script(body=jobs[0]),
        f"POST /jobs/{JOB}/resume": Script(body=jobs[0]),
        DOWNLOAD: Script(body=page([file(fake_api)])),
        "GET /objects/0": Script(body=b"{}\n"),
    }
    return fake_api


@pytest.mark.parametrize("command", ["status", "watch", "cancel", "resume", "delete", "download"])
def test_f5_the_beginning_of_an_id_names_the_job(
    api: FakeApi, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    more = ["--yes"] if command == "delete" else []
    assert run([command, START.upper(), *more]) == 0
    asked = [each.path.partition("?")[0] for each in api.server.requests]
    assert asked[0] == "/jobs"
    assert {each for each in asked[1:] if "jobs" in each} <= {
        f"/jobs/{JOB}",
        f"/jobs/{JOB}/resume",
        f"/jobs/{JOB}/download",
        f"/dashboard/jobs/{JOB}",
    }
    assert JOB in capsys.readouterr().out
    assert run([command, JOB, *more]) == 0  # a whole one is looked up nowhere
    assert len(api.asked("GET /jobs")) == 1


@pytest.mark.parametrize(
    ("shards", "said"),
    [
        (["COMPLETED", "RUNNING", "FAILED", "COMPLETED"], ["3 of 4 shards done"]),
        (None, []),  # in one piece
    ],
)
def test_status_says_how_many_shards_are_done(
    api: FakeApi, capsys: pytest.CaptureFixture[str], shards: list[str] | None, said: list[str]
) -> None:
    listed = None if shards is None else [{"status": status} for status in shards]
    api.usual[f"GET /dashboard/jobs/{JOB}"] = Script(
        body={"shards": listed, "seconds_left": None, "cost_by_model": {}, "failures_by_kind": {}}
    )
    assert run(["status", JOB]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if "shards" in line] == said


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (JOB[:6], f"2 jobs begin with '{JOB[:6]}'"),
        ("0000", "no job of yours begins with '0000'"),
        (JOB[:3], "use 4 or more characters"),
    ],
)
def test_f5_what_names_no_job_is_said(
    api: FakeApi, capsys: pytest.CaptureFixture[str], given: str, said: str
) -> None:
    for command in ("status", "download", "cancel"):
        assert run([command, given]) == 2
        assert said in capsys.readouterr().err
    with pytest.raises((InputError, NotFoundError)):
        Client(url=api.server.url, token="token").delete(given)  # noqa: S106
    assert {each.method for each in api.server.requests} <= {"GET"}


def test_f5_jobs_are_listed_with_the_names_of_their_templates(
    api: FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    head = {"template_id": TEMPLATE, "name": "book notes"}
    api.answers["GET /templates"] = [Script(body={"templates": [head], "next_cursor": None})]
    assert run(["jobs"]) == 0
    first, *rows = capsys.readouterr().out.splitlines()
    assert first.split()[-1] == "template"
    assert all(row.endswith("  book notes") for row in rows)
    assert run(["jobs"]) == 0
    assert TEMPLATE[:8] in capsys.readouterr().out  # not the user's own, or gone


def test_f6_an_unknown_model_is_said_before_another_dataset(
    api: FakeApi, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    del api
    state = tmp_path / "used" / ".seedwright"
    state.mkdir(parents=True)
    (state / "job.json").write_text('{"--model": "another"}')
    generate = ["generate", "template.yaml", "--seeds", "seeds.jsonl", "-n", "1", "--out", "used"]
    assert run([*generate, "--backend", "bedrock", "--model", "nova-micro"]) == 2
    assert "unknown model 'nova-micro'" in capsys.readouterr().err
    assert run([*generate, "--backend", "bedrock"]) == 2
    assert "holds another dataset" in capsys.readouterr().err


@pytest.mark.parametrize("url", ["https://e.com/x.csv", "s3://bucket/x.csv", "http://e.com/x"])
def test_f7_a_url_where_a_file_is_meant_is_called_one(
    api: FakeApi, tmp_path: Path, capsys: pytest.CaptureFixture[str], url: str
) -> None:
    inputs = ["template.yaml", "--seeds", "seeds.jsonl", "-n", "1"]
    for command in (
        ["validate", url],
        ["generate", "template.yaml", "--seeds", url, "-n", "1"],
        ["estimate", "template.yaml", "--seeds", url, "-n", "1"],
        ["submit", "template.yaml", "--seeds", url, "-n", "1"],
        ["submit", url, *inputs[1:]],
        ["seeds", "upload", url],
        ["generate", *inputs, "--out", url],
        ["download", JOB, "--out", url],
        ["templates", "export", TEMPLATE, "--out", url],
    ):
        api.usual[f"GET /templates/{TEMPLATE}/export"] = Script(body={})
        assert run(command) == 2
        assert "is a URL" in capsys.readouterr().err
    assert not list(tmp_path.glob("*:"))


def test_f7_one_is_one_and_a_question_is_no_sentence_before(
    api: FakeApi, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (counted(0, "seed"), counted(1, "seed"), counted(2, "seed")) == (
        "0 seeds",
        "1 seed",
        "2 seeds",
    )
    assert (sentence("is it running?"), sentence("try again")) == ("is it running?", "try again.")
    (tmp_path / "one.jsonl").write_text('{"topic": "tea"}\n', encoding="utf-8")
    assert run(["validate", "template.yaml", "--seeds", "one.jsonl"]) == 0
    shown = capsys.readouterr().out
    assert "1 step, needs" in shown
    assert "1 seed, each" in shown
    del api


def test_f7_what_looks_before_paying_looks_at_one_backend(
    api: FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    del api
    assert run(["validate", "template.yaml"]) == 0
    checked = capsys.readouterr().out
    assert run(["estimate", "template.yaml", "--seeds", "seeds.jsonl", "-n", "1"]) == 0
    (model,) = seedwright.estimate("template.yaml", "seeds.jsonl", n=1).models
    assert model in checked
    assert model in capsys.readouterr().out
    assert seedwright.validate("template.yaml").steps[0].model == model
