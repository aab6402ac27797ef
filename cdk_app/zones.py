"""The availability zones that workers run in, in whatever account and region the stacks are.

A zone's name, us-east-1a, stands for another zone in each account; its id, use1-az1, does not. So
where Fargate takes ARM64 tasks in some zones only, the subnets name zones by id. Elsewhere they
take the account's first zones: a template that belongs to no account can't know how many there are.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, cast

from cdk_app.nag import acknowledge

from aws_cdk import Aws, CfnCondition, Fn, ICfnConditionExpression, Token
from aws_cdk import aws_ec2 as ec2
from constructs import Construct

ZONE_IDS: Final[Mapping[str, Sequence[str]]] = {
    # use1-az3 has no ARM64 machines for Fargate.
    "us-east-1": ("use1-az1", "use1-az2", "use1-az4", "use1-az5", "use1-az6"),
    "us-west-1": ("usw1-az1", "usw1-az3"),
    "ap-northeast-1": ("apne1-az1", "apne1-az2", "apne1-az4"),
}
"""By region: the zones of workers, where they are not all zones. From *Supported Regions for Amazon
ECS on AWS Fargate* and the notes on ARM64, November 2026."""


def first_zones(count: int) -> list[str]:
    """The names of the account's first zones, as expressions."""
    return [Fn.select(index, Fn.get_azs()) for index in range(count)]


def pin_zones(scope: Construct, subnets: Sequence[ec2.ISubnet]) -> None:
    """Place `subnets` by zone id in the regions of `ZONE_IDS`.

    A region with fewer zones than subnets has several of them in one zone, which does no harm: no
    resource has to be left out there.
    """
    conditions = {
        region: CfnCondition(
            scope, f"In {region}", expression=Fn.condition_equals(Aws.REGION, region)
        )
        for region in ZONE_IDS
    }
    listed = CfnCondition(
        scope,
        "ZonesById",
        expression=Fn.condition_or(*cast("Iterable[ICfnConditionExpression]", conditions.values())),
    )
    for index, subnet in enumerate(subnets):
        resource = cast("ec2.CfnSubnet", subnet.node.default_child)
        resource.availability_zone = _if(listed, Aws.NO_VALUE, resource.availability_zone)
        zone = Aws.NO_VALUE
        for region, ids in reversed(list(ZONE_IDS.items())):
            zone = _if(conditions[region], ids[index % len(ids)], zone)
        resource.availability_zone_id = zone
        acknowledge(
            resource,
            "CloudFormation-Validate::F3020",
            "A name and an id of a zone exclude each other; the conditions leave one of the two.",
        )


def _if(condition: CfnCondition, then: str, otherwise: str | None) -> str:
    return Token.as_string(Fn.condition_if(condition.logical_id, then, otherwise))
