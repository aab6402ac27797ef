"""What chance decides about a record, drawn from (job, index) alone, or from (random seed, index)
where the job was given a random seed.

The same job and index give the same draw, however often and in whatever order a job restarts, and
no draw depends on another (requirement N7).
"""

import hashlib
from dataclasses import dataclass
from enum import StrEnum

from runtime.domain.options import option


class SeedStrategy(StrEnum):
    """How record i gets its seed: an independent draw, or row i modulo the number of rows."""

    RANDOM = "random"
    SEQUENTIAL = "sequential"


@dataclass(frozen=True, kw_only=True, slots=True)
class Draws:
    """Which seed a record gets."""

    seed_strategy: SeedStrategy = option(
        SeedStrategy.RANDOM,
        help="random: an independent draw a record. sequential: row by row, again.",
        identifies=True,
    )
    random_seed: int | None = option(
        None,
        help="Jobs with the same random seed, and as many seeds, give each record the same seed.",
        least=0,
        most=2**63 - 1,
        identifies=True,
        late=True,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Draw:
    """`row` is the seed's position; the other two are 63-bit entropy for filters and sampler."""

    row: int
    filter_entropy: int
    model_seed: int


def draw(job_id: str, index: int, *, rows: int, draws: Draws) -> Draw:
    """The draw of record `index` from `rows` seeds (at least one).

    Taking 64 bits modulo `rows` favours low rows by at most rows / 2**64.
    """
    # No job's id is a word and a number.
    key = job_id if draws.random_seed is None else f"random seed {draws.random_seed}"
    digest = hashlib.blake2b(f"{key}/{index}".encode(), digest_size=24).digest()
    chosen, filters, model = (
        int.from_bytes(digest[start : start + 8], "big") for start in (0, 8, 16)
    )
    return Draw(
        row=index % rows if draws.seed_strategy is SeedStrategy.SEQUENTIAL else chosen % rows,
        filter_entropy=filters >> 1,
        model_seed=model >> 1,
    )
