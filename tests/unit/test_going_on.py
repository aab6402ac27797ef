"""A dataset goes on after its end: more records, without template and seeds, after a crash; what a
folder shows meanwhile; and what makes one dataset another.
"""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

import seedwright
from runtime.bootstrap import SystemClock
from runtime.cli.main import run
from runtime.domain.errors import BudgetExceededError, InputError, StorageError
from runtime.domain.jobs.job import Job, JobStatus, Progress
from runtime.local.job_store import SqliteJobStore
from runtime.local.storage import open_storage
from runtime.service.requeue import has_work_left
from tests.fixtures.bedrock_double import BedrockDouble
from tests.fixtures.clock import ManualClock
from tests.fixtures.model_calls import recorded_calls
from tests.fixtures.storage import new_job

SEEDS = [{"topic": f"topic {letter}"} for letter in "abcdefg"]
FEW, MANY = 6, 15
OWN_PRICE: dict[str, Any] = {
    "id": "mine.tiny-v1:0",
    "provider": "bedrock",
    "name": "Tiny",
    "profiles": {},
    "input": 30,
    "output": 120,
    "cache_read": 9,
    "cache_write": 35,
    "structured_output": False,
    "context_tokens": 128000,
    "max_output_tokens": 10000,
    "valid_from": None,
    "valid_until": None,
    "source": "here",
    "checked": "2026-11-23",
}
"""A model that the own table lacks."""


@pytest.fixture
def double(monkeypatch: pytest.MonkeyPatch) -> Iterator[BedrockDouble]:
    with BedrockDouble() as running:
        monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", running.url)
        yield running


def template(prompt: str = "Say {{ topic }} {{ index }} {{ [1, 2, 3] | random }}.") -> Any:
    step = {"id": "text", "prompt": prompt, "max_tokens": 20}
    return {"name": "one", "keep_prompts": True, "steps": [step]}


def generate(out: Path, n: int = FEW, **options: Any) -> seedwright.Dataset:
    arguments: dict[str, Any] = {"backend": "bedrock", "formats": "jsonl", **options}
    return seedwright.generate(
        arguments.pop("template", template()), SEEDS, n=n, out=out, **arguments
    )


def lines(out: Path, name: str = "dataset.jsonl") -> list[bytes]:
    return (out / name).read_bytes().splitlines()


def draws(out: Path) -> dict[int, tuple[str, str]]:
    """Seed and prompt of each record."""
    return {
        each["index"]: (each["seed_data_id"], each["generation_result"]["text"]["prompt"])
        for each in map(orjson.loads, lines(out))
    }


def identity(out: Path) -> dict[str, Any]:
    document: dict[str, Any] = orjson.loads((out / ".seedwright" / "job.json").read_bytes())
    return document


def stored_job(out: Path) -> Job:
    with closing(open_storage(out / ".seedwright", clock=SystemClock())) as storage:
        return storage.jobs.get_job(identity(out)["job_id"])


def stop_after(records: int) -> Any:
    """A function of the counters that stops a run."""

    def stop(counters: seedwright.Snapshot) -> None:
        if counters.records >= records:
            raise KeyboardInterrupt

    return stop


# ── more records ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("strategy", ["shuffle", "ordered", "random"])
def test_b10_a_dataset_grows_and_its_records_stay(
    double: BedrockDouble, tmp_path: Path, strategy: str
) -> None:
    generate(tmp_path / "a", seed_strategy=strategy)
    before = lines(tmp_path / "a")

    grown = generate(tmp_path / "a", MANY, seed_strategy=strategy)

    assert len(grown) == MANY == double.calls
    assert lines(tmp_path / "a")[:FEW] == before
    generate(tmp_path / "b", MANY, seed_strategy=strategy)
    assert draws(tmp_path / "a") == draws(tmp_path / "b")


def test_b10_fewer_records_are_refused_with_the_reason(
    double: BedrockDouble, tmp_path: Path
) -> None:
    generate(tmp_path, MANY)
    with pytest.raises(InputError, match=f"has {MANY} records: -n can only grow"):
        generate(tmp_path, FEW)
    assert (len(lines(tmp_path)), double.calls) == (MANY, MANY)


@pytest.mark.parametrize("status", [JobStatus.QUEUED, JobStatus.RUNNING])
def test_b10_a_dataset_that_was_stopped_grows(
    double: BedrockDouble, tmp_path: Path, status: JobStatus
) -> None:
    """RUNNING is what a process that was killed leaves behind."""
    with pytest.raises(KeyboardInterrupt):
        generate(tmp_path, MANY, on_progress=stop_after(2), concurrency=1)
    if status is JobStatus.RUNNING:
        with closing(open_storage(tmp_path / ".seedwright", clock=SystemClock())) as storage:
            job_id = identity(tmp_path)["job_id"]
            claim = storage.queue.claim(job_id, "a process that was killed")
            assert claim is not None
            storage.jobs.set_status(job_id, status, fence=claim.fence)
    assert stored_job(tmp_path).status is status

    assert len(generate(tmp_path, MANY + 1)) == MANY + 1
    assert double.stats()["paid_twice"] == 0


