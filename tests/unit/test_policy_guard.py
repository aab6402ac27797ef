"""The guard that tests of handlers and worker run under: it refuses what IAM would refuse."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.hooks import HierarchicalEmitter

from runtime.domain.errors import ModelError, ModelErrorKind
from runtime.domain.models.calls import Message, ModelRequest
from runtime.domain.roles import Role
from runtime.models.bedrock_loop import open_bedrock
from runtime.sdk import bedrock_access
from tests.fixtures.aws import BUCKET, FakeAws
from tests.fixtures.bedrock_double import BedrockDouble
from tests.fixtures.guard import GUARD, guard_of
from tests.fixtures.permissions import needs_of
from tests.fixtures.policy_guard import Permission, PolicyGuard, Record
from tests.fixtures.role_policies import Deployment, Launch, Statement
from tests.fixtures.role_policies import Role as PolicyRole

JOBS = "arn:aws:dynamodb:us-east-1:123456789012:table/Jobs"
ROLE = "some_function"


def deployment(*statements: Statement) -> Deployment:
    return Deployment(
        roles={ROLE: PolicyRole(arn="arn:aws:iam::123456789012:role/r", statements=statements)},
        launch=Launch(family="worker", cluster="arn:aws:ecs:us-east-1:1:cluster/c", role_arns=()),
    )


def allow(*actions: str, on: str, **conditions: Mapping[str, tuple[str, ...]]) -> Statement:
    return Statement(effect="Allow", actions=actions, resources=(on,), conditions=conditions)


class Clients:
    """Clients of one session that is guarded by these statements."""

    def __init__(self, *statements: Statement) -> None:
        from botocore.session import Session  # noqa: PLC0415 - after the emulator's hooks

        session = Session()
        self.guard = PolicyGuard(lambda: deployment(*statements), role=ROLE, record=Record())
        self.guard.install(session.get_component("event_emitter"))
        self.dynamodb: Any = session.create_client("dynamodb")
        self.s3: Any = session.create_client("s3")
        self.ecs: Any = session.create_client("ecs")


def refusal(call: Any, **parameters: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    return str(caught.value.response["Error"]["Code"])


KEY = {"job_id": {"S": "j"}}


def test_what_is_not_allowed_is_refused(aws: FakeAws) -> None:  # noqa: ARG001 - the emulator
    clients = Clients(allow("dynamodb:GetItem", on=JOBS))

    clients.dynamodb.get_item(TableName="Jobs", Key=KEY)
    assert refusal(clients.dynamodb.delete_item, TableName="Jobs", Key=KEY) == (
        "AccessDeniedException"
    )
    assert refusal(clients.dynamodb.get_item, TableName="Queue", Key=KEY) == (
        "AccessDeniedException"
    )


def test_a_refused_call_is_never_sent(aws: FakeAws) -> None:
    clients = Clients(allow("dynamodb:GetItem", on=JOBS))

    refusal(clients.dynamodb.put_item, TableName="Jobs", Item=KEY)

    assert "Item" not in aws.dynamodb.get_item(TableName="Jobs", Key=KEY)


def test_an_index_is_a_resource_of_its_own(aws: FakeAws) -> None:  # noqa: ARG001
    clients = Clients(allow("dynamodb:Query", on=f"{JOBS}/index/user_id-created_at"))
    query = {
        "TableName": "Jobs",
        "KeyConditionExpression": "user_id = :u",
        "ExpressionAttributeValues": {":u": {"S": "ada"}},
    }

    clients.dynamodb.query(**query, IndexName="user_id-created_at")
    assert refusal(clients.dynamodb.query, **query) == "AccessDeniedException"


def test_a_transaction_needs_the_permission_of_each_part(aws: FakeAws) -> None:  # noqa: ARG001
    clients = Clients(allow("dynamodb:PutItem", on=JOBS))
    put = {"Put": {"TableName": "Jobs", "Item": KEY}}
    other = {"Put": {"TableName": "Queue", "Item": {"work_id": {"S": "j"}}}}

    clients.dynamodb.transact_write_items(TransactItems=[put])
    assert refusal(clients.dynamodb.transact_write_items, TransactItems=[put, other])


def test_a_prefix_condition_is_held(aws: FakeAws) -> None:  # noqa: ARG001
    clients = Clients(
        allow(
            "s3:ListBucket",
            on=f"arn:aws:s3:::{BUCKET}",
            StringLike={"s3:prefix": ("seed-data/*",)},
        )
    )

    clients.s3.list_objects_v2(Bucket=BUCKET, Prefix="seed-data/ada/")
    assert refusal(clients.s3.list_objects_v2, Bucket=BUCKET, Prefix="jobs/") == "AccessDenied"
    assert refusal(clients.s3.list_objects_v2, Bucket=BUCKET) == "AccessDenied"


def test_reading_a_version_is_another_permission(aws: FakeAws) -> None:
    version = aws.s3.put_object(Bucket=BUCKET, Key="seed-data/a", Body=b"")["VersionId"]
    clients = Clients(allow("s3:GetObject", on=f"arn:aws:s3:::{BUCKET}/*"))

    clients.s3.get_object(Bucket=BUCKET, Key="seed-data/a")
    assert (
        refusal(clients.s3.get_object, Bucket=BUCKET, Key="seed-data/a", VersionId=version)
        == "AccessDenied"
    )


def test_a_missing_object_is_a_404_only_to_who_may_list_it(aws: FakeAws) -> None:  # noqa: ARG001
    read = allow("s3:GetObject", on=f"arn:aws:s3:::{BUCKET}/*")
    find = allow(
        "s3:ListBucket", on=f"arn:aws:s3:::{BUCKET}", StringLike={"s3:prefix": ("seed-data/*",)}
    )

    clients = Clients(read, find)
    assert refusal(clients.s3.get_object, Bucket=BUCKET, Key="seed-data/none") == "NoSuchKey"
    assert refusal(clients.s3.get_object, Bucket=BUCKET, Key="jobs/none") == "AccessDenied"
    assert refusal(Clients(read).s3.get_object, Bucket=BUCKET, Key="seed-data/none") == (
        "AccessDenied"
    )


def test_signing_needs_what_the_signature_lends(aws: FakeAws) -> None:  # noqa: ARG001
    clients = Clients(allow("s3:GetObject", on=f"arn:aws:s3:::{BUCKET}/jobs/*"))

    clients.s3.generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": "jobs/a"})
    with pytest.raises(ClientError):
        clients.s3.generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": "x"})
    with pytest.raises(ClientError):
        clients.s3.generate_presigned_post(Bucket=BUCKET, Key="seed-data/ada/f")
    put = Clients(allow("s3:PutObject", on=f"arn:aws:s3:::{BUCKET}/seed-data/*"))
    assert put.s3.generate_presigned_post(Bucket=BUCKET, Key="seed-data/ada/f")["fields"]


def test_a_deny_wins(aws: FakeAws) -> None:  # noqa: ARG001
    deny = Statement(effect="Deny", actions=("dynamodb:*",), resources=(JOBS,))
    clients = Clients(allow("dynamodb:GetItem", on="*"), deny)

    assert refusal(clients.dynamodb.get_item, TableName="Jobs", Key=KEY)


def test_an_operation_that_nobody_has_thought_about_is_an_error(aws: FakeAws) -> None:  # noqa: ARG001
    clients = Clients(allow("s3:*", on="*"))

    with pytest.raises(NotImplementedError, match="s3:GetBucketAcl"):
        clients.s3.get_bucket_acl(Bucket=BUCKET)


def test_starting_a_task_needs_its_roles_and_tags(aws: FakeAws) -> None:  # noqa: ARG001
    launch = Launch(family="f", cluster="arn:aws:ecs:us-east-1:1:cluster/c", role_arns=("r1", "r2"))

    plain = {need.action for need in needs_of("ecs", "RunTask", {}, launch)}
    tagged = {
        need.action
        for need in needs_of("ecs", "RunTask", {"propagateTags": "TASK_DEFINITION"}, launch)
    }
    assert plain == {"ecs:RunTask", "iam:PassRole"}
    assert tagged - plain == {"ecs:TagResource"}


@pytest.mark.parametrize(
    ("model", "resources"),
    [
        (
            "amazon.nova-micro-v1:0",
            {"arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-micro-v1:0"},
        ),
        (
            "us.amazon.nova-micro-v1:0",
            {
                "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-micro-v1:0",
                "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-micro-v1:0",
                "arn:aws:bedrock:elsewhere-1::foundation-model/amazon.nova-micro-v1:0",
                "arn:aws:bedrock:::foundation-model/amazon.nova-micro-v1:0",
            },
        ),
    ],
)
def test_a_profile_needs_itself_and_its_model_everywhere(model: str, resources: set[str]) -> None:
    launch = Launch(family="f", cluster="c", role_arns=())

    needs = needs_of("bedrock-runtime", "Converse", {"modelId": model}, launch)

    assert {need.resource for need in needs} == resources


def test_what_was_not_used_is_known(aws: FakeAws) -> None:  # noqa: ARG001
    clients = Clients(allow("dynamodb:GetItem", "dynamodb:DeleteItem", on=JOBS))

    clients.dynamodb.get_item(TableName="Jobs", Key=KEY)

    assert clients.guard.granted(ROLE) - clients.guard.record.used == {
        Permission(ROLE, "dynamodb:DeleteItem", (JOBS,))
    }


class KilledError(BaseException):
    """Nothing of the SDK catches it, or tells of it."""


def test_a_call_that_was_torn_out_of_the_sdk_leaves_the_guard_on_duty(aws: FakeAws) -> None:  # noqa: ARG001
    clients = Clients(allow("dynamodb:GetItem", on=JOBS))

    def kill(**_: object) -> None:
        raise KilledError

    events = clients.dynamodb.meta.events
    events.register("before-send", kill)
    with pytest.raises(KilledError):
        clients.dynamodb.get_item(TableName="Jobs", Key=KEY)
    events.unregister("before-send", kill)

    assert refusal(clients.dynamodb.delete_item, TableName="Jobs", Key=KEY)


# ── the guard of this process ──────────────────────────────────────────────────────────────────


@pytest.fixture
def _expect_refusals() -> Iterator[None]:
    yield
    GUARD.record.refused.clear()


@pytest.mark.usefixtures("aws", "_expect_refusals")
def test_clients_of_the_runtime_are_guarded_while_a_role_acts() -> None:
    from runtime.sdk import create_dynamodb_client  # noqa: PLC0415

    client = create_dynamodb_client()

    client.delete_item(TableName="Jobs", Key=KEY)  # the test itself may
    with GUARD.acting_as("get_job"):
        client.get_item(TableName="Jobs", Key=KEY)
        assert refusal(client.delete_item, TableName="Jobs", Key=KEY)
    assert [role for role, _ in GUARD.record.refused] == ["get_job"]


def test_somebody_who_is_quicker_is_the_test(aws: FakeAws) -> None:
    with GUARD.acting_as("get_job"), GUARD.acting_as(None):
        aws.dynamodb.delete_item(TableName="Jobs", Key=KEY)


def test_a_role_that_does_not_exist_is_a_mistake() -> None:
    with pytest.raises(KeyError, match="no role 'nobody'"), GUARD.acting_as("nobody"):
        pass


def test_a_bound_guard_shares_what_was_seen() -> None:
    assert guard_of("get_job").record is GUARD.record


def test_a_model_call_past_the_clients_of_the_sdk_is_guarded_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    allowed, other = "amazon.nova-micro-v1:0", "amazon.nova-pro-v1:0"
    statement = allow(
        "bedrock:InvokeModel", on=f"arn:aws:bedrock:us-east-1::foundation-model/{allowed}"
    )
    guard = PolicyGuard(lambda: deployment(statement), role=ROLE, record=Record())
    events: Any = HierarchicalEmitter()
    guard.install(events)
    with BedrockDouble() as double:
        monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", double.url)
        models = open_bedrock(replace(bedrock_access(), events=events))

        def call(model: str) -> object:
            messages = (Message(role=Role.USER, text="hi"),)
            return models.converse(ModelRequest(model=model, messages=messages, max_tokens=1))

        assert call(allowed)
        with pytest.raises(ModelError) as caught:
            call(other)
        models.close()
        assert (caught.value.kind, double.calls) == (ModelErrorKind.FATAL, 1)
    assert [need.resource.endswith(other) for _, need in guard.record.refused] == [True]
