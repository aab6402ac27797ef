"""Sampling is reproducible (requirement N7), even and independent."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.domain.jobs.sampling import Draw, Draws, SeedStrategy, draw

JOBS = [f"{number:08d}-0000-4000-8000-000000000000" for number in range(8)]
RANDOM = Draws(seed_strategy=SeedStrategy.RANDOM)
SEQUENTIAL = Draws(seed_strategy=SeedStrategy.SEQUENTIAL)

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
    seven = Draws(random_seed=7)
    assert draw("job", 3, rows=1000, draws=seven) == draw("other", 3, rows=1000, draws=seven)
    assert draw("job", 3, rows=1000, draws=seven) == Draw(
        row=163, filter_entropy=1_784_988_645_033_810_792, model_seed=5_821_012_678_631_136_093
    )
    assert draw("job", 3, rows=1000, draws=Draws(random_seed=0)) != draw(
        "job", 3, rows=1000, draws=Draws()
    )


@given(st.integers(0, 2**63 - 1), st.integers(0, 2**63 - 1), indices)
def test_random_seeds_share_no_entropy(one: int, other: int, index: int) -> None:
    first, second = (
        draw("job", index, rows=7, draws=Draws(random_seed=each)) for each in (one, other)
    )
    assert (first == second) is (one == other)


@pytest.mark.parametrize("seed", range(8))
def test_rows_are_even_for_a_random_seed(seed: int) -> None:
    """As above, for draws that no job's id is part of."""
    draws = Draws(random_seed=seed)
    rows = Counter(draw("", index, rows=10, draws=draws).row for index in range(5000))
    assert 0.1 < chi_square(rows, cells=10) < 46
