"""The API on this machine, as a new user meets it: real processes, real handlers, real kills."""

import re
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import orjson
import pytest

from runtime.client.api_client import Client
from runtime.client.jobs import Job
from runtime.domain.errors import InputError, NotFoundError
from runtime.domain.jobs.job import JobStatus
from tests.fixtures.bedrock_double import BedrockDouble
from tests.fixtures.command import run, start
from tests.fixtures.served import Served, User, eventually, served, user

RECORDS = 60
DOWNLOADED = {
    "README.md",
    "data/train-00000-of-00001.parquet",
    "data-jsonl/train.jsonl",
    "dataset.jsonl",
    "dataset.parquet",
    "report.html",
}


@pytest.fixture
def double() -> Iterator[BedrockDouble]:
    with BedrockDouble(latency_ms=30) as running:
        yield running


@pytest.fixture
def ada(tmp_path: Path, double: BedrockDouble) -> User:
    return user(tmp_path, double.url)


@pytest.fixture
def api(ada: User) -> Iterator[Served]:
    with served(ada, "--backend", "bedrock", "--concurrency", "4") as running:
        yield running


def indices(ada: User, job_id: str) -> list[int]:
    return sorted(record["index"] for record in ada.records(job_id))


def some_records(ada: User, job_id: str) -> int:
    """Wait until the job has records and is not at its end; how many."""

    def look() -> int | None:
        found = ada.status(job_id)["records_generated"]
        return found or None

    return int(eventually(look, what="no record is saved"))


# ── a new user ─────────────────────────────────────────────────────────────────────────────────


def test_a_newcomer_serves_submits_watches_and_downloads(tmp_path: Path) -> None:
    """With the embedded model: no account, no key, no configuration."""
    newcomer = user(tmp_path)
    with served(newcomer) as api:
        assert api.lines[0] == f"Seedwright API  {api.url}  with the embedded model"
        submit = ["submit", "template.yaml", "--seeds", "seeds.jsonl", "-n", "2", "--watch"]

        done = newcomer.process(*submit)

        assert done.returncode == 0, done.stderr
        job_id, status = done.stdout.splitlines()[0].split()
        assert status == "COMPLETED"
        assert done.stdout.splitlines()[-1] == f"next: seedwright download {job_id}"
        assert "2/2 records" in done.stderr
        shown = newcomer.process("download", job_id).stdout.splitlines()
        assert {line.split()[0] for line in shown} == {
            f"datasets/{job_id}/{name}" for name in DOWNLOADED
        }
        assert indices(newcomer, job_id) == [0, 1]
        api.stop()
    log = (tmp_path / "data" / "log.jsonl").read_text()
    assert '"job claimed"' in log
    assert "ships" not in log


def test_work_begins_at_once_and_jobs_wait_for_each_other(ada: User, api: Served) -> None:
    jobs = [ada.submit(20), ada.submit(20)]
    assert jobs[0] != jobs[1]
    for job_id in jobs:
        assert ada.ended(job_id)["status"] == "COMPLETED"
        assert indices(ada, job_id) == list(range(20))
    first = ada.status(jobs[0])
    waited = datetime.fromisoformat(first["started_at"]) - datetime.fromisoformat(
        first["created_at"]
    )
    assert waited.total_seconds() < 1
    listed = ada.json("jobs", "--status", "completed")["jobs"]
    assert [job["job_id"] for job in listed] == jobs[::-1]
    ada.run("export", jobs[0], "--keep", "record.id", "--watch")
    exported = ada.status(jobs[0])
    assert (exported["status"], exported["export"]["rows"]) == ("COMPLETED", 20)
    assert api.process.poll() is None


def test_a_job_in_shards_is_worked_on_shard_by_shard(ada: User, api: Served) -> None:
    """The worker beside the API takes them one after the other, and ends the job."""
    job_id = ada.submit(11, "--shards", "3")
    done = ada.ended(job_id)
    assert (done["status"], done["records_generated"]) == ("COMPLETED", 11)
    told = [
        (each["status"], each["records_generated"], each["attempts"]) for each in done["shards"]
    ]
    assert told == [("COMPLETED", 3, 1), ("COMPLETED", 4, 1), ("COMPLETED", 4, 1)]
    assert indices(ada, job_id) == list(range(11))
    assert "3 of 3 shards done" in ada.run("status", job_id).splitlines()
    assert ada.run("resume", job_id, "-n", "14")
    assert ada.ended(job_id)["records_generated"] == 14
    assert indices(ada, job_id) == list(range(14))
    assert api.process.poll() is None


