"""What a mistyped name may have meant, and that looking for it takes no time worth a word."""

from time import process_time

from runtime.domain.hints import hint_for


def test_the_closest_name_is_told_in_full() -> None:
    assert hint_for("prais", ["praise", "complaint"]) == ', did you mean "praise"?'
    assert hint_for("xyz", ["praise", "complaint"]) == ""
    long = "a" * 70 + "b" * 70
    assert (
        hint_for(long[:-1], [long, "c" * 140], within="seed.") == f', did you mean "seed.{long}"?'
    )


def test_of_many_names_those_of_its_length_are_compared() -> None:
    names = [f"{number:03}" for number in range(900)] + ["complaint"]
    assert hint_for("complant", names) == ', did you mean "complaint"?'


def test_time_is_bounded_whatever_the_names_are() -> None:
    names = [f"{number:04}" + "ab" * 5000 for number in range(1000)]
    before = process_time()
    for _ in range(3):
        hint_for("ba" * 5000, names)
    assert process_time() - before < 1
