"""Whether work goes on: the sweeper's last runs, and the oldest job that waits."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from shlex import quote
from typing import Any, Final

import orjson

from runtime.contract.log_lines import QUEUE_SWEPT
from runtime.contract.stacks import EVENTS, STATEFUL
from runtime.contract.tables import QUEUE, QUEUE_BY_STATUS
from runtime.doctor.account import Account
from runtime.doctor.finding import Finding, not_deployed, ok, wrong
from runtime.domain.wording import counted

SWEEPS: Final = "last sweeps"
OLDEST: Final = "oldest queued job"

SWEEP_WINDOW: Final = timedelta(minutes=15)
LONGEST_SILENCE: Final = timedelta(minutes=5)
"""The sweeper runs every minute, and its log is seconds behind."""
LONGEST_WAIT: Final = timedelta(minutes=15)
"""The alarm on waiting jobs is raised after as long."""


def look_at_sweeps(account: Account) -> Iterator[Finding]:
    """The lines that the sweeper has written lately, one a run."""
    if not account.is_deployed(EVENTS):
        yield not_deployed(SWEEPS, account.stage)
        return
    group = account.resource(EVENTS, "AWS::Logs::LogGroup", "SweepQueue")
    now = account.now()
    sweeps = sorted(_sweeps(account, group, now - SWEEP_WINDOW), key=lambda each: each[0])
    tail = account.aws(f"logs tail {quote(group)} --since 1h")
    minutes = int(SWEEP_WINDOW.total_seconds() // 60)
    if not sweeps:
        says = f"none in {minutes} minutes; docs/runbook.md, SweeperSilent"
        yield wrong(SWEEPS, says, mend=tail)
        return
    quiet = now - sweeps[-1][0]
    failed = int(sweeps[-1][1].get("failed", 0))
    if quiet > LONGEST_SILENCE:
        says = f"the last one was {_minutes(quiet)} ago; docs/runbook.md, SweeperSilent"
        yield wrong(SWEEPS, says, mend=tail)
    elif failed:
        says = f"the last one had {counted(failed, 'failure')}: jobs, deletions or announcements"
        yield wrong(SWEEPS, says, mend=tail)
    else:
        yield ok(SWEEPS, f"{len(sweeps)} in {minutes} minutes")


def look_at_oldest_job(account: Account) -> Iterator[Finding]:
    """The first work item of the queue's index."""
    if not account.is_deployed(STATEFUL):
        yield not_deployed(OLDEST, account.stage)
        return
    table = account.resource(STATEFUL, "AWS::DynamoDB::Table", f"Tables{QUEUE.name}")
    found = account.client("dynamodb").query(
        TableName=table,
        IndexName=QUEUE_BY_STATUS,
        KeyConditionExpression="#status = :queued",
        ProjectionExpression="work_id, queued_at",
        ExpressionAttributeNames={"#status": "status"},
        ExpressionAttributeValues={":queued": {"S": "QUEUED"}},
        Limit=1,
    )["Items"]
    if not found:
        yield ok(OLDEST, "no job waits")
        return
    work, since = (found[0][name]["S"] for name in ("work_id", "queued_at"))
    waits = account.now() - datetime.fromisoformat(since)
    says = f"{work} has waited for {_minutes(waits)}"
    if waits > LONGEST_WAIT:
        yield wrong(OLDEST, f"{says}; its status says why", mend="docs/runbook.md, OldestQueuedJob")
    else:
        yield ok(OLDEST, says)


def _sweeps(
    account: Account, group: str, since: datetime
) -> Iterator[tuple[datetime, Mapping[str, Any]]]:
    """When each run since then has ended, and what it wrote."""
    for event in account.pages(
        "logs",
        "filter_log_events",
        "events",
        logGroupName=group,
        startTime=int(since.timestamp() * 1000),
        filterPattern=f'"{QUEUE_SWEPT}"',
    ):
        try:
            line = orjson.loads(event["message"])
        except orjson.JSONDecodeError:
            continue
        if isinstance(line, dict) and line.get("message") == QUEUE_SWEPT:
            yield datetime.fromtimestamp(event["timestamp"] / 1000, UTC), line


def _minutes(time: timedelta) -> str:
    return counted(max(0, int(time.total_seconds() // 60)), "minute")
