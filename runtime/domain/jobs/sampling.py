"""What chance decides about a record, drawn from (job, index) alone.

The same job and index give the same draw, however often and in whatever order a job restarts, and
no draw depends on another (requirement N7).
"""

import hashlib
from dataclasses import dataclass

from runtime.domain.jobs.job import SeedStrategy


@dataclass(frozen=True, kw_only=True, slots=True)
class Draw:
    """`row` is the seed's position; the other two are 63-bit entropy for filters and sampler."""

    row: int
    filter_entropy: int
    model_seed: int


def draw(job_id: str, index: int, *, rows: int, strategy: SeedStrategy) -> Draw:
    """The draw of record `index` from `rows` seeds (at least one).

    Taking 64 bits modulo `rows` favours low rows by at most rows / 2**64.
    """
    digest = hashlib.blake2b(f"{job_id}/{index}".encode(), digest_size=24).digest()
    chosen, filters, model = (
        int.from_bytes(digest[start : start + 8], "big") for start in (0, 8, 16)
    )
    return Draw(
        row=index % rows if strategy is SeedStrategy.SEQUENTIAL else chosen % rows,
        filter_entropy=filters >> 1,
        model_seed=model >> 1,
    )
