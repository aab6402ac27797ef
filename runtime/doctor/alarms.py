"""Alarms, and whether anybody hears them."""

from collections.abc import Iterable, Iterator
from shlex import quote
from typing import Any, Final

from runtime.contract.stacks import MONITORING, stack_name
from runtime.doctor.account import Account
from runtime.doctor.finding import Finding, deployment, not_deployed, ok, unknown, wrong
from runtime.domain.wording import counted

SUBSCRIBERS: Final = "alarms reach somebody"
RAISED: Final = "alarms now"

_PENDING: Final = "PendingConfirmation"
_SHOWN: Final = 5


def look_at_subscribers(account: Account) -> Iterator[Finding]:
    """Every alarm is switched on and goes to a topic that has a confirmed subscriber."""
    if not account.is_deployed(MONITORING):
        yield not_deployed(SUBSCRIBERS, account.stage)
        return
    alarms = _alarms(account)
    if not alarms:
        yield unknown(SUBSCRIBERS, f"stack {_stack(account)} shows no alarms")
        return
    mute = [each for each in alarms if not each.get("AlarmActions")]
    if mute:
        yield wrong(
            SUBSCRIBERS, f"without a topic: {_names(account, mute)}", mend=deployment(account.stage)
        )
        return
    silent = [each for each in alarms if not each["ActionsEnabled"]]
    if silent:
        # All that are off, as AWS names them: a list of names may be longer than a finding is.
        asked = account.aws(
            f"cloudwatch describe-alarms --alarm-name-prefix {_stack(account)}-"
            " --query 'MetricAlarms[?!ActionsEnabled].AlarmName' --output text"
        )
        yield wrong(
            SUBSCRIBERS,
            f"switched off: {_names(account, silent)}",
            mend=account.aws(f"cloudwatch enable-alarm-actions --alarm-names $({asked})"),
        )
        return
    topics = sorted({topic for each in alarms for topic in each["AlarmActions"]})
    for topic in topics:
        yield _heard(account, topic, len(alarms))


def look_at_raised(account: Account) -> Iterator[Finding]:
    """What alarms say at this moment."""
    if not account.is_deployed(MONITORING):
        yield not_deployed(RAISED, account.stage)
        return
    alarms = _alarms(account)
    raised = [each for each in alarms if each["StateValue"] == "ALARM"]
    if raised:
        yield wrong(
            RAISED, f"raised: {_names(account, raised)}", mend="docs/runbook.md, by their names"
        )
    else:
        yield ok(RAISED, f"none of {len(alarms)} is raised")


def _heard(account: Account, topic: str, alarms: int) -> Finding:
    confirmed = pending = 0
    for each in account.pages(
        "sns", "list_subscriptions_by_topic", "Subscriptions", TopicArn=topic
    ):
        if each["SubscriptionArn"] == _PENDING:
            pending += 1
        elif each["SubscriptionArn"].startswith("arn:"):  # a deleted one is listed for some days
            confirmed += 1
    who = counted(confirmed, "confirmed subscriber")
    if pending:
        return wrong(
            SUBSCRIBERS,
            f"{pending} not confirmed, beside {who}",
            mend="open the link in the mail of AWS Notifications to that address",
        )
    if not confirmed:
        return wrong(
            SUBSCRIBERS,
            "the topic has no subscriber",
            mend=account.aws(
                f"sns subscribe --topic-arn {quote(topic)} --protocol email"
                " --notification-endpoint YOU"
            ),
        )
    return ok(SUBSCRIBERS, f"{counted(alarms, 'alarm')}, {who}")


def _alarms(account: Account) -> list[Any]:
    return list(
        account.pages(
            "cloudwatch",
            "describe_alarms",
            "MetricAlarms",
            AlarmNamePrefix=f"{_stack(account)}-",
            AlarmTypes=["MetricAlarm"],
        )
    )


def _stack(account: Account) -> str:
    return stack_name(account.stage, MONITORING)


def _names(account: Account, alarms: Iterable[Any]) -> str:
    """As the runbook knows them, more or less: CloudFormation puts its own letters around."""
    names = [each["AlarmName"].removeprefix(f"{_stack(account)}-") for each in alarms]
    more = [f"and {len(names) - _SHOWN} more"] if len(names) > _SHOWN else []
    return ", ".join([*names[:_SHOWN], *more])
