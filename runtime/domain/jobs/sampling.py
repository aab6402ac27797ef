"""What chance decides about a record: its seed, and the entropy of filters and sampler.

A draw depends on (random seed, index) and on the number of seeds, and on nothing else: it is the
same however often and in whatever order a job restarts, however many records it has, and whatever
its template says (requirements N7 and N14). No draw needs another one.

    shuffle   pass 0: each seed once    pass 1: each seed once, in another order   …
    ordered   the first, the second … and again
    random    an independent draw a record: some seeds often, some never

Jobs from before scheme 2 draw by their own id and go on to.
"""

import hashlib
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, TypeVar

from runtime.domain.options import option
from runtime.domain.permutation import shuffled


class SeedStrategy(StrEnum):
    """How a record gets its seed. `sequential` is an older word for `ordered`."""

    SHUFFLE = "shuffle"
    ORDERED = "ordered"
    RANDOM = "random"
    SEQUENTIAL = "sequential"


IN_ORDER: Final[frozenset[str]] = frozenset({SeedStrategy.ORDERED, SeedStrategy.SEQUENTIAL})
"""Two words for one strategy."""
OF_BEFORE: Final = frozenset({SeedStrategy.RANDOM, SeedStrategy.SEQUENTIAL})
"""The words of before scheme 2."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Draws:
    """Which seed a record gets."""

    seed_strategy: SeedStrategy = option(
        SeedStrategy.SHUFFLE,
        help="shuffle: each seed once before one is used twice. ordered (or sequential): row by"
        " row, again. random: an independent draw a record.",
        identifies=True,
        absent=SeedStrategy.RANDOM,
    )
    random_seed: int | None = option(
        0,
        help="Jobs with the same random seed, and as many seeds, give each record the same seed.",
        least=0,
        most=2**63 - 1,
        identifies=True,
        late=True,
        absent=None,
    )
    scheme: int = option(
        2,
        name="draws",
        help="2: draws depend on random_seed. 1: on the job's id, where there is no random_seed.",
        least=1,
        most=2,
        identifies=True,
        late=True,
        absent=1,
        chosen=False,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Draw:
    """`row` is the seed's position; the other two are 63-bit entropy for filters and sampler."""

    row: int
    filter_entropy: int
    model_seed: int


DrawT = TypeVar("DrawT", bound=Draw)


def draw(job_id: str, index: int, *, rows: int, draws: Draws) -> Draw:
    """The draw of record `index` from `rows` seeds (at least one).

    Taking 64 bits modulo `rows` favours low rows by at most rows / 2**64.
    """
    digest = hashlib.blake2b(_key(job_id, index, draws).encode(), digest_size=24).digest()
    chosen, filters, model = (
        int.from_bytes(digest[start : start + 8], "big") for start in (0, 8, 16)
    )
    turn, position = divmod(index, rows)
    if draws.seed_strategy in IN_ORDER:
        row = position
    elif draws.seed_strategy is SeedStrategy.RANDOM:
        row = chosen % rows
    else:
        row = shuffled(position, rows, key=f"{draws.random_seed or 0}/{turn}".encode())
    return Draw(row=row, filter_entropy=filters >> 1, model_seed=model >> 1)


def redraw(drawn: DrawT, job_id: str, index: int, attempt: int, draws: Draws) -> DrawT:
    """The draw of another try of record `index`, the first one having `attempt` 0: its seed and
    samples stay, its entropy is new.
    """
    key = f"{_key(job_id, index, draws)}/try {attempt}"
    digest = hashlib.blake2b(key.encode(), digest_size=16).digest()
    filters, model = (int.from_bytes(digest[start : start + 8], "big") for start in (0, 8))
    return replace(drawn, filter_entropy=filters >> 1, model_seed=model >> 1)


def is_sampled(check_id: str, share: float, job_id: str, index: int, draws: Draws) -> bool:
    """Whether a check that looks at a share of the records looks at record `index`."""
    key = f"{_key(job_id, index, draws)}/check {check_id}"
    digest = hashlib.blake2b(key.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") < share * 2**64


def _key(job_id: str, index: int, draws: Draws) -> str:
    # No job's id is a word and a number.
    if draws.scheme > 1:
        return f"draws 2/{draws.random_seed or 0}/{index}"
    return f"{job_id if draws.random_seed is None else f'random seed {draws.random_seed}'}/{index}"
