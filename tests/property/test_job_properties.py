"""A job's transitions, as its module draws them, and its configuration as a document."""

import json
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.domain.jobs.config import JobConfig, config_document, parse_config
from runtime.domain.jobs.delivery import Delivery, OutputFormat, PartitionStrategy
from runtime.domain.jobs.job import (
    ACTIVE,
    ENDED,
    TRANSITIONS,
    JobStatus,
    may_become,
    sources_of,
    work_id_of,
)
from runtime.domain.jobs.machines import Machines
from runtime.domain.jobs.sampling import Draws, SeedStrategy
from runtime.domain.models.choice import ModelChoice
from runtime.domain.templates.template import TemplateRef

DRAWN = """
    QUEUED RUNNING
    QUEUED CANCELLED
    QUEUED FAILED
    RUNNING QUEUED
    RUNNING COMPLETED
    RUNNING FAILED
    RUNNING BUDGET_EXCEEDED
    RUNNING CANCELLED
    FAILED QUEUED
    BUDGET_EXCEEDED QUEUED
    CANCELLED QUEUED
    COMPLETED QUEUED
    COMPLETED DELETING
    FAILED DELETING
    BUDGET_EXCEEDED DELETING
    CANCELLED DELETING
"""


def test_the_table_is_what_is_drawn() -> None:
    arrows = {
        tuple(JobStatus(name) for name in line.split())
        for line in DRAWN.split("\n")
        if line.strip()
    }
    assert {(old, new) for old in JobStatus for new in JobStatus if may_become(old, new)} == arrows
    assert set(TRANSITIONS) == set(JobStatus)


@given(st.sampled_from(JobStatus), st.sampled_from(JobStatus))
def test_sources_are_the_arrows_backwards(old: JobStatus, new: JobStatus) -> None:
    assert (old in sources_of(new)) is may_become(old, new)


def test_nothing_that_ended_runs_without_being_queued_again() -> None:
    assert sources_of(JobStatus.RUNNING) == {JobStatus.QUEUED}
    assert all(TRANSITIONS[status] <= {JobStatus.QUEUED, JobStatus.DELETING} for status in ENDED)
    assert set(JobStatus) - ENDED == ACTIVE == {JobStatus.QUEUED, JobStatus.RUNNING}
    assert TRANSITIONS[JobStatus.COMPLETED] == {JobStatus.QUEUED, JobStatus.DELETING}


def test_a_job_whose_data_goes_stays_where_it_is() -> None:
    assert not TRANSITIONS[JobStatus.DELETING]
    assert sources_of(JobStatus.DELETING) == ENDED - {JobStatus.DELETING}


def test_work_ids() -> None:
    assert work_id_of("j") == "j"
    assert work_id_of("j", 0) == "j#0"


references = st.builds(TemplateRef, template_id=st.text(), version=st.integers(1, 10**9))
optional_text = st.none() | st.text()
configs = st.builds(
    JobConfig,
    template=references,
    seed_data_path=st.text(),
    seed_version=optional_text,
    num_records=st.integers(1, 1_000_000),
    draws=st.builds(Draws, seed_strategy=st.sampled_from(SeedStrategy)),
    delivery=st.builds(
        Delivery,
        output_formats=st.lists(st.sampled_from(OutputFormat), min_size=1, unique=True).map(tuple),
        partition_strategy=st.sampled_from(PartitionStrategy),
    ),
    models=st.builds(ModelChoice, model=optional_text),
    includes=st.dictionaries(st.text(), references, max_size=3),
    price_table_version=optional_text,
    machines=st.builds(Machines, allow_on_demand=st.booleans()),
)


@settings(deadline=None)
@given(configs)
def test_a_configuration_comes_back_as_it_was(config: JobConfig) -> None:
    text = json.dumps(config_document(config))
    assert parse_config(json.loads(text)) == config
    assert parse_config(json.loads(text, parse_int=Decimal)) == config


@settings(deadline=None)
@given(configs, st.sampled_from(OutputFormat))
def test_an_older_document_lacks_what_came_later(config: JobConfig, kind: OutputFormat) -> None:
    """S1.4: a single format may be a bare string."""
    document = config_document(config)
    old = {
        name: document[name]
        for name in ("template_id", "template_version", "seed_data_path", "num_records")
    }
    assert parse_config(old | {"output_format": str(kind)}) == JobConfig(
        template=config.template,
        seed_data_path=config.seed_data_path,
        seed_version=None,
        num_records=config.num_records,
        draws=Draws(seed_strategy=SeedStrategy.RANDOM, random_seed=None, scheme=1),
        delivery=Delivery(output_formats=(kind,)),
    )


FIELDS = tuple(
    config_document(
        JobConfig(
            template=TemplateRef(template_id="t", version=1),
            seed_data_path="s",
            seed_version=None,
            num_records=1,
        )
    )
)
strange = st.recursive(
    st.none()
    | st.booleans()
    | st.text(max_size=5)
    | st.floats()
    | st.decimals(places=3)
    | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None)
@given(configs, st.sampled_from(FIELDS), strange)
def test_a_strange_document_is_refused_in_one_way(
    config: JobConfig, name: str, value: object
) -> None:
    try:
        parsed = parse_config(config_document(config) | {name: value})
    except (KeyError, ValueError):
        return
    assert isinstance(parsed, JobConfig)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("template_version", None),
        ("num_records", Decimal("Infinity")),
        ("output_format", 5),
        ("output_format", [["JSONL"]]),
        ("includes", [1]),
        ("includes", {"a": None}),
        ("partition_strategy", "weekly"),
    ],
)
def test_damage_is_a_value_error(name: str, value: object) -> None:
    config = JobConfig(
        template=TemplateRef(template_id="t", version=1),
        seed_data_path="s",
        seed_version=None,
        num_records=1,
    )
    with pytest.raises(ValueError, match=r"."):
        parse_config(config_document(config) | {name: value})
