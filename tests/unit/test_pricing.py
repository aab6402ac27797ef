"""Prices, tiers, override files and amounts (requirements N3, N4, N5, S1.3, S8.4, S8.5)."""

import hashlib
import json
import math
import subprocess
import sys
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from runtime.bootstrap import prices_of
from runtime.domain.errors import InputError, NotFoundError, PriceError
from runtime.domain.models import price_table as pricing
from runtime.domain.models.calls import Usage
from runtime.domain.models.price_file import parse_document
from runtime.domain.models.price_table import FRAMING_TOKENS, PriceTable, load_prices
from runtime.domain.models.reach import AWS
from runtime.domain.money.amounts import (
    MAX_BUDGET_NANO,
    NANO_PER_USD,
    from_usd,
    parse_budget,
    parse_usd,
    to_usd,
    usd,
    usd_decimal,
)
from runtime.domain.templates.template import DEFAULT_TIER, Step
from tests.fixtures.aws import BUCKET, FakeAws
from tests.fixtures.clock import ManualClock
from tests.fixtures.storage import new_job

TODAY = date(2026, 11, 23)
EMBEDDED = "local/smollm2-135m"
NOVA_MICRO = "amazon.nova-micro-v1:0"
HAIKU = "anthropic.claude-haiku-4-5-20251001-v1:0"
PACKAGED = Path(pricing.__file__).with_name("prices.json")


PLACES = ("regions", "priced_in", "regional")
"""Fields that rows of before don't have."""


@pytest.fixture(scope="module")
def table() -> PriceTable:
    return load_prices()


def packaged() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(PACKAGED.read_bytes())
    return document


def row(**changes: object) -> dict[str, Any]:
    """A row for an override file: Nova Micro's, changed."""
    rows = {each["id"]: each for each in packaged()["models"]}
    return {**rows[NOVA_MICRO], **changes}


def write(folder: Path, document: object) -> Path:
    path = folder / "my-prices.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


# ── the packaged figures ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("model_id", "input_usd", "output_usd"),
    [
        ("amazon.nova-micro-v1:0", "0.035", "0.14"),
        ("us.amazon.nova-micro-v1:0", "0.035", "0.14"),
        ("amazon.nova-lite-v1:0", "0.06", "0.24"),
        ("amazon.nova-pro-v1:0", "0.80", "3.20"),
        ("global.amazon.nova-2-lite-v1:0", "0.30", "2.50"),
        ("us.amazon.nova-2-lite-v1:0", "0.33", "2.75"),
        ("openai.gpt-oss-20b-1:0", "0.07", "0.30"),
        ("openai.gpt-oss-120b-1:0", "0.15", "0.60"),
        ("meta.llama3-1-8b-instruct-v1:0", "0.22", "0.22"),
        ("meta.llama3-1-70b-instruct-v1:0", "0.72", "0.72"),
        ("us.meta.llama3-3-70b-instruct-v1:0", "0.72", "0.72"),
        ("us.meta.llama4-scout-17b-instruct-v1:0", "0.17", "0.66"),
        ("mistral.mistral-7b-instruct-v0:2", "0.15", "0.20"),
        (f"global.{HAIKU}", "1.0", "5"),
        (f"us.{HAIKU}", "1.1", "5.5"),
        ("global.anthropic.claude-sonnet-4-5-20250929-v1:0", "3", "15"),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "3.3", "16.5"),
        (EMBEDDED, "0", "0"),
    ],
)
def test_rates_are_the_published_usd_per_million_tokens(
    table: PriceTable, model_id: str, input_usd: str, output_usd: str
) -> None:
    million = Usage(input_tokens=1_000_000, output_tokens=0)
    price = table.price(model_id, TODAY)
    assert price.cost(million) == Decimal(input_usd) * NANO_PER_USD
    million = Usage(input_tokens=0, output_tokens=1_000_000)
    assert price.cost(million) == Decimal(output_usd) * NANO_PER_USD


