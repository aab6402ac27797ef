"""Whatever order records come in, and however little memory there is, each is emitted once and in
the order of its index, and never before those that may still come below it.
"""

from hypothesis import given
from hypothesis import strategies as st

from runtime.domain.jobs.indices import IndexSet
from runtime.export.ordering import MAX_RUNS, IndexOrder

SIZE = 60


@st.composite
def arrivals(draw: st.DrawFn) -> tuple[list[int], set[int], set[int]]:
    """Indices in the order in which they come; those known not to come; a gap that nobody knows."""
    present = draw(st.sets(st.integers(0, SIZE - 1)))
    missing = set(range(SIZE)) - present
    known = draw(st.sets(st.sampled_from(sorted(missing)))) if missing else set()
    order = draw(st.permutations(sorted(present)))
    return list(order), known, missing - known


@given(arrivals(), st.integers(0, 40))
def test_everything_comes_once_and_in_order(
    case: tuple[list[int], set[int], set[int]], window: int
) -> None:
    order, known, _ = case
    absent = IndexSet(SIZE)
    for index in known:
        absent.add(index)
    got: list[tuple[int, bytes]] = []
    ordering: IndexOrder[bytes] = IndexOrder(
        got.extend,
        line_of=bytes,
        read=bytes,
        absent=absent,
        window_bytes=window,
    )
    for number, index in enumerate(order):
        ordering.add([(index, b"%d" % index, len(str(index)))])
        # Not a moment later than it can be: what is complete from 0 on has been emitted.
        arrived = set(order[: number + 1]) | known
        ready = next(each for each in range(SIZE + 1) if each not in arrived)
        assert [index for index, _ in got] == sorted(
            each for each in order[: number + 1] if each < ready
        )
    ordering.finish()
    assert got == [(index, b"%d" % index) for index in sorted(order)]


def test_more_runs_than_are_merged_at_once() -> None:
    got: list[int] = []
    ordering: IndexOrder[bytes] = IndexOrder(
        lambda some: got.extend(index for index, _ in some),
        line_of=bytes,
        read=bytes,
        window_bytes=0,
    )
    many = 3 * MAX_RUNS
    for index in reversed(range(many)):
        ordering.add([(index, b"x", 1)])
    ordering.finish()
    assert got == list(range(many))
