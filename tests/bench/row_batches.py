"""Batches for `tests/bench/rows.py` and `joining.py`: the records of two jobs, and their seeds."""

import random
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from itertools import chain
from typing import Final

from runtime.contract.keys import FAILURE_PARTS
from runtime.domain.jobs.record import Failure, Record
from runtime.domain.jobs.sharding import Sharding, ranges_of
from runtime.export.batches import Batches
from runtime.local.objects import DirectoryObjects

BATCH: Final = 500
SEEDS: Final = 1000
START: Final = datetime(2026, 1, 1, tzinfo=UTC)
TIDY, GAPS = "tidy", "gaps"
"""The jobs. Records end nearly in the order of their index, as with 64 calls in flight. Of the
second one in a hundred failed, and one in a hundred came last, as when the service failed at first:
all that follows the first of these waits on the disk.
"""
IN_FLIGHT: Final = 64


def line_maker(words_of_answer: int) -> Callable[[str, Iterable[int]], Iterator[bytes]]:
    """The lines of a job's records of some indices, the same in each run."""
    words = [f"word{number}" for number in range(3000)]
    rng = random.Random(1)  # noqa: S311

    def lines(job_id: str, indices: Iterable[int]) -> Iterator[bytes]:
        for index in sorted(indices, key=lambda index: index + rng.random() * IN_FLIGHT):
            ask = {"question": " ".join(rng.choices(words, k=15)), "level": "easy"}
            outputs = {"ask": ask, "answer": " ".join(rng.choices(words, k=words_of_answer))}
            yield Record(
                job_id=job_id,
                index=index,
                timestamp=START,
                seed_data_id=f"row-{index % SEEDS + 1}",
                generation_result={
                    step: {"output": output, "model": "a-model", "stop_reason": "end_turn"}
                    for step, output in outputs.items()
                },
            ).line()

    return lines


def make_shards(objects: DirectoryObjects, sharding: Sharding, words_of_answer: int) -> None:
    """The records of the tidy job in shards."""
    lines = line_maker(words_of_answer)
    for shard in range(sharding.count):
        for indices in ranges_of(sharding, shard):
            save(Batches(objects), TIDY, lines(TIDY, indices), shard=shard)


def make_batches(objects: DirectoryObjects, records: int, words_of_answer: int) -> None:
    """The same records for each job, and the seeds."""
    seeds = b"".join(b'{"topic": "topic %d"}\n' % number for number in range(SEEDS))
    objects.put("seeds.jsonl", seeds, content_type="application/x-ndjson")
    lines = line_maker(words_of_answer)
    save(Batches(objects), TIDY, lines(TIDY, range(records)))
    in_time = (index for index in range(records) if index % 100 not in {50, 99})
    late = range(50, records, 100)
    save(Batches(objects), GAPS, chain(lines(GAPS, in_time), lines(GAPS, late)))
    failed = (
        Failure(
            job_id=GAPS,
            index=index,
            seed_data_id="row-1",
            step="ask",
            kind="refused",
            message="no",
            attempts=1,
        ).line()
        for index in range(99, records, 100)
    )
    save(Batches(objects, FAILURE_PARTS), GAPS, failed)


def save(
    batches: Batches, job_id: str, lines: Iterator[bytes], *, shard: int | None = None
) -> None:
    waiting: list[bytes] = []
    number = 0
    for line in lines:
        waiting.append(line)
        if len(waiting) == BATCH:
            number += 1
            batches.save_batch(job_id, number, waiting, shard=shard)
            waiting.clear()
    if waiting:
        batches.save_batch(job_id, number + 1, waiting, shard=shard)
