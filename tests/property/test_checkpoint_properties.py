"""Checkpoints: encode and decode, every kind of damage, and the merge of requirement S7.6."""

import operator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.domain.errors import CorruptCheckpointError
from runtime.domain.jobs.checkpoint import SCHEMA, Checkpoint, Partial, decode, encode, merge
from runtime.domain.jobs.step_totals import COUNTS, StepTotals

SIZE = 24
counters = st.integers(0, 2**63 - 1)
costs = st.integers(0, 10**28 - 1)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=4,
)
times = st.none() | st.datetimes(
    datetime(1970, 1, 2),  # noqa: DTZ001 - Hypothesis wants naive bounds
    datetime(2200, 1, 1),  # noqa: DTZ001 - the same
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=45))]),
)
step_totals = st.builds(StepTotals, model=st.text(max_size=12), **dict.fromkeys(COUNTS, counters))
partials = st.builds(
    Partial,
    steps=st.dictionaries(
        st.text(max_size=5), st.dictionaries(st.text(max_size=5), json_values, max_size=2)
    ),
    invalid=st.none() | st.text(max_size=10),
)


@st.composite
def checkpoints(draw: st.DrawFn) -> Checkpoint:
    next_index = draw(st.integers(0, SIZE))
    pending = sorted(draw(st.sets(st.integers(0, next_index - 1)))) if next_index else []
    return Checkpoint(
        job_id=draw(st.text(max_size=12)),
        version=draw(counters),
        records_generated=draw(st.integers(0, SIZE)),
        failed_records=draw(counters),
        next_index=next_index,
        pending=tuple(pending),
        current_batch=draw(counters),
        current_part=draw(counters),
        tokens_used=draw(counters),
        cost_nano=draw(costs),
        failures_by_kind=draw(st.dictionaries(st.text(max_size=12), counters, max_size=3)),
        cost_by_model=draw(st.dictionaries(st.text(max_size=12), costs, max_size=3)),
        steps=draw(st.dictionaries(st.text(max_size=12), step_totals, max_size=3)),
        postponed=draw(st.none() | st.dictionaries(st.text(max_size=12), counters, max_size=3)),
        voided=draw(counters),
        partials={index: draw(partials) for index in pending[:3]},
        started_at=draw(times),
        updated_at=draw(times),
    )


def finished_of(checkpoint: Checkpoint) -> set[int]:
    return set(range(checkpoint.next_index)) - set(checkpoint.pending)


@settings(deadline=None)
@given(checkpoints())
def test_a_checkpoint_comes_back_as_it_was(checkpoint: Checkpoint) -> None:
    assert decode(encode(checkpoint)) == checkpoint


def test_the_blob_is_readable_json() -> None:
    checkpoint = Checkpoint(
        job_id="j",
        cost_nano=1_230_000_001,
        failures_by_kind={"invalid_output": 2},
        cost_by_model={"amazon.nova-micro-v1:0": 35},
    )
    document = orjson.loads(encode(checkpoint))
    assert document["cost"] == "1.230000001"
    assert document["failures_by_kind"] == {"invalid_output": 2}
    assert {model: float(usd) for model, usd in document["cost_by_model"].items()} == {
        "amazon.nova-micro-v1:0": 3.5e-8
    }
    assert document["schema"] == SCHEMA
    assert "stored_version" not in document


def outcome(blob: bytes) -> Checkpoint | None:
    """The checkpoint, or None where the one error was raised that may be raised."""
    try:
        return decode(blob)
    except CorruptCheckpointError:
        return None


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_corrupt(blob: bytes) -> None:
    assert outcome(blob) is None


@settings(deadline=None)
@given(json_values)
def test_arbitrary_json_is_corrupt(value: object) -> None:
    assert outcome(orjson.dumps(value)) is None


FIELDS = tuple(orjson.loads(encode(Checkpoint(job_id="j"))))
ADDED = ("failures_by_kind", "cost_by_model", "steps", "postponed", "voided")
"""Not in blobs from before they were counted."""
strange = json_values | st.sampled_from(
    [
        "NaN",
        "Infinity",
        "-1",
        "1e999999",
        "1e900000",
        "0.0000000001",
        "2026-01-01",
        "0001-01-01T00:00:00+23:59",
        {"steps": [["a", {}]], "invalid": None},
        {"0": {"steps": {"a": 1}, "invalid": None}},
        {"0": {"steps": {}, "invalid": 3}},
        {"0": None},
        {"-1": {"steps": {}, "invalid": None}},
        {"x": {"steps": {}, "invalid": None}},
        {"9" * 5000: {"steps": {}, "invalid": None}},
    ]
)


@settings(deadline=None, max_examples=200)
@given(checkpoints(), st.sampled_from(FIELDS), strange)
def test_a_strange_value_in_a_field_is_corrupt_or_read_whole(
    checkpoint: Checkpoint, name: str, value: object
) -> None:
    """Nothing half read: what decodes can be saved again and stays the same."""
    document: dict[str, Any] = orjson.loads(encode(checkpoint)) | {name: value}
    read = outcome(orjson.dumps(document))
    if read is not None:
        assert decode(encode(read)) == read


