"""The card: its front matter is what loaders follow, and nothing foreign is read as Markdown."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
import yaml

from runtime.domain.jobs.step_totals import StepTotals
from runtime.export.card import (
    Card,
    Configuration,
    SplitFiles,
    escaped,
    is_unchanged,
    render_card,
    size_category,
)

HOSTILE = "<script>x</script> | `a` [l](javascript:y)\x1b[31m *b*"


def a_card(**changes: object) -> Card:
    card: dict[str, object] = {
        "name": "Reviews",
        "description": "",
        "configurations": [
            Configuration(
                name="default",
                folder="data",
                splits=[SplitFiles(name="train", rows=900), SplitFiles(name="test", rows=99)],
                columns={"text": "string"},
            )
        ],
        "template": "name: Reviews\n",
        "version": "0.1.0",
        "finished_at": datetime(2026, 11, 28, tzinfo=UTC),
        "requested": 1000,
        "records": 999,
        "failures": {"rejected": 1},
        "steps": {"ask": StepTotals(model="m", calls=1000, tokens_in=5, cost_nano=10**9, cut=3)},
        "cost_nano": 10**9,
    }
    return Card(**{**card, **changes})  # type: ignore[arg-type]


def front_of(text: str) -> dict[str, object]:
    _, front, _ = text.split("---\n", 2)
    document: dict[str, object] = yaml.safe_load(front)
    return document


def test_front_matter_names_the_files_of_each_split() -> None:
    front = front_of(render_card(a_card()))
    assert front["configs"] == [
        {
            "config_name": "default",
            "default": True,
            "data_files": [
                {"split": "train", "path": "data/train-*.parquet"},
                {"split": "test", "path": "data/test-*.parquet"},
            ],
        }
    ]
    assert front["size_categories"] == ["n<1K"]
    assert "synthetic" in str(front["tags"])
    assert "license" not in front  # nobody chooses one but the user
    assert front_of(render_card(a_card(licence="cc-by-4.0")))["license"] == "cc-by-4.0"


def test_a_configuration_says_which_rows_it_has() -> None:
    """Or `datasets` shows what it read of this folder before."""
    card = a_card()
    (each, *_) = card.configurations
    marked = replace(card, configurations=[replace(each, digest="f0")])
    configs = front_of(render_card(marked))["configs"]
    assert isinstance(configs, list)
    assert [found["description"] for found in configs] == ["rows f0"]


@pytest.mark.parametrize(
    ("rows", "name"),
    [(0, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (10**6, "1M<n<10M"), (10**7, "n>10M")],
)
def test_sizes_as_the_hub_calls_them(rows: int, name: str) -> None:
    assert size_category(rows) == name


def test_it_says_how_the_dataset_was_made() -> None:
    text = render_card(a_card())
    assert "999 of 1000 records asked for" in text
    assert "$1.00" in text
    assert "3 cut at max_tokens" in text
    assert "| rejected | 1 |" in text


def test_nothing_foreign_is_markdown_or_html() -> None:
    text = render_card(
        a_card(
            name=HOSTILE,
            description=f"# {HOSTILE}\n- {HOSTILE}\n1. one",
            template=f"name: x\nprompt: |\n  ````\n  {HOSTILE}\n",
            notes=[HOSTILE],
        )
    )
    before, inside = text.split("---\n", 2)[2].split("## Template", 1)
    assert "<script>" not in before
    assert "\x1b" not in text
    assert "[l](" not in before
    assert "\n\\# " in before
    assert "\n\\- " in before
    assert "\n1\\. one" in before
    # A longer fence than any in the template: its own can't end it.
    assert inside.count("`````") == 2
    assert front_of(text)["pretty_name"] == HOSTILE.replace("\x1b", " ")


def test_a_long_template_is_cut_and_says_so() -> None:
    text = render_card(a_card(template="x" * 20_007))
    assert "7 more characters are left out" in text


def test_a_card_that_somebody_changed_is_theirs() -> None:
    card = render_card(a_card()).encode()
    assert is_unchanged(card)
    assert not is_unchanged(card.replace(b"synthetic", b"my own"))
    assert not is_unchanged(card + b"More.\n")
    assert not is_unchanged(b"# Mine\n")
    assert not is_unchanged(b"")


def test_escaping_leaves_plain_words_alone() -> None:
    assert escaped("Model us.amazon-nova 0.1, 5 > 3") == "Model us.amazon-nova 0.1, 5 &gt; 3"


def test_the_cost_has_what_no_step_is_known_for() -> None:
    text = render_card(a_card(cost_nano=3 * 10**9))
    assert "for $3.00." in text
    assert "$2.00 of the cost are calls that a process left in doubt" in text
    assert "in doubt" not in render_card(a_card())
