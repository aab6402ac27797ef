"""The own work of a job with checks: it chooses, opens a round where too few are accepted, and ends
the job. What its shards have made is written by hand: a record is index, text and label.
"""

from collections.abc import Callable, Mapping, Sequence

import orjson
import pytest

from runtime.contract.exit_codes import ExitCode
from runtime.contract.keys import REJECTED_PARTS, export_key, rejected_key
from runtime.contract.statuses import WaitingStatus
from runtime.domain.checks.acceptance import OnExhausted
from runtime.domain.checks.rounds import first_round
from runtime.domain.checks.totals import CheckTotals, Selection
from runtime.domain.errors import StorageUnavailableError
from runtime.domain.jobs.delivery import OutputFormat
from runtime.domain.jobs.job import Job, JobStatus, Progress
from runtime.domain.jobs.record import Record
from runtime.domain.jobs.sharding import Sharding, ranges_of, sharding_for
from runtime.domain.models.price_table import load_prices
from runtime.domain.ports import Claim, Ports
from runtime.export.batches import Batches
from runtime.inputs.templates import read_template
from runtime.service.requeue import has_work_left, queue_again
from runtime.worker.settings import WorkerSettings
from runtime.worker.worker import Worker
from tests.fixtures.clock import ManualClock
from tests.fixtures.job_configs import job_config
from tests.fixtures.memory_budgets import MemoryBudgets
from tests.fixtures.memory_objects import MemoryObjects
from tests.fixtures.memory_ports import (
    MemoryCosts,
    MemoryJobs,
    MemoryQueue,
    MemoryTemplates,
    MemoryVersions,
)
from tests.simulation.campaign import NoModels
from tests.simulation.engines import PlainEngine

SHORT = {"id": "short", "keep_if": "steps.say.output | length < 9"}
FRESH = {"id": "fresh", "unique": {"by": "steps.say.output"}}


def passes(index: int) -> bool:
    """Two of five do."""
    return index % 5 in {1, 3}


class World:
    """One job in shards, whose shards are played by hand."""

    def __init__(
        self,
        records: int,
        *,
        shards: int = 3,
        candidates: int = 1000,
        checks: Sequence[Mapping[str, object]] = (SHORT,),
        on_exhausted: OnExhausted = OnExhausted.PARTIAL,
    ) -> None:
        self.clock, self.queue = ManualClock(), MemoryQueue()
        self.jobs = MemoryJobs(self.queue, self.clock, budgets=MemoryBudgets())
        self.objects, templates = MemoryObjects(), MemoryTemplates()
        self.ports = Ports(
            clock=self.clock,
            queue=self.queue,
            jobs=self.jobs,
            templates=templates,
            checkpoints=MemoryVersions(),
            costs=MemoryCosts(),
            budgets=MemoryBudgets(),
            objects=self.objects,
            models=NoModels(),  # type: ignore[arg-type]
            provider="bedrock",
            prices=load_prices(),
        )
        document = {
            "name": "t",
            "steps": [{"id": "say", "prompt": "Say.", "model": "amazon.nova-micro-v1:0"}],
            "checks": list(checks),
            "output": {"columns": {"text": "steps.say.output"}},
        }
        begun = first_round(records, attempts=1, candidates=candidates)
        self.jobs.create_job(
            Job(
                job_id="j",
                user_id="ada",
                status=JobStatus.QUEUED,
                config=job_config(
                    template=templates.save_template("ada", "t", read_template(document)),
                    seed_data_path=None,
                    seed_version=None,
                    num_records=records,
                    output_formats=(OutputFormat.JSONL,),
                    sharding=sharding_for(begun, shards),
                    attempts=1,
                    max_candidates=candidates,
                    on_exhausted=on_exhausted,
                ),
                budget_limit="10",
                created_at=self.clock.now(),
                updated_at=self.clock.now(),
            )
        )
        self.text_of: Callable[[int], str] = "t{}".format
        self.is_good: Callable[[int], bool] = passes
        self.calls = 0

    @property
    def job(self) -> Job:
        return self.jobs.get_job("j")

    @property
    def sharding(self) -> Sharding:
        sharding = self.job.config.sharding
        assert sharding is not None
        return sharding

    def play_shards(self) -> int:
        """Every shard that is queued does what is new in its ranges; how many did."""
        played = 0
        for shard in range(self.sharding.count):
            claim = self.queue.claim(f"j#{shard}", "shard")
            if claim is None:
                continue
            played += 1
            self._play(claim, shard)
        return played

    def _play(self, claim: Claim, shard: int) -> None:
        worker = self.worker()
        worker.jobs.mark_job_running(claim)
        states = self.queue.shards_of("j", self.sharding.count)
        before = states[shard].progress
        new = [index for each in ranges_of(self.sharding, shard) for index in each]
        new = new[before.ended :]
        good = [index for index in new if self.is_good(index)]
        bad = [index for index in new if not self.is_good(index)]
        self.calls += len(new)
        number = before.ended + 1
        Batches(self.objects).save_batch("j", number, [*map(self.line, good)], shard=shard)
        rejected = [self.line(index, rejected_by="short") for index in bad]
        Batches(self.objects, REJECTED_PARTS).save_batch("j", number, rejected, shard=shard)
        checks = before.checks + CheckTotals(
            tries=len(new), rejected=len(bad), rejected_by={"short": len(bad)}
        )
        progress = Progress(records_generated=before.records_generated + len(good), checks=checks)
        self.jobs.set_progress("j", claim.fence, progress, shard=shard)
        worker.jobs.end_shard(claim, JobStatus.COMPLETED, None, run=self.job.run)

    def line(self, index: int, rejected_by: str | None = None) -> bytes:
        return Record(
            job_id="j",
            index=index,
            timestamp=self.clock.now(),
            seed_data_id="none",
            generation_result={"say": {"output": self.text_of(index)}},
            verdicts={"short": {"passed": rejected_by is None}},
            rejected_by=rejected_by,
        ).line()

    def worker(self) -> Worker:
        return Worker(
            self.ports, owner="me", settings=WorkerSettings(), template_engine=PlainEngine()
        )

    def work(self) -> ExitCode:
        claim = self.queue.claim("j", "me")
        assert claim is not None
        return self.worker().process_job(claim)

    def to_the_end(self) -> int:
        """Rounds until the job has ended."""
        for rounds in range(1, 20):
            self.play_shards()
            assert self.work() is not ExitCode.INTERRUPTED
            if self.job.status is not JobStatus.RUNNING:
                return rounds
        raise AssertionError("no end of rounds")

    def dataset(self) -> list[int]:
        lines = self.objects.bodies[export_key("j", "jsonl")].splitlines()
        return sorted(orjson.loads(line)["index"] for line in lines)

    def texts(self) -> list[str]:
        lines = self.objects.bodies["jobs/j/exports/data-jsonl/train.jsonl"].splitlines()
        return [orjson.loads(line)["text"] for line in lines]