@settings(deadline=None)
@given(checkpoints(), st.sampled_from([name for name in FIELDS if name not in ADDED]))
def test_a_missing_field_is_corrupt(checkpoint: Checkpoint, name: str) -> None:
    document = orjson.loads(encode(checkpoint))
    del document[name]
    assert outcome(orjson.dumps(document)) is None


@settings(deadline=None)
@given(checkpoints())
def test_an_older_blob_is_read(checkpoint: Checkpoint) -> None:
    document = orjson.loads(encode(checkpoint))
    for name in ADDED:
        del document[name]
    expected = replace(
        checkpoint, failures_by_kind={}, cost_by_model={}, steps={}, postponed=None, voided=0
    )
    assert decode(orjson.dumps(document)) == expected


@settings(deadline=None)
@given(checkpoints(), st.data())
def test_a_torn_blob_is_corrupt(checkpoint: Checkpoint, data: st.DataObject) -> None:
    blob = encode(checkpoint)
    assert outcome(blob[: data.draw(st.integers(0, len(blob) - 1))]) is None


@pytest.mark.parametrize("schema", [0, SCHEMA + 1, 2**64 - 1])
def test_another_schema_is_named(schema: int) -> None:
    document = orjson.loads(encode(Checkpoint(job_id="j"))) | {"schema": schema}
    with pytest.raises(
        CorruptCheckpointError, match=rf"has schema {schema}; this version reads {SCHEMA}$"
    ):
        decode(orjson.dumps(document))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("schema", True),
        ("job_id", 1),
        ("next_index", -1),
        ("records_generated", 1.0),
        ("pending", {"0": 1}),
        ("pending", [-1]),
        ("cost", 1),
        ("cost", "-1"),
        ("cost", "NaN"),
        ("cost", "Infinity"),
        ("cost", "0.0000000001"),
        ("cost", "1e900000"),
        ("cost", "1e999999999999"),
        ("failures_by_kind", None),
        ("failures_by_kind", ["rejected"]),
        ("failures_by_kind", {"rejected": -1}),
        ("failures_by_kind", {"rejected": 1.0}),
        ("cost_by_model", None),
        ("cost_by_model", {"a-model": 1}),
        ("cost_by_model", {"a-model": "-1"}),
        ("steps", None),
        ("steps", ["review"]),
        ("steps", {"review": []}),
        ("steps", {"review": {"calls": 1}}),
        ("steps", {"review": {"model": "m", "calls": -1}}),
        ("steps", {"review": {"model": "m", "calls": 1.0}}),
        ("steps", {"review": {"model": "m", "calls": True}}),
        ("steps", {"review": {"model": "m", "cut": 2**63}}),
        ("partials", []),
        ("partials", {"0": {"steps": [["a", {}]], "invalid": None}}),
        ("partials", {"0": {"steps": {"a": 1}, "invalid": None}}),
        ("partials", {"0": {"steps": {}, "invalid": 3}}),
        ("started_at", 0),
        ("started_at", "2026-01-01T00:00:00"),
        ("updated_at", "0001-01-01T00:00:00+23:59"),
    ],
)
def test_damage_inside_is_corrupt(name: str, value: object) -> None:
    document = orjson.loads(encode(Checkpoint(job_id="j"))) | {name: value}
    assert outcome(orjson.dumps(document)) is None


@given(checkpoints(), st.integers(0, SIZE))
def test_finished_is_everything_below_next_index_but_the_pending(
    checkpoint: Checkpoint, size: int
) -> None:
    finished = checkpoint.finished(size)
    assert {index for index in range(size) if index in finished} == {
        index for index in finished_of(checkpoint) if index < size
    }


@settings(deadline=None)
@given(checkpoints(), checkpoints())
def test_a_merge_forgets_nothing_that_either_side_finished(
    ours: Checkpoint, stored: Checkpoint
) -> None:
    """S7.6."""
    merged = merge(ours, stored)
    assert finished_of(merged) == finished_of(ours) | finished_of(stored)
    assert merged.next_index == max(ours.next_index, stored.next_index)
    # A number once used is never given out again.
    assert merged.current_batch == max(ours.current_batch, stored.current_batch)
    assert merged.current_part == max(ours.current_part, stored.current_part)
    for index in set(merged.pending) & (ours.partials.keys() | stored.partials.keys()):
        assert merged.partials[index] in (ours.partials.get(index), stored.partials.get(index))


@settings(deadline=None)
@given(checkpoints(), checkpoints())
def test_the_higher_count_gives_the_counters(ours: Checkpoint, stored: Checkpoint) -> None:
    """S7.6."""
    merged = merge(ours, stored)
    ahead = max(ours, stored, key=operator.attrgetter("records_generated"))
    counted = ("records_generated", "failed_records", "tokens_used", "cost_nano", *ADDED[:-1])
    for name in counted:
        assert getattr(merged, name) == getattr(ahead, name)
    assert (merged.version, merged.stored_version) == (stored.version, stored.stored_version)


@settings(deadline=None)
@given(checkpoints())
def test_a_merge_with_itself_changes_nothing(checkpoint: Checkpoint) -> None:
    assert merge(checkpoint, checkpoint) == checkpoint
