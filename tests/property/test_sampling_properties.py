"""Sampling is reproducible (requirement N7), even and independent.

Draws depend on (random seed, index) alone, and each seed is used before one is used twice (N14).
"""

from collections import Counter
from itertools import permutations
from math import factorial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.domain.jobs.sampling import Draw, Draws, SeedStrategy, draw
from runtime.domain.options import options_document, parse_options
from runtime.engine.seeds import DrawnSeeds

JOBS = [f"{number:08d}-0000-4000-8000-000000000000" for number in range(8)]
RANDOM = Draws(seed_strategy=SeedStrategy.RANDOM, random_seed=None, scheme=1)
SEQUENTIAL = Draws(seed_strategy=SeedStrategy.SEQUENTIAL, random_seed=None, scheme=1)


def old(random_seed: int | None) -> Draws:
    """What jobs from before scheme 2 have stored."""
    return Draws(seed_strategy=SeedStrategy.RANDOM, random_seed=random_seed, scheme=1)


jobs = st.text(max_size=40)
indices = st.integers(0, 1_000_000)
rows = st.integers(1, 10_000_000)


def rows_of(job: str, *, count: int, rows: int) -> list[int]:
    return [draw(job, index, rows=rows, draws=RANDOM).row for index in range(count)]


def chi_square(observed: Counter[int], *, cells: int) -> float:
    expected = observed.total() / cells
    return sum((observed[cell] - expected) ** 2 / expected for cell in range(cells))


def test_a_draw_never_changes_between_releases() -> None:
    """A job that is resumed by a newer version goes on with the same seeds."""
    assert draw("job", 7, rows=1000, draws=RANDOM) == Draw(
        row=23, filter_entropy=6_105_894_822_577_710_567, model_seed=4_699_881_085_400_176_821
    )


@given(jobs, indices, rows)
def test_a_row_exists_and_entropy_fits_a_sampler(job: str, index: int, rows: int) -> None:
    drawn = draw(job, index, rows=rows, draws=RANDOM)
    assert 0 <= drawn.row < rows
    assert 0 <= drawn.filter_entropy < 2**63
    assert 0 <= drawn.model_seed < 2**63


@given(jobs, indices, rows, rows)
def test_entropy_does_not_depend_on_the_seeds(job: str, index: int, few: int, many: int) -> None:
    one = draw(job, index, rows=few, draws=RANDOM)
    other = draw(job, index, rows=many, draws=SEQUENTIAL)
    assert (one.filter_entropy, one.model_seed) == (other.filter_entropy, other.model_seed)


@given(jobs, indices, rows)
def test_sequential_cycles(job: str, index: int, rows: int) -> None:
    assert draw(job, index, rows=rows, draws=SEQUENTIAL).row == index % rows


@given(jobs, st.permutations(range(12)))
def test_order_does_not_matter(job: str, order: list[int]) -> None:
    ascending = {index: draw(job, index, rows=97, draws=RANDOM) for index in range(12)}
    assert {index: draw(job, index, rows=97, draws=RANDOM) for index in order} == ascending


@pytest.mark.parametrize("job", JOBS)
def test_rows_are_even(job: str) -> None:
    """Chi-square, 9 degrees of freedom: above 46 or below 0.1 once in a million."""
    assert 0.1 < chi_square(Counter(rows_of(job, count=5000, rows=10)), cells=10) < 46


@pytest.mark.parametrize("job", JOBS)
def test_neighbours_are_independent(job: str) -> None:
    """Chi-square over pairs, 24 degrees of freedom: above 73 once in a million."""
    drawn = rows_of(job, count=5001, rows=5)
    pairs = Counter(5 * left + right for left, right in zip(drawn[::2], drawn[1::2], strict=False))
    assert chi_square(pairs, cells=25) < 73


def test_jobs_and_records_share_no_entropy() -> None:
    draws = [draw(job, index, rows=7, draws=RANDOM) for job in JOBS for index in range(1000)]
    seen = {each.filter_entropy for each in draws} | {each.model_seed for each in draws}
    assert len(seen) == 2 * len(draws)


def test_a_random_seed_takes_the_place_of_the_job() -> None:
    """N7: pinned, so that a job which is resumed by a newer version goes on with the same seeds."""
    seven = old(7)
    assert draw("job", 3, rows=1000, draws=seven) == draw("other", 3, rows=1000, draws=seven)
    assert draw("job", 3, rows=1000, draws=seven) == Draw(
        row=163, filter_entropy=1_784_988_645_033_810_792, model_seed=5_821_012_678_631_136_093
    )
    assert draw("job", 3, rows=1000, draws=old(0)) != draw("job", 3, rows=1000, draws=old(None))


