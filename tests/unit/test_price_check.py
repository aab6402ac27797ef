"""The development check of the price table against another list."""

from dataclasses import replace

from runtime.domain.models.price import LongPrompt
from runtime.domain.models.price_table import load_prices
from tests.quality.price_check import Rates, differences, missing

MICRO = load_prices().prices["amazon.nova-micro-v1:0"]
SAME: Rates = {
    "input": [[0, "0.035"]],
    "output": [[0, "0.14"]],
    "cache_read": [[0, "0.00875"]],
    "cache_write": None,
}


def test_every_rate_that_differs_is_listed() -> None:
    theirs = {"amazon.nova-micro-v1:0": SAME}
    assert [*differences([MICRO], theirs)] == []
    dearer = replace(MICRO, output=141, cache_read=10)
    assert [*differences([dearer], theirs)] == [
        "amazon.nova-micro-v1:0: output: 141 here, 140 there",
        "amazon.nova-micro-v1:0: cache_read: 10 here, 9 there",
    ]


def test_ids_are_never_guessed() -> None:
    other = replace(MICRO, model_id="amazon.nova-micro-v1")
    assert [*differences([other], {"amazon.nova-micro-v1:0": SAME})] == [
        "amazon.nova-micro-v1: not in genai-prices"
    ]
    assert missing([MICRO], ["amazon.nova-micro-v1:0", "new"]) == ["new"]


def test_profiles_of_a_geography_are_compared_with_its_one_price() -> None:
    profile = replace(MICRO, model_id="eu.amazon.nova-micro-v1:0", input=34)
    found = [*differences([profile], {"regional.amazon.nova-micro-v1:0": SAME})]
    assert found == ["eu.amazon.nova-micro-v1:0: input: 34 here, 35 there"]


def test_rates_of_long_prompts_are_compared_where_they_begin() -> None:
    theirs = {"amazon.nova-micro-v1:0": {**SAME, "input": [[0, "0.035"], [1000, "0.07"]]}}
    assert [*differences([MICRO], theirs)] == [
        "amazon.nova-micro-v1:0: input above 1000 tokens: 35 here, 70 there"
    ]
    longer = LongPrompt(above=1000, input=70, output=140, cache_read=9, cache_write=35)
    assert [*differences([replace(MICRO, long_prompts=(longer,))], theirs)] == []