@pytest.mark.parametrize(
    ("model_id", "read", "write"),
    [
        ("amazon.nova-micro-v1:0", "0.00875", "0.035"),
        ("us.amazon.nova-2-lite-v1:0", "0.0825", "0.33"),
        (f"global.{HAIKU}", "0.10", "1.25"),
        (f"us.{HAIKU}", "0.11", "1.375"),
    ],
)
def test_cache_rates_are_rounded_up_to_whole_nano_usd(
    table: PriceTable, model_id: str, read: str, write: str
) -> None:
    price = table.price(model_id, TODAY)
    assert price.cache_read == math.ceil(Decimal(read) * 1000)
    assert price.cache_write == math.ceil(Decimal(write) * 1000)


def test_packaged_rows_say_where_and_when_they_were_checked() -> None:
    for each in packaged()["models"]:
        assert date.fromisoformat(each["checked"]) <= TODAY
        if each["provider"] == "bedrock":
            assert each["source"].startswith("https://aws.amazon.com/"), each["id"]


def test_models_that_reach_their_end_of_life_say_when(table: PriceTable) -> None:
    ends = {price.model_id for price in table.prices.values() if price.valid_until}
    assert ends == {
        "meta.llama3-1-8b-instruct-v1:0",
        "us.meta.llama3-1-8b-instruct-v1:0",
        "meta.llama3-1-70b-instruct-v1:0",
        "us.meta.llama3-1-70b-instruct-v1:0",
        "mistral.mistral-7b-instruct-v0:2",
    }
    assert {table.prices[each].valid_until for each in ends} == {date(2027, 3, 30)}
    assert not [model_id for model_id in table.prices if "claude-3" in model_id]


@pytest.mark.parametrize("field", [each for each in packaged()["models"][0] if each not in PLACES])
def test_no_field_of_a_row_may_be_missing(field: str) -> None:
    document = packaged()
    del document["models"][3][field]
    with pytest.raises(PriceError, match=rf"prices\.json: .*field '{field}' is missing"):
        parse_document(json.dumps(document).encode(), file="prices.json", partial=False)


@pytest.mark.parametrize("section", packaged())
def test_no_section_of_the_packaged_file_may_be_missing(section: str) -> None:
    document = packaged()
    del document[section]
    with pytest.raises(PriceError, match=f"field '{section}' is missing"):
        parse_document(json.dumps(document).encode(), file="prices.json", partial=False)


# ── cost and worst case ────────────────────────────────────────────────────────────────────────


def test_each_kind_of_token_costs_its_own_rate(table: PriceTable) -> None:
    price = table.price(f"us.{HAIKU}", TODAY)
    usage = Usage(input_tokens=7, output_tokens=11, cache_read_tokens=13, cache_write_tokens=17)
    assert price.cost(usage) == 7 * 1100 + 11 * 5500 + 13 * 110 + 17 * 1375


@pytest.mark.parametrize("field", ["cache_read", "cache_write"])
def test_billed_tokens_without_a_rate_are_refused(table: PriceTable, field: str) -> None:
    price = table.price("openai.gpt-oss-20b-1:0", TODAY)
    usage = Usage(input_tokens=1, output_tokens=1, **{f"{field}_tokens": 1})
    with pytest.raises(PriceError, match=f"openai.gpt-oss-20b-1:0: 1 {field} tokens"):
        price.cost(usage)


def test_worst_case_takes_every_byte_and_the_framing_at_the_dearest_rate(
    table: PriceTable,
) -> None:
    price = table.price(f"global.{HAIKU}", TODAY)
    worst = price.worst_case(prompt_bytes=1000, max_tokens=10)
    assert worst == (1000 + FRAMING_TOKENS) * 1250 + 10 * 5000


def test_the_embedded_model_is_free(table: PriceTable) -> None:
    price = table.price(EMBEDDED, TODAY)
    assert price.worst_case(prompt_bytes=10**9, max_tokens=10**9) == 0
    usage = Usage(input_tokens=9, output_tokens=9)
    assert price.cost(usage) == 0
    assert price.structured_output


# ── finding a model ────────────────────────────────────────────────────────────────────────────


def test_an_unknown_model_names_similar_ones(table: PriceTable) -> None:
    with pytest.raises(PriceError, match=r"'amazon\.nova-micro'.*did you mean .*nova-micro-v1:0"):
        table.price("amazon.nova-micro", TODAY)


