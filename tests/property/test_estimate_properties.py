"""An estimate's figures are in order, scale with the records and bound the true cost."""

from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from runtime.domain.models.calls import Usage
from runtime.domain.models.price import FRAMING_TOKENS, Price
from runtime.domain.money.estimate import Estimate, StepSample, estimate

rates = st.integers(0, 50_000)
prices = st.builds(
    Price,
    model_id=st.just("m"),
    name=st.just("M"),
    provider=st.just("p"),
    input=rates,
    output=rates,
    cache_read=st.none() | rates,
    cache_write=st.none() | rates,
    structured_output=st.booleans(),
    context_tokens=st.just(100_000),
    max_output_tokens=st.just(10_000),
    valid_from=st.none(),
    valid_until=st.none(),
    source=st.just("s"),
    checked=st.just(date(2026, 11, 23)),
)


@st.composite
def steps(draw: st.DrawFn) -> StepSample:
    characters = draw(st.integers(0, 5000))
    return StepSample(
        price=draw(prices),
        characters=characters,
        size=characters * draw(st.integers(1, 4)),
        max_tokens=draw(st.integers(1, 5000)),
        repairable=draw(st.booleans()),
    )


samples = st.lists(st.lists(steps(), min_size=1, max_size=3), min_size=1, max_size=4)
counts = st.integers(1, 1_000_000)


def figures(result: Estimate) -> tuple[int, int, int, int]:
    return (result.lowest_nano, result.likely_nano, result.highest_nano, result.likely_tokens)


@given(samples, counts)
def test_the_figures_are_in_order(sampled: list[list[StepSample]], records: int) -> None:
    result = estimate(sampled, records=records)
    assert result.records == records
    assert 0 <= result.lowest_nano <= result.likely_nano <= result.highest_nano


@given(samples, counts)
def test_a_whole_multiple_of_the_sample_is_exact(
    sampled: list[list[StepSample]], times: int
) -> None:
    once = estimate(sampled, records=len(sampled))
    many = estimate(sampled, records=len(sampled) * times)
    assert figures(many) == tuple(times * figure for figure in figures(once))


@given(samples, counts)
def test_it_rounds_up_and_never_down(sampled: list[list[StepSample]], records: int) -> None:
    """An estimate below the truth by a nano would be a broken promise."""
    whole = figures(estimate(sampled, records=len(sampled)))
    for figure, exact in zip(figures(estimate(sampled, records=records)), whole, strict=True):
        assert 0 <= figure * len(sampled) - exact * records < len(sampled)


@given(steps(), st.data())
def test_no_call_costs_more_than_the_highest(step: StepSample, data: st.DataObject) -> None:
    tokens = data.draw(st.integers(0, step.size + FRAMING_TOKENS))
    cached = data.draw(st.integers(0, tokens)) if step.price.cache_read is not None else 0
    usage = Usage(
        input_tokens=tokens - cached,
        output_tokens=data.draw(st.integers(0, step.max_tokens)),
        cache_read_tokens=cached,
    )
    assert step.price.cost(usage) <= estimate([[step]], records=1).highest_nano


@given(steps())
def test_a_repair_costs_at_least_the_call_again(step: StepSample) -> None:
    plain, repaired = (
        estimate(
            [
                [
                    StepSample(
                        price=step.price,
                        characters=step.characters,
                        size=step.size,
                        max_tokens=step.max_tokens,
                        repairable=repairable,
                    )
                ]
            ],
            records=1,
        )
        for repairable in (False, True)
    )
    assert repaired.highest_nano >= 2 * plain.highest_nano
    assert figures(repaired)[:2] == figures(plain)[:2]