@given(st.integers(0, 2**63 - 1), st.integers(0, 2**63 - 1), indices)
def test_random_seeds_share_no_entropy(one: int, other: int, index: int) -> None:
    first, second = (draw("job", index, rows=7, draws=old(each)) for each in (one, other))
    assert (first == second) is (one == other)


@pytest.mark.parametrize("seed", range(8))
def test_rows_are_even_for_a_random_seed(seed: int) -> None:
    """As above, for draws that no job's id is part of."""
    draws = old(seed)
    rows = Counter(draw("", index, rows=10, draws=draws).row for index in range(5000))
    assert 0.1 < chi_square(rows, cells=10) < 46


# ── draws of scheme 2 (N14, C1, B11) ───────────────────────────────────────────────────────────

strategies = st.sampled_from(SeedStrategy)
random_seeds = st.integers(0, 2**63 - 1)
SHUFFLE = Draws()


def passes(draws: Draws, *, rows: int, count: int) -> list[list[int]]:
    drawn = [draw("", index, rows=rows, draws=draws).row for index in range(rows * count)]
    return [drawn[start : start + rows] for start in range(0, len(drawn), rows)]


def test_the_default_is_to_shuffle() -> None:
    assert Draws() == Draws(seed_strategy=SeedStrategy.SHUFFLE, random_seed=0, scheme=2)


def test_a_draw_of_scheme_2_never_changes_between_releases() -> None:
    """A job that is resumed by a newer version goes on with the same seeds."""
    pinned = {
        SeedStrategy.SHUFFLE: [577, 295, 809, 509],
        SeedStrategy.RANDOM: [780, 346, 863, 392],
        SeedStrategy.ORDERED: [0, 1, 999, 7],
        SeedStrategy.SEQUENTIAL: [0, 1, 999, 7],
    }
    for strategy, rows in pinned.items():
        draws = Draws(seed_strategy=strategy, random_seed=7)
        assert [draw("", index, rows=1000, draws=draws).row for index in (0, 1, 999, 2007)] == rows
    assert [draw("", index, rows=5, draws=SHUFFLE).row for index in range(10)] == [
        4,
        0,
        3,
        1,
        2,
        1,
        0,
        2,
        4,
        3,
    ]
    assert draw("", 7, rows=1000, draws=SHUFFLE).filter_entropy == 6_987_739_584_718_015_091
    assert draw("", 7, rows=1000, draws=SHUFFLE).model_seed == 8_965_835_800_610_247_242


@given(st.integers(1, 300), random_seeds)
def test_c1_each_seed_is_used_once_before_one_is_used_twice(rows: int, random_seed: int) -> None:
    for each in passes(Draws(random_seed=random_seed), rows=rows, count=3):
        assert sorted(each) == list(range(rows))


@pytest.mark.parametrize("rows", [1000, 1024, 4099])
def test_c1_so_it_is_with_many_seeds(rows: int) -> None:
    first, second = passes(SHUFFLE, rows=rows, count=2)
    assert sorted(first) == sorted(second) == list(range(rows))
    assert sum(one == other for one, other in zip(first, second, strict=True)) < 12
    assert sum(one == index for index, one in enumerate(first)) < 12


@given(st.integers(1, 1_000_000), st.integers(0, 10_000_000), strategies, random_seeds)
def test_c1_any_record_of_any_file_can_be_drawn_by_itself(
    rows: int, index: int, strategy: SeedStrategy, random_seed: int
) -> None:
    drawn = draw("", index, rows=rows, draws=Draws(seed_strategy=strategy, random_seed=random_seed))
    assert 0 <= drawn.row < rows
    assert 0 <= drawn.filter_entropy < 2**63
    assert 0 <= drawn.model_seed < 2**63


@pytest.mark.parametrize("rows", [3, 5, 6])
def test_c1_every_order_of_few_seeds_is_as_likely(rows: int) -> None:
    """Chi-square over all orders: 5, 119 and 719 degrees of freedom, once in a million."""
    count = 8000
    orders = Counter(
        tuple(passes(Draws(random_seed=each), rows=rows, count=1)[0]) for each in range(count)
    )
    expected = count / factorial(rows)
    found = sum((orders[each] - expected) ** 2 / expected for each in permutations(range(rows)))
    assert found < {3: 37, 5: 204, 6: 912}[rows]