def test_a_model_without_base_rates_exists_only_through_its_profiles(table: PriceTable) -> None:
    with pytest.raises(PriceError, match=f"unknown model '{HAIKU}'; did you mean .*{HAIKU}"):
        table.price(HAIKU, TODAY)


@pytest.mark.parametrize("prefix", ["eu.", "us-gov.", "us.us."])
def test_a_profile_that_the_row_does_not_list_is_unknown(table: PriceTable, prefix: str) -> None:
    with pytest.raises(PriceError, match="unknown model"):
        table.price(f"{prefix}meta.llama3-3-70b-instruct-v1:0", TODAY)


def test_a_model_far_from_all_others_points_to_the_documentation(table: PriceTable) -> None:
    with pytest.raises(PriceError, match=r"unknown model 'x+…'; docs/prices\.md") as raised:
        table.price("x" * 100_000, TODAY)
    assert len(str(raised.value)) < 200


def test_a_model_is_valid_through_its_last_day(table: PriceTable) -> None:
    model_id = "mistral.mistral-7b-instruct-v0:2"
    assert table.price(model_id, date(2027, 3, 30)).model_id == model_id
    with pytest.raises(PriceError, match="end of life on 2027-03-30"):
        table.price(model_id, date(2027, 3, 31))


def test_a_model_is_not_valid_before_its_first_day(table: PriceTable) -> None:
    model_id = "openai.gpt-oss-20b-1:0"
    assert table.price(model_id, date(2025, 8, 5)).model_id == model_id
    with pytest.raises(PriceError, match="can be used from 2025-08-05 on"):
        table.price(model_id, date(2025, 8, 4))


# ── tiers and steps ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("tier", "alias", "bedrock"),
    [
        ("cheap", "tier-1", NOVA_MICRO),
        ("balanced", "tier-2", "global.amazon.nova-2-lite-v1:0"),
        ("premium", "tier-3", "global.anthropic.claude-sonnet-4-5-20250929-v1:0"),
    ],
)
def test_tiers_and_aliases(table: PriceTable, tier: str, alias: str, bedrock: str) -> None:
    for name in (tier, alias):
        assert table.resolve_tier(name, "bedrock", TODAY) == bedrock
        assert table.resolve_tier(name, "local", TODAY) == EMBEDDED


def test_an_unknown_tier_names_the_known_ones(table: PriceTable) -> None:
    with pytest.raises(PriceError, match="'cheapest'; use one of cheap, balanced, premium, tier-1"):
        table.resolve_tier("cheapest", "bedrock", TODAY)


def test_a_tier_passes_over_candidates_that_are_not_valid(tmp_path: Path) -> None:
    old = row(id="old", valid_until="2026-01-31", profiles={})
    new = row(id="new", valid_from="2026-03-01", profiles={})
    table = load_prices(
        write(tmp_path, {"models": [old, new], "tiers": {"cheap": {"bedrock": ["old", "new"]}}})
    )
    assert table.resolve_tier("cheap", "bedrock", date(2026, 1, 31)) == "old"
    assert table.resolve_tier("cheap", "bedrock", date(2026, 3, 1)) == "new"
    with pytest.raises(PriceError, match="'cheap' has no bedrock model on 2026-02-15"):
        table.resolve_tier("cheap", "bedrock", date(2026, 2, 15))


@pytest.mark.parametrize(
    ("override", "model", "tier", "expected"),
    [
        ("amazon.nova-pro-v1:0", "amazon.nova-lite-v1:0", None, "amazon.nova-pro-v1:0"),
        ("amazon.nova-pro-v1:0", None, "premium", "amazon.nova-pro-v1:0"),
        (None, "amazon.nova-lite-v1:0", None, "amazon.nova-lite-v1:0"),
        (None, None, "tier-2", "global.amazon.nova-2-lite-v1:0"),
        (None, None, None, NOVA_MICRO),
    ],
)
def test_override_goes_before_model_before_tier_before_default(
    table: PriceTable, override: str | None, model: str | None, tier: str | None, expected: str
) -> None:
    step = Step(id="write", prompt="x", model=model, model_tier=tier)
    resolved = table.resolve_step(step, override=override, provider="bedrock", on=TODAY)
    assert resolved == expected


