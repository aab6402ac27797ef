"""Options of jobs: one field says all of an option, and every reader of it agrees."""

import json
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any

import orjson
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from typer.testing import CliRunner

from runtime.cli.job_options import takes as cake_flags
from runtime.domain.errors import InputError
from runtime.domain.jobs.config import OPTIONS
from runtime.domain.money.estimate import Acceptance
from runtime.domain.options import (
    check_options,
    identity,
    option,
    options_document,
    options_of,
    parse_options,
)
from runtime.lambdas.http import ApiModel
from runtime.lambdas.openapi import document as openapi_document
from runtime.lambdas.option_fields import chosen, request_document, shown, shows, takes


class Shape(StrEnum):
    ROUND = "round"
    FLAT = "flat"


def read_pair(value: object) -> tuple[Shape, ...]:
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise ValueError("list two shapes")
    return tuple(Shape(each) for each in value)


@dataclass(frozen=True, kw_only=True, slots=True)
class Cake:
    """One option of every kind."""

    shape: Shape = option(Shape.ROUND, help="How it looks.", identifies=True)
    layers: int = option(1, help="How high it is.", least=1, most=9, flag="--high")
    candles: int | None = option(None, help="How old.", least=0, late=True, identifies=True)
    text: str | None = option(None, help="What it says.", longest=5, printable=True, late=True)
    iced: bool = option(False, help="Whether it is iced.")
    parts: tuple[Shape, ...] = option(
        (Shape.ROUND, Shape.FLAT),
        help="Its parts.",
        name="pieces",
        read=read_pair,
        read_flag=lambda given: read_pair(",".join(given).split(",")),
    )


@takes(Cake)
class CakeOrder(ApiModel):
    """A body."""

    address: str


@shows(Cake)
class CakeView(ApiModel):
    """An answer."""

    address: str


cakes = st.builds(
    Cake,
    shape=st.sampled_from(Shape),
    layers=st.integers(1, 9),
    candles=st.none() | st.integers(0, 120),
    text=st.none() | st.text("abc", min_size=1, max_size=5),
    iced=st.booleans(),
    parts=st.tuples(st.sampled_from(Shape), st.sampled_from(Shape)),
)


@given(cakes)
def test_a_configuration_comes_back_from_its_document(cake: Cake) -> None:
    text = json.dumps(options_document(cake))
    assert parse_options(Cake, json.loads(text)) == cake
    assert parse_options(Cake, json.loads(text, parse_int=Decimal)) == cake
    assert check_options(cake) is cake


@given(cakes)
def test_a_body_says_what_was_chosen_and_an_answer_shows_it(cake: Cake) -> None:
    body = CakeOrder.model_validate_json(
        orjson.dumps({"address": "here", **options_document(cake)})
    )
    assert chosen(body, Cake) == cake
    answer = CakeView(address="here", **shown(cake))
    assert json.loads(answer.model_dump_json()) == {
        "address": "here",
        "shape": str(cake.shape),
        "layers": cake.layers,
        "candles": cake.candles,
        "text": cake.text,
        "iced": cake.iced,
        "pieces": [str(each) for each in cake.parts],
    }


def test_what_came_later_is_left_out_where_it_says_nothing() -> None:
    assert "candles" not in options_document(Cake())
    assert options_document(Cake(candles=0))["candles"] == 0
    before = {"address": "a", "shape": "round", "layers": 1, "iced": False}
    body = CakeOrder(address="a")
    assert request_document(body, Cake) == {**before, "pieces": ["round", "flat"]}
    assert request_document(CakeOrder.model_validate({"address": "a", "text": "x"}), Cake)[
        "text"
    ] == ("x")


def test_only_some_options_make_a_dataset_another_one() -> None:
    assert identity(Cake(layers=3, text="x", iced=True)) == {"--shape": "round"}
    assert identity(Cake(shape=Shape.FLAT, candles=7)) == {"--shape": "flat", "--candles": 7}


