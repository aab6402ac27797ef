"""The fault campaign with jobs whose template has checks.

    python -m tests.simulation.checked --schedules 1000 [--shards 4]
    python -m tests.simulation.checked --seed 1234 [--shards 4]

Invariants beside those of `campaign.py`: a completed job has exactly the records that were asked
for, or has used up its tries; its dataset are the ones of lowest index that pass, by brute force,
and no two of them repeat each other where they must not; every index that was opened ended once, as
record, rejected in all its tries, or failed, unless the tries are used up; those never exceed the
most there may be, a try that the service failed being the one that is made again; counters are
those of the stored lines; no accepted record is lost, and no try or judge is paid again after a
graceful stop.
"""

import random
import sys
from collections import Counter
from typing import Any

import orjson

from runtime.contract.keys import FAILURE_PARTS, RECORDS, REJECTED_PARTS, failures_key
from runtime.domain.checks.acceptance import Acceptance, OnExhausted
from runtime.domain.jobs.job import Job, JobStatus
from runtime.domain.jobs.sharding import Sharding, sharding_for
from runtime.domain.templates.template import Template
from runtime.inputs.templates import read_template
from tests.simulation.campaign import JOB_ID, Outcome, Schedule, main_of
from tests.simulation.engines import CheckScript
from tests.simulation.truth import InvariantError


class CheckedSchedule(Schedule):
    """A schedule of a job with checks: conditions, a judge that decides, or uniqueness."""

    given_back = 0
    """Failures that the user had tried again."""

    def _draw_template(self, *, skips: bool) -> Template:
        del skips
        rng = random.Random(self.seed)  # noqa: S311 - of its own: others draw as without checks
        self.acceptance = Acceptance(
            attempts=rng.choice((1, 2, 2, 3)),
            max_candidates=self.records * rng.choice((1, 2, 4, 10, 10)),
            on_exhausted=rng.choice((OnExhausted.PARTIAL, OnExhausted.PARTIAL, OnExhausted.FAIL)),
        )
        judges = rng.random() < 0.4
        self.script = CheckScript(
            seed=self.seed,
            rate=rng.choice((0.3, 0.6, 0.9, 1.0)),
            judges=judges,
            repeats=not judges and rng.random() < 0.5,
        )
        return read_template(self.script.template())

    def _draw_sharding(self, shards: int) -> Sharding | None:
        first = self.acceptance.first_round(self.records)
        return sharding_for(first, self.rng.randint(2, shards)) if shards > 1 else None

    def _options(self) -> dict[str, Any]:
        return {
            "attempts": self.acceptance.attempts,
            "max_candidates": self.acceptance.max_candidates,
            "on_exhausted": self.acceptance.on_exhausted,
        }

    def _judge_indices(self, job: Job, dataset: list[int], failed: list[int]) -> None:
        records, rejected = self._stored(RECORDS.prefix(JOB_ID)), self._rejected()
        attempts, most = self.acceptance.attempts, job.config.size
        lost = {index for index in set(dataset) if index not in records}
        if lost:
            raise InvariantError("a record was exported that no batch has")
        tried = rejected | self._tries(RECORDS.prefix(JOB_ID))
        tried |= self._tries(FAILURE_PARTS.prefix(JOB_ID))
        # A shard may run the further tries of what a user gives back to be tried again.
        given_back = 0 if self.sharding is None else (attempts - 1) * self.given_back
        if len(tried) > most + given_back:
            raise InvariantError(f"{len(tried)} tries, {most} are the most")
        if job.status is not JobStatus.COMPLETED:
            return
        self._judge_counters(job, records, rejected)
        ended = Counter(index for index, _ in rejected)
        every = {index for index, count in ended.items() if count == attempts}
        if every & records or every & set(failed) or records & set(failed):
            raise InvariantError("an index ended twice")
        opened = {*records, *ended, *failed}
        unfinished = opened - records - every - set(failed)
        if job.progress.checks.tries != len(tried):
            raise InvariantError(f"{len(tried)} tries, {job.progress.checks.tries} are counted")
        # Shards open no index all of whose tries might not be left.
        used_up = self.sharding is None and len(tried) == most
        if unfinished and not used_up:
            raise InvariantError(f"{len(unfinished)} indices were left open")
        # The last tries may be those of a worker that had lost its lease, and was ahead.
        behind = used_up and job.accepted < self.records
        if opened != set(range(len(opened))) and not behind:
            raise InvariantError("an index was left out")
        if dataset_of(records, self.script, self.records) != sorted(dataset):
            raise InvariantError("the dataset is not the first records that pass")
        least = 1 if self.sharding is None else attempts
        if len(dataset) < self.records and most - job.progress.checks.tries >= least:
            raise InvariantError(f"{len(dataset)} of {self.records} records, and tries left")
        self._judge_completed(job, failed)

    def _judge_counters(self, job: Job, records: set[int], rejected: set[tuple[int, int]]) -> None:
        progress = job.progress
        if progress.records_generated != len(records):
            raise InvariantError("the counters are not those of the batches")
        if sum(progress.checks.rejected_by.values()) != len(rejected):
            raise InvariantError("the counters are not those of the rejected tries")
        if self.script is None:
            return
        wrong = [each for each in rejected if self.script.passes(*each)]
        if wrong:
            raise InvariantError("a try was rejected that passes")

    def _retry_failures(self) -> None:
        self.given_back += len(self._indices(failures_key(JOB_ID)))
        super()._retry_failures()

    def _rejected(self) -> set[tuple[int, int]]:
        return self._tries(REJECTED_PARTS.prefix(JOB_ID))

    def _tries(self, prefix: str) -> set[tuple[int, int]]:
        return {(line["index"], line["try"]) for line in self._lines(prefix)}

    def _stored(self, prefix: str) -> set[int]:
        return {line["index"] for line in self._lines(prefix)}

    def _lines(self, prefix: str) -> list[dict[str, Any]]:
        return [
            orjson.loads(line)
            for key, body in self.objects.bodies.items()
            if key.startswith(prefix)
            for line in body.splitlines()
        ]


def dataset_of(records: set[int], script: CheckScript | None, wanted: int) -> list[int]:
    """The dataset, by hand: in the order of indices, without what says what one before it said."""
    chosen: list[int] = []
    said: set[int] = set()
    for index in sorted(records):
        if script is not None and script.repeats:
            if index // 2 in said:
                continue
            said.add(index // 2)
        chosen.append(index)
    return chosen[:wanted]


def run_checked(seed: int, *, shards: int = 1) -> Outcome | str:
    """The outcome, or why the seed failed."""
    try:
        return CheckedSchedule(seed, shards=shards).run()
    except Exception as error:  # noqa: BLE001 - reported with its seed
        return f"seed {seed}: {type(error).__name__}: {error}"


if __name__ == "__main__":
    sys.exit(main_of(__doc__ or "", run_checked))
