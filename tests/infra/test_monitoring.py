"""Alarms reach somebody, look at what is really written, and have a page that helps."""

import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any, Final

import pytest

from runtime.contract import log_lines
from runtime.contract.grants import LaunchGrant
from runtime.contract.routes import FUNCTIONS
from runtime.domain.errors import (
    ModelError,
    ModelErrorKind,
    RecordsFailingError,
    SeedError,
    SeedwrightError,
    WorkersLostError,
)
from runtime.domain.jobs.job import ENDED, JobError, JobStatus
from runtime.logs import configure, event
from runtime.worker.status_writer import Jobs
from tests.fixtures.clock import ManualClock
from tests.fixtures.memory_ports import MemoryJobs, MemoryQueue
from tests.fixtures.storage import new_job
from tests.infra.conftest import ROOT, Synthesized

STACK = "monitoring"

ALARMS: Final = {
    *("OldestQueuedJob", "FailedJobs", "BudgetBreach", "SpotDrought", "FargateQuota"),
    *("ApiErrors", "SweeperErrors", "SweeperSilent", "TaskStoppedErrors"),
    *("ThrottledFunctions", "LostEvents", "LostSweeps"),
    *("FailedExecutions", "TimedOutExecutions", "ThrottledExecutions"),
}


def alarms(app: Synthesized) -> dict[str, Any]:
    """Properties by the name in the runbook."""
    found = app.resources(STACK, "AWS::CloudWatch::Alarm").values()
    return {
        each["Properties"]["AlarmDescription"].rstrip(".").rpartition(" ")[2]: each["Properties"]
        for each in found
    }


def filters(app: Synthesized) -> dict[str, list[Any]]:
    """Metric filters by the name of their metric."""
    found: dict[str, list[Any]] = {}
    for each in app.resources(STACK, "AWS::Logs::MetricFilter").values():
        (transformation,) = each["Properties"]["MetricTransformations"]
        found.setdefault(transformation["MetricName"], []).append(each["Properties"])
    return found


def test_the_alarms(app: Synthesized) -> None:
    assert set(alarms(app)) == ALARMS


def test_every_alarm_goes_to_the_topic(app: Synthesized) -> None:
    (topic,) = app.resources(STACK, "AWS::SNS::Topic")
    for alarm in alarms(app).values():
        assert alarm["AlarmActions"] == [{"Ref": topic}]