def test_a_round_is_opened_where_too_few_are_accepted() -> None:
    world = World(100)
    assert world.play_shards() == 3
    assert world.work() is ExitCode.DONE
    # 40 of 100 were accepted: 60 missing at 0.4, and twice the deviation: 150 + 2·sqrt(36) / 0.4.
    assert world.sharding == Sharding(count=3, ends=(100, 280))
    assert (world.job.status, world.job.run) == (JobStatus.RUNNING, 2)
    assert world.queue.status("j") is WaitingStatus.WAITING
    assert world.job.selection == Selection(wanted=100, records=40, accepted=40)
    assert export_key("j", "jsonl") not in world.objects.bodies
    assert [world.queue.status(f"j#{shard}") for shard in range(3)] == [JobStatus.QUEUED] * 3
    world.play_shards()
    assert world.work() is ExitCode.DONE
    assert world.job.status is JobStatus.COMPLETED
    expected = [index for index in range(280) if passes(index)][:100]
    assert world.dataset() == expected
    assert world.texts() == [f"t{index}" for index in expected]
    selection = world.job.selection
    assert selection == Selection(wanted=100, records=112, accepted=100)
    assert (selection.surplus, world.job.accepted) == (12, 100)
    rejected = world.objects.bodies[rejected_key("j")].splitlines()
    assert len(rejected) == 280 - 112


@pytest.mark.parametrize("shards", [2, 9])
def test_shards_play_no_part_in_which_rounds_and_records_there_are(shards: int) -> None:
    worlds = [World(90, shards=count, checks=(SHORT, FRESH)) for count in (3, shards)]
    for world in worlds:
        world.text_of = lambda index: f"t{index % 230}"
        world.to_the_end()
    one, other = worlds
    assert one.sharding.ends == other.sharding.ends
    assert (one.dataset(), one.texts()) == (other.dataset(), other.texts())
    assert len(set(one.texts())) == 90


def test_a_death_after_the_round_was_opened_loses_nothing() -> None:
    """Its successor finds shards that are to go on, and waits for them."""
    world = World(100)
    world.play_shards()
    claim = world.queue.claim("j", "dies")
    assert claim is not None
    world.queue.script.fail("queue.put_off", StorageUnavailableError("down"))
    with pytest.raises(StorageUnavailableError):
        world.worker().process_job(claim)
    assert (world.sharding.ends, world.job.run) == ((100, 280), 2)
    assert world.queue.status("j") is JobStatus.RUNNING
    [lease] = [each for each in world.queue.leases() if each.work_id == "j"]
    assert world.queue.recover(lease)
    assert world.work() is ExitCode.DONE
    assert (world.sharding.ends, world.job.run) == ((100, 280), 2)
    assert world.queue.status("j") is WaitingStatus.WAITING
    world.to_the_end()
    assert world.dataset() == [index for index in range(280) if passes(index)][:100]
    assert world.calls == 280


