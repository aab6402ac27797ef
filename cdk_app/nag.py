"""cdk-nag: the rules every synth is checked against, and the findings that were thought about."""

from aws_cdk import Acknowledgment, App, Stack, Validations
from aws_cdk import aws_s3 as s3
from cdk_nag import AwsSolutionsChecks
from constructs import IConstruct


def check_with_nag(app: App) -> None:
    """Check every stack of `app` when it is synthesized; a finding fails the synth."""
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))


def acknowledge(construct: IConstruct, rule: str, reason: str) -> None:
    """Accept what `rule` finds at this construct and below it. `rule` is the full id of a finding,
    such as `AwsSolutions-IAM4[Policy::arn…]` where a rule can find several things.
    """
    Validations.of(construct).acknowledge(Acknowledgment(id=rule, reason=reason))


def acknowledge_wildcard(construct: IConstruct, resource: str, reason: str) -> None:
    """Accept that a policy below `construct` names this resource, which has a `*` in it."""
    acknowledge(construct, f"AwsSolutions-IAM5[Resource::{resource}]", reason)


def acknowledge_objects(
    construct: IConstruct, bucket: s3.IBucket, pattern: str, reason: str
) -> None:
    """Accept that a policy below `construct` names objects of the bucket by a pattern of keys. The
    bucket is another stack's, and a finding calls it by the name of that stack's export.
    """
    owner = Stack.of(bucket)
    export = owner.resolve(owner.export_value(bucket.bucket_arn))["Fn::ImportValue"]
    acknowledge_wildcard(construct, f"{export}/{pattern}", reason)
