"""The worker processes of one dataset as their parent sees them: which of them die, and why."""

import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runtime.datasets import shard_team
from runtime.datasets.shard_team import MAX_LOSSES, ShardTeam
from runtime.datasets.shard_worker import ShardOrder
from runtime.domain.errors import ConfigurationError, WorkersLostError
from runtime.domain.jobs.job import Job, JobStatus, Progress
from runtime.domain.jobs.sharding import sharding_for
from runtime.domain.templates.template import TemplateRef
from tests.fixtures.clock import ManualClock
from tests.fixtures.job_configs import job_config
from tests.fixtures.memory_ports import MemoryJobs, MemoryQueue

SHARDS = 2


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shard_team, "LOOK_SECONDS", 0.02)


@dataclass(frozen=True, kw_only=True, slots=True)
class Order(ShardOrder):
    """Starts a shell with `script` instead of a worker."""

    script: str

    def arguments(self) -> list[str]:
        return ["/bin/sh", "-c", self.script]


def order(folder: Path, script: str) -> Order:
    return Order(
        storage=str(folder),
        log=str(folder / "log.jsonl"),
        job_id="j",
        shards=SHARDS,
        backend="bedrock",
        base_url=None,
        providers=("bedrock",),
        concurrency=1,
        script=script,
    )


@pytest.fixture
def ports() -> Any:
    clock, queue = ManualClock(), MemoryQueue()
    jobs = MemoryJobs(queue, clock)
    jobs.create_job(
        Job(
            job_id="j",
            user_id="ada",
            status=JobStatus.QUEUED,
            config=job_config(
                template=TemplateRef(template_id="t", version=1),
                seed_data_path=None,
                seed_version=None,
                num_records=40,
                sharding=sharding_for(40, SHARDS),
                model="amazon.nova-micro-v1:0",
            ),
            budget_limit="1",
            created_at=clock.now(),
            updated_at=clock.now(),
        )
    )
    return SimpleNamespace(jobs=jobs, queue=queue)


def starts(folder: Path) -> int:
    return len((folder / "starts").read_text().splitlines())


def test_workers_that_die_again_and_again_end_the_run(tmp_path: Path, ports: Any) -> None:
    team = ShardTeam(order(tmp_path, f"echo >> {tmp_path}/starts; exit 137"), SHARDS, ports)
    said: list[str] = []
    with pytest.raises(WorkersLostError, match=r"workers died \d+ times in a row .* is kept"):
        team.run(lambda _progress: None, said.append)
    assert {*said} == {"a worker ended with exit code 137: another one goes on"}
    assert len(said) > MAX_LOSSES
    # Two at a time, and none after the last death that counts.
    assert MAX_LOSSES < starts(tmp_path) <= MAX_LOSSES + 2 * SHARDS


def test_a_worker_that_is_killed_is_spoken_of(tmp_path: Path, ports: Any) -> None:
    said: list[str] = []
    team = ShardTeam(order(tmp_path, "kill -9 $$"), 1, ports)
    with pytest.raises(WorkersLostError):
        team.run(lambda _progress: None, said.append)
    assert said[0] == "a worker was ended by SIGKILL: another one goes on"


def test_a_record_that_was_saved_gives_as_many_tries_again(tmp_path: Path, ports: Any) -> None:
    claim = ports.queue.claim("j#0", "somebody")
    saved = Progress()

    def save(_shown: Progress) -> None:
        """One more record, for as long as there were fewer than 12 deaths."""
        nonlocal saved
        if starts(tmp_path) < 2 * (MAX_LOSSES + 1):
            saved = replace(saved, records_generated=saved.records_generated + 1)
            ports.jobs.set_progress("j", claim.fence, saved, shard=0)

    (tmp_path / "starts").touch()
    team = ShardTeam(order(tmp_path, f"echo >> {tmp_path}/starts; exit 1"), 1, ports)
    with pytest.raises(WorkersLostError):
        team.run(save)
    assert starts(tmp_path) > 2 * (MAX_LOSSES + 1)


def test_a_worker_that_can_not_be_configured_says_why(tmp_path: Path, ports: Any) -> None:
    """A real one, whose order names no backend that there is."""
    broken = ShardOrder(
        storage=str(tmp_path),
        log=str(tmp_path / "log.jsonl"),
        job_id="j",
        shards=SHARDS,
        backend="nobody",
        base_url=None,
        providers=("nobody",),
        concurrency=1,
    )
    assert broken.arguments()[0] == sys.executable
    with pytest.raises(ConfigurationError, match="nobody"):
        ShardTeam(broken, 1, ports).run(lambda _progress: None)


def test_a_team_that_is_stopped_passes_it_on_and_waits(tmp_path: Path, ports: Any) -> None:
    claim = ports.queue.claim("j#0", "somebody")
    script = f"trap 'echo >> {tmp_path}/told; exit 75' TERM; echo >> {tmp_path}/starts; "
    team = ShardTeam(order(tmp_path, script + "while :; do sleep 0.02; done"), SHARDS, ports)
    (tmp_path / "starts").touch()

    def look(shown: Progress) -> None:
        if shown == Progress():  # before any was started: they are by the next look
            saved = Progress(records_generated=1)
            ports.jobs.set_progress("j", claim.fence, saved, shard=0)
            return
        deadline = time.monotonic() + 30
        while starts(tmp_path) < SHARDS and time.monotonic() < deadline:
            time.sleep(0.01)
        team.stop()

    assert team.run(look) is False
    assert len((tmp_path / "told").read_text().splitlines()) == starts(tmp_path) == SHARDS
