"""The report as a page: hostile outputs stay text, nothing runs or is loaded, the same bytes."""

import random
from base64 import b64encode
from hashlib import sha256

import pytest

from runtime.domain.jobs.step_totals import StepTotals
from runtime.domain.plain_text import plain_lines
from runtime.export.report.page import render_page
from runtime.export.report.writing import REPORT_MARK, statistics_of
from tests.fixtures.memory_objects import MemoryObjects
from tests.fixtures.reports import Page, a_job, a_line, statistics_for

HOSTILE = [
    "</script><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</title></style><style>*{display:none}</style>",
    "' onmouseover='alert(1)",
    "{{ 7 * 7 }}{% raw %}",
    "\x1b[31mred\x07 \x00 \u202eyzarc\u202c",
    "<!-- &lt;b&gt; ]]>",
    "https://evil.example/x.js",
]


def page_of(text: str) -> Page:
    assert "\x00" not in text
    return Page(text)


@pytest.fixture(scope="module")
def hostile() -> str:
    """A page on which every value that a user or a model can write is hostile."""
    job = a_job(
        99,
        name=HOSTILE[0],
        failed_records=3,
        service_failures=1,
        failures_by_kind={HOSTILE[1]: 3},
        cost_nano=1_234_567_890,
        steps={
            HOSTILE[0]: StepTotals(model=HOSTILE[1], calls=9, cost_nano=1, cut=1, presumed=2),
            "ask": StepTotals(model=HOSTILE[2], calls=9, cost_nano=2, repaired=1),
        },
    )
    records = [
        {"ask": text, "judge": {text: text, "tags": [text], text * 3: {text: [text]}}}
        for text in HOSTILE
        for _ in range(3)
    ]
    return render_page(statistics_for(records, job=job))


def test_every_value_is_shown_as_text_and_nothing_else(hostile: str) -> None:
    page = page_of(hostile)

    assert page.tags.isdisjoint({"script", "img", "iframe", "link", "object", "a", "base", "form"})
    for _, name, value in page.attributes:
        assert not name.startswith("on")
        assert name not in {"src", "href", "style", "xlink:href"}
        assert "://" not in value or name == "aria-label"
    for text in HOSTILE:
        assert plain_lines(text) in page.text
    assert not any(character in hostile for character in "\x1b\x07\x00\u202e\u202c")
    assert "49" not in page.text.partition("{{ 7 * 7 }}")[2][:4]


def test_the_policy_lets_in_the_style_sheet_and_nothing_else(hostile: str) -> None:
    page = page_of(hostile)

    digest = b64encode(sha256(page.style.encode()).digest()).decode()
    assert page.policy.split("; ") == [
        "default-src 'none'",
        f"style-src 'sha256-{digest}'",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    assert "url(" not in page.style
    assert "@import" not in page.style
    assert REPORT_MARK in hostile.encode()[:1024]


def test_long_outputs_are_cut_where_they_are_shown() -> None:
    """And how much is left out is said: a word of a megabyte, many columns, many labels."""
    word = "w" * 1_000_000
    wide = {f"field-{number}-{'n' * 500}": f"{number} {'long ' * 400}" for number in range(60)}

    text = render_page(statistics_for([{"ask": word, "judge": wide}] * 2))

    assert len(text) < 400_000
    shown = page_of(text).text
    assert "998,500 more characters" in shown
    assert "There are more columns than are counted here." in shown


def test_the_same_dataset_gives_the_same_page() -> None:
    chance = random.Random(1)  # noqa: S311 - an order
    lines = [
        a_line(index, {"ask": f"Why is {chance.choice('abc')} number {index} here, and not there?"})
        for index in range(200)
    ]

    def page() -> str:
        return render_page(statistics_of(MemoryObjects(), a_job(200), lines))

    first = page()
    chance.shuffle(lines)
    assert page() == first, "the order in which records were finished is no part of it"


def test_a_dataset_without_anything_special_is_a_page_too() -> None:
    shown = page_of(render_page(statistics_for([{"ask": "Tea."}]))).text

    assert "Records1of 1 asked for" in shown
    assert "Failures" not in shown
    assert "Unusual" not in shown


def test_what_a_record_is_of_is_counted_by_step() -> None:
    lines = [
        a_line(0, {"ask": "One.", "tell": "Two."}),
        a_line(1, {"ask": "One.", "tell": "Two."}, stop_reason="max_tokens"),
    ]

    found = statistics_of(MemoryObjects(), a_job(5, failed_records=1), lines)

    assert [(step.step, step.model, step.records, step.cut) for step in found.steps] == [
        ("ask", "model-of-ask", 2, 1),
        ("tell", "model-of-tell", 2, 1),
    ]
    assert (found.missing, found.seconds, found.repeats.repeated) == (2, 1.0, 1)
