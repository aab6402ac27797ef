"""Folders of earlier commits under today's command: nothing is lost, drawn anew or paid twice."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq
import pytest

from tests.fixtures.bedrock_double import BedrockDouble
from tests.fixtures.command import environment, run
from tests.fixtures.kept.kept import COMMITS, document, unpack
from tests.fixtures.kept.record import draws, lines_of
from tests.fixtures.served import served, user

FORMATS = ("dataset.jsonl", "dataset.csv", "failures.jsonl")


@pytest.fixture
def double() -> Iterator[BedrockDouble]:
    with BedrockDouble() as running:
        yield running


@pytest.fixture(params=COMMITS)
def commit(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def indices(lines: list[Any]) -> list[int]:
    return [line["index"] for line in lines]


def test_there_are_folders_to_open() -> None:
    assert "042a8e6" in COMMITS


def test_a_stopped_dataset_goes_on_by_the_same_command(
    commit: str, tmp_path: Path, double: BedrockDouble
) -> None:
    unpack(commit, "datasets", tmp_path)
    expected = document(commit, "datasets")["stopped"]

    done = run(expected["command"], cwd=tmp_path, env=environment(double.url))

    assert done.returncode == 0, done.stderr
    records = lines_of(tmp_path / "stopped" / "dataset.jsonl")
    failed = indices(lines_of(tmp_path / "stopped" / "failures.jsonl"))
    assert failed == expected["failed"]
    assert sorted(indices(records) + failed) == list(range(expected["records"]))
    assert draws(records) == expected["draws"]
    assert double.calls == expected["calls_left"]
    assert double.stats()["paid_twice"] == 0
    assert pq.read_table(tmp_path / "stopped" / "dataset.parquet").num_rows == len(records)


def test_a_complete_dataset_stays_as_it_is(
    commit: str, tmp_path: Path, double: BedrockDouble
) -> None:
    unpack(commit, "datasets", tmp_path)
    expected = document(commit, "datasets")["complete"]
    folder = tmp_path / "complete"
    before = {name: (folder / name).read_bytes() for name in FORMATS}
    env = environment(double.url)

    command = [*expected["command"], "--max-failures", "20%"]  # one record of eight has failed
    again = run(command, cwd=tmp_path, env=env)
    other = run([*command, "--format", "parquet"], cwd=tmp_path, env=env)

    assert (again.returncode, other.returncode) == (0, 0), again.stderr + other.stderr
    assert {name: (folder / name).read_bytes() for name in FORMATS} == before
    records = lines_of(folder / "dataset.jsonl")
    assert draws(records) == expected["draws"]
    assert pq.read_table(folder / "dataset.parquet").num_rows == len(records)
    assert double.calls == 0


def test_a_folder_of_before_grows_without_its_template_and_keeps_its_job(
    commit: str, tmp_path: Path, double: BedrockDouble
) -> None:
    """B10 and A8: its id was computed by other rules, and is noted now."""
    unpack(commit, "datasets", tmp_path)
    expected = document(commit, "datasets")["complete"]
    folder, env = tmp_path / "complete", environment(double.url)
    before = {name: (folder / name).read_bytes() for name in FORMATS}
    for name in ("template.yaml", "seeds.jsonl"):
        (tmp_path / name).rename(tmp_path / f"moved-{name}")

    more = run(["resume", "complete", "-n", "12"], cwd=tmp_path, env=env)

    assert more.returncode == 0, more.stderr
    assert (folder / "dataset.jsonl").read_bytes().startswith(before["dataset.jsonl"])
    assert (folder / "failures.jsonl").read_bytes() == before["failures.jsonl"]
    records = lines_of(folder / "dataset.jsonl")
    assert len(records) == 11
    grown = draws(records)
    assert {index: grown[index] for index in expected["draws"]} == expected["draws"]
    noted = orjson.loads((folder / ".seedwright" / "job.json").read_bytes())
    assert {record["job_id"] for record in records} == {noted["job_id"]}
    calls = double.calls
    for name in ("template.yaml", "seeds.jsonl"):
        (tmp_path / f"moved-{name}").rename(tmp_path / name)
    command = [*expected["command"], "-n", "12"]  # of two -n the last one counts
    assert run(command, cwd=tmp_path, env=env).returncode == 0
    assert double.calls == calls


def test_a_served_folder_goes_on_with_its_jobs(
    commit: str, tmp_path: Path, double: BedrockDouble
) -> None:
    ada = user(tmp_path, double.url)
    unpack(commit, "served", tmp_path)
    expected = document(commit, "served")
    jobs = expected["jobs"]

    with served(ada, "--backend", "bedrock", "--concurrency", "3") as api:
        listed = ada.json("jobs")["jobs"]
        assert {job["job_id"] for job in listed} == {job["id"] for job in jobs.values()}
        for job in jobs.values():
            assert ada.ended(job["id"])["status"] == "COMPLETED"
            assert draws(ada.records(job["id"])) == job["draws"]
        versions = ada.json("templates", "versions", expected["template_id"])["versions"]
        assert [each["version"] for each in versions] == [1]
        api.stop()
    assert double.calls == expected["calls_left"]
    assert double.stats()["paid_twice"] == 0
