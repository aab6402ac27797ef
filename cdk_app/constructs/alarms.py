"""What somebody has to hear of, because it is theirs to mend: users' mistakes and spent budgets are
on the dashboard and wake nobody. The runbook has a section for each alarm, under its name.
"""

from typing import Final

from cdk_app.config import StageConfig
from cdk_app.constructs.measures import PERIOD, Measures

from aws_cdk import ArnFormat, Duration, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

_MINUTE: Final = Duration.minutes(1)
_QUIET: Final = cloudwatch.TreatMissingData.NOT_BREACHING
_SILENCE_IS_BAD: Final = cloudwatch.TreatMissingData.BREACHING
_AT_LEAST: Final = cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD
_LESS: Final = cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD


class Alarms(Construct):
    """All alarms and the topic they are sent to; `all` is by name."""

    def __init__(
        self, scope: Construct, construct_id: str, *, stage: StageConfig, measures: Measures
    ) -> None:
        super().__init__(scope, construct_id)
        self.topic = sns.Topic(
            self, "Topic", display_name=f"Seedwright {stage.name}", enforce_ssl=True
        )
        self._let_alarms_publish()
        if stage.alarm_email:
            self.topic.add_subscription(subscriptions.EmailSubscription(stage.alarm_email))
        self.all: dict[str, cloudwatch.Alarm] = {}
        self._watch_jobs(stage, measures)
        self._watch_functions(stage, measures)
        self._watch_executions(stage, measures)

    def _let_alarms_publish(self) -> None:
        """A policy of one's own, like the one that enforces TLS, replaces the topic's default one,
        by which CloudWatch may publish.
        """
        stack = Stack.of(self)
        # CloudFormation begins the names of alarms with the stack's.
        alarms = stack.format_arn(
            service="cloudwatch",
            resource="alarm",
            resource_name=f"{stack.stack_name}-*",
            arn_format=ArnFormat.COLON_RESOURCE_NAME,
        )
        self.topic.add_to_resource_policy(
            iam.PolicyStatement(
                sid="AllowAlarms",
                principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
                actions=["sns:Publish"],
                resources=[self.topic.topic_arn],
                conditions={
                    "StringEquals": {"aws:SourceAccount": stack.account},
                    "ArnLike": {"aws:SourceArn": alarms},
                },
            )
        )

    def _watch_jobs(self, stage: StageConfig, measures: Measures) -> None:
        self._add(
            "OldestQueuedJob",
            "A job waits for a worker longer than it should.",
            measures.oldest_queued,
            threshold=stage.oldest_queued_minutes * 60,
            periods=3,
        )
        self._add(
            "FailedJobs",
            "A job has failed, and not by its user's fault.",
            measures.failures_to_mend,
            threshold=1,
        )
        self._add(
            "BudgetBreach",
            "A model call cost more than what was reserved for it: a limit may have been passed.",
            measures.costs_above_worst_case,
            threshold=1,
        )
        self._add(
            "SpotDrought",
            "No worker could be started for a quarter of an hour: Fargate Spot has no machines.",
            measures.workers_not_started,
            threshold=1,
            periods=3,
        )
        self._add(
            "FargateQuota",
            "Jobs have waited for a quarter of an hour because the account's quota of vCPUs on"
            " Fargate is used up.",
            measures.workers_at_quota,
            threshold=1,
            periods=3,
        )

    def _watch_functions(self, stage: StageConfig, measures: Measures) -> None:
        self._add(
            "ApiErrors",
            "The API answers with errors of its own (5xx).",
            measures.api_metric("5xx"),
            threshold=stage.function_errors,
        )
        sweeper, stopped = (measures.functions[name] for name in ("sweep_queue", "task_stopped"))
        self._add(
            "SweeperErrors",
            "The sweeper fails: lost jobs are not found.",
            sweeper.metric_errors(period=PERIOD),
            threshold=stage.function_errors,
        )
        self._add(
            "TaskStoppedErrors",
            "The handler of stopped tasks fails: interrupted jobs go on later than they could.",
            stopped.metric_errors(period=PERIOD),
            threshold=stage.function_errors,
        )
        self._add(
            "ThrottledFunctions",
            "Functions are refused: the account's concurrency is used up.",
            measures.throttles,
            threshold=stage.function_errors,
        )
        lost = measures.lost_events
        self._add(
            "LostEvents",
            "The end of a task was not handled, and is not tried again.",
            lost["task_stopped"],
            threshold=1,
        )
        self._add(
            "LostSweeps",
            "Sweeps were not run to their end within the last hour.",
            lost["sweep_queue"],
            threshold=stage.function_errors,
        )
        self._add(
            "SweeperSilent",
            "The sweeper has not run for ten minutes: lost jobs are not found.",
            sweeper.metric_invocations(period=_MINUTE),
            threshold=1,
            periods=10,
            comparison=_LESS,
            missing=_SILENCE_IS_BAD,
        )

    def _watch_executions(self, stage: StageConfig, measures: Measures) -> None:
        self._add(
            "FailedExecutions",
            "The state machine of a sharded job has failed; the sweeper starts it anew.",
            measures.executions["failed"],
            threshold=1,
        )
        self._add(
            "TimedOutExecutions",
            "A sharded job has taken longer than the state machine allows.",
            measures.executions["timed out"],
            threshold=1,
        )
        self._add(
            "ThrottledExecutions",
            "Step Functions holds back state transitions: sharded jobs go on more slowly.",
            measures.executions["throttled"],
            threshold=stage.function_errors,
            periods=3,
        )

    def _add(
        self,
        name: str,
        description: str,
        metric: cloudwatch.IMetric,
        *,
        threshold: int,
        periods: int = 1,
        comparison: cloudwatch.ComparisonOperator = _AT_LEAST,
        missing: cloudwatch.TreatMissingData = _QUIET,
    ) -> None:
        alarm = cloudwatch.Alarm(
            self,
            name,
            alarm_description=f"{description} See docs/runbook.md, {name}.",
            metric=metric,
            threshold=threshold,
            evaluation_periods=periods,
            comparison_operator=comparison,
            treat_missing_data=missing,
        )
        alarm.add_alarm_action(actions.SnsAction(self.topic))
        self.all[name] = alarm