@pytest.mark.parametrize(
    ("model", "provider", "words"),
    [
        (NOVA_MICRO, "local", ["step 'write'", "`--backend bedrock`", f"`--model {EMBEDDED}`"]),
        ("nova", "bedrock", ["step 'write'", "unknown model 'nova'"]),
    ],
)
def test_a_model_that_the_run_can_not_use_says_what_to_do(
    table: PriceTable, model: str, provider: str, words: list[str]
) -> None:
    step = Step(id="write", prompt="x", model=model)
    with pytest.raises(PriceError) as raised:
        table.resolve_step(step, override=None, provider=provider, on=TODAY)
    assert all(word in str(raised.value) for word in words), str(raised.value)


def test_every_tier_has_a_model_on_every_provider(table: PriceTable) -> None:
    assert DEFAULT_TIER in table.tiers
    for tier in table.tiers:
        for provider in ("bedrock", "local"):
            for on in (TODAY, date(2027, 3, 31)):
                assert table.prices[table.resolve_tier(tier, provider, on)].provider == provider


# ── override files and pinned tables ───────────────────────────────────────────────────────────


def test_an_override_replaces_and_adds_rows(tmp_path: Path, table: PriceTable) -> None:
    cheaper = row(input=1, profiles={"eu.": {"output": 2}})
    added = row(id="acme.model-1", input=5, output=6, profiles={})
    path = write(tmp_path, {"models": [cheaper, added]})

    changed = load_prices(path)

    assert changed.price(NOVA_MICRO, TODAY).input == 1
    eu = changed.price(f"eu.{NOVA_MICRO}", TODAY)
    assert (eu.input, eu.output) == (1, 2)
    assert changed.price("acme.model-1", TODAY).output == 6
    assert f"us.{NOVA_MICRO}" not in changed.prices
    assert changed.price(EMBEDDED, TODAY) == table.price(EMBEDDED, TODAY)
    assert changed.tiers == table.tiers
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert changed.version == f"{table.version}+{digest[:8]}"


def test_a_row_of_its_own_goes_before_a_profile(tmp_path: Path) -> None:
    own = row(id=f"us.{NOVA_MICRO}", input=99, profiles={})
    table = load_prices(write(tmp_path, {"models": [own]}))
    assert table.price(f"us.{NOVA_MICRO}", TODAY).input == 99
    assert table.price(NOVA_MICRO, TODAY).input == 35


def test_an_override_replaces_a_tier_for_the_providers_it_lists(tmp_path: Path) -> None:
    tiers = {"cheap": {"bedrock": ["amazon.nova-pro-v1:0"]}, "free": {"local": [EMBEDDED]}}
    table = load_prices(write(tmp_path, {"tiers": tiers, "tier_aliases": {"tier-0": "free"}}))
    assert table.resolve_tier("cheap", "bedrock", TODAY) == "amazon.nova-pro-v1:0"
    assert table.resolve_tier("cheap", "local", TODAY) == EMBEDDED
    assert table.resolve_tier("tier-0", "local", TODAY) == EMBEDDED
    with pytest.raises(PriceError, match="'free' has no bedrock model"):
        table.resolve_tier("free", "bedrock", TODAY)


BAD_ROWS: list[tuple[dict[str, object], str]] = [
    ({"input": 0.035}, "field 'input': must be null or whole nano-USD"),
    ({"input": True}, "field 'input'"),
    ({"input": "35"}, "field 'input'"),
    ({"output": -1}, "field 'output'"),
    ({"output": 10**10}, "field 'output'"),
    ({"cache_read": 1.5}, "field 'cache_read'"),
    ({"input": None}, "needs both 'input' and 'output'"),
    ({"input": None, "output": None, "profiles": {}}, "has neither rates nor profiles"),
    ({"input": None, "output": None}, f"'us.{NOVA_MICRO}' needs both"),
    ({"profiles": []}, "field 'profiles': must be an object"),
    ({"profiles": {"us": {}}}, "field 'profiles': unknown field 'us'; known are us., eu.,"),
    ({"profiles": {"us.": {"price": 1}}}, "'us.': unknown field 'price'"),
    ({"profiles": {"us.": {"input": 0.5}}}, "'us.': 'input': must be null or whole"),
    ({"provider": "azure"}, "field 'provider': must be one of bedrock, local"),
    ({"provider": []}, "field 'provider'"),
    ({"name": " "}, "field 'name': must be a text"),
    ({"structured_output": "yes"}, "field 'structured_output': must be true or false"),
    ({"context_tokens": 0}, "field 'context_tokens': must be an integer of at least 1"),
    ({"max_output_tokens": True}, "field 'max_output_tokens'"),
    ({"valid_from": "soon"}, "field 'valid_from': must be a date such as"),
    ({"valid_until": "2020-01-01"}, "field 'valid_until': must not be before"),
    ({"checked": None}, "field 'checked': must be a text"),
    ({"source": 3}, "field 'source'"),
    ({"currency": "EUR"}, "unknown field 'currency'"),
]


