"""One page that shows how the service is: alarms, jobs, queue, API and functions."""

from collections.abc import Iterable

from cdk_app.constructs.measures import PERIOD, Measures

from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

_WIDTH = 12


def add_dashboard(
    scope: Construct, measures: Measures, alarms: Iterable[cloudwatch.Alarm]
) -> cloudwatch.Dashboard:
    """A dashboard over the last day."""
    dashboard = cloudwatch.Dashboard(scope, "Dashboard", start="-P1D")
    dashboard.add_widgets(
        cloudwatch.AlarmStatusWidget(title="Alarms", alarms=list(alarms), width=2 * _WIDTH)
    )
    dashboard.add_widgets(
        _graph("Jobs that ended", [*measures.jobs.values(), measures.failures_to_mend]),
        _graph("Longest wait in the queue (s)", [measures.oldest_queued]),
    )
    dashboard.add_widgets(
        _graph(
            "Requests",
            [measures.api_metric(name, label=name) for name in ("Count", "4xx", "5xx")],
        ),
        _graph(
            "Latency (ms)",
            [measures.api_metric("Latency", statistic=each, label=each) for each in ("p50", "p99")],
        ),
    )
    dashboard.add_widgets(
        _graph(
            "Errors of functions",
            [
                function.metric_errors(period=PERIOD, label=name)
                for name, function in measures.functions.items()
            ],
        ),
        _graph(
            "Workers not started, costs above the worst case",
            [
                measures.workers_not_started,
                measures.workers_at_quota,
                measures.costs_above_worst_case,
            ],
        ),
    )
    dashboard.add_widgets(
        _graph(
            "Functions refused for want of concurrency",
            [
                function.metric_throttles(period=PERIOD, label=name)
                for name, function in measures.functions.items()
            ],
        ),
        _graph("Events that nobody handled", [*measures.lost_events.values()]),
    )
    dashboard.add_widgets(_graph("Executions of sharded jobs", [*measures.executions.values()]))
    return dashboard


def _graph(title: str, metrics: list[cloudwatch.IMetric]) -> cloudwatch.GraphWidget:
    return cloudwatch.GraphWidget(title=title, left=metrics, width=_WIDTH)
