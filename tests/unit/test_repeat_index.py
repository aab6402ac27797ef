"""Repeats among texts, beside every pair compared: nothing is called near that isn't, hardly
anything near is missed, and a text takes few bytes.
"""

import random
import re
import resource
import subprocess
import sys
import tempfile
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import Any, Final

import pytest

from runtime.domain.checks.repeats import RepeatIndex
from runtime.domain.checks.shingles import normal_form, shingles
from runtime.domain.errors import InputError, StorageFullError
from runtime.engine.repeats.bands import MAX_BANDS, Banding, BandTables, banding_for
from runtime.engine.repeats.exact import Digests
from runtime.engine.repeats.index import repeat_index

WORDS: Final = [f"{stem}{end}" for end in ("", "s", "ed", "ing") for stem in range(100, 1100)]
_FREQUENCIES: Final = list(accumulate(1 / (rank + 10) for rank in range(len(WORDS))))
LONG: Final = (25, 60)
SHORT: Final = (6, 12)


def chance(seed: int | str) -> random.Random:
    return random.Random(seed)  # noqa: S311 - test data


def text(rng: random.Random, words: tuple[int, int]) -> str:
    return " ".join(rng.choices(WORDS, cum_weights=_FREQUENCIES, k=rng.randint(*words)))


def near_copy(rng: random.Random, original: str) -> str:
    """With up to a fifth of the words replaced, taken out or put in."""
    words = original.split()
    for _ in range(rng.randint(1, max(1, len(words) // 5))):
        place = rng.randrange(len(words))
        words[place : place + rng.randint(0, 1)] = [rng.choice(WORDS)] * rng.randint(0, 1)
    return " ".join(words)


def oracle_set(plain: str) -> frozenset[Any]:
    """Of a text of plain words, the words and the pairs."""
    words = plain.split(" ")
    return frozenset(words) | frozenset((words[at], words[at + 1]) for at in range(len(words) - 1))


def jaccard(one: frozenset[Any], other: frozenset[Any]) -> float:
    return len(one.intersection(other)) / len(one.union(other))


def fed(index: RepeatIndex, texts: list[str]) -> list[int | None]:
    answers = []
    for number, each in enumerate(texts):
        answers.append(index.find(each))
        if answers[-1] is None:
            index.add(number, each)
    return answers


# ── near ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("threshold", [0.6, 0.8, 0.9])
@pytest.mark.parametrize("words", [SHORT, LONG], ids=["short", "long"])
def test_near_texts_are_found_and_no_other_is(words: tuple[int, int], threshold: float) -> None:
    rng = chance(f"{words} {threshold}")
    texts: list[str] = []
    for _ in range(360):
        copied = bool(texts) and rng.random() < 0.5
        texts.append(near_copy(rng, rng.choice(texts)) if copied else text(rng, words))
    sets = [oracle_set(each) for each in texts]
    index = repeat_index(threshold)
    kept: list[int] = []
    near = found = 0
    for number, each in enumerate(texts):
        most = max((jaccard(sets[number], sets[other]) for other in kept), default=0.0)
        answer = index.find(each)
        near += most >= threshold
        if answer is None:
            index.add(number, each)
            kept.append(number)
            continue
        found += 1
        assert answer in kept
        assert jaccard(sets[number], sets[answer]) >= threshold
    assert near >= 30
    assert found / near >= 0.97
    assert index.incomplete == 0


def test_unrelated_texts_stay() -> None:
    rng = chance(7)
    texts = [text(rng, SHORT) for _ in range(1500)] + [text(rng, LONG) for _ in range(1500)]
    assert set(fed(repeat_index(0.8), texts)) == {None}


def test_texts_with_much_in_common_stay_and_near_ones_among_them_go() -> None:
    """A form that all texts fill in: each is alike each by some 0.55, and all share bands."""
    rng = chance(8)
    form = text(rng, (30, 30))
    texts = [f"{form} {text(rng, (10, 10))}" for _ in range(300)]
    index = repeat_index(0.8)
    assert set(fed(index, texts)) == {None}
    for number in range(0, 300, 10):
        *most, _ = texts[number].split()
        assert index.find(" ".join([*most, "otherwise"])) == number


def test_what_is_not_compared_with_all_candidates_is_counted() -> None:
    rng = chance(9)
    form = text(rng, (30, 30))
    index = repeat_index(0.8)
    for number in range(150):
        index.add(number, f"{form} {text(rng, (6, 6))}")
    assert index.find(f"{form} {text(rng, (6, 6))}") is None
    assert index.incomplete == 1


def test_the_same_text_is_found_before_a_near_one() -> None:
    rng = chance(10)
    first = text(rng, LONG)
    words = first.split()
    second = " ".join([*words[:-1], "otherwise"])
    index = repeat_index(0.5)
    index.add(10, first)
    index.add(7, second)
    assert index.find(second.upper()) == 7
    assert index.find(first) == 10
    # Also where words and pairs are those of another text.
    index.add(5, "What is a cat?")
    index.add(3, "What is a cat!")
    assert index.find("what is a  cat!") == 3
    assert index.find("what is a cat") == 5


def test_texts_that_are_the_same_are_one_text_of_the_index() -> None:
    rng = chance(11)
    texts = [text(rng, LONG) for _ in range(3)]
    index = repeat_index(0.8)
    for number, each in enumerate(texts):
        assert index.find(each) is None
        for again in (0, 100, 200):
            index.add(number + again, each)
    index.add(300, texts[0].upper())
    near = [" ".join(["otherwise", *each.split()[1:]]) for each in texts]
    assert [index.find(each) for each in [*texts, *near]] == [0, 1, 2] * 2


def test_an_index_that_is_fed_again_answers_the_same() -> None:
    rng = chance(12)
    texts = [text(rng, SHORT) for _ in range(200)]
    texts += [near_copy(rng, rng.choice(texts)) for _ in range(200)]
    one, other = repeat_index(0.7), repeat_index(0.7)
    answers = fed(one, texts)
    assert any(answer is not None for answer in answers)
    assert fed(other, texts) == answers
    # Kept texts are enough, without asking first.
    third = repeat_index(0.7)
    for number, answer in enumerate(answers):
        if answer is None:
            third.add(number, texts[number])
    assert [third.find(each) for each in texts] == [one.find(each) for each in texts]


@pytest.mark.parametrize(
    ("one", "other", "near"),
    [
        ("What is the capital of France?", "what is the capital of “France”", True),
        ("What is 3 + 4 ?", "What is 3 - 4 ?", False),
        (
            "東京で一番おいしいラーメン屋はどこですか",
            "東京で一番おいしいカレー屋はどこですか",
            False,
        ),
        (
            "東京で一番おいしいラーメン屋はどこですか",
            "東京で一番おいしいラーメン屋はどこですかね",
            True,
        ),
        ("猫は好きですか？", "猫は好きですか", True),  # noqa: RUF001
        ("猫は好きですか", "犬は好きですか", False),
        ("!!!", "???", False),
        ("", " \n", True),
        ("half \ud83d of a pair", "half \ud83d of  a pair", True),
    ],
)
def test_what_is_near(one: str, other: str, *, near: bool) -> None:
    index = repeat_index(0.8)
    assert index.find(one) is None
    index.add(3, one)
    assert index.find(other) == (3 if near else None)


def test_what_a_text_is_compared_by() -> None:
    assert shingles(normal_form("The  cat; the CAT sat.")) == {
        *("the", "cat", "sat"),
        *("the cat", "cat the", "cat sat"),
    }
    assert shingles(normal_form("それはとても良い猫だと思います。")) >= {"猫", "良 い", "す 。"}


@pytest.mark.parametrize("near", [0, 1, -0.2, 1.5, float("nan")])
def test_a_threshold_is_between_0_and_1(near: float) -> None:
    with pytest.raises(InputError, match="above 0 and below 1"):
        repeat_index(near)


# ── exact ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("A cat.", "a CAT.", True),
        ("a\t cat \r\n", "a cat", True),
        ("a\u00a0cat", "a cat", True),
        ("\ufb01ne \uff21\uff22", "fine AB", True),  # ligature and full width
        ("cafe\u0301", "caf\u00e9", True),  # composed
        ("Stra\u00dfe", "STRASSE", True),
        ("a cat", "a cat.", False),
        ("a cat", "acat", False),
        ("caf\u00e9", "cafe", False),
        ("", "\u2003", True),
        ("", "x", False),
    ],
)
def test_what_is_the_same(one: str, other: str, *, same: bool) -> None:
    index = repeat_index()
    assert index.find(one) is None
    index.add(0, one)
    assert index.find(other) == (0 if same else None)


def test_every_text_is_found_after_the_table_has_grown() -> None:
    index = repeat_index()
    for number in range(6000):
        assert index.find(f"text {number}") is None
        index.add(number * 10**9, f"text {number}")
        index.add(1, f"TEXT {number // 2}")  # there already, under another number
    assert all(index.find(f"text {number}") == number * 10**9 for number in range(6000))
    assert index.find("text 6000") is None


def test_digests_that_belong_to_one_slot_stand_side_by_side() -> None:
    """Also those of the last slot, which go on at the first, and all when the table grows."""
    digests = Digests()
    ours = [(2**64 - 1).to_bytes(8, "little") + bytes([n] * 8) for n in range(200)]
    others = [n.to_bytes(8, "little") + bytes(8) for n in range(900)]
    assert all(digests.add(each) for each in [*ours, *others])
    assert not any(digests.add(each) for each in [*ours, *others])
    assert [digests.find(each) for each in [*ours, *others]] == list(range(1100))
    assert digests.find(b"\xff" * 16) is None


# ── bands ──────────────────────────────────────────────────────────────────────────────────────


def test_the_formula_of_the_book() -> None:
    """The table of section 3.4.2 of Mining of Massive Datasets, for 20 bands of 5 rows."""
    book = {0.2: 0.006, 0.3: 0.047, 0.4: 0.186, 0.5: 0.470, 0.6: 0.802, 0.7: 0.975, 0.8: 0.9996}
    banding = Banding(bands=20, rows=5)
    for similarity, recall in book.items():
        assert banding.recall(similarity) == pytest.approx(recall, abs=6e-4)


def test_bands_and_rows_find_enough_for_every_threshold() -> None:
    for threshold in (percent / 100 for percent in range(31, 100)):
        banding = banding_for(threshold)
        assert banding.bands <= MAX_BANDS == 16
        agree = threshold**banding.rows
        assert 1 - (1 - agree) ** banding.bands >= 0.95
        agree = min(threshold + 0.05, (1 + threshold) / 2) ** banding.rows
        assert 1 - (1 - agree) ** banding.bands >= 0.98
    assert banding_for(0.8) == Banding(bands=13, rows=7)
    assert banding_for(0.05) == Banding(bands=16, rows=1)


def test_tables_beyond_the_first_find_what_agrees_in_a_band() -> None:
    rng = chance(3)
    tables = BandTables(3, first_texts=4)
    kept: list[tuple[list[int], int]] = []
    for _ in range(300):
        keys, sketch = [rng.randrange(40) for _ in range(3)], rng.getrandbits(64)
        found, complete = tables.candidates(keys, sketch, differing=64, at_most=1000)
        agreeing = {
            place: (sketch ^ other).bit_count()
            for place, (theirs, other) in enumerate(kept)
            if any(one == two for one, two in zip(keys, theirs, strict=True))
        }
        assert complete
        # Keys that share a slot come along: whoever asks compares the texts.
        assert agreeing.items() <= found.items()
        assert all(bits == (sketch ^ kept[place][1]).bit_count() for place, bits in found.items())
        few, _ = tables.candidates(keys, sketch, differing=30, at_most=1000)
        assert few == {place: bits for place, bits in found.items() if bits <= 30}
        tables.add(keys, sketch)
        kept.append((keys, sketch))
    # Each lookup asks every table: 4, 8, 16, … 256 texts.
    assert len(tables._tables) == 7


def test_of_a_band_that_all_share_the_newest_are_looked_at() -> None:
    tables = BandTables(2, first_texts=4)
    for number in range(50):
        tables.add([1, number * 2**20 + 2], 0)
    found, complete = tables.candidates([1, 3], 0, differing=0, at_most=20)
    assert (set(found), complete) == (set(range(30, 50)), False)
    assert tables.candidates([1, 3], 0, differing=0, at_most=50)[1]


# ── what it takes ──────────────────────────────────────────────────────────────────────────────


def bytes_of(root: object) -> int:
    """Of all objects that hang on one, those of modules and classes aside."""
    seen: set[int] = set()
    waiting, total = [root], 0
    while waiting:
        each = waiting.pop()
        if id(each) in seen or isinstance(each, type):
            continue
        seen.add(id(each))
        total += sys.getsizeof(each)
        if isinstance(each, array | bytes | bytearray | str | int):
            continue
        if isinstance(each, dict):
            waiting += [*each, *each.values()]
        elif isinstance(each, list | tuple | set):
            waiting += each
        elif type(each).__module__.startswith("runtime.engine.repeats"):
            waiting += vars(each).values() if hasattr(each, "__dict__") else ()
            waiting += [getattr(each, name) for name in getattr(each, "__slots__", ())]
    return total


@pytest.mark.parametrize(("near", "most"), [(None, 50), (0.8, 190), (0.9, 130)])
def test_a_text_takes_few_bytes(near: float | None, most: int) -> None:
    """At a million these are 50, 190 and 130 MB, of 300 MB that a worker may take in all."""
    rng = chance(4)
    index = repeat_index(near)
    some = fed(index, [text(rng, SHORT) for _ in range(2000)])
    before = bytes_of(index)
    more = fed(index, [text(rng, SHORT) for _ in range(6000)])
    assert not any(some + more)
    assert bytes_of(index) - before <= most * 6000


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_said_and_the_text_is_not_kept() -> None:
    rng = chance(5)
    texts = [text(rng, (2000, 2000)) for _ in range(60)]
    index = repeat_index(0.8)
    added, said = 0, ""
    with files_of_at_most(300_000):
        try:
            for added, each in enumerate(texts):
                index.add(added, each)
        except StorageFullError as exc:
            said = str(exc)
    assert "TMPDIR" in said
    assert "no space left" in said
    assert 20 < added < 59
    assert index.find(texts[added]) is None
    for number in range(added, 60):
        index.add(number, texts[number])
    changed = [" ".join(["otherwise", *each.split()[1:]]) for each in texts]
    assert [index.find(each) for each in changed] == list(range(60))


def test_texts_leave_no_file_with_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    index = repeat_index(0.8)
    index.add(0, "a text of some words " * 20_000)
    index.add(1, "another text of some words " * 20_000)
    assert list(tmp_path.iterdir()) == []
    assert index.find("a text of some words " * 20_001) == 0


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout


def test_only_near_repeats_import_the_library() -> None:
    code = (
        "import sys; from runtime.engine.repeats.index import repeat_index; repeat_index();"
        "print('rensa' in sys.modules); repeat_index(0.5); print('rensa' in sys.modules)"
    )
    assert run(code).split() == ["False", "True"]


def test_without_the_library_it_is_said_what_to_install() -> None:
    code = (
        "import sys; sys.modules['rensa'] = None\n"
        "from runtime.domain.errors import ConfigurationError\n"
        "from runtime.engine.repeats.index import repeat_index\n"
        "try: repeat_index(0.8)\n"
        "except ConfigurationError as exc: print(exc)"
    )
    requirements = Path(__file__).parents[2] / "requirements" / "worker.txt"
    pinned = re.search(r"^rensa==\S+", requirements.read_text(encoding="utf-8"), re.MULTILINE)
    assert pinned is not None
    assert run(code).strip().endswith(f"not installed: pip install {pinned[0]}")
