"""Small faults of ministack 1.5.33 that the templates of this project meet, and its clock."""

from typing import Any, Final

from ministack import app
from ministack.core.responses import error_response_json
from ministack.services import cognito, ecs, eventbridge, scheduler
from ministack.services.cloudformation import provisioners

Properties = dict[str, Any]

MINUTE_SECONDS: Final = 4
"""What a schedule counts as a minute, so that nobody waits for one."""


def install() -> None:
    """Mend them all."""
    _count_loopback_as_tls()
    _associate_capacity_providers()
    _take_alarms_of_expressions()
    _refuse_strangers()
    _shorten_schedules()


def _count_loopback_as_tls() -> None:
    """Bucket policies demand TLS, which a server on loopback has no certificate for."""
    pin = app.pin_request_origin
    app.pin_request_origin = lambda address, _secure: pin(address, True)


def _associate_capacity_providers() -> None:
    """CloudFormation knows the cluster but not the capacity providers of one."""

    def create(_logical_id: str, properties: Properties, _stack: str) -> tuple[str, Properties]:
        cluster: str = properties["Cluster"]
        ecs._put_cluster_capacity_providers(
            {
                "cluster": cluster,
                "capacityProviders": properties.get("CapacityProviders", []),
                "defaultCapacityProviderStrategy": provisioners._pascal_to_camel(
                    properties.get("DefaultCapacityProviderStrategy") or []
                ),
            }
        )
        return cluster, {}

    provisioners._RESOURCE_HANDLERS["AWS::ECS::ClusterCapacityProviderAssociations"] = {
        "create": create,
        "delete": lambda _physical_id, _properties: None,
    }


def _take_alarms_of_expressions() -> None:
    """An alarm on a list of metrics is refused, though a list may hold a single metric. Such an
    alarm watches the first metric of its list here, and no sum of them.
    """
    record = provisioners._cw_metric_alarm_record

    def first_metric(name: str, properties: Properties) -> Any:
        stats = [
            each["MetricStat"] for each in properties.get("Metrics", ()) if "MetricStat" in each
        ]
        if not stats:
            return record(name, properties)
        plain = {key: value for key, value in properties.items() if key != "Metrics"}
        statistic = {"Period": stats[0]["Period"], "Statistic": stats[0]["Stat"]}
        return record(name, {**plain, **stats[0]["Metric"], **statistic})

    provisioners._cw_metric_alarm_record = first_metric


def _refuse_strangers() -> None:
    """A pool whose users only an administrator makes lets everybody register."""
    register = cognito._sign_up

    def sign_up(request: Properties) -> Any:
        for pool in cognito._user_pools.values():
            closed = pool["AdminCreateUserConfig"].get("AllowAdminCreateUserOnly")
            if request.get("ClientId") in pool["_clients"] and closed:
                message = "SignUp is not permitted for this user pool"
                return error_response_json("NotAuthorizedException", message, 400)
        return register(request)

    cognito._sign_up = sign_up


def _shorten_schedules() -> None:
    seconds_of = eventbridge._parse_rate_seconds

    def short_seconds_of(expression: str) -> float | None:
        seconds: float | None = seconds_of(expression)
        return None if seconds is None else seconds * MINUTE_SECONDS / 60

    eventbridge._parse_rate_seconds = short_seconds_of
    eventbridge._SCHEDULER_TICK_INTERVAL = scheduler._SCHEDULE_TICK_INTERVAL = 1
