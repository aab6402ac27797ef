"""`Client`, the API for Python programs, against a server that answers as a test has written."""

import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import orjson
import pytest

from runtime.cli.main import run
from runtime.client import http as client_module
from runtime.client import watching
from runtime.client.api_client import Client
from runtime.client.jobs import Job
from runtime.client.profiles import Profile, open_profiles
from runtime.client.transfer import OnBytes
from runtime.domain.errors import (
    ConfigurationError,
    ConflictError,
    InputError,
    LimitError,
    NotFoundError,
    SeedError,
    SeedwrightError,
    StorageUnavailableError,
    TemplateError,
    UnauthenticatedError,
)
from runtime.domain.jobs.job import JobStatus
from runtime.inputs.seeds import lines_of, read_seeds
from runtime.inputs.templates import read_template
from tests.fixtures.command import SEEDS, write_inputs
from tests.fixtures.fake_api import CUT, JOB, TEMPLATE, FakeApi, job_document
from tests.fixtures.scripted_server import Script, refusal, scripted_server

ResultT = TypeVar("ResultT")

DOCUMENT = {
    "name": "one-step",
    "steps": [
        {
            "id": "text",
            "prompt": "Write sentence {{ index }} about {{ topic }}.",
            "max_tokens": 40,
        }
    ],
}
ROWS = [orjson.loads(line) for line in SEEDS.splitlines()]


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeApi]:
    write_inputs(tmp_path)
    monkeypatch.chdir(tmp_path)
    for name in ("CONFIG", "STATE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))
    monkeypatch.setattr(client_module, "FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(watching, "FIRST_INTERVAL_SECONDS", 0.001)
    with scripted_server() as server:
        yield FakeApi(server)


@pytest.fixture
def client(api: FakeApi) -> Client:
    return Client(url=api.server.url, token="token")  # noqa: S106 - of a test


@pytest.fixture(autouse=True)
def _nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    yield
    assert capfd.readouterr() == ("", "")


class Heard:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.moved: dict[str, int] = {}
        self.jobs: list[Job] = []

    def notice(self, text: str) -> None:
        self.said.append(text)

    def warning(self, text: str) -> None:
        self.said.append(f"warning: {text}")

    def transfer(self, name: str, size: int | None) -> AbstractContextManager[OnBytes]:
        self.said.append(f"transfer {name} {size}")

        def count(moved: int) -> None:
            self.moved[name] = self.moved.get(name, 0) + moved

        return nullcontext(count)

    def progress(self, job: Job) -> None:
        self.jobs.append(job)


def in_a_thread(call: Callable[[], ResultT]) -> ResultT:
    """What a call gives, or raises, in a thread that is not the main one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result()


# ── submit ─────────────────────────────────────────────────────────────────────────────────────


def sent_job(api: FakeApi) -> Mapping[str, Any]:
    body: Mapping[str, Any] = api.asked("POST /jobs")[-1].json
    return body


def test_a_call_asks_for_what_the_command_asks_for(
    api: FakeApi,
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    job = in_a_thread(
        lambda: client.submit(
            "template.yaml",
            "seeds.jsonl",
            n=4,
            budget=0.5,
            model="m",
            formats=["csv"],
            seed_strategy="sequential",
            partition="timestamp",
            allow_partial=True,
            allow_on_demand=True,
        )
    )
    assert (job.job_id, job.status, job.ended) == (JOB, JobStatus.QUEUED, False)
    called = sent_job(api)

    monkeypatch.setenv("SEEDWRIGHT_API_URL", api.server.url)
    monkeypatch.setenv("SEEDWRIGHT_TOKEN", "token")
    options = ["--model", "m", "--format", "csv", "--seed-strategy", "sequential"]
    more = ["--partition", "timestamp", "--allow-partial", "--allow-on-demand", "--json"]
    inputs = ["submit", "template.yaml", "--seeds", "seeds.jsonl", "-n", "4", "--budget", "0.5"]
    assert run([*inputs, *options, *more]) == 0
    capfd.readouterr()
    assert sent_job(api) == called
    assert api.asked("POST /jobs/estimate") == []


@pytest.mark.parametrize("template", ["template.yaml", Path("template.yaml"), DOCUMENT])
@pytest.mark.parametrize("seeds", ["seeds.jsonl", Path("seeds.jsonl"), ROWS])
def test_files_and_python_objects_are_the_same_to_the_api(
    api: FakeApi, client: Client, template: Any, seeds: Any
) -> None:
    client.submit(template, seeds, n=4, budget="0.50")

    created = api.asked("POST /templates")[0].json
    assert (created["name"], created["steps"][0]["prompt"]) == (
        "one-step",
        "Write sentence {{ index }} about {{ topic }}.",
    )
    upload = api.asked("POST /objects")[0].body
    assert [orjson.loads(line) for line in upload.splitlines() if line.startswith(b"{")] == ROWS
    assert api.asked("POST /seed-data/upload-url")[0].json == {
        "filename": "seeds.jsonl",
        "size": len(lines_of(ROWS)) if seeds is ROWS else Path("seeds.jsonl").stat().st_size,
    }
    assert sent_job(api) == {
        "template_id": TEMPLATE,
        "template_version": 1,
        "seed_data_path": "seed-data/u/x/seeds.jsonl",
        "num_records": 4,
        "budget_limit": "0.5",
        "output_format": ["JSONL", "PARQUET"],
        "partition_strategy": "none",
        "seed_strategy": "shuffle",
        "random_seed": 0,
        "model": None,
        "allow_partial": False,
        "allow_on_demand": False,
    }


def test_what_was_read_already_can_be_submitted(api: FakeApi, client: Client) -> None:
    template = read_template(Path("template.yaml"))
    seeds = read_seeds(Path("seeds.jsonl"), template.schema_requirements)
    client.submit(template, seeds, n=4, budget=1)
    assert SEEDS.encode() in api.asked("POST /objects")[0].body


def test_ids_and_keys_are_used_as_they_are(api: FakeApi, client: Client) -> None:
    api.usual[f"GET /templates/{TEMPLATE}"] = Script(body=api.template(version=7))
    client.submit(TEMPLATE, "seed-data/u/y/s.csv", n=1, budget=1, formats="csv")
    body = sent_job(api)
    assert (body["template_version"], body["seed_data_path"]) == (7, "seed-data/u/y/s.csv")
    assert body["output_format"] == ["CSV"]
    assert api.asked("POST /objects") == []


def test_the_same_call_after_a_lost_answer_asks_for_the_same_job(
    api: FakeApi, client: Client
) -> None:
    def submit(rows: list[Any]) -> Job:
        return client.submit(DOCUMENT, rows, n=4, budget=1)

    api.answers["POST /jobs"] = [CUT] * client_module.ATTEMPTS
    with pytest.raises(StorageUnavailableError, match="creates no second job"):
        in_a_thread(lambda: submit(ROWS))
    submit(ROWS[:1])
    submit(ROWS)

    keys = [request.headers["idempotency-key"] for request in api.asked("POST /jobs")]
    assert len(set(keys)) == 2
    assert keys[0] == keys[-1] != keys[-2]


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"template": "nothing.yaml"}, TemplateError, "nothing.yaml: no such file"),
        ({"template": {"name": "x"}}, TemplateError, "steps"),
        ({"seeds": "nothing.csv"}, InputError, "nothing.csv: no such file, and not a key"),
        ({"seeds": []}, SeedError, "seeds: there are none"),
        ({"seeds": ["x", {}]}, SeedError, "record 1: expected a mapping"),
        ({"seeds": [{"x": object()}]}, SeedError, "record 1: only texts, numbers"),
        ({"seeds": Path("/dev/null")}, InputError, "seeds are .json, .jsonl"),
        ({"n": 0}, InputError, "1 to 1000000"),
        ({"budget": "much"}, InputError, "a budget is more than 0"),
        ({"formats": ["xml"]}, InputError, "format 'xml' is unknown"),
        (
            {"seed_strategy": "best"},
            InputError,
            "seed strategy 'best' is unknown: use shuffle, ordered, random, sequential",
        ),
        (
            {"partition": "year"},
            InputError,
            "partition strategy 'year' is unknown: use none, timestamp",
        ),
    ],
)
def test_what_can_not_be_used_is_refused_before_a_job_is_created(
    api: FakeApi,
    client: Client,
    changes: dict[str, Any],
    error: type[SeedwrightError],
    message: str,
) -> None:
    arguments = {"template": DOCUMENT, "seeds": ROWS, "n": 4, "budget": 1, **changes}
    with pytest.raises(error, match=message):
        in_a_thread(lambda: client.submit(**arguments))
    assert api.asked("POST /jobs") == []


def test_what_the_api_refuses_is_raised_where_it_was_asked(api: FakeApi, client: Client) -> None:
    api.usual["POST /jobs"] = refusal(429, "limit_reached", "you have 5 jobs")
    with pytest.raises(LimitError, match="you have 5 jobs"):
        in_a_thread(lambda: client.submit(DOCUMENT, ROWS, n=4, budget=1))


def test_an_observer_hears_of_every_step(api: FakeApi) -> None:
    heard = Heard()
    client = Client(url=api.server.url, token="token", observer=heard)  # noqa: S106 - of a test
    client.watch(client.submit(DOCUMENT, "seeds.jsonl", n=4, budget=1))
    size = len(SEEDS)
    assert heard.said == [
        f"template 'one-step': created ({TEMPLATE})",
        f"transfer seeds.jsonl {size}",
        f"uploaded seeds.jsonl ({size} B)",
    ]
    assert heard.moved == {"seeds.jsonl": size}
    assert [job.status for job in heard.jobs] == [JobStatus.COMPLETED]


# ── watch ──────────────────────────────────────────────────────────────────────────────────────


def test_a_watch_reports_each_state_and_gives_the_last(api: FakeApi, client: Client) -> None:
    api.answers[f"GET /jobs/{JOB}"] = [
        Script(body=job_document("QUEUED", 0)),
        Script(body=job_document("RUNNING", 2)),
        *[CUT] * client_module.ATTEMPTS,
        Script(
            body=job_document("FAILED", 3, error_message="why", completed_at="2026-11-23T12:01Z")
        ),
    ]
    seen: list[Job] = []

    job = in_a_thread(lambda: client.watch(JOB, seen.append))

    assert [(each.status, each.records_generated) for each in seen] == [
        (JobStatus.QUEUED, 0),
        (JobStatus.RUNNING, 2),
        (JobStatus.RUNNING, 2),  # the API was away
        (JobStatus.FAILED, 3),
    ]
    assert job == seen[-1]
    assert (job.ended, job.error_message, job.failed_records) == (True, "why", 0)
    assert (job.cost_nano, job.budget_nano, job.num_records) == (3_000_000, 1_000_000_000, 4)
    assert job.completed_at == datetime(2026, 11, 23, 12, 1, tzinfo=UTC)


def test_a_caller_who_has_seen_enough_ends_a_watch(api: FakeApi, client: Client) -> None:
    api.usual[f"GET /jobs/{JOB}"] = Script(body=job_document("RUNNING", 2))

    def enough(_job: Job) -> None:
        raise LookupError

    with pytest.raises(LookupError):
        client.watch(JOB, enough)
    assert {each.method for each in api.server.requests} == {"GET"}


# ── jobs ───────────────────────────────────────────────────────────────────────────────────────


def test_jobs_are_listed_over_pages(api: FakeApi, client: Client) -> None:
    api.usual["GET /jobs"] = Script(body={"jobs": [job_document()] * 2, "next_cursor": None})
    api.answers["GET /jobs"] = [Script(body={"jobs": [job_document()] * 2, "next_cursor": "c"})]
    assert [job.job_id for job in client.jobs(status="running")] == [JOB] * 4
    assert api.asked("GET /jobs")[-1].path == "/jobs?limit=100&cursor=c&status=RUNNING"
    assert len(client.jobs(limit=1)) == 1
    with pytest.raises(InputError, match="status is 'DONE'"):
        client.jobs(status="done")


def test_a_job_is_cancelled_resumed_and_deleted(api: FakeApi, client: Client) -> None:
    job = client.job(JOB)
    path = f"/jobs/{JOB}"
    api.answers[f"DELETE {path}"] = [
        Script(status=202, body=job_document("CANCELLED", 2)),
        Script(status=204),
        refusal(404, "not_found", "no job"),
        refusal(409, "conflict", "cancel it first"),
    ]
    api.usual[f"POST {path}/resume"] = Script(body=job_document("QUEUED", 2))

    assert client.cancel(job).status is JobStatus.CANCELLED
    assert client.resume(job).status is JobStatus.QUEUED
    assert client.resume(JOB, budget="2.50").status is JobStatus.QUEUED
    assert client.resume(JOB, n=9, retry_failed=True).status is JobStatus.QUEUED
    client.delete(job)
    client.delete(job)
    with pytest.raises(ConflictError, match="cancel it first"):
        client.delete(job)

    actions = [each.path.partition("?")[2] for each in api.asked(f"DELETE {path}")]
    assert actions == ["action=cancel", *["action=delete"] * 3]
    assert [each.json for each in api.asked(f"POST {path}/resume")] == [
        {},
        {"budget_limit": "2.5"},
        {"num_records": 9, "retry_failed": True},
    ]


def test_a_job_that_is_not_understood_is_said_to_be(api: FakeApi, client: Client) -> None:
    for change in ({"status": "MELTED"}, {"config": None}, {"budget_limit": "x"}):
        api.usual[f"GET /jobs/{JOB}"] = Script(body={**job_document(), **change})
        with pytest.raises(ConfigurationError, match="update seedwright"):
            client.job(JOB)


def offer_download(api: FakeApi) -> dict[str, Any]:
    """A job with one file; the API's answer."""
    listed = {
        "kind": "dataset",
        "name": "exports/dataset.jsonl",
        "size": 4,
        "url": f"{api.server.url}/objects/0",
    }
    page = {
        "job_id": JOB,
        "status": "COMPLETED",
        "complete": True,
        "records_generated": 1,
        "files": [listed],
        "next_cursor": None,
    }
    api.usual[f"GET /jobs/{JOB}/download"] = Script(body=page)
    api.usual["GET /objects/0"] = Script(body=b"{}\n\n")
    return page


def test_a_download_gives_the_paths(api: FakeApi, client: Client, tmp_path: Path) -> None:
    page = offer_download(api)

    assert in_a_thread(lambda: client.download(JOB, "out")) == [Path("out/dataset.jsonl")]
    assert (tmp_path / "out" / "dataset.jsonl").read_bytes() == b"{}\n\n"
    assert client.download(client.job(JOB)) == [Path("datasets") / JOB / "dataset.jsonl"]

    api.usual[f"GET /jobs/{JOB}/download"] = Script(body={**page, "files": []})
    with pytest.raises(InputError, match="has no records yet"):
        client.download(JOB)


# ── whose API ──────────────────────────────────────────────────────────────────────────────────


def test_a_client_is_of_a_profile_or_of_a_url(api: FakeApi) -> None:
    profiles = open_profiles(os.environ)
    for name in ("one", "two"):
        profile = Profile(name=name, api_url=api.server.url, access_token=f"token of {name}")
        profiles.save(profile, make_current=name == "one")
    for client in (
        Client(),
        Client("two"),
        Client(url=f"{api.server.url}/", token="mine"),  # noqa: S106 - of a test
    ):
        client.job(JOB)
    sent = [request.headers["authorization"] for request in api.server.requests]
    assert sent == ["Bearer token of one", "Bearer token of two", "Bearer mine"]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, UnauthenticatedError, "run `seedwright login`"),
        ({"profile": "none"}, ConfigurationError, "no profile 'none'"),
        ({"url": "https://api.example.com"}, ConfigurationError, "url and token together"),
        ({"token": "t"}, ConfigurationError, "url and token together"),
        (
            {"profile": "p", "url": "https://a.example", "token": "t"},
            ConfigurationError,
            "url and token together",
        ),
        ({"url": "http://a.example", "token": "t"}, ConfigurationError, "use https://"),
        ({"url": "a.example", "token": "t"}, ConfigurationError, "is not the URL of an API"),
    ],
)
@pytest.mark.usefixtures("api")
def test_a_client_without_an_api_says_what_is_missing(
    arguments: dict[str, Any], error: type[SeedwrightError], message: str
) -> None:
    with pytest.raises(error, match=message):
        Client(**arguments)


