"""The tuning of a worker: defaults as the documentation tells them, and what makes no sense."""

import re
from pathlib import Path

import pytest

from runtime.domain.errors import ConfigurationError
from runtime.worker.__main__ import settings_of, work_id_from
from runtime.worker.settings import WorkerSettings
from runtime.worker.worker import ALARM_SECONDS

ARCHITECTURE = Path(__file__).parents[2] / "docs" / "architecture.md"
VARIABLES = {
    "CHECKPOINT_INTERVAL": "checkpoint_interval",
    "WORKER_CONCURRENCY": "concurrency",
    "HEARTBEAT_SECONDS": "heartbeat_seconds",
    "LEASE_SECONDS": "lease_seconds",
}


@pytest.mark.parametrize(("variable", "field"), VARIABLES.items())
def test_a_default_is_what_the_documentation_says(variable: str, field: str) -> None:
    (told,) = re.findall(rf"`{variable}` \((\d+)\)", ARCHITECTURE.read_text(encoding="utf-8"))
    assert getattr(WorkerSettings(), field) == int(told)
    assert settings_of({}) == WorkerSettings()


@pytest.mark.parametrize(("variable", "field"), VARIABLES.items())
@pytest.mark.parametrize("value", [35, 40])
def test_a_variable_sets_its_field_and_no_other(variable: str, field: str, value: int) -> None:
    roomy = {"HEARTBEAT_SECONDS": "1", "LEASE_SECONDS": "100000"}
    expected = {"heartbeat_seconds": 1, "lease_seconds": 100_000, field: value}
    assert settings_of({**roomy, variable: str(value)}) == WorkerSettings(**expected)  # type: ignore[arg-type]


@pytest.mark.parametrize("variable", VARIABLES)
@pytest.mark.parametrize("text", ["0", "100001", "-1", "1.5", "many", "", "²", "٣"])
def test_what_is_no_sensible_number_is_named(variable: str, text: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{variable} must be a whole number"):
        settings_of({variable: text})


@pytest.mark.parametrize(("lease", "good"), [("30", False), ("31", True)])
def test_a_lease_outlasts_two_heartbeats(lease: str, good: bool) -> None:  # noqa: FBT001
    """One of them may fail, and the worker still stops itself before the lease ends."""
    if good:
        assert settings_of({"LEASE_SECONDS": lease}).lease_seconds == int(lease)
        return
    with pytest.raises(ConfigurationError, match="more than twice HEARTBEAT_SECONDS"):
        settings_of({"LEASE_SECONDS": lease})


def test_the_drain_ends_before_the_alarm_and_the_alarm_before_the_machine() -> None:
    """S4.1: from SIGTERM to SIGKILL a reclaimed machine leaves two minutes."""
    assert WorkerSettings().drain_seconds == 90
    assert ALARM_SECONDS == 100


@pytest.mark.parametrize(("job_id", "work_id"), [("j", "j"), ("", None)])
def test_an_empty_job_id_is_none(job_id: str, work_id: str | None) -> None:
    assert work_id_from({"JOB_ID": job_id}) == work_id
    assert work_id_from({}) is None


def test_a_worker_may_be_told_its_shard() -> None:
    assert work_id_from({"JOB_ID": "j", "SHARD": "7"}) == "j#7"
    assert work_id_from({"JOB_ID": "j", "SHARD": ""}) == "j"
    for environment in (
        {"SHARD": "0"},
        {"JOB_ID": "j", "SHARD": "-1"},
        {"JOB_ID": "j", "SHARD": "90"},
        {"JOB_ID": "j", "SHARD": "one"},
    ):
        with pytest.raises(ConfigurationError, match="SHARD"):
            work_id_from(environment)