@pytest.mark.parametrize(("changes", "words"), BAD_ROWS, ids=[str(bad[0]) for bad in BAD_ROWS])
def test_a_bad_row_is_refused_with_file_row_and_field(
    tmp_path: Path, changes: dict[str, object], words: str
) -> None:
    path = write(tmp_path, {"models": [row(), row(id="acme.model-1"), row(**changes)][1:]})
    with pytest.raises(PriceError) as raised:
        load_prices(path)
    message = str(raised.value)
    assert message.startswith(f"{path}: model"), message
    assert words in message
    assert "\n" not in message


BAD_DOCUMENTS: list[tuple[object, str]] = [
    ([], "must be an object"),
    ({"prices": []}, "unknown field 'prices'; known are version, models,"),
    ({"models": {}}, "models: must be a list"),
    ({"models": [1]}, "models[0]: must be an object"),
    ({"models": [{}]}, "models[0]: field 'id' is missing"),
    ({"models": [row(id="")]}, "models[0]: field 'id': must be a text"),
    ({"models": [row(), row()]}, f"model '{NOVA_MICRO}': is listed twice"),
    ({"tiers": []}, "tiers: must be an object"),
    ({"tiers": {"cheap": [NOVA_MICRO]}}, "tiers: 'cheap': must be an object"),
    ({"tiers": {"cheap": {"azure": []}}}, "tiers: 'cheap': 'azure': must be one of bedrock, local"),
    ({"tiers": {"cheap": {"bedrock": []}}}, "'bedrock': must name at least one"),
    ({"tiers": {"cheap": {"bedrock": [1]}}}, "'bedrock': must be a text"),
    ({"tiers": {"cheap": {"bedrock": ["amazon.nova-micro-v1"]}}}, f"did you mean {NOVA_MICRO}"),
    ({"tiers": {"cheap": {"local": [NOVA_MICRO]}}}, f"'{NOVA_MICRO}' is no local model"),
    ({"tier_aliases": {"tier-9": "dear"}}, "tier_aliases: 'tier-9' must be a new name"),
    ({"tier_aliases": {"cheap": "premium"}}, "tier_aliases: 'cheap' must be a new name"),
    ({"tier_aliases": {"tier-9": 9}}, "tier_aliases: 'tier-9': must be a text"),
]


@pytest.mark.parametrize(
    ("document", "words"), BAD_DOCUMENTS, ids=[bad[1] for bad in BAD_DOCUMENTS]
)
def test_a_bad_override_is_refused(tmp_path: Path, document: object, words: str) -> None:
    path = write(tmp_path, document)
    with pytest.raises(PriceError) as raised:
        load_prices(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert words in str(raised.value)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"models": [\n  {"id": "a",}\n]}', "not JSON at line 2 column"),
        (b"", "not JSON at line 1 column 1"),
        (b'{"version": "\xff"}', "not a JSON text"),
        (b'{"version": ' + b"9" * 5000 + b"}", "not a JSON text"),
        (b"[" * 200_000, "not a JSON text"),
    ],
    ids=["comma", "empty", "not UTF-8", "long number", "deep"],
)
def test_what_is_not_json_is_refused_with_the_place(
    tmp_path: Path, body: bytes, words: str
) -> None:
    path = tmp_path / "broken.json"
    path.write_bytes(body)
    with pytest.raises(PriceError, match=words) as raised:
        load_prices(path)
    assert str(raised.value).startswith(f"{path}: ")


