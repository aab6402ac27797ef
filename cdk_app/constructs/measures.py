"""What is measured: AWS's own metrics, and counted lines of the logs of worker and handlers.

Counting lines needs no permission and no call, keeps stages apart by their log groups, and a metric
without a line costs nothing.
"""

from collections.abc import Mapping
from typing import Final

from runtime.contract import log_lines as lines
from runtime.contract.routes import LAUNCHERS, SWEEP_QUEUE, TASK_STOPPED
from runtime.contract.statuses import ENDS

from aws_cdk import Duration
from aws_cdk import aws_apigatewayv2 as apigw
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sqs as sqs
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

PERIOD: Final = Duration.minutes(5)
RECOVERERS: Final = (TASK_STOPPED.name, SWEEP_QUEUE.name)
"""The functions that find workers dead."""


class Measures(Construct):
    """Metrics by what they mean. `functions` and `lost_events` are by name in the route table."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        namespace: str,
        worker_log: logs.ILogGroup,
        api: apigw.HttpApi,
        functions: Mapping[str, lambda_.Function],
        lost_events: Mapping[str, sqs.IQueue],
        machine: sfn.StateMachine,
    ) -> None:
        super().__init__(scope, construct_id)
        self._namespace = namespace
        self._api = api
        self.functions = functions
        self.executions = {
            "failed": machine.metric_failed(period=PERIOD),
            "timed out": machine.metric_timed_out(period=PERIOD),
            "throttled": machine.metric_throttled(period=PERIOD),
        }
        self.jobs = {
            status: self._count(
                "Jobs" + "".join(map(str.capitalize, status.split("_"))),
                worker_log,
                logs.FilterPattern.all(
                    _message(lines.JOB_ENDED),
                    logs.FilterPattern.string_value("$.status", "=", status),
                ),
            )
            for status in map(str, ENDS)
        }
        # Users mend their own mistakes; the rest is for whoever runs this.
        self.failures_to_mend = self._count(
            "FailuresToMend",
            worker_log,
            logs.FilterPattern.all(
                _message(lines.JOB_ENDED),
                logs.FilterPattern.string_value(f"$.{lines.FAULT}", "=", lines.OWN_FAULT),
            ),
        )
        self.costs_above_worst_case = self._count(
            "CostsAboveWorstCase", worker_log, _message(lines.COST_ABOVE_WORST_CASE)
        )
        self.oldest_queued = self._count(
            "OldestQueuedSeconds",
            functions["sweep_queue"].log_group,
            _message(lines.QUEUE_SWEPT),
            value=f"$.{lines.OLDEST_QUEUED_SECONDS}",
        ).with_(statistic="max", period=Duration.minutes(1))
        self.workers_not_started = self._count_in(
            "WorkersNotStarted", LAUNCHERS, _message(lines.WORKER_NOT_STARTED)
        )
        self.workers_at_quota = self._count_in(
            "WorkersAtQuota", LAUNCHERS, _message(lines.WORKER_AT_QUOTA)
        )
        # A job whose workers died has failed like any other; no worker was left to say so.
        for name, filter_id in {"JobsFailed": "JobsGivenUp", "FailuresToMend": "GivenUp"}.items():
            self._count_in(name, RECOVERERS, _message(lines.JOB_GIVEN_UP), filter_id=filter_id)
        self.lost_events = {
            name: queue.metric_approximate_number_of_messages_visible(
                statistic="max", period=PERIOD
            )
            for name, queue in lost_events.items()
        }
        # Without a dimension: concurrency is one pool of the account and region, and an alarm can
        # add up no more than ten functions.
        self.throttles = lambda_.Function.metric_all_throttles(statistic="sum", period=PERIOD)

    def api_metric(
        self, name: str, *, statistic: str = "sum", label: str | None = None
    ) -> cloudwatch.Metric:
        """One of API Gateway's own: Count, 4xx, 5xx, Latency."""
        return cloudwatch.Metric(
            namespace="AWS/ApiGateway",
            metric_name=name,
            dimensions_map={"ApiId": self._api.api_id},
            statistic=statistic,
            period=PERIOD,
            label=label,
        )

    def _count_in(
        self,
        name: str,
        functions: tuple[str, ...],
        pattern: logs.IFilterPattern,
        *,
        filter_id: str | None = None,
    ) -> cloudwatch.Metric:
        """One metric of several logs: CloudWatch adds up what has the same name."""
        metric, *_ = [
            self._count(
                name,
                self.functions[each].log_group,
                pattern,
                filter_id=f"{filter_id or name}-{each}",
            )
            for each in functions
        ]
        return metric

    def _count(
        self,
        name: str,
        log_group: logs.ILogGroup,
        pattern: logs.IFilterPattern,
        *,
        value: str = "1",
        filter_id: str | None = None,
    ) -> cloudwatch.Metric:
        found = logs.MetricFilter(
            self,
            filter_id or name,
            log_group=log_group,
            filter_pattern=pattern,
            metric_namespace=self._namespace,
            metric_name=name,
            metric_value=value,
        )
        return found.metric(statistic="sum", period=PERIOD)


def _message(text: str) -> logs.JsonPattern:
    return logs.FilterPattern.string_value("$.message", "=", text)
