"""How many indices a further round of a sharded job tries."""

import random

import pytest

from runtime.domain.checks.rounds import Tried, first_round, next_round

MORE = {"attempts": 2, "candidates": 10_000}


def tried(*ends: int, accepted: int, tries: int | None = None) -> Tried:
    return Tried(ends=ends, accepted=accepted, tries=ends[-1] if tries is None else tries)


@pytest.mark.parametrize(
    ("before", "wanted", "end"),
    [
        # 600 missing at 0.4: 1500, and 2·sqrt(600 · 0.6) / 0.4 = 94.9 more.
        (tried(1000, accepted=400), 1000, 2595),
        # All are accepted: as many as are missing.
        (tried(100, accepted=100), 130, 130),
        # None: as many as the last round had.
        (tried(300, accepted=0), 300, 600),
        (tried(300, 450, accepted=0), 300, 600),
        # One in ten: ten for the one, and 2·sqrt(0.9) / 0.1 = 18.97 more.
        (tried(10, accepted=1), 2, 39),
        (tried(1000, accepted=1000), 1000, None),
        (tried(1000, accepted=1200), 1000, None),
    ],
)
def test_what_is_missing_is_most_likely_among_them(
    before: Tried, wanted: int, end: int | None
) -> None:
    assert next_round(before, wanted=wanted, **MORE) == end


def test_no_index_is_opened_whose_tries_could_be_too_many() -> None:
    before = tried(1000, accepted=400, tries=1600)
    assert next_round(before, wanted=1000, attempts=2, candidates=2000) == 1200
    assert next_round(before, wanted=1000, attempts=2, candidates=1601) is None
    assert next_round(before, wanted=1000, attempts=2, candidates=1602) == 1001
    # Nor one beyond the indices that there are.
    assert next_round(tried(1000, accepted=1), wanted=9, attempts=1, candidates=1001) == 1001
    assert next_round(tried(1000, accepted=1), wanted=9, attempts=1, candidates=1000) is None


def test_the_first_round_is_what_is_wanted() -> None:
    assert first_round(100, attempts=2, candidates=1000) == 100
    assert first_round(100, attempts=2, candidates=150) == 75
    assert first_round(1, attempts=10, candidates=1) == 1


@pytest.mark.parametrize("rate", [0.02, 0.4, 0.97])
def test_few_rounds_and_never_too_many_tries(rate: float) -> None:
    rounds = []
    for seed in range(20):
        rng = random.Random(seed)  # noqa: S311
        wanted, attempts, candidates = rng.randrange(1, 3000), rng.randrange(1, 4), 60_000
        ends: list[int] = []
        accepted = tries = 0
        end: int | None = first_round(wanted, attempts=attempts, candidates=candidates)
        while end is not None:
            for _ in range(end - (ends[-1] if ends else 0)):
                for _attempt in range(attempts):
                    tries += 1
                    if rng.random() < rate:
                        accepted += 1
                        break
            ends.append(end)
            end = next_round(
                Tried(ends=tuple(ends), accepted=accepted, tries=tries),
                wanted=wanted,
                attempts=attempts,
                candidates=candidates,
            )
        assert tries <= candidates
        assert accepted >= wanted or tries > candidates - attempts
        rounds.append(len(ends))
    assert max(rounds) <= 7
    assert sum(rounds) / len(rounds) <= 3


def test_what_runs_dry_takes_few_rounds_too() -> None:
    """999 different records are all that there are: each round looks as if it needed one more."""
    ends: tuple[int, ...] = (1000,)
    rounds, end = 0, 1000
    while True:
        before = Tried(ends=ends, accepted=999, tries=end)
        following = next_round(before, wanted=1000, attempts=1, candidates=1_000_000)
        if following is None:
            break
        end, rounds = following, rounds + 1
        ends = (*ends, end)
    assert (end, rounds < 25) == (1_000_000, True)
