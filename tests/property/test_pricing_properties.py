"""Properties of prices and amounts: the worst case bounds every cost, and nothing but the named
errors leaves the parsers (requirements N3, N4, N5).
"""

import json
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from runtime.domain.errors import InputError, PriceError
from runtime.domain.models import price_table as pricing
from runtime.domain.models.calls import Usage
from runtime.domain.models.price_file import PriceDocument, parse_document
from runtime.domain.models.price_table import FRAMING_TOKENS, Price, PriceTable, load_prices
from runtime.domain.money.amounts import MAX_BUDGET_NANO, NANO_PER_USD, parse_budget, parse_usd, usd

PACKAGED: dict[str, Any] = json.loads(Path(pricing.__file__).with_name("prices.json").read_bytes())
TABLE = load_prices()

rates = st.integers(0, 20_000)
tokens = st.integers(0, 10_000)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


def parsed_or_refused(body: bytes, *, partial: bool) -> PriceDocument | str:
    """The document, or the words with which it was refused."""
    try:
        return parse_document(body, file="my.json", partial=partial)
    except PriceError as error:
        return str(error)


@st.composite
def prices(draw: st.DrawFn) -> Price:
    """A packaged price, or one with any other rates."""
    price = draw(st.sampled_from(list(TABLE.prices.values())))
    if draw(st.booleans()):
        return price
    return replace(
        price,
        input=draw(rates),
        output=draw(rates),
        cache_read=draw(st.none() | rates),
        cache_write=draw(st.none() | rates),
    )


@given(price=prices(), prompt=st.text(), max_tokens=tokens, data=st.data())
def test_no_usage_within_the_bound_costs_more_than_the_worst_case(
    price: Price, prompt: str, max_tokens: int, data: st.DataObject
) -> None:
    # A tokenizer at its worst makes one token of every byte, and the provider adds its framing.
    room = len(prompt.encode()) + FRAMING_TOKENS
    read = data.draw(st.integers(0, room)) if price.cache_read is not None else 0
    write = data.draw(st.integers(0, room - read)) if price.cache_write is not None else 0
    usage = Usage(
        input_tokens=data.draw(st.integers(0, room - read - write) | st.just(room - read - write)),
        output_tokens=data.draw(st.integers(0, max_tokens) | st.just(max_tokens)),
        cache_read_tokens=read,
        cache_write_tokens=write,
    )
    worst = price.worst_case(prompt_bytes=len(prompt.encode()), max_tokens=max_tokens)
    assert 0 <= price.cost(usage) <= worst


@given(price=prices(), a=st.tuples(tokens, tokens), b=st.tuples(tokens, tokens))
def test_cost_adds_up(price: Price, a: tuple[int, int], b: tuple[int, int]) -> None:
    apart = sum(price.cost(Usage(input_tokens=i, output_tokens=o)) for i, o in (a, b))
    together = Usage(input_tokens=a[0] + b[0], output_tokens=a[1] + b[1])
    assert price.cost(together) == apart


@given(
    tier=st.sampled_from([*TABLE.tiers, *TABLE.tier_aliases]),
    provider=st.sampled_from(["bedrock", "local"]),
    on=st.dates(date(2026, 1, 1), date(2030, 1, 1)),
)
def test_a_tier_resolves_to_a_model_that_can_be_priced_that_day(
    tier: str, provider: str, on: date
) -> None:
    assert TABLE.price(TABLE.resolve_tier(tier, provider, on), on).provider == provider


@given(
    row=st.integers(0, len(PACKAGED["models"]) - 1),
    field=st.sampled_from(list(PACKAGED["models"][0])),
    value=json_values,
)
def test_any_value_in_any_field_is_used_or_refused(row: int, field: str, value: object) -> None:
    models = [dict(each) for each in PACKAGED["models"]]
    models[row][field] = value
    body = json.dumps({**PACKAGED, "models": models}).encode()
    document = parsed_or_refused(body, partial=False)
    if isinstance(document, str):
        assert document.startswith("my.json: ")
        assert "\n" not in document
        return
    for price in (each for by_id in document.rows.values() for each in by_id.values()):
        assert type(price.input) is int
        assert type(price.output) is int


@given(st.binary() | json_values.map(lambda value: json.dumps(value).encode()))
def test_no_bytes_break_the_parser(body: bytes) -> None:
    for partial in (True, False):
        document = parsed_or_refused(body, partial=partial)
        assert not isinstance(document, str) or document.startswith("my.json: ")


@given(st.lists(prices(), unique_by=lambda price: price.model_id))
def test_a_pinned_table_reads_back_as_it_was(kept: list[Price]) -> None:
    table = PriceTable(
        version="v", prices={price.model_id: price for price in kept}, tiers={}, tier_aliases={}
    )
    assert PriceTable.decode(table.encode()) == table


@given(st.integers(1, MAX_BUDGET_NANO))
def test_every_whole_nano_usd_is_a_budget(nano: int) -> None:
    exact = Decimal(nano) / NANO_PER_USD
    for value in (exact, str(exact), f"{exact:f}"):
        assert parse_usd(value) == nano
        assert parse_budget(value) == (nano, None)


@given(json_values | st.decimals() | st.text() | st.integers(-(10**4000), 10**4000))
@example(10**5000)
@example(Decimal("1e999999"))
@example(Decimal("1e-999999"))
def test_every_other_value_is_refused_or_judged_without_a_crash(value: object) -> None:
    nano, warning = parse_budget(value)
    assert 0 <= nano <= MAX_BUDGET_NANO
    if warning is None:
        assert parse_usd(value) == nano > 0
        return
    with pytest.raises(InputError) as raised:
        parse_usd(value)
    assert "\n" not in f"{raised.value}{warning}"


@given(st.integers(0, 10**15))
def test_a_shown_amount_is_plain_and_close(nano: int) -> None:
    text = usd(nano)
    shown = Decimal(text.removeprefix("$").replace(",", ""))
    assert "e" not in text.lower()
    assert abs(shown - Decimal(nano) / NANO_PER_USD) <= Decimal(nano) / NANO_PER_USD / 200
