"""Into how many shards a job is split when nobody said so.

Two reasons make a job worth splitting: one worker would not use up the quota of a model, or it
would take too long. Against it stands that each shard is a task, which takes a minute to start and
has seeds to read. Rates are rules of thumb: a split that is too fine or too coarse costs minutes,
and no record depends on it.
"""

import math
from collections import Counter
from typing import Final

from runtime.contract.executions import MAX_SHARDS
from runtime.domain.money.estimate import Estimate
from runtime.domain.service_ports import ApiSettings

FIRST_TOKEN_SECONDS: Final = 0.7
TOKENS_PER_SECOND: Final = 80
"""Of one call: what current models of the middle class do, by their vendors."""

LEAST_SHARD_SECONDS: Final = 900
"""What a shard should have to do: the start of a task is lost in it."""

LEAST_RECORDS: Final = 500
"""A job of fewer is not looked at."""


def shard_count(estimate: Estimate, settings: ApiSettings) -> int:
    """From 1, which is a job in one piece, to `MAX_SHARDS`."""
    if not is_worth_a_look(estimate.records, settings):
        return 1
    own = settings.worker_calls / _seconds_a_record(estimate)
    allowed = _records_a_second(estimate, settings.model_tokens_per_minute)
    alone_seconds = estimate.records / min(own, allowed)
    worthwhile = int(alone_seconds // LEAST_SHARD_SECONDS)
    by_quota = min(allowed / own, worthwhile, settings.max_workers)
    by_time = alone_seconds / (settings.worker_hours * 3600)
    # Beyond the quota shards only wait for each other: more of them end no sooner.
    shards = min(max(by_quota, by_time), allowed / own, MAX_SHARDS)
    return max(1, math.ceil(shards))


def is_worth_a_look(records: int, settings: ApiSettings) -> bool:
    """Whether a job of so many records might be split: the estimate takes time."""
    return settings.max_workers > 1 and records >= LEAST_RECORDS


def _seconds_a_record(estimate: Estimate) -> float:
    """Steps come one after the other; those of different records side by side."""
    calls = len(estimate.steps)
    tokens = sum(each.tokens_out for each in estimate.steps) / estimate.records
    return max(calls, 1) * FIRST_TOKEN_SECONDS + tokens / TOKENS_PER_SECOND


def _records_a_second(estimate: Estimate, tokens_per_minute: int) -> float:
    """What the quota allows for the model that is called most. A call takes its prompt and its
    whole limit out of it, which is twice the likely output.
    """
    by_model: Counter[str] = Counter()
    for each in estimate.steps:
        by_model[each.model] += each.tokens_in + 2 * each.tokens_out
    most = max(by_model.values(), default=0) / estimate.records
    return math.inf if most == 0 else tokens_per_minute / 60 / most
