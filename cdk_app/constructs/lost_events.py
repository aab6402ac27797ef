"""Where events go that a function could not handle: a queue for each function that nobody calls.

    EventBridge ── can't deliver ──▶ queue ◀── function failed, and so did its repetitions ── Lambda

An event holds ids and states of tasks, and nothing that a user wrote.
"""

from cdk_app.nag import acknowledge

from aws_cdk import Duration
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs
from constructs import Construct


class LostEvents(Construct):
    """The queue of one function, and the function told to use it.

    An event is given up after `retries` more tries of the function, or when it is `max_age` old.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        function: lambda_.Function,
        keep: Duration,
        retries: int,
        max_age: Duration,
    ) -> None:
        super().__init__(scope, construct_id)
        self.queue = sqs.Queue(
            self,
            "Queue",
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            retention_period=keep,
        )
        acknowledge(self.queue, "AwsSolutions-SQS3", "It is itself where lost events go.")
        # The construct of the CDK would grant more than sending.
        function.add_to_role_policy(
            iam.PolicyStatement(actions=["sqs:SendMessage"], resources=[self.queue.queue_arn])
        )
        lambda_.CfnEventInvokeConfig(
            self,
            "Failures",
            function_name=function.function_name,
            qualifier="$LATEST",
            maximum_retry_attempts=retries,
            maximum_event_age_in_seconds=int(max_age.to_seconds()),
            destination_config=lambda_.CfnEventInvokeConfig.DestinationConfigProperty(
                on_failure=lambda_.CfnEventInvokeConfig.OnFailureProperty(
                    destination=self.queue.queue_arn
                )
            ),
        )
