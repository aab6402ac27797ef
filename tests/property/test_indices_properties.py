"""The bitmap of indices behaves like a set of integers."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.domain.jobs.indices import IndexSet


@given(st.integers(0, 70), st.lists(st.integers(-5, 80)))
def test_it_equals_a_set(size: int, indices: list[int]) -> None:
    bitmap, model = IndexSet(size), set[int]()
    for index in indices:
        if not 0 <= index < size:
            with pytest.raises(IndexError):
                bitmap.add(index)
            with pytest.raises(IndexError):
                index in bitmap  # noqa: B015 - the question itself is refused
            continue
        assert (index in bitmap) is (index in model)
        assert bitmap.add(index) is (index not in model)
        model.add(index)
        assert index in bitmap
        assert len(bitmap) == len(model)
        assert list(bitmap.missing()) == sorted(set(range(size)) - model)
    assert bitmap.size == size


@given(st.integers(1, 70), st.data())
def test_missing_judges_each_index_when_it_is_reached(size: int, data: st.DataObject) -> None:
    """Work that is finished while the iteration runs is not given out any more."""
    bitmap, given_out = IndexSet(size), list[int]()
    for index in bitmap.missing():
        given_out.append(index)
        for later in data.draw(st.sets(st.integers(index, size - 1), max_size=12)):
            bitmap.add(later)
            assert later not in given_out[:-1]
    assert len(given_out) == len(set(given_out))
    assert set(bitmap.missing()) <= set(given_out)


@given(
    st.lists(
        st.lists(st.integers(-2, 20) | st.integers(3995, 4003) | st.integers(0, 4001), max_size=6),
        max_size=12,
    )
)
def test_some_at_once_are_added_all_or_none(groups: list[list[int]]) -> None:
    """Whether they are close together or far apart."""
    size = 4001
    bitmap, model = IndexSet(size), set[int]()
    for group in groups:
        fits = all(0 <= index < size for index in group)
        new = fits and len(set(group)) == len(group) and model.isdisjoint(group)
        assert bitmap.add_all(group) is new
        model.update(group if new else ())
        assert (len(bitmap), bitmap.end) == (len(model), max(model, default=-1) + 1)
    assert set(range(size)) - set(bitmap.missing()) == model


def test_a_large_set_is_small_and_skips_what_is_full() -> None:
    bitmap = IndexSet(1_000_000)
    for index in itertools.chain(range(100), range(104, 999_999)):
        bitmap.add(index)
    assert list(bitmap.missing()) == [100, 101, 102, 103, 999_999]