def test_a_late_owner_opens_no_round_and_ends_nothing() -> None:
    world = World(100)
    world.play_shards()
    late = world.queue.claim("j", "late")
    assert late is not None
    world.queue.release(late)
    world.work()
    world.play_shards()
    assert world.work() is ExitCode.DONE
    before = dict(world.objects.bodies)
    assert world.worker().process_job(late) is ExitCode.INTERRUPTED
    assert (world.job.status, world.sharding.ends) == (JobStatus.COMPLETED, (100, 280))
    assert world.objects.bodies == before


def test_a_late_owner_meets_the_round_of_its_successor() -> None:
    world = World(100)
    world.play_shards()
    late = world.queue.claim("j", "late")
    assert late is not None
    world.queue.release(late)
    early = world.queue.claim("j", "early")
    assert early is not None
    world.worker().jobs.mark_job_running(early)
    assert world.worker().process_job(late) is ExitCode.INTERRUPTED
    assert (world.sharding.ends, world.job.selection) == ((100,), None)
    assert world.worker().process_job(early) is ExitCode.DONE
    assert world.sharding.ends == (100, 280)


def test_a_job_that_is_cancelled_gets_no_round(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(100)
    world.play_shards()
    claim = world.queue.claim("j", "me")
    assert claim is not None
    opens = world.jobs.open_round

    def cancelled_before(job_id: str, end: int, *, fence: int) -> None:
        world.jobs.set_status("j", JobStatus.CANCELLED, fence=None)
        opens(job_id, end, fence=fence)

    monkeypatch.setattr(world.jobs, "open_round", cancelled_before)
    assert world.worker().process_job(claim) is ExitCode.DONE
    assert (world.job.status, world.sharding.ends) == (JobStatus.CANCELLED, (100,))
    assert world.queue.status("j") is JobStatus.CANCELLED


def test_surplus_is_used_before_anything_is_called() -> None:
    """100 records with 12 beyond them are grown to 110."""
    world = World(100)
    world.to_the_end()
    calls, ends = world.calls, world.sharding.ends
    world.jobs.set_num_records("j", 110)
    assert has_work_left(world.job)
    queue_again(world.jobs, world.queue, "j")
    assert world.play_shards() == 0
    assert world.work() is ExitCode.DONE
    assert (world.job.status, world.calls, world.sharding.ends) == (
        JobStatus.COMPLETED,
        calls,
        ends,
    )
    assert world.dataset() == [index for index in range(280) if passes(index)][:110]
    assert not has_work_left(world.job)
    world.jobs.set_num_records("j", 130)
    queue_again(world.jobs, world.queue, "j")
    world.to_the_end()
    assert world.dataset() == [index for index in range(1000) if passes(index)][:130]
    assert world.calls > calls


@pytest.mark.parametrize("on_exhausted", OnExhausted)
def test_what_becomes_of_a_job_whose_tries_are_used_up(on_exhausted: OnExhausted) -> None:
    world = World(100, candidates=150, on_exhausted=on_exhausted)
    world.to_the_end()
    job = world.job
    assert job.selection == Selection(wanted=100, records=60, accepted=60)
    assert job.progress.checks.tries == 150
    assert len(world.objects.bodies[rejected_key("j")].splitlines()) == 90
    assert not has_work_left(job)
    if on_exhausted is OnExhausted.PARTIAL:
        assert (job.status, len(world.dataset())) == (JobStatus.COMPLETED, 60)
        assert "has 60 of 100 records" in world.objects.bodies["jobs/j/README.md"].decode()
        return
    assert (job.status, job.error_code) == (JobStatus.FAILED, "candidates_exhausted")
    assert job.error_message is not None
    assert "60 of 100 records accepted after 150 tries of at most 150" in job.error_message
    assert "short 60 %" in job.error_message
    assert export_key("j", "jsonl") not in world.objects.bodies


def test_checks_that_nothing_passes_stop_a_job() -> None:
    world = World(150)
    world.is_good = lambda _index: False
    rounds = world.to_the_end()
    assert (rounds, world.calls) == (2, 300)
    assert (world.job.status, world.job.error_code) == (JobStatus.FAILED, "none_accepted")
    assert "no record of 300 tries passed the checks (rejected by short 100 %)" in (
        world.job.error_message or ""
    )


def test_repeats_are_made_up_for_and_listed() -> None:
    world = World(40, checks=(SHORT, FRESH))
    world.is_good = lambda _index: True
    world.text_of = lambda index: "same" if index % 2 else f"t{index}"
    world.to_the_end()
    assert world.texts() == ["t0", "same", *(f"t{index}" for index in range(2, 78, 2))]
    job = world.job
    assert job.selection is not None
    listed = [orjson.loads(each) for each in world.objects.bodies[rejected_key("j")].splitlines()]
    assert {each["rejected_by"] for each in listed} == {"fresh"}
    assert job.selection.left_out == {"fresh": len(listed)}
    card = world.objects.bodies["jobs/j/README.md"].decode()
    assert f"fresh left out {len(listed)} records" in card
    assert "40 accepted of" in card