def test_a_file_that_can_not_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(PriceError, match=r"none\.json: can't be read: No such file"):
        load_prices(tmp_path / "none.json")


def test_a_job_keeps_the_table_it_began_with(tmp_path: Path) -> None:
    path = write(tmp_path, {"models": [row(input=77)], "tier_aliases": {"tier-0": "cheap"}})
    table = load_prices(path)
    path.unlink()
    assert PriceTable.decode(table.encode()) == table


def test_a_damaged_pinned_table_is_refused() -> None:
    with pytest.raises(PriceError, match=r"the job's prices\.json: not JSON at line 1"):
        PriceTable.decode(b"{")


# ── amounts of money ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("nano", "text"),
    [
        (0, "$0.00"),
        (1, "$0.000000001"),
        (35, "$0.000000035"),
        (12_345_678, "$0.0123"),
        (99_960_000, "$0.10"),
        (500_000_000, "$0.50"),
        (999_600_000, "$1.00"),
        (1_234_567_890, "$1.23"),
        (12_345_000_000, "$12.35"),
        (100 * NANO_PER_USD, "$100.00"),
        (1_000 * NANO_PER_USD, "$1,000.00"),
        (-12_345_678, "-$0.0123"),
    ],
)
def test_usd_is_readable(nano: int, text: str) -> None:
    assert usd(nano) == text


@pytest.mark.parametrize(
    ("nano", "text"),
    [
        (0, "0"),
        (1, "0.000000001"),
        (-1, "-0.000000001"),
        (12_300_000, "0.0123"),
        (1_500_000_000, "1.5"),
        (10 * NANO_PER_USD, "10"),
        (MAX_BUDGET_NANO, "1000"),
    ],
)
def test_a_decimal_is_exact_and_read_again(nano: int, text: str) -> None:
    assert usd_decimal(nano) == text
    if nano > 0:
        assert parse_usd(text) == nano


@pytest.mark.parametrize(
    ("value", "nano"),
    [
        (1000, 1000 * NANO_PER_USD),
        (1, NANO_PER_USD),
        (0.1, 100_000_000),
        (1e-09, 1),
        (12.345678901, 12_345_678_901),
        ("100.0", 100 * NANO_PER_USD),
        (" 0.5 ", 500_000_000),
        ("1E+2", 100 * NANO_PER_USD),
        (Decimal("100.0"), 100 * NANO_PER_USD),
        (Decimal("1E+2"), 100 * NANO_PER_USD),
        (Decimal("0.10000000000000"), 100_000_000),
    ],
)
def test_budgets_that_are_accepted(value: object, nano: int) -> None:
    assert parse_usd(value) == nano
    assert parse_budget(value) == (nano, None)


OUT_OF_RANGE = [-10, 0, 2000, 10**5000, 1000.000000001, 0.1234567891, "-0.5", "1e-10", "9" * 40]
NO_AMOUNT: list[object] = [
    *("fifty", "", "1_000", "\u0665\u0660", "$5", "0x10", "1 000", "NaN", "Infinity", "1.", ".5"),
    *(True, False, None, float("nan"), float("inf"), -float("inf"), [5], {"S": "5"}, b"5"),
    *(Decimal("NaN"), Decimal("sNaN"), Decimal("-Infinity"), complex(1)),
]


def name_of(value: object) -> str:
    return type(value).__name__ if isinstance(value, int) and value > 10**9 else repr(value)