@pytest.mark.parametrize("step", ["set_num_records", "set_budget", "set_status"])
@pytest.mark.parametrize("lost", [False, True])
def test_b10_growth_that_was_cut_off_goes_on_by_the_same_call(
    double: BedrockDouble,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    lost: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """Before each step, and after it."""
    generate(tmp_path)
    write = getattr(SqliteJobStore, step)

    def cut_off(*arguments: Any, **named: Any) -> None:
        if lost:
            write(*arguments, **named)
        raise StorageError("cut off")

    with monkeypatch.context() as patch:
        patch.setattr(SqliteJobStore, step, cut_off)
        with pytest.raises(StorageError, match="cut off"):
            generate(tmp_path, MANY)

    assert len(generate(tmp_path, MANY)) == MANY == double.calls


def test_b3_a_run_may_wait_for_replies_as_long_as_it_likes(
    double: BedrockDouble, tmp_path: Path
) -> None:
    """Also in a folder that was begun with another wait; no other dataset for that."""
    with recorded_calls() as calls:
        generate(tmp_path / "a", 2, call_timeout=7)
        generate(tmp_path / "a", 4, call_timeout=9)
        seedwright.resume(tmp_path / "a", n=5, call_timeout=11)

    assert [call.timeout_seconds for call in calls] == [7, 7, 9, 9, 11]
    assert len(lines(tmp_path / "a")) == double.calls == 5


def test_what_a_complete_job_has_left_to_do() -> None:
    job = new_job("a", ManualClock())
    size = job.config.num_records

    def left(**counters: Any) -> bool:
        return has_work_left(replace(job, progress=Progress(**counters)))

    assert not left(records_generated=size)
    assert not left(records_generated=size - 2, failed_records=2)
    assert left(records_generated=size - 2, failed_records=2, service_failures=1)
    assert left(records_generated=size - 2, failed_records=1)


# ── a folder goes on by itself ─────────────────────────────────────────────────────────────────


def test_a_folder_goes_on_without_template_and_seeds(
    double: BedrockDouble, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With everything it was asked to be: model, draws, formats, prices."""
    out = tmp_path / "out"
    prices = tmp_path / "prices.json"
    prices.write_bytes(orjson.dumps({"models": [OWN_PRICE]}))
    asked = {"model": OWN_PRICE["id"], "random_seed": 7, "formats": ["jsonl", "csv"]}
    asked["prices"] = prices
    with pytest.raises(KeyboardInterrupt):
        generate(out, MANY, **asked, budget="0.5", on_progress=stop_after(2), concurrency=1)

    dataset = seedwright.resume(out)

    assert (len(dataset), dataset.report["budget_usd"]) == (MANY, "0.5")
    assert [path.name for path in dataset.files] == ["dataset.jsonl", "dataset.csv"]
    generate(tmp_path / "other", MANY + 3, **asked)
    prices.unlink()
    assert run(["resume", str(out), "-n", f"{MANY + 3}", "--budget", "0.6", "--json"]) == 0
    report = orjson.loads(capsys.readouterr().out)
    assert (report["records"], report["budget_usd"]) == (MANY + 3, "0.6")
    assert draws(out) == draws(tmp_path / "other")
    assert {each.model for each in double.requests} == {OWN_PRICE["id"]}


def test_a_used_up_budget_goes_on_with_a_larger_one(double: BedrockDouble, tmp_path: Path) -> None:
    with pytest.raises(BudgetExceededError):
        generate(tmp_path, MANY, budget="0.00003")
    with pytest.raises(BudgetExceededError):
        seedwright.resume(tmp_path)
    assert len(seedwright.resume(tmp_path, budget=1)) == MANY == double.calls


def test_what_is_no_folder_with_a_dataset_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for target, reason in (
        ("./deadbeef", "holds no dataset"),
        ("datasets/typo", "holds no dataset"),
        ("typo", "not a folder with a dataset, and not the id of a job"),
        ("deadbeef", "no API is known yet"),
    ):
        assert run(["resume", target]) == 2
        assert reason in capsys.readouterr().err
    with pytest.raises(InputError, match="holds no dataset"):
        seedwright.resume(tmp_path / "typo")
    assert not list(tmp_path.iterdir())


# ── what makes a dataset another ───────────────────────────────────────────────────────────────


def test_a8_two_models_give_two_kinds_of_ids_and_one_kind_of_draws(
    double: BedrockDouble, tmp_path: Path
) -> None:
    del double
    ids = []
    for name in ("a", "b"):
        dataset = generate(
            tmp_path / name, model=f"us.amazon.nova-{'micro' if name == 'a' else 'lite'}-v1:0"
        )
        ids.append({record["id"] for record in dataset})
        assert {record["job_id"] for record in dataset} == {identity(tmp_path / name)["job_id"]}
    assert not ids[0] & ids[1]
    assert draws(tmp_path / "a") == draws(tmp_path / "b")
    generate(tmp_path / "c", model="us.amazon.nova-micro-v1:0")
    assert identity(tmp_path / "c") == identity(tmp_path / "a"), "the same choices, the same ids"


def test_b11_a_description_may_change_and_a_prompt_changes_no_draw(
    double: BedrockDouble, tmp_path: Path
) -> None:
    generate(tmp_path / "a")
    generate(tmp_path / "a", template={**template(), "description": "for people"})
    assert double.calls == FEW

    changed = template("Tell {{ topic }} {{ index }} {{ [1, 2, 3] | random }}.")
    with pytest.raises(InputError, match=r"another dataset \(different template\)"):
        generate(tmp_path / "a", template=changed)
    generate(tmp_path / "b", template=changed)
    told = {
        index: (seed, prompt.replace("Tell", "Say"))
        for index, (seed, prompt) in draws(tmp_path / "b").items()
    }
    assert told == draws(tmp_path / "a")


def test_the_id_that_a_folder_stores_is_its_jobs(double: BedrockDouble, tmp_path: Path) -> None:
    """Whatever a later version would compute."""
    generate(tmp_path)
    first, document = identity(tmp_path)["job_id"], identity(tmp_path)
    (tmp_path / ".seedwright" / "job.json").write_bytes(
        orjson.dumps({**document, "job_id": "0f1e2d3c-4b5a-4968-8776-655443322110"})
    )
    with pytest.raises(InputError, match="nothing was begun"):
        seedwright.resume(tmp_path)
    (tmp_path / ".seedwright" / "job.json").write_bytes(orjson.dumps(document))
    generate(tmp_path, MANY)
    assert {orjson.loads(line)["job_id"] for line in lines(tmp_path)} == {first}
    assert double.calls == MANY


# ── what a folder shows before it is complete ──────────────────────────────────────────────────


def test_b9_records_of_a_run_that_was_stopped_can_be_read(
    double: BedrockDouble, tmp_path: Path
) -> None:
    double.faults([{"prompt": "1", "effect": "ValidationException", "times": 1}])
    with pytest.raises(KeyboardInterrupt) as stopped:
        generate(tmp_path, MANY, on_progress=stop_after(3), concurrency=1)

    assert "are saved" in stopped.value.__notes__[0]
    partial = lines(tmp_path, "dataset.partial.jsonl")
    assert 3 <= len(partial) == stored_job(tmp_path).progress.records_generated < MANY
    assert len(lines(tmp_path, "failures.jsonl")) == 1
    assert not (tmp_path / "dataset.jsonl").exists()

    dataset = generate(tmp_path, MANY)
    assert not (tmp_path / "dataset.partial.jsonl").exists()
    assert [path.name for path in dataset.files] == ["dataset.jsonl", "failures.jsonl"]
    assert set(partial) <= set(lines(tmp_path))


def test_b9_a_complete_dataset_stays_while_it_grows(double: BedrockDouble, tmp_path: Path) -> None:
    generate(tmp_path)
    complete = lines(tmp_path)
    # From here on every call is refused: the run fails after twenty of them.
    double.faults([{"effect": "ValidationException"}])
    with pytest.raises(seedwright.JobFailedError) as failed:
        generate(tmp_path, 60)

    assert lines(tmp_path) == complete
    dataset = failed.value.dataset
    assert [path.name for path in dataset.files] == ["dataset.partial.jsonl", "failures.jsonl"]
    assert sorted(record["index"] for record in dataset) == list(range(FEW))
    assert len(dataset.failures) == dataset.failed >= 20


def test_b6_the_failures_are_there_and_only_files_that_exist_are_named(
    double: BedrockDouble, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("t.json").write_bytes(orjson.dumps(template()))
    Path("s.jsonl").write_bytes(b"\n".join(map(orjson.dumps, SEEDS)))
    command = ["generate", "t.json", "--seeds", "s.jsonl", "--backend", "bedrock", "--out", "out"]
    double.faults([{"effect": "ValidationException"}])

    for records in (60, 8):  # twenty in a row, and all there are
        arguments = ["-n", str(records), "--concurrency", "2"]
        assert run([*command[:-1], f"out{records}", *arguments]) == 1
        said = capsys.readouterr()
        listed = Path(f"out{records}") / "failures.jsonl"
        assert min(records, 20) <= len(lines(listed.parent, listed.name)) < 30
        assert str(listed) in said.out
        assert str(listed) in said.err
    assert "--retry-failed tries the same records again" in said.err