def test_a_token_that_is_not_accepted_is_an_error_of_its_own(api: FakeApi, client: Client) -> None:
    api.usual[f"GET /jobs/{JOB}"] = refusal(401, "unauthenticated", "no")
    with pytest.raises(UnauthenticatedError, match="does not accept the token"):
        in_a_thread(lambda: client.watch(JOB))
    api.usual[f"GET /jobs/{JOB}"] = refusal(404, "not_found", f"no job {JOB}")
    with pytest.raises(NotFoundError):
        in_a_thread(lambda: client.job(JOB))


def test_threads_can_share_a_client(client: Client) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(client.job, [JOB] * 40))
    assert {job.status for job in found} == {JobStatus.COMPLETED}


def test_the_example_of_the_api_page_runs(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
    example = page.partition("```python\n")[2].partition("```")[0]
    Path("facts.yaml").write_text(orjson.dumps(DOCUMENT).decode(), encoding="utf-8")
    monkeypatch.setenv("SEEDWRIGHT_API_URL", api.server.url)
    monkeypatch.setenv("SEEDWRIGHT_TOKEN", "token")
    names: dict[str, Any] = {}
    offer_download(api)

    exec(compile(example, "docs/api.md", "exec"), names)  # noqa: S102 - our own page

    assert names["paths"] == [Path("datasets") / JOB / "dataset.jsonl"]
    assert "of 4" in capfd.readouterr().out


def test_sources_are_read_by_the_same_options(api: FakeApi, client: Client, tmp_path: Path) -> None:
    (tmp_path / "lists.jsonl").write_bytes(b'{"id":"a","all":[{"topic":"sea"},{"topic":"sea"}]}\n')

    client.submit(
        "template.yaml", [tmp_path / "lists.jsonl"], n=1, budget=1, explode="all", unique=True
    )

    upload = api.asked("POST /objects")[0].body
    rows = [orjson.loads(line) for line in upload.splitlines() if line.startswith(b"{")]
    assert rows == [{"id": "a/1", "source_id": "a", "topic": "sea"}]


def test_uploaded_seeds_are_listed_and_deleted(api: FakeApi, client: Client) -> None:
    seed_id = "0f1e2d3c-4b5a-4968-8776-655443322110"
    key = f"seed-data/u/{seed_id}/a.jsonl"
    found = {"s3_key": key, "filename": "a.jsonl", "size": 7, "seed_id": seed_id}
    found["uploaded_at"] = "2026-11-28T09:00:00Z"
    api.usual["GET /seed-data"] = Script(body={"files": [found], "next_cursor": None})
    api.usual[f"DELETE /seed-data/{seed_id}"] = Script(status=204)
    [seeds] = client.seeds(limit=5)
    assert (seeds.key, seeds.size, seeds.seed_id) == (key, 7, seed_id)
    assert seeds.uploaded_at == datetime(2026, 11, 28, 9, tzinfo=UTC)
    client.delete_seeds(seeds)
    client.delete_seeds(key)
    assert len(api.asked(f"DELETE /seed-data/{seed_id}")) == 2
    with pytest.raises(InputError, match="limit is 0"):
        client.seeds(limit=0)