@pytest.mark.parametrize("value", [*OUT_OF_RANGE, *NO_AMOUNT], ids=name_of)
def test_s1_3_other_budgets_are_refused_with_the_allowed_range(value: object) -> None:
    with pytest.raises(InputError, match="more than 0 and at most 1000 USD") as raised:
        parse_usd(value)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 160


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("x" * 38, f"'{'x' * 38}'"),
        ("x" * 39, f"'{'x' * 39}…"),
        (1001, "1001"),
        (MAX_BUDGET_NANO, "1000000000000"),
        (MAX_BUDGET_NANO + 1, "an integer of many digits"),
    ],
)
def test_a_refused_budget_is_shown_in_one_short_line(value: object, shown: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_usd(value)
    assert str(caught.value).endswith(f"; got {shown}")


@pytest.mark.parametrize("value", NO_AMOUNT, ids=name_of)
def test_s8_5_a_stored_budget_that_is_no_amount_falls_back_to_100_usd(value: object) -> None:
    nano, warning = parse_budget(value)
    assert nano == 100 * NANO_PER_USD
    assert warning is not None
    assert warning.endswith("$100.00 is used instead")


@pytest.mark.parametrize(
    ("value", "nano"),
    [
        (0, 0),
        (Decimal(-5), 0),
        ("2000", 1000 * NANO_PER_USD),
        (10**5000, 1000 * NANO_PER_USD),
        ("0.1234567899", 123_456_789),
        ("0." + "0" * 40 + "1", 0),
        ("9" * 40, 1000 * NANO_PER_USD),
    ],
    ids=name_of,
)
def test_a_stored_number_out_of_range_is_never_raised(value: object, nano: int) -> None:
    kept, warning = parse_budget(value)
    assert kept == nano
    assert warning is not None
    assert f"{usd(nano)} is used instead" in warning


# ── the module itself ──────────────────────────────────────────────────────────────────────────


def test_importing_prices_loads_nothing_heavy() -> None:
    script = "import sys, runtime.domain.models.price_table; print('\\n'.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True, timeout=60
    )
    loaded = set(done.stdout.split())
    assert not loaded & {"pydantic", "boto3", "botocore", "jinja2", "orjson", "pyarrow", "logging"}


@pytest.mark.parametrize(
    "nano", [0, 1, 127_095_572, 100 * NANO_PER_USD + 1, 999_999 * NANO_PER_USD - 1]
)
def test_an_amount_of_a_document_is_exact(nano: int) -> None:
    written = json.dumps(to_usd(nano))
    assert from_usd(json.loads(written)) == nano
    assert Decimal(written) * NANO_PER_USD == nano


def test_the_budget_of_a_damaged_job_is_the_one_that_is_enforced() -> None:
    job = new_job("j", ManualClock(), budget_limit="invalid")
    assert job.budget_nano == parse_budget(job.budget_limit)[0] == 100 * NANO_PER_USD


# ── regions ────────────────────────────────────────────────────────────────────────────────────

NOVA_2 = "global.amazon.nova-2-lite-v1:0"
LLAMA = "meta.llama3-3-70b-instruct-v1:0"


@pytest.mark.parametrize(
    ("region", "cheap"),
    [
        ("us-east-1", NOVA_MICRO),
        ("eu-west-2", NOVA_MICRO),
        ("ap-southeast-2", NOVA_MICRO),
        ("us-west-2", f"us.{NOVA_MICRO}"),
        ("eu-central-1", "openai.gpt-oss-20b-1:0"),
        (None, NOVA_MICRO),
    ],
)
def test_f12_a_tier_takes_the_first_model_that_its_region_can_call(
    table: PriceTable, region: str | None, cheap: str
) -> None:
    here = table.seen_from(region)
    assert here.resolve_tier("cheap", "bedrock", TODAY) == cheap
    assert here.resolve_tier("cheap", "local", TODAY) == EMBEDDED
    for tier in table.tiers:
        assert here.price(here.resolve_tier(tier, "bedrock", TODAY), TODAY).provider == "bedrock"


@pytest.mark.parametrize(
    ("region", "model", "advice"),
    [
        ("us-east-1", LLAMA, f"call it as us.{LLAMA}$"),
        ("us-west-2", NOVA_MICRO, f"call it as us.{NOVA_MICRO}$"),
        ("eu-central-1", f"us.{HAIKU}", f"call it as eu.{HAIKU} or global.{HAIKU}$"),
        ("eu-central-1", LLAMA, f"choose one of .*{NOVA_2}"),
    ],
)
def test_f12_a_model_that_can_not_be_called_there_is_refused_with_those_that_can(
    table: PriceTable, region: str, model: str, advice: str
) -> None:
    step = Step(id="write", prompt="x", model=model)
    with pytest.raises(PriceError, match=f"in {region}: {advice}"):
        table.seen_from(region).resolve_step(step, override=None, provider="bedrock", on=TODAY)
    assert table.price(table.prices[model].model_id, TODAY).model_id == model


