"""Rows of the price table that say more than rates: longer prompts, and what a model can be asked
for.
"""

import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.domain.errors import PriceError
from runtime.domain.models.abilities import Abilities, Api, refusals
from runtime.domain.models.calls import Usage
from runtime.domain.models.price import LongPrompt, Price
from runtime.domain.models.price_table import PriceTable, load_prices

ON = date(2026, 11, 28)
MODEL = "vendor.long-1"
ROW: dict[str, Any] = {
    "id": MODEL,
    "provider": "bedrock",
    "name": "Long",
    "input": 3000,
    "output": 15000,
    "cache_read": 300,
    "cache_write": 3750,
    "profiles": {
        "us.": {"input": 3300, "long_prompts": [{"above": 200_000, "input": 6600}]},
        "global.": {},
    },
    "long_prompts": [
        {"above": 200_000, "input": 6000, "output": 22500, "cache_read": 600, "cache_write": 7500},
        {"above": 500_000, "input": 9000},
    ],
    "structured_output": True,
    "context_tokens": 1_000_000,
    "max_output_tokens": 64_000,
    "valid_from": None,
    "valid_until": None,
    "source": "https://example.com",
    "checked": "2026-11-28",
}


def table(folder: Path, **changes: object) -> PriceTable:
    path = folder / "own.json"
    path.write_text(json.dumps({"models": [{**ROW, **changes}]}), encoding="utf-8")
    return load_prices(path)


@pytest.mark.parametrize(
    ("usage", "nano"),
    [
        (Usage(input_tokens=200_000, output_tokens=1), 200_000 * 3000 + 15000),
        (Usage(input_tokens=200_001, output_tokens=1), 200_001 * 6000 + 22500),
        # What came out of a cache counts to the size, at the cache's own rate.
        (
            Usage(input_tokens=1, output_tokens=1, cache_read_tokens=200_000),
            6000 + 22500 + 200_000 * 600,
        ),
        (Usage(input_tokens=500_001, output_tokens=1), 500_001 * 9000 + 15000),
        (Usage(input_tokens=1, output_tokens=900_000), 3000 + 900_000 * 15000),
    ],
)
def test_a_longer_prompt_has_its_own_rates_for_the_whole_call(
    tmp_path: Path, usage: Usage, nano: int
) -> None:
    assert table(tmp_path).price(MODEL, ON).cost(usage) == nano


def test_profiles_have_the_rows_long_prompts_or_their_own(tmp_path: Path) -> None:
    prices = table(tmp_path)
    usage = Usage(input_tokens=200_001, output_tokens=0)
    assert prices.price(f"global.{MODEL}", ON).cost(usage) == 200_001 * 6000
    assert prices.price(f"us.{MODEL}", ON).cost(usage) == 200_001 * 6600


def test_a_job_keeps_them(tmp_path: Path) -> None:
    prices = table(tmp_path, api="chat", temperature=[0, 1.5], efforts=["low"], tools=True)
    assert PriceTable.decode(prices.encode()) == prices


def test_a_prompt_that_could_be_longer_is_reserved_at_the_highest_rate_that_could_apply(
    tmp_path: Path,
) -> None:
    price = table(tmp_path).price(MODEL, ON)
    short = price.worst_case(prompt_bytes=199_000, max_tokens=10)
    assert short == (199_000 + 512) * 3750 + 10 * 15000
    # So many bytes are at most so many tokens: perhaps few, perhaps above the border.
    longer = price.worst_case(prompt_bytes=200_000, max_tokens=10)
    assert longer == (200_000 + 512) * 7500 + 10 * 22500


LONGER = st.builds(
    LongPrompt,
    above=st.integers(1, 2000),
    input=st.integers(0, 50),
    output=st.integers(0, 50),
    cache_read=st.integers(0, 50),
    cache_write=st.integers(0, 50),
)


@given(
    longer=st.lists(LONGER, max_size=3, unique_by=lambda each: each.above),
    kinds=st.tuples(*[st.integers(0, 900)] * 3),
    written=st.integers(0, 100),
)
def test_n3_no_call_costs_more_than_its_worst_case(
    longer: list[LongPrompt], kinds: tuple[int, int, int], written: int
) -> None:
    base: Price = load_prices().prices["amazon.nova-micro-v1:0"]
    price = replace(base, long_prompts=tuple(sorted(longer, key=lambda each: each.above)))
    fresh, read, stored = kinds
    usage = Usage(
        input_tokens=fresh,
        output_tokens=written,
        cache_read_tokens=read,
        cache_write_tokens=stored,
    )
    worst = price.worst_case(prompt_bytes=sum(kinds), max_tokens=written)
    assert price.cost(usage) <= worst


BAD = [
    ({"long_prompts": [{"input": 1}]}, "field 'above' is missing"),
    ({"long_prompts": [{"above": 0}]}, "'above': must be an integer of at least 1"),
    ({"long_prompts": [{"above": 9}, {"above": 9}]}, "ascending order of 'above', each once"),
    ({"long_prompts": [{"above": 9, "input": None}]}, "'input' and 'output' can't be null"),
    ({"long_prompts": {"above": 9}}, "must be a list"),
    ({"api": "invoke"}, "field 'api': must be one of converse, chat, responses, embedded"),
    ({"temperature": [0]}, "field 'temperature': must be the lowest and the highest"),
    ({"temperature": [0, 3]}, "from 0 to 2"),
    ({"always_thinks": 1}, "field 'always_thinks': must be true or false"),
    ({"tools": "yes"}, "field 'tools': must be true or false"),
    ({"efforts": "low"}, "field 'efforts': must be a list"),
    ({"refuses": ["seed"]}, "field 'refuses': must be one of stop, top_p, temperature"),
]


@pytest.mark.parametrize(("changes", "words"), BAD, ids=[bad[1] for bad in BAD])
def test_a_bad_field_is_refused(tmp_path: Path, changes: dict[str, object], words: str) -> None:
    with pytest.raises(PriceError) as caught:
        table(tmp_path, **changes)
    assert words in str(caught.value)


ASKED: list[tuple[Abilities, Api, dict[str, Any], list[str]]] = [
    (Abilities(), Api.CONVERSE, {"temperature": 1.0, "stop": True, "top_p": True}, []),
    (Abilities(), Api.CONVERSE, {"temperature": 1.1}, ["temperature of 1.1, only 0 to 1"]),
    (Abilities(), Api.CHAT, {"temperature": 2.0}, []),
    (Abilities(), Api.RESPONSES, {"stop": True}, ["stop"]),
    (
        Abilities(temperature=(0.5, 0.9)),
        Api.CHAT,
        {"temperature": 0.1},
        ["temperature of 0.1, only 0.5 to 0.9"],
    ),
    (Abilities(refuses=("temperature",)), Api.CHAT, {"temperature": 0.1}, ["temperature"]),
    (Abilities(refuses=("temperature",)), Api.CHAT, {"top_p": True}, []),
    (
        Abilities(refuses=("temperature with top_p",)),
        Api.CONVERSE,
        {"temperature": 0.1, "top_p": True},
        ["temperature with top_p"],
    ),
]


@pytest.mark.parametrize(("abilities", "api", "asked", "refused"), ASKED)
def test_what_a_model_refuses(
    abilities: Abilities, api: Api, asked: dict[str, Any], refused: list[str]
) -> None:
    given_: dict[str, Any] = {"stop": False, "top_p": False, "temperature": None, **asked}
    assert refusals(abilities, api, **given_) == refused
