"""A split is a function of the random seed and the index, or of the source: nothing else."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from runtime.domain.outputs.split import TRAIN, Split
from runtime.domain.outputs.values import Path
from runtime.export.splits import chooser

fractions = st.dictionaries(
    st.sampled_from(["test", "validation", "holdout"]),
    st.floats(0.01, 0.3),
    min_size=1,
    max_size=3,
)


@given(fractions, st.integers(0, 2**63 - 1), st.data())
def test_one_source_stays_in_one_split(
    shares: dict[str, float], seed: int, data: st.DataObject
) -> None:
    value = data.draw(st.text() | st.integers(-(2**53), 2**53) | st.none())
    choose = chooser(Split(shares=shares, by=Path("seed.source")), random_seed=seed)
    assert len({choose(index, value) for index in range(5)}) == 1
    assert choose(0, value) in {*shares, TRAIN}


def test_shares_are_those_asked_for_and_change_with_the_seed() -> None:
    choose = chooser(Split(shares={"test": 0.1, "validation": 0.2}), random_seed=7)
    drawn = [choose(index, None) for index in range(20_000)]
    counts = Counter(drawn)
    # Five standard deviations of a binomial draw.
    assert abs(counts["test"] - 2000) < 5 * (20_000 * 0.1 * 0.9) ** 0.5
    assert abs(counts["validation"] - 4000) < 5 * (20_000 * 0.2 * 0.8) ** 0.5
    other = chooser(Split(shares={"test": 0.1, "validation": 0.2}), random_seed=8)
    assert drawn != [other(index, None) for index in range(20_000)]
    # A larger share of one split takes rows from the rest alone.
    more = chooser(Split(shares={"test": 0.3}), random_seed=7)
    assert all(more(index, None) == "test" for index, each in enumerate(drawn) if each == "test")
