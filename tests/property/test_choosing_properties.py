"""Which records are chosen, beside loops that compare each with each and count afterwards."""

from collections import Counter
from itertools import combinations, pairwise, permutations
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.domain.checks.choosing import Choice, Chooser, Decision
from runtime.domain.errors import InputError
from runtime.engine.repeats.index import repeat_index

LABELS: Final = ("easy", "hard", "odd")
Rows = list[tuple[str, str]]
"""Of each record the text and the label."""

rows = st.lists(
    st.tuples(
        st.sampled_from(["a cat", "A  cat", "a dog", "b", "c", "d", "e", "f", "g"]),
        st.sampled_from([*LABELS, "none of them"]),
    ),
    max_size=25,
)


def decided(chooser: Chooser, records: Rows) -> list[Decision]:
    return [
        chooser.choose(index, texts={"once": text}, label=label)
        for index, (text, label) in enumerate(records)
    ]


def balanced(wanted: int) -> Chooser:
    return Chooser(wanted=wanted, unique={"once": repeat_index()}, labels=LABELS)


@given(rows, st.integers(0, 12))
def test_each_record_is_decided_by_those_before_it(records: Rows, wanted: int) -> None:
    decisions = decided(balanced(wanted), records)

    first_of: dict[str, int] = {}
    accepted: Counter[str] = Counter()
    for index, (text, label) in enumerate(records):
        decision = decisions[index]
        first = first_of.setdefault(" ".join(text.lower().split()), index)
        if first < index:
            assert decision == Decision(choice=Choice.REPEAT, check="once", repeats=first)
        elif label not in LABELS:
            assert decision == Decision(choice=Choice.UNLABELLED)
        else:
            # Room for one more is where the counts can still be those of an equal division.
            accepted[label] += 1
            above = sum(accepted[each] > wanted // 3 for each in LABELS)
            fits = max(accepted.values()) <= -(-wanted // 3) and above <= wanted % 3
            assert decision == Decision(choice=Choice.ACCEPTED if fits else Choice.SURPLUS)
            accepted[label] -= not fits
    assert sum(accepted.values()) <= wanted


@given(rows, st.integers(0, 12))
def test_the_count_is_that_of_the_decisions(records: Rows, wanted: int) -> None:
    chooser = balanced(wanted)
    decisions = decided(chooser, records)

    accepted = [each for each in decisions if each.choice is Choice.ACCEPTED]
    assert chooser.accepted == len(accepted)
    assert chooser.is_complete == (len(accepted) == wanted)


@given(
    st.lists(st.sampled_from([f"{label} {n}" for label in LABELS for n in range(4)]), max_size=20),
    st.integers(0, 12),
    st.randoms(use_true_random=False),
)
def test_how_many_are_accepted_does_not_depend_on_the_order(
    texts: list[str], wanted: int, chance: object
) -> None:
    """Of one exact check, where the text says the label: a forecast is then no guess."""
    records = [(text, text.split()[0]) for text in texts]
    shuffled = list(records)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = balanced(wanted), balanced(wanted)
    decided(one, records)
    decided(other, shuffled)

    distinct = Counter(text.split()[0] for text in set(texts))
    places, spare = divmod(wanted, 3)
    expected = sum(min(distinct[label], places) for label in LABELS)
    expected += min(spare, sum(distinct[label] > places for label in LABELS))
    assert one.accepted == other.accepted == expected


@given(rows, st.integers(0, 5), st.integers(6, 30))
def test_what_repeats_depends_neither_on_balance_nor_on_how_many_are_wanted(
    records: Rows, few: int, many: int
) -> None:
    plain = Chooser(wanted=many, unique={"once": repeat_index()})
    choosers = [balanced(few), balanced(many), plain]
    found = [[each.repeats for each in decided(chooser, records)] for chooser in choosers]
    assert found[0] == found[1] == found[2]


SENTENCES: Final = [
    "a small cat sat on the old red mat in the sun",
    "a small cat sat on the old red mat in the rain",  # near the first
    "a small cat slept on the old red mat in the rain",  # near the second, not the first
    "the dog has nothing to do with any of this at all",
]


def near(one: str, other: str) -> bool:
    sets = []
    for each in (one, other):
        words = each.split()
        sets.append({*words, *pairwise(words)})
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1]) >= 0.7


def test_a_record_repeats_only_those_that_are_no_repeats_themselves() -> None:
    pairs = {(a, b) for a, b in combinations(range(4), 2) if near(SENTENCES[a], SENTENCES[b])}
    assert pairs == {(0, 1), (1, 2)}
    for order in permutations(range(4)):
        chooser = Chooser(wanted=4, unique={"near": repeat_index(0.7)})
        kept: list[int] = []
        for place in order:
            repeated = {each for each in kept if tuple(sorted((each, place))) in pairs}
            decision = chooser.choose(place, texts={"near": SENTENCES[place]})
            assert (decision.choice is Choice.REPEAT) == bool(repeated)
            if repeated:
                assert decision.repeats in repeated
            else:
                kept.append(place)


def test_of_several_checks_the_first_that_finds_one_leaves_the_record_out() -> None:
    unique = {"question": repeat_index(), "answer": repeat_index()}
    chooser = Chooser(wanted=2, unique=unique)
    records = [
        {"question": "one", "answer": "A"},
        {"answer": "a", "question": "ONE"},
        {"question": "two", "answer": "a"},
        {"question": "two", "answer": "b"},  # the one before is no reason: it repeats itself
        {"question": "three"},  # says nothing of an answer
        {"answer": "c"},
        {"question": "three", "answer": "d"},  # a surplus record is kept, too
    ]
    words = [chooser.choose(index, texts=texts).words for index, texts in enumerate(records)]
    assert words == [
        *("accepted", "left out by question", "left out by answer", "accepted"),
        *("surplus", "surplus", "left out by question"),
    ]


def test_the_remainder_goes_to_the_labels_that_first_need_it() -> None:
    chooser = Chooser(wanted=5, unique={}, labels=LABELS)
    labels = ["odd", "odd", "hard", "odd", "odd", "hard", "hard", "hard", "easy", None, "easy"]
    words = [
        chooser.choose(index, texts={}, label=label).words for index, label in enumerate(labels)
    ]
    assert words == [
        *("accepted", "accepted", "accepted", "surplus", "surplus", "accepted"),
        *("surplus", "surplus", "accepted", "unlabelled", "surplus"),
    ]


@pytest.mark.parametrize("labels", [(), ("a", "b", "a")])
def test_labels_are_named_once(labels: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match="each once"):
        Chooser(wanted=1, unique={}, labels=labels)


def test_fewer_than_none_are_refused() -> None:
    with pytest.raises(InputError, match="-1 records"):
        Chooser(wanted=-1, unique={})
