"""Forty workers near the end of one budget (requirement N3), in virtual time."""

from dataclasses import replace

import pytest

from tests.simulation.slices import DEADLY, EVEN, FEW, TIGHT, TWO, UNEVEN, Scenario, Simulation

SMALL = 9_000_000
"""Nano-USD: some 30 000 calls."""


@pytest.mark.parametrize(
    "scenario",
    [
        replace(EVEN, limit_nano=SMALL),
        replace(UNEVEN, limit_nano=SMALL, records=(0, 1_800)),
        replace(DEADLY, limit_nano=SMALL),
        replace(TWO, limit_nano=SMALL),
        TIGHT,
    ],
    ids=lambda each: each.name,
)
def test_n3_hardly_anything_is_left_when_all_shards_have_stopped(scenario: Scenario) -> None:
    """That no call passes the limit and nothing is stranded is checked on the way."""
    figures = Simulation(scenario, seed=1).run()

    assert figures.unused_nano <= figures.allowed_nano
    # Far below what is allowed: no shard stops while another holds what would be enough for a call.
    assert figures.unused_nano < 2 * scenario.worst_nano


def test_n3_most_calls_write_nothing_and_the_job_is_not_hot() -> None:
    figures = Simulation(replace(EVEN, limit_nano=SMALL), seed=1).run()

    assert figures.job_writes < 0.03
    assert figures.slice_writes < 0.1
    assert figures.job_writes_a_second < 60


@pytest.mark.parametrize("seed", range(3))
def test_n3_a_shard_waits_for_what_others_hold_and_will_not_spend(seed: int) -> None:
    """There is enough for all records, and not for all calls in flight at their worst case."""
    assert Simulation(FEW, seed).run().records_left == 0
