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
    """Accept that a policy below `construct` names objects of another stack's bucket by a pattern
    of keys.
    """
    exported = name_of_export(bucket, bucket.bucket_arn)
    acknowledge_wildcard(construct, f"{exported}/{pattern}", reason)


def name_of_export(owner: IConstruct, value: str) -> str:
    """The name under which the stack of `owner` exports a value to other stacks: a finding calls
    the value by it.
    """
    stack = Stack.of(owner)
    return str(stack.resolve(stack.export_value(value))["Fn::ImportValue"])