def test_templates_and_seeds_can_be_handled_by_hand(ada: User, api: Served) -> None:
    made = ada.json("templates", "create", "template.yaml")
    template_id = made["template_id"]
    text = (ada.folder / "template.yaml").read_text()
    (ada.folder / "template.yaml").write_text(text.replace("sentence", "line"))
    changed = ada.json("templates", "update", template_id, "template.yaml", "--public")
    assert (made["version"], changed["version"], changed["public"]) == (1, 2, True)
    assert [
        each["version"] for each in ada.json("templates", "versions", template_id)["versions"]
    ] == [2, 1]
    assert "Write line" in ada.run("templates", "show", template_id)
    assert "Write sentence" in ada.run("templates", "show", template_id, "--version", "1")
    ada.run("templates", "export", template_id, "--out", "exported.yaml")
    copy = ada.json("templates", "import", "exported.yaml")
    fork = ada.json("templates", "fork", template_id, "--name", "mine", "--version", "1")
    assert copy["document"] == changed["document"]
    assert (fork["name"], fork["document"]["steps"]) == ("mine", made["document"]["steps"])
    assert "Write line 0 about «topic»" in ada.run("templates", "preview", template_id)
    (ada.folder / "seed.json").write_text('{"topic": "chess"}')
    called = ada.json("templates", "preview", template_id, "--seed", "seed.json", "--run-model")
    assert called["steps"][0]["prompt"] == "Write line 0 about chess."
    assert called["steps"][0]["reply"]["text"]

    key = ada.run("seeds", "upload", "seeds.jsonl").strip()
    assert key in ada.run("seeds", "list")
    assert ada.json("seeds", "validate", key, "--template", template_id)["records"] == 3
    (ada.folder / "bad.jsonl").write_text('{"topic": "x"}\n{"other": 1}\n')
    assert "record 2 (line 2)" in ada.run(
        "seeds", "validate", "bad.jsonl", "--template", template_id, code=2
    )

    job = ada.json("submit", template_id, "--seeds", key, "-n", "3", "--watch")
    assert (job["status"], job["config"]["template_version"]) == ("COMPLETED", 2)
    ada.run("templates", "delete", template_id, "--yes")
    left = ada.json("templates", "list")["templates"]
    assert [each["name"] for each in left] == ["mine", "one-step"]
    assert api.process.poll() is None


def test_a_template_file_makes_versions_of_one_template(ada: User, api: Served) -> None:
    first = ada.status(ada.submit(2))["config"]
    same = ada.status(ada.submit(2))["config"]
    text = (ada.folder / "template.yaml").read_text()
    (ada.folder / "template.yaml").write_text(text.replace("sentence", "{% include 'rules' %}"))
    (ada.folder / "rules.txt").write_text("a line for {{ topic }}")
    changed = ada.status(ada.submit(2))["config"]
    again = ada.status(ada.submit(2))["config"]

    assert {each["template_id"] for each in (same, changed, again)} == {first["template_id"]}
    versions = [each["template_version"] for each in (first, same, changed, again)]
    assert versions == [1, 1, 2, 2]
    assert api.process.poll() is None