def test_the_topic_takes_what_the_stacks_own_alarms_publish(app: Synthesized) -> None:
    """A topic policy replaces the default one: without an Allow, no alarm reaches anybody."""
    (topic,) = app.resources(STACK, "AWS::SNS::Topic")
    policy = app.one(STACK, "AWS::SNS::TopicPolicy")

    assert policy["Topics"] == [{"Ref": topic}]
    (allow,) = (each for each in policy["PolicyDocument"]["Statement"] if each["Effect"] == "Allow")
    assert allow["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert (allow["Action"], allow["Resource"]) == ("sns:Publish", {"Ref": topic})
    account = {"Ref": "AWS::AccountId"}
    assert allow["Condition"]["StringEquals"] == {"aws:SourceAccount": account}
    source = allow["Condition"]["ArnLike"]["aws:SourceArn"]
    *place, tail = source["Fn::Join"][1]
    assert {"Ref": "AWS::Region"} in place
    assert account in place
    assert tail == f":alarm:seedwright-{app.stage.name}-monitoring-*"
    # A name of its own could leave the pattern.
    assert not any("AlarmName" in each for each in alarms(app).values())
    (deny,) = (each for each in policy["PolicyDocument"]["Statement"] if each["Effect"] == "Deny")
    assert deny["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_the_topic_tells_who_was_named(dev: Synthesized, private: Synthesized) -> None:
    assert not dev.resources(STACK, "AWS::SNS::Subscription")
    subscription = private.one(STACK, "AWS::SNS::Subscription")
    assert (subscription["Protocol"], subscription["Endpoint"]) == ("email", "ops@example.com")


def test_the_runbook_has_a_section_for_each_alarm() -> None:
    runbook = (ROOT / "docs/runbook.md").read_text()

    assert set(re.findall(r"^### (\w+)$", runbook, re.MULTILINE)) >= ALARMS


@pytest.mark.parametrize(
    ("name", "threshold", "period", "periods"),
    [
        ("OldestQueuedJob", 15 * 60, 60, 3),
        ("FailedJobs", 1, 300, 1),
        ("BudgetBreach", 1, 300, 1),
        ("SpotDrought", 1, 300, 3),
        ("FargateQuota", 1, 300, 3),
        ("ApiErrors", 3, 300, 1),
        ("FailedExecutions", 1, 300, 1),
        ("TimedOutExecutions", 1, 300, 1),
        ("ThrottledExecutions", 3, 300, 3),
        ("SweeperErrors", 3, 300, 1),
        ("TaskStoppedErrors", 3, 300, 1),
        ("ThrottledFunctions", 3, 300, 1),
        ("LostEvents", 1, 300, 1),
        ("LostSweeps", 3, 300, 1),
    ],
)
def test_an_alarm_rises_when_something_is_wrong_and_not_in_silence(
    app: Synthesized, name: str, threshold: int, period: int, periods: int
) -> None:
    alarm = alarms(app)[name]

    assert alarm["Threshold"] == threshold
    assert alarm["Period"] == period
    assert alarm["EvaluationPeriods"] == periods
    assert alarm["ComparisonOperator"] == "GreaterThanOrEqualToThreshold"
    assert alarm["TreatMissingData"] == "notBreaching"


def test_a_sweeper_that_does_not_run_is_an_alarm(app: Synthesized) -> None:
    alarm = alarms(app)["SweeperSilent"]

    assert alarm["MetricName"] == "Invocations"
    assert alarm["TreatMissingData"] == "breaching"
    assert (alarm["Threshold"], alarm["ComparisonOperator"]) == (1, "LessThanThreshold")


def test_an_alarm_on_lines_of_log_looks_at_a_metric_that_a_filter_makes(app: Synthesized) -> None:
    made = {
        (each["MetricNamespace"], each["MetricName"])
        for group in filters(app).values()
        for properties in group
        for each in properties["MetricTransformations"]
    }
    looked_at = {
        (alarm["Namespace"], alarm["MetricName"])
        for alarm in alarms(app).values()
        if alarm.get("Namespace", "").startswith("seedwright")
    }

    assert len(looked_at) == 5
    assert looked_at <= made
    assert {namespace for namespace, _ in made} == {f"seedwright/{app.stage.name}"}


def test_throttles_and_lost_events_are_watched(app: Synthesized) -> None:
    """Throttles over all functions: concurrency is one pool, and an alarm adds up ten at most."""
    throttles = alarms(app)["ThrottledFunctions"]
    assert (throttles["Namespace"], throttles["MetricName"]) == ("AWS/Lambda", "Throttles")
    assert throttles["Statistic"] == "Sum"
    assert "Dimensions" not in throttles
    queues = set()
    for name in ("LostEvents", "LostSweeps"):
        assert alarms(app)[name]["MetricName"] == "ApproximateNumberOfMessagesVisible"
        (dimension,) = alarms(app)[name]["Dimensions"]
        assert dimension["Name"] == "QueueName"
        queues.add(app.resolver.text(STACK, dimension["Value"]))
    assert queues == {f"{each}.QueueName" for each in app.resources("events", "AWS::SQS::Queue")}


# ── filters see what is written ────────────────────────────────────────────────────────────────


def sees(pattern: str, line: dict[str, Any]) -> bool:
    """CloudWatch's matching of a JSON pattern, for equalities joined by `&&`."""
    tests = re.findall(r'\$\.(\w+) = "([^"]*)"', pattern)
    assert tests, pattern
    assert len(tests) == pattern.count("=")
    return all(line.get(name) == value for name, value in tests)


@contextmanager
def worker_log() -> Iterator[StringIO]:
    """What the worker's own logging writes meanwhile, as lines of JSON."""
    stream, root = StringIO(), logging.getLogger("runtime")
    before = (root.handlers, root.level, root.propagate)
    configure(stream)
    try:
        yield stream
    finally:
        root.handlers, root.level, root.propagate = before


def worker_line(level: int, message: str, **fields: object) -> dict[str, Any]:
    """What the worker's own logging makes of an event."""
    with worker_log() as stream:
        event(logging.getLogger("runtime.worker.status_writer"), level, message, **fields)
    line: dict[str, Any] = json.loads(stream.getvalue())
    return line


def ended_line(error: JobError) -> dict[str, Any]:
    """What the worker logs when a job fails."""
    clock, queue = ManualClock(), MemoryQueue()
    store = MemoryJobs(queue, clock)
    store.create_job(new_job("j", clock))
    claim = queue.claim("j", "me")
    assert claim is not None
    jobs = Jobs(store, queue)
    jobs.mark_job_running(claim)
    with worker_log() as stream:
        jobs.mark_job_failed(claim, error)
    line: dict[str, Any] = json.loads(stream.getvalue())
    return line


@pytest.mark.parametrize("status", sorted(ENDED - {JobStatus.DELETING}))
def test_the_end_of_a_job_is_counted_by_its_status(app: Synthesized, status: str) -> None:
    line = worker_line(logging.INFO, log_lines.JOB_ENDED, job_id="j", status=str(status))

    counting = {
        name
        for name, found in filters(app).items()
        for properties in found
        if sees(properties["FilterPattern"], line)
    }
    assert counting == {"Jobs" + "".join(map(str.capitalize, str(status).split("_")))}


@pytest.mark.parametrize(
    ("error", "woken"),
    [
        (SeedError("no column name"), False),
        (RecordsFailingError("ten in a row"), False),
        (ModelError(ModelErrorKind.FATAL, "no access"), True),
        (WorkersLostError("three times"), True),
    ],
)
def test_nobody_is_woken_for_what_only_the_user_can_mend(
    dev: Synthesized,
    error: SeedwrightError,
    woken: bool,  # noqa: FBT001
) -> None:
    line = ended_line(JobError(message=str(error), code=error.code))

    metric = alarms(dev)["FailedJobs"]["MetricName"]
    assert any(sees(each["FilterPattern"], line) for each in filters(dev)[metric]) is woken
    assert any(sees(each["FilterPattern"], line) for each in filters(dev)["JobsFailed"])


def test_a_budget_that_is_spent_is_on_the_dashboard_and_no_alarm(app: Synthesized) -> None:
    watched = {each.get("MetricName") for each in alarms(app).values()}
    body = app.resolver.text(STACK, app.one(STACK, "AWS::CloudWatch::Dashboard")["DashboardBody"])

    assert "JobsBudgetExceeded" not in watched
    assert "JobsBudgetExceeded" in body


def test_a_job_that_was_given_up_counts_as_failed(app: Synthesized) -> None:
    line = {"message": log_lines.JOB_GIVEN_UP, "level": "ERROR"}

    seeing = [each for each in filters(app)["JobsFailed"] if sees(each["FilterPattern"], line)]
    assert len({app.resolver.text(STACK, each["LogGroupName"]) for each in seeing}) == 2


def test_a_cost_above_the_worst_case_is_counted(app: Synthesized) -> None:
    line = worker_line(logging.ERROR, log_lines.COST_ABOVE_WORST_CASE, job_id="j", cost_nano=1)

    (properties,) = filters(app)["CostsAboveWorstCase"]
    assert sees(properties["FilterPattern"], line)


def test_the_wait_in_the_queue_is_a_field_of_the_sweepers_line(app: Synthesized) -> None:
    (properties,) = filters(app)["OldestQueuedSeconds"]

    assert sees(properties["FilterPattern"], {"message": log_lines.QUEUE_SWEPT})
    (transformation,) = properties["MetricTransformations"]
    assert transformation["MetricValue"] == f"$.{log_lines.OLDEST_QUEUED_SECONDS}"
    assert "DefaultValue" not in transformation


@pytest.mark.parametrize(
    ("metric", "line"),
    [
        ("WorkersNotStarted", log_lines.WORKER_NOT_STARTED),
        ("WorkersAtQuota", log_lines.WORKER_AT_QUOTA),
    ],
)
def test_failed_starts_are_watched_wherever_workers_are_started(
    app: Synthesized, metric: str, line: str
) -> None:
    starters = [f for f in FUNCTIONS if any(isinstance(g, LaunchGrant) for g in f.grants)]
    watched = filters(app)[metric]

    assert len(watched) == len(starters)
    assert all(sees(each["FilterPattern"], {"message": line}) for each in watched)
    groups = {app.resolver.text(STACK, each["LogGroupName"]) for each in watched}
    assert groups == {
        config["LogGroup"]["Ref"]
        for stack in ("api", "events")
        for each in app.resources(stack, "AWS::Lambda::Function").values()
        if each["Properties"]["Handler"] in {starter.handler for starter in starters}
        for config in [each["Properties"]["LoggingConfig"]]
    }


LINES: Final = [name for name in vars(log_lines) if name.isupper()]


@pytest.mark.parametrize("line", LINES)
def test_somebody_writes_every_line_that_is_counted(line: str) -> None:
    sources = [
        path.read_text()
        for folder in ("runtime/worker", "runtime/service", "runtime/lambdas", "runtime/aws")
        for path in Path(ROOT / folder).rglob("*.py")
    ]

    assert any(re.search(rf"\b{line}\b", text) for text in sources)


# ── dashboard ──────────────────────────────────────────────────────────────────────────────────


def test_the_dashboard_shows_alarms_jobs_queue_api_and_functions(app: Synthesized) -> None:
    body = app.resolver.text(STACK, app.one(STACK, "AWS::CloudWatch::Dashboard")["DashboardBody"])

    widgets = json.loads(body)["widgets"]
    titles = {each["properties"]["title"] for each in widgets}
    assert {"Alarms", "Jobs that ended", "Requests", "Errors of functions"} <= titles
    (status,) = (each for each in widgets if each["type"] == "alarm")
    assert len(status["properties"]["alarms"]) == len(ALARMS)