def test_c1_every_seed_may_stand_at_every_place() -> None:
    """Chi-square over seed and place, 144 degrees of freedom: once in a million."""
    rows = 13
    pairs = Counter(
        rows * place + row
        for each in range(3000)
        for place, row in enumerate(passes(Draws(random_seed=each), rows=rows, count=1)[0])
    )
    assert chi_square(pairs, cells=rows * rows) < 238


def test_c1_passes_differ() -> None:
    assert len({tuple(each) for each in passes(SHUFFLE, rows=50, count=20)}) == 20


@given(jobs, jobs, indices, rows, strategies, st.none() | random_seeds)
def test_b11_a_draw_depends_on_random_seed_and_index_alone(
    job: str, other: str, index: int, rows: int, strategy: SeedStrategy, random_seed: int | None
) -> None:
    """Not on the job, so not on its template, its model, or how many records it has."""
    draws = Draws(seed_strategy=strategy, random_seed=random_seed)
    assert draw(job, index, rows=rows, draws=draws) == draw(other, index, rows=rows, draws=draws)
    again = Draws(seed_strategy=strategy, random_seed=random_seed or 0)
    assert draw(job, index, rows=rows, draws=draws) == draw(job, index, rows=rows, draws=again)


@given(random_seeds, random_seeds, indices, strategies)
def test_random_seeds_of_scheme_2_share_no_entropy(
    one: int, other: int, index: int, strategy: SeedStrategy
) -> None:
    first, second = (
        draw("job", index, rows=7, draws=Draws(seed_strategy=strategy, random_seed=each))
        for each in (one, other)
    )
    assert (first.filter_entropy == second.filter_entropy) is (one == other)
    assert (first.model_seed == second.model_seed) is (one == other)


@pytest.mark.parametrize("seed", range(4))
def test_random_draws_are_even_and_repeat(seed: int) -> None:
    """Chi-square, 9 degrees of freedom: above 46 or below 0.1 once in a million."""
    draws = Draws(seed_strategy=SeedStrategy.RANDOM, random_seed=seed)
    rows = Counter(draw("", index, rows=10, draws=draws).row for index in range(5000))
    assert 0.1 < chi_square(rows, cells=10) < 46
    assert len({draw("", index, rows=100, draws=draws).row for index in range(100)}) < 90


def test_what_was_stored_before_goes_on_as_it_was() -> None:
    """Documents of jobs that run on AWS have no `draws`, and some no `random_seed`."""
    before = parse_options(Draws, {"seed_strategy": "sequential"})
    assert before == Draws(seed_strategy=SeedStrategy.SEQUENTIAL, random_seed=None, scheme=1)
    assert options_document(before) == {"seed_strategy": "sequential"}
    assert parse_options(Draws, {}) == old(None)
    seeded = parse_options(Draws, {"seed_strategy": "random", "random_seed": 0})
    assert seeded == old(0)
    assert options_document(seeded) == {"seed_strategy": "random", "random_seed": 0}


@given(strategies, st.none() | random_seeds, st.integers(1, 2))
def test_stored_draws_come_back(
    strategy: SeedStrategy, random_seed: int | None, scheme: int
) -> None:
    draws = Draws(seed_strategy=strategy, random_seed=random_seed, scheme=scheme)
    assert parse_options(Draws, options_document(draws)) == draws


def test_new_jobs_carry_scheme_and_random_seed() -> None:
    assert options_document(Draws()) == {"seed_strategy": "shuffle", "random_seed": 0, "draws": 2}


@given(
    st.sampled_from(SeedStrategy),
    st.integers(0, 2**63 - 1),
    st.integers(1, 40),
    st.integers(1, 100),
    st.integers(0, 30),
)
def test_batches_cut_the_draws_of_single_seeds_into_pieces(
    strategy: SeedStrategy, random_seed: int, count: int, size: int, index: int
) -> None:
    """N7, N14: record i has the seeds of the draws k·i to before k·(i+1), whatever was asked
    before; what chance decides besides is that of record i without batches.
    """
    draws = Draws(seed_strategy=strategy, random_seed=random_seed)
    rows = [{"n": number} for number in range(count)]
    single = DrawnSeeds(rows, job_id="j", draws=draws)
    batches = DrawnSeeds(rows, job_id="j", draws=draws, batch_of=size)
    begin = size * index
    expected = [single(each).row for each in range(begin, begin + size)]
    assert batches(index).row == {"seeds": expected}
    assert batches(index).entropy == single(index).entropy
    assert batches.draw(index) == single.draw(index)
