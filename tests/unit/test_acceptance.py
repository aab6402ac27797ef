"""The most tries of a job: pinned when it is created, and what becomes of them when it grows."""

from collections.abc import Mapping

import pytest

from runtime.datasets.request import read_request
from runtime.domain.checks.acceptance import (
    MAX_CANDIDATES,
    Acceptance,
    OnExhausted,
    grown_candidates,
)
from runtime.domain.errors import InputError
from runtime.domain.jobs.checkpoint import Checkpoint, decode, encode
from runtime.domain.jobs.config import config_document, parse_config
from runtime.domain.jobs.job import Progress
from tests.fixtures.clock import ManualClock
from tests.fixtures.job_configs import job_config
from tests.fixtures.storage import new_job

STEP = {"id": "one", "prompt": "x", "max_tokens": 20}
PLAIN = {"name": "t", "steps": [STEP], "output": "records"}
CHECKED = {**PLAIN, "checks": [{"id": "kept", "keep_if": "steps.one.output | length > 2"}]}


def test_a_new_job_with_checks_has_ten_tries_a_record() -> None:
    assert Acceptance().pinned(30, has_checks=True).max_candidates == 300
    assert Acceptance(max_candidates=30).pinned(30, has_checks=True).max_candidates == 30
    most = Acceptance().pinned(MAX_CANDIDATES, has_checks=True).max_candidates
    assert most == MAX_CANDIDATES
    assert Acceptance().pinned(30, has_checks=False) == Acceptance()


def test_too_few_tries_are_refused() -> None:
    with pytest.raises(InputError, match="29 tries can't give 30 records: give 30 or more"):
        Acceptance(max_candidates=29).pinned(30, has_checks=True)


@pytest.mark.parametrize(
    "given",
    [{"max_candidates": 100}, {"attempts": 3}, {"on_exhausted": OnExhausted.FAIL}],
)
def test_tries_without_checks_are_refused_before_anything_is_paid(given: dict[str, object]) -> None:
    asked = Acceptance(**given)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="this one has none: leave them out"):
        read_request(PLAIN, None, num_records=5, backend="local", acceptance=asked)
    read_request(CHECKED, None, num_records=5, backend="local", acceptance=asked)


@pytest.mark.parametrize(
    ("most", "before", "now", "asked", "grown"),
    [
        (None, 10, 20, None, None),
        (100, 10, 20, None, 200),
        (100, 10, 10, None, 100),
        (50, 10, 20, None, 50),
        (15, 10, 20, None, 20),
        (100, 10, 20, 150, 150),
        (100, 10, 10, 100, 100),
        (100, 10, 200, 150, 200),
    ],
)
def test_growth_raises_the_tries_in_proportion_if_nobody_named_them(
    most: int | None, before: int, now: int, asked: int | None, grown: int | None
) -> None:
    assert grown_candidates(most, before=before, num_records=now, asked=asked) == grown


def test_tries_are_only_raised_and_only_with_checks() -> None:
    with pytest.raises(InputError, match="100 already"):
        grown_candidates(100, before=10, num_records=10, asked=99)
    with pytest.raises(InputError, match="no checks"):
        grown_candidates(None, before=10, num_records=10, asked=99)


def test_other_checks_or_attempts_are_another_dataset_and_other_tries_are_not() -> None:
    def request(template: Mapping[str, object], **given: object) -> dict[str, object]:
        asked = Acceptance(**given)  # type: ignore[arg-type]
        found = read_request(template, None, num_records=5, backend="local", acceptance=asked)
        return found.identity()

    own = request(CHECKED)
    assert own == request(CHECKED, max_candidates=70, on_exhausted=OnExhausted.FAIL)
    others = [
        request(PLAIN),
        request(CHECKED, attempts=3),
        request({**CHECKED, "checks": [{"id": "kept", "keep_if": "steps.one.output"}]}),
    ]
    assert all(each != own for each in others)
    assert "--attempts" not in request(PLAIN)


def test_a_job_without_checks_is_stored_as_it_always_was() -> None:
    job = new_job("j", ManualClock())
    document = config_document(job.config)
    assert not {"attempts", "max_candidates", "on_exhausted"} & set(document)
    assert parse_config(document) == job.config
    checked = job_config(
        template=job.config.template,
        seed_data_path=None,
        seed_version=None,
        num_records=5,
        max_candidates=50,
        attempts=3,
    )
    assert parse_config(config_document(checked)) == checked


def test_a_checkpoint_without_checks_is_what_it_always_was() -> None:
    blob = encode(Checkpoint(job_id="j", records_generated=3, next_index=4, pending=(1,)))
    assert b"checks" not in blob
    assert b"rejected" not in blob
    assert decode(blob).checks == Progress().checks
