"""The doctor in an account that another emulator answers for: before a deployment and after it.

What moto lacks is written down: Bedrock, Service Quotas, Lambda's account, Budgets.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from runtime.contract.stacks import BOOTSTRAP_PARAMETER, STACKS, stack_name
from runtime.contract.tables import QUEUE, QUEUE_BY_STATUS
from runtime.doctor.account import Account
from runtime.doctor.bootstrap import ECS_ROLE_NAME
from runtime.doctor.examination import examine
from runtime.doctor.finding import State
from runtime.domain.models.price_table import load_prices
from runtime.sdk import create_reader
from tests.fixtures.aws import REGION, emulated_aws
from tests.fixtures.aws_answers import CHOSEN, HEALTHY, AwsAnswers, answering, swept

WRITTEN_DOWN: Final = {
    key: answer
    for key, answer in HEALTHY.items()
    if key.partition(".")[0]
    in {"bedrock", "budgets", "ecs", "lambda", "secretsmanager", "service-quotas"}
}
NOTHING: Final = {"Nothing": {"Type": "AWS::SNS::Topic"}}
RESOURCES: Final[dict[str, Any]] = {
    "stateful": {
        "TablesQueue1": {
            "Type": "AWS::DynamoDB::Table",
            "Properties": {
                "TableName": "seedwright-dev-stateful-queue",
                "BillingMode": "PAY_PER_REQUEST",
                "KeySchema": [{"AttributeName": "work_id", "KeyType": "HASH"}],
                "AttributeDefinitions": [
                    {"AttributeName": name, "AttributeType": "S"}
                    for name in ("work_id", "status", "queued_at")
                ],
                "GlobalSecondaryIndexes": [
                    {
                        "IndexName": QUEUE_BY_STATUS,
                        "KeySchema": [
                            {"AttributeName": "status", "KeyType": "HASH"},
                            {"AttributeName": "queued_at", "KeyType": "RANGE"},
                        ],
                        "Projection": {"ProjectionType": "ALL"},
                    }
                ],
            },
        }
    },
    "worker": {
        "WorkerDefinition1": {
            "Type": "AWS::ECS::TaskDefinition",
            "Properties": {
                "Family": "worker",
                "ContainerDefinitions": [{"Name": "worker", "Image": "worker", "Memory": 512}],
            },
        }
    },
    "events": {
        "SweepQueueLog1": {
            "Type": "AWS::Logs::LogGroup",
            "Properties": {"LogGroupName": "seedwright-dev-events-sweeps"},
        }
    },
}
"""Of the stacks what the doctor looks for, under the names that CloudFormation would give."""


@pytest.fixture
def aws() -> Iterator[AwsAnswers]:
    with emulated_aws(), answering(WRITTEN_DOWN) as answers:
        yield answers
        cloudformation = client("cloudformation")
        for each in cloudformation.describe_stacks()["Stacks"]:
            cloudformation.delete_stack(StackName=each["StackName"])
        client("cloudwatch").delete_alarms(AlarmNames=["seedwright-dev-monitoring-FailedJobs"])
        client("iam").delete_role(RoleName=ECS_ROLE_NAME)
        client("ssm").delete_parameter(Name=BOOTSTRAP_PARAMETER)


def client(service: str) -> Any:
    return create_reader(service, region=REGION, profile=None)


def look(now: datetime) -> dict[str, State]:
    account = Account(
        stage="dev",
        region=None,
        profile=None,
        prices=load_prices(),
        models=CHOSEN,
        now=lambda: now,
    )
    return {each.name: each.state for each in examine(account)}


def states(found: dict[str, State], *names: str) -> set[State]:
    return {found[name] for name in names}


ALARMS, SWEEPS, OLDEST = "alarms reach somebody", "last sweeps", "oldest queued job"
SECRETS = "keys of servers"


@pytest.mark.usefixtures("aws", "docker")
def test_an_account_before_and_after_a_deployment() -> None:
    now = datetime.now(UTC)
    stacks = [stack_name("dev", what) for what in STACKS]
    found = look(now)
    assert states(found, "CDK bootstrap", "role of ECS") == {State.WRONG}
    assert states(found, *stacks, ALARMS, "alarms now", SWEEPS, OLDEST, SECRETS) == {
        State.NOT_DEPLOYED
    }

    client("ssm").put_parameter(Name=BOOTSTRAP_PARAMETER, Value="30", Type="String")
    # moto writes the name of the linked role in another way.
    client("iam").create_role(RoleName=ECS_ROLE_NAME, AssumeRolePolicyDocument="{}")
    deploy()
    found = look(now)
    assert states(found, "CDK bootstrap", "role of ECS", *stacks, OLDEST, SECRETS) == {State.OK}
    assert states(found, ALARMS, SWEEPS) == {State.WRONG}

    run_for_a_while(now)
    found = look(now)
    assert {name for name, state in found.items() if state is not State.OK} == {OLDEST}
    assert found[OLDEST] is State.WRONG


def deploy() -> None:
    cloudformation = client("cloudformation")
    for what in STACKS:
        template = {"Resources": RESOURCES.get(what, NOTHING)}
        cloudformation.create_stack(
            StackName=stack_name("dev", what), TemplateBody=json.dumps(template)
        )
    # moto's CloudFormation makes no alarms.
    topic = client("sns").list_topics()["Topics"][0]["TopicArn"]
    client("cloudwatch").put_metric_alarm(
        AlarmName="seedwright-dev-monitoring-FailedJobs",
        AlarmActions=[topic],
        ComparisonOperator="GreaterThanThreshold",
        EvaluationPeriods=1,
        MetricName="JobsFailed",
        Namespace="seedwright/dev",
        Period=300,
        Statistic="Sum",
        Threshold=1,
    )


def run_for_a_while(now: datetime) -> None:
    """Somebody subscribes, the sweeper runs, a job waits."""
    topic = client("cloudwatch").describe_alarms()["MetricAlarms"][0]["AlarmActions"][0]
    client("sns").subscribe(TopicArn=topic, Protocol="email", Endpoint="ops@example.com")
    logs, group = client("logs"), "seedwright-dev-events-sweeps"
    logs.create_log_stream(logGroupName=group, logStreamName="one")
    line = {"timestamp": int(now.timestamp() * 1000) - 1000, "message": swept(0)["message"]}
    logs.put_log_events(logGroupName=group, logStreamName="one", logEvents=[line])
    since = (now - timedelta(minutes=20)).isoformat()
    item = {"work_id": {"S": "job"}, "status": {"S": "QUEUED"}, "queued_at": {"S": since}}
    table = f"seedwright-dev-stateful-{QUEUE.name.lower()}"
    client("dynamodb").put_item(TableName=table, Item=item)