def test_f12_rates_follow_the_region_one_calls_from(table: PriceTable) -> None:
    tokyo = table.seen_from("ap-northeast-1")
    price = tokyo.price(NOVA_2, TODAY)
    assert (price.input, price.output) == (360, 3010)
    assert tokyo.warnings([NOVA_2]) == ()
    assert table.seen_from("us-west-2").warnings(table.tiers["premium"]["bedrock"]) == ()

    frankfurt = table.seen_from("eu-central-1")
    assert frankfurt.price(NOVA_2, TODAY).input == 300
    (warning,) = frankfurt.warnings([NOVA_2, NOVA_2, f"eu.{HAIKU}"])
    assert f"{NOVA_2} in eu-central-1 is not known: that of us-east-1 is used" in warning


def test_f12_a_job_keeps_the_region_that_it_began_in(table: PriceTable) -> None:
    """What a job pins is the table as its first worker saw it, wherever it goes on."""
    tokyo = table.seen_from("ap-northeast-1")
    pinned = PriceTable.decode(tokyo.encode())
    assert pinned == tokyo
    assert PriceTable.decode(table.encode()) == table
    assert pinned.resolve_tier("cheap", "bedrock", TODAY) == "openai.gpt-oss-20b-1:0"


def test_f12_files_of_before_say_nothing_of_regions(tmp_path: Path) -> None:
    """A row without places is called from everywhere, and its rates hold there; what a job of
    before keeps names no region at all.
    """
    own = {
        name: each
        for name, each in row(id="acme-1", profiles={"eu.": {}}).items()
        if name not in PLACES
    }
    table = load_prices(write(tmp_path, {"models": [own]})).seen_from("eu-central-1")
    assert table.price("acme-1", TODAY).input == 35
    assert table.warnings(["acme-1", "eu.acme-1"]) == ()
    with pytest.raises(PriceError, match="call it as acme-1"):
        load_prices(write(tmp_path, {"models": [own]})).seen_from("us-east-1").price(
            "eu.acme-1", TODAY
        )

    document = json.loads(load_prices().encode())
    del document["region"]
    for each in document["models"]:
        del each["regions"], each["priced_in"], each["regional"]
    pinned = PriceTable.decode(json.dumps(document).encode())
    assert pinned.region is None
    assert pinned.price(LLAMA, TODAY).model_id == LLAMA


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"regions": "us-east-1"}, "'regions': must be a list"),
        ({"priced_in": [1]}, "'priced_in': must be a text"),
        ({"regional": []}, "'regional': must be an object"),
        (
            {"regional": {"eu-west-1": {"input": 0.3}}},
            "'eu-west-1': 'input': must be null",
        ),
        ({"regional": {"eu-west-1": {"output": None}}}, "can't be null"),
        ({"regional": {"eu-west-1": {"price": 1}}}, "unknown field 'price'"),
        ({"profiles": {"us.": {"regions": [""]}}}, "'us.': field 'regions'"),
    ],
)
def test_f12_places_that_are_wrong_are_named(
    tmp_path: Path, changes: dict[str, object], words: str
) -> None:
    with pytest.raises(PriceError, match=words):
        load_prices(write(tmp_path, {"models": [row(**changes)]}))


def test_f12_a_price_file_in_a_bucket_is_read_like_any(aws: FakeAws, tmp_path: Path) -> None:
    """What a deployed stage gives its functions and workers, with the region they run in."""
    path = write(tmp_path, {"models": [row(input=1)]})
    aws.s3.put_object(Bucket=BUCKET, Key="own/prices.json", Body=path.read_bytes())
    address = f"s3://{BUCKET}/own/prices.json"

    found = prices_of({"SEEDWRIGHT_PRICES": address, "AWS_REGION": "us-west-2"})

    assert found == load_prices(path, reach=AWS).seen_from("us-west-2")
    assert found.price(f"us.{NOVA_MICRO}", TODAY).input == 1
    with pytest.raises(NotFoundError, match=r"own/missing\.json"):
        prices_of({"SEEDWRIGHT_PRICES": address.replace("prices", "missing")})