# ── kills and stops ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("worker_too", [False, True])
def test_after_a_kill_the_next_start_goes_on(
    ada: User, api: Served, double: BedrockDouble, *, worker_too: bool
) -> None:
    job_id = ada.submit(RECORDS)
    eventually(lambda: double.calls > RECORDS // 4, what="no calls")

    api.kill(worker_too=worker_too)
    calls = double.calls
    api.start()

    assert ada.ended(job_id)["status"] == "COMPLETED"
    assert indices(ada, job_id) == list(range(RECORDS))
    assert calls < RECORDS
    # Without its parent a worker still waits for the answers on their way.
    assert double.stats()["paid_twice"] <= (4 if worker_too else 0)


def test_a_worker_that_dies_is_replaced(ada: User, api: Served, double: BedrockDouble) -> None:
    job_id = ada.submit(RECORDS)
    eventually(lambda: double.calls > RECORDS // 4, what="no calls")

    api.worker().send_signal(signal.SIGKILL)

    assert ada.ended(job_id)["status"] == "COMPLETED"
    assert indices(ada, job_id) == list(range(RECORDS))
    assert double.stats()["paid_twice"] <= 4
    assert "The worker ended unexpectedly (code -9)" in api.stop()


def test_a_stop_drains_and_a_watch_outlives_it(
    ada: User, api: Served, double: BedrockDouble
) -> None:
    job_id = ada.submit(RECORDS)
    with start(["watch", job_id], cwd=ada.folder, env=ada.env) as watch:
        eventually(lambda: double.calls > RECORDS // 4, what="no calls")

        said = api.stop()
        assert double.stats()["in_flight"] == 0
        api.start()

        out, error = watch.communicate(timeout=60)
    assert said.splitlines()[-1] == "Stopped. Unfinished jobs go on at the next start."
    assert watch.returncode == 0, error
    assert out.startswith(f"{job_id}  COMPLETED")
    assert indices(ada, job_id) == list(range(RECORDS))
    assert double.stats()["paid_twice"] == 0


def test_a_job_is_cancelled_looked_at_resumed_and_deleted(
    ada: User, api: Served, double: BedrockDouble
) -> None:
    double.faults([{"delay_ms": 300}])  # at this pace it does not end by itself
    job_id = ada.submit(120)
    some_records(ada, job_id)

    cancelled = ada.json("cancel", job_id)
    calls_then = eventually(lambda: idle(double), what="calls go on")

    assert cancelled["status"] == "CANCELLED"
    assert ada.run("watch", job_id, code=1).startswith(f"{job_id}  CANCELLED")
    partial = ada.records(job_id)
    found = [record["index"] for record in partial]
    assert 0 < len(found) == len(set(found)) < 120
    done = ada.try_run("download", job_id)
    assert f"the job is CANCELLED, these are {len(found)} records" in done.stderr
    assert double.calls == calls_then

    double.faults([])
    assert ada.run("resume", job_id, "--watch").startswith(f"{job_id}  COMPLETED")
    assert indices(ada, job_id) == list(range(120))
    assert double.stats()["paid_twice"] == 0

    ada.run("delete", job_id, "--yes")
    gone = ada.try_run("status", job_id)
    assert (gone.returncode, gone.stderr) == (2, f"error: no job {job_id}: check the id\n")
    assert not list((ada.folder / "data" / "storage").rglob(f"*{job_id}*/outputs"))
    assert api.process.poll() is None


def idle(double: BedrockDouble) -> int | None:
    """How many calls there were, once none is on its way for a moment."""
    before = double.calls
    time.sleep(0.3)
    stats = double.stats()
    return before if stats["in_flight"] == 0 and double.calls == before else None


def test_a_status_shows_pace_cost_and_failures(
    ada: User, api: Served, double: BedrockDouble
) -> None:
    double.faults([{"prompt": "sentence 1 ", "effect": "ValidationException"}, {"delay_ms": 300}])
    job_id = ada.submit(120)
    some_records(ada, job_id)
    running = ada.run("status", job_id)
    double.faults([])
    ada.ended(job_id)
    ended = ada.run("status", job_id)
    assert re.search(r"^pace: \d+\.\d records/s, \d+:\d\d left$", running, re.MULTILINE)
    assert "119 of 120 records, 1 failed" in ended
    assert re.search(r"^cost by model: amazon\.nova-micro-v1:0 \$0\.00\d+$", ended, re.MULTILINE)
    assert "failures: rejected 1" in ended
    assert "pace" not in ended
    assert api.process.poll() is None


def test_a_used_up_budget_is_an_exit_code_and_a_larger_one_goes_on(
    ada: User, api: Served, double: BedrockDouble
) -> None:
    inputs = ["submit", "template.yaml", "--seeds", "seeds.jsonl", "-n", "20", "--watch"]

    stopped = ada.json(*inputs, "--budget", "0.0001", code=3)

    assert stopped["status"] == "BUDGET_EXCEEDED"
    assert 0 < stopped["cost_estimate"] <= 0.0001
    job_id = stopped["job_id"]
    assert len(indices(ada, job_id)) == stopped["records_generated"] < 20
    refused = ada.try_run("resume", job_id)
    assert refused.returncode == 2
    assert "give a larger budget" in refused.stderr
    assert ada.json("resume", job_id, "--budget", "0.01", "--watch")["status"] == "COMPLETED"
    assert indices(ada, job_id) == list(range(20))
    assert double.stats()["paid_twice"] == 0
    assert api.process.poll() is None


# ── refusals ───────────────────────────────────────────────────────────────────────────────────


def test_without_the_token_nothing_is_answered(ada: User, api: Served) -> None:
    wrong = ada.try_run("jobs", SEEDWRIGHT_TOKEN="wrong")  # noqa: S106
    assert wrong.returncode == 2
    assert wrong.stderr == (
        f"error: {api.url} does not accept the token: run `seedwright login --local`\n"
    )
    ada.run("logout")
    out = ada.try_run("jobs")
    assert out.returncode == 2
    assert "not signed in" in out.stderr
    assert len(out.stderr.splitlines()) == 1
    ada.run("login", "--local", "--data", "data")
    assert ada.json("jobs")["jobs"] == []


def test_a_second_one_is_refused_in_one_line(ada: User, api: Served, tmp_path: Path) -> None:
    same_port = ada.process("serve", "--port", str(api.port), "--data", "other")
    same_folder = ada.process("serve", "--port", "0", "--data", "data")
    (tmp_path / "file").touch()
    no_folder = ada.process("serve", "--port", "0", "--data", "file")
    for done, message in (
        (same_port, str(api.port)),
        (same_folder, f"another `seedwright serve` uses {tmp_path / 'data'}"),
        (no_folder, "can't be used"),
    ):
        assert (done.returncode, done.stdout) == (2, "")
        assert message in done.stderr
        assert len(done.stderr.splitlines()) == 1, done.stderr
    assert ada.json("jobs")["jobs"] == []


def test_a_worker_that_can_not_work_is_a_reason_not_to_start(ada: User) -> None:
    env = {name: value for name, value in ada.env.items() if "REGION" not in name}
    done = run(["serve", "--port", "0", "--backend", "bedrock"], cwd=ada.folder, env=env)
    assert (done.returncode, done.stdout) == (2, "")
    assert "AWS_REGION" in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr


def test_serving_to_others_is_warned_about(ada: User) -> None:
    with served(ada, "--backend", "bedrock", "--host", "0.0.0.0") as api:  # noqa: S104 - the test
        assert ada.json("jobs")["jobs"] == []
        error = api.stop()
    assert "warning: 0.0.0.0 lets other machines in" in error


def test_another_current_profile_is_left_alone(ada: User, api: Served) -> None:
    api.stop()
    config = ada.folder / "config" / "seedwright" / "config.json"
    config.write_text(config.read_text().replace('"local"', '"dev"'))
    api.start()
    assert any(line.endswith("--profile local") for line in api.lines)
    assert '"current": "dev"' in config.read_text()
    assert ada.json("jobs", "--profile", "local")["jobs"] == []


# ── a program ──────────────────────────────────────────────────────────────────────────────────


def test_a_program_submits_watches_downloads_and_resumes(
    ada: User,
    api: Served,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """`Client` of the profile that serve has written, in a thread of its own."""
    monkeypatch.chdir(ada.folder)
    for name, value in ada.env.items():
        monkeypatch.setenv(name, value)
    capfd.readouterr()
    template = {
        "name": "from Python",
        "steps": [{"id": "text", "prompt": "Name a {{ colour }} thing.", "max_tokens": 40}],
    }
    seeds = [{"id": colour, "colour": colour} for colour in ("red", "blue")]
    seen: list[Job] = []

    def work() -> None:
        client = Client()
        # The likely cost is above the budget.
        with pytest.raises(InputError, match="budget"):
            client.submit(template, seeds, n=RECORDS, budget="0.0001")
        job = client.submit(template, seeds, n=RECORDS, budget="0.0001", allow_partial=True)
        stopped = client.watch(job, seen.append)
        assert stopped.status is JobStatus.BUDGET_EXCEEDED
        assert 0 < stopped.cost_nano <= stopped.budget_nano == 100_000
        client.resume(job, budget="0.5")
        done = client.watch(job, seen.append)
        assert (done.status, done.records_generated) == (JobStatus.COMPLETED, RECORDS)
        paths = client.download(done, ada.folder / "out")
        files = {str(path.relative_to(ada.folder / "out")): path for path in paths}
        assert files.keys() == DOWNLOADED
        lines = files["dataset.jsonl"].read_bytes().splitlines()
        records = [orjson.loads(line) for line in lines]
        assert sorted(record["index"] for record in records) == list(range(RECORDS))
        assert {record["seed_data_id"] for record in records} == {"red", "blue"}

        slow = client.submit(template, seeds, n=5000, budget="1", seed_strategy="sequential")
        assert client.cancel(slow).status is JobStatus.CANCELLED
        assert [each.job_id for each in client.jobs()] == [slow.job_id, job.job_id]
        client.delete(job)
        with pytest.raises(NotFoundError):
            client.job(job)

    with ThreadPoolExecutor(1) as pool:
        pool.submit(work).result()

    assert seen[0].status in {JobStatus.QUEUED, JobStatus.RUNNING}
    counts = [job.records_generated for job in seen]
    assert counts == sorted(counts)
    assert capfd.readouterr() == ("", "")
    assert api.process.poll() is None
