"""Log groups: always explicit, always with a retention."""

from aws_cdk import RemovalPolicy
from aws_cdk import aws_logs as logs
from constructs import Construct

_RETENTION = {
    7: logs.RetentionDays.ONE_WEEK,
    14: logs.RetentionDays.TWO_WEEKS,
    30: logs.RetentionDays.ONE_MONTH,
    90: logs.RetentionDays.THREE_MONTHS,
    365: logs.RetentionDays.ONE_YEAR,
}


def log_group(
    scope: Construct, construct_id: str, *, days: int, name: str | None = None
) -> logs.LogGroup:
    """A log group that goes with its stack. `days` is one of the periods CloudWatch knows. A `name`
    is only for whom one matters, and has the name of the stack in it.

    Without one, AWS makes a group at the first line, that is kept for ever and outlives the stack.
    """
    return logs.LogGroup(
        scope,
        construct_id,
        log_group_name=name,
        retention=_RETENTION[days],
        removal_policy=RemovalPolicy.DESTROY,
    )
