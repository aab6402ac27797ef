"""What a million records take on 1, 40 and 1 000 workers, by arithmetic: `docs/scale.md` shows it.

    python -m runtime.operations.scale

Rates of a worker are counted from its code, prices and quotas are AWS's, and how long a call takes
is assumed. Nothing is asked of AWS.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from runtime.contract.executions import MAX_SHARDS, SHARD_BATCH
from runtime.service.shard_count import FIRST_TOKEN_SECONDS, TOKENS_PER_SECOND

RECORDS: Final = 1_000_000
TOKENS_IN: Final = 120
TOKENS_OUT: Final = 200
MAX_TOKENS: Final = 400
"""A call takes its prompt and its whole limit out of the quota."""
CALLS_AT_A_TIME: Final = 64

FLUSH_SECONDS: Final = 30.0
HEARTBEAT_SECONDS: Final = 15.0
START_SECONDS: Final = 60.0
"""Of a task, paid for and without a call."""

OBJECTS_A_FLUSH: Final = 2
"""Batch and checkpoint."""
WRITES_A_FLUSH: Final = 5
"""Version of the checkpoint, hold, counters and their index, cost."""
WRITES_A_BEAT: Final = 2
"""The item and its index."""
HOLDS_A_CALL: Final = 0.01
"""Writes by which a hold grows, as `make bench-shards` counts them."""
STATES_A_TASK: Final = 5
"""Transitions of a child of the Map, with one retry."""

# US dollars, us-east-1, November 2026; see docs/deploy.md.
TASK_HOUR: Final = 1 * 0.0097 + 2 * 0.0011 + 10 * 0.000111 + 0.005
"""One vCPU and 2 GiB on Spot, ten GiB of disk above the free ones, and a public address."""
PUT: Final = 0.005 / 1000
TABLE_WRITE: Final = 0.625 / 10**6
STATE: Final = 0.025 / 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """`RECORDS` on so many workers. Rates are those of all workers together, a second."""

    workers: int
    calls_at_a_time: int = CALLS_AT_A_TIME

    @property
    def jobs(self) -> int:
        """A job has so many shards at most."""
        return -(-self.workers // MAX_SHARDS)

    @property
    def calls(self) -> float:
        seconds = FIRST_TOKEN_SECONDS + TOKENS_OUT / TOKENS_PER_SECOND
        return self.workers * self.calls_at_a_time / seconds

    @property
    def tokens_a_minute(self) -> float:
        return self.calls * 60 * (TOKENS_IN + MAX_TOKENS)

    @property
    def hours(self) -> float:
        return (RECORDS / self.calls + START_SECONDS) / 3600

    @property
    def flushes(self) -> float:
        own = self.calls / self.workers
        return self.workers * max(own / SHARD_BATCH, 1 / FLUSH_SECONDS)

    @property
    def puts(self) -> float:
        return self.flushes * OBJECTS_A_FLUSH

    @property
    def table_writes(self) -> float:
        beats = self.workers * WRITES_A_BEAT / HEARTBEAT_SECONDS
        return self.flushes * WRITES_A_FLUSH + self.calls * HOLDS_A_CALL + beats

    @property
    def table_reads(self) -> float:
        """Each heartbeat looks whether the job was cancelled."""
        return self.workers / HEARTBEAT_SECONDS

    def dollars(self) -> dict[str, float]:
        """For all of the records, besides tokens."""
        seconds = RECORDS / self.calls
        return {
            "workers": self.workers * self.hours * TASK_HOUR,
            "S3 writes": self.puts * seconds * PUT,
            "DynamoDB": self.table_writes * seconds * TABLE_WRITE,
            "Step Functions": self.workers * STATES_A_TASK * STATE,
        }


def table(*workers: int) -> Iterator[str]:
    """A table in Markdown, one column for each number of workers."""
    plans = [Plan(workers=each) for each in workers]
    yield "| | " + " | ".join(f"{each.workers:,}" for each in plans) + " |"
    yield "|---|" + "---|" * len(plans)
    rows = {
        "jobs that it takes": [f"{each.jobs}" for each in plans],
        "calls a second": [f"{each.calls:,.0f}" for each in plans],
        "tokens a minute of the quota": [
            f"{each.tokens_a_minute / 10**6:,.2f} M" for each in plans
        ],
        "hours": [f"{each.hours:.2f}" for each in plans],
        "vCPUs on Spot": [f"{each.workers:,}" for each in plans],
        "writes to DynamoDB a second": [f"{each.table_writes:,.1f}" for each in plans],
        "reads of DynamoDB a second": [f"{each.table_reads:,.1f}" for each in plans],
        "writes to S3 a second": [f"{each.puts:,.1f}" for each in plans],
        **{
            f"{name}, dollars": [f"{each.dollars()[name]:.3f}" for each in plans]
            for name in plans[0].dollars()
        },
        "**dollars together**": [f"**{sum(each.dollars().values()):.2f}**" for each in plans],
    }
    for name, cells in rows.items():
        yield f"| {name} | " + " | ".join(cells) + " |"


if __name__ == "__main__":
    for line in table(1, 40, 1000):
        print(line)