@pytest.mark.parametrize(
    ("cake", "message"),
    [
        (Cake(layers=0), "--high: use a number from 1 to 9"),
        (Cake(layers=10), "--high: use a number from 1 to 9"),
        (Cake(candles=-1), "--candles: use a number of at least 0"),
        (Cake(text=""), "--text: use 1 to 5 characters"),
        (Cake(text="abcdef"), "--text: use 1 to 5 characters"),
        (Cake(text="a\x1b"), "--text: use characters that can be seen"),
    ],
)
def test_a_value_out_of_its_range_is_named_by_its_flag(cake: Cake, message: str) -> None:
    with pytest.raises(InputError) as caught:
        check_options(cake)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("shape", "oval"),
        ("layers", 0),
        ("layers", 10),
        ("layers", True),
        ("candles", -1),
        ("candles", 1.5),
        ("text", ""),
        ("text", "abcdef"),
        ("text", "a\u0007"),
        ("text", "  "),
        ("iced", "yes"),
        ("pieces", ["round"]),
        ("parts", ["round", "flat"]),
    ],
)
def test_a_body_is_refused_for_what_an_option_does_not_take(name: str, value: Any) -> None:
    with pytest.raises(ValidationError):
        CakeOrder.model_validate_json(orjson.dumps({"address": "a", name: value}))


@pytest.mark.parametrize(
    ("name", "value"), [("shape", "oval"), ("iced", 1), ("text", 5), ("pieces", 7)]
)
def test_a_document_that_nobody_here_wrote_is_a_value_error(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_options(Cake, {name: value})


def test_the_api_takes_and_shows_every_option_of_a_job() -> None:
    schemas = openapi_document()["components"]["schemas"]
    stored = {each.name for group in OPTIONS.values() for each in options_of(group)}
    chosen_by_users = {
        each.name for group in OPTIONS.values() for each in options_of(group) if each.chosen
    }
    assert stored & schemas["NewJob"]["properties"].keys() == chosen_by_users
    assert stored - chosen_by_users == {"draws"}
    assert stored <= schemas["JobConfigView"]["properties"].keys()
    asked = {each.name for each in options_of(Acceptance)}
    assert asked <= schemas["NewJob"]["properties"].keys()


def test_every_option_has_a_name_a_flag_and_a_help_of_its_own() -> None:
    every = [each for group in (*OPTIONS.values(), Acceptance) for each in options_of(group)]
    assert len({each.name for each in every}) == len({each.flag for each in every}) == len(every)
    assert all(each.help.endswith(".") for each in every)


# ── the command ────────────────────────────────────────────────────────────────────────────────

cake_app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@cake_app.command("bake")
@cake_flags(Cake, defaults={"layers": 2, "parts": (Shape.FLAT, Shape.FLAT)}, without=("iced",))
def bake(name: str, cake: Cake, *, quick: Annotated[bool, typer.Option("--quick")] = False) -> None:
    """Bake a cake."""
    baked.append((name, cake, quick))


baked: list[tuple[str, Cake, bool]] = []


def run(*arguments: str) -> tuple[str, Cake, bool]:
    baked.clear()
    cake_app(list(arguments), standalone_mode=False)
    return baked[0]


def test_a_command_gets_what_its_flags_say() -> None:
    assert run("tea") == ("tea", Cake(layers=2, parts=(Shape.FLAT, Shape.FLAT)), False)
    flags = ["--shape", "flat", "--high", "4", "--candles", "7", "--text", "hey", "--quick"]
    assert run("tea", *flags, "--pieces", "round,flat") == (
        "tea",
        Cake(shape=Shape.FLAT, layers=4, candles=7, text="hey"),
        True,
    )


def test_a_flag_that_may_be_repeated_is_read_as_a_whole() -> None:
    _, cake, _ = run("tea", "--pieces", "round", "--pieces", "flat")
    assert cake.parts == (Shape.ROUND, Shape.FLAT)


@pytest.mark.parametrize(
    "arguments", [["--high", "10"], ["--candles", "-1"], ["--shape", "oval"], ["--iced"]]
)
def test_a_command_refuses_what_an_option_does_not_take(arguments: list[str]) -> None:
    with pytest.raises(typer.TyperException):
        run("tea", *arguments)


def test_a_text_that_is_too_long_is_refused_with_its_flag() -> None:
    with pytest.raises(InputError, match="--text: use 1 to 5 characters"):
        run("tea", "--text", "abcdef")


def test_help_teaches_every_flag() -> None:
    shown_help = CliRunner().invoke(cake_app, ["--help"], env={"COLUMNS": "200"}).output
    for each in options_of(Cake):
        assert (each.flag in shown_help) is (each.field != "iced")
    assert "How high it is." in shown_help
    assert "[flat,flat]" in shown_help
