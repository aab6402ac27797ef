"""Estimates from a spread of records."""

from datetime import date

import pytest

from runtime.domain.jobs.sampling import Draws, SeedStrategy
from runtime.domain.models.price_table import load_prices
from runtime.engine.estimating import estimate_cost
from runtime.engine.plan import make_plan
from runtime.engine.rendering.renderer import TemplateEngine
from tests.fixtures.worker_world import make_template

ON = date(2026, 11, 23)
REPLY_TOKENS = 32
"""Half of what the step of `make_template` allows."""


@pytest.mark.parametrize(
    ("records", "rendered"),
    [
        (1, [0]),
        (4, [0, 1, 2, 3]),
        (50, range(50)),
        (100, range(0, 100, 2)),
        (150, range(0, 150, 3)),
    ],
)
def test_at_most_fifty_records_from_the_first_to_the_last_are_rendered(
    render_engine: TemplateEngine, records: int, rendered: "list[int] | range"
) -> None:
    template = make_template()
    render_engine.load(template)
    # "Review " and "." are two tokens at four characters each.
    rows = [{"product": "kett" * number} for number in range(150)]

    found = estimate_cost(
        render_engine,
        make_plan(template, load_prices(), provider="bedrock", model=None, on=ON),
        rows,
        records=records,
        draws=Draws(seed_strategy=SeedStrategy.SEQUENTIAL),
    )

    tokens = sum(2 + number + REPLY_TOKENS for number in rendered)
    assert found.likely_tokens == tokens * records / len(rendered)
