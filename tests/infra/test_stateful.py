"""Tables, bucket and users: what is in them must survive everything but its owner's decision."""

from typing import Any

import pytest

from runtime.contract.tables import TABLES, Key, Table
from tests.infra.conftest import Synthesized

LOGICAL_IDS = {
    "AWS::DynamoDB::Table": {
        "TablesBudgetsFD901A3B",
        "TablesJobs313634AE",
        "TablesQueue2D06D0CD",
        "TablesTemplates2DF10530",
        "TablesCostTracking28AD88A6",
        "TablesCheckpointMetadataDF77B969",
    },
    "AWS::S3::Bucket": {"DatasetsBucket9EEDBE5A"},
    "AWS::Cognito::UserPool": {"UsersPoolBFC35D3B"},
    "AWS::Cognito::UserPoolClient": {"UsersPoolClient39A19381"},
}
"""A changed id is a new resource: an empty table under a deployment that lost the old one."""


@pytest.mark.parametrize("kind", LOGICAL_IDS)
def test_logical_ids_never_change(app: Synthesized, kind: str) -> None:
    assert set(app.resources("stateful", kind)) == LOGICAL_IDS[kind]


def table_resource(app: Synthesized, table: Table) -> Any:
    ((_, resource),) = (
        found
        for found in app.resources("stateful", "AWS::DynamoDB::Table").items()
        if found[0].startswith(f"Tables{table.name}")
    )
    return resource


def key_schema(key: Key) -> list[dict[str, str]]:
    schema = [{"AttributeName": key.partition[0], "KeyType": "HASH"}]
    if key.sort:
        schema.append({"AttributeName": key.sort[0], "KeyType": "RANGE"})
    return schema


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_a_table_is_what_the_contract_says(app: Synthesized, table: Table) -> None:
    properties = table_resource(app, table)["Properties"]

    keys = [table.key, *table.indexes.values()]
    types = dict(pair for key in keys for pair in (key.partition, key.sort) if pair)
    assert properties["KeySchema"] == key_schema(table.key)
    assert {
        each["AttributeName"]: each["AttributeType"] for each in properties["AttributeDefinitions"]
    } == types
    indexes = {each["IndexName"]: each for each in properties.get("GlobalSecondaryIndexes", [])}
    assert {name: each["KeySchema"] for name, each in indexes.items()} == {
        name: key_schema(key) for name, key in table.indexes.items()
    }
    assert all(each["Projection"] == {"ProjectionType": "ALL"} for each in indexes.values())
    assert properties.get("TimeToLiveSpecification") == (
        {"AttributeName": table.ttl_attribute, "Enabled": True} if table.ttl_attribute else None
    )


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_a_table_costs_nothing_when_idle_and_can_be_restored(
    app: Synthesized, table: Table
) -> None:
    properties = table_resource(app, table)["Properties"]

    assert properties["BillingMode"] == "PAY_PER_REQUEST"
    assert "ProvisionedThroughput" not in properties
    assert properties["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert "TableName" not in properties


def test_there_are_no_other_tables(app: Synthesized) -> None:
    assert len(app.resources("stateful", "AWS::DynamoDB::Table")) == len(TABLES)


STATEFUL = ("AWS::DynamoDB::Table", "AWS::S3::Bucket", "AWS::Cognito::UserPool")


@pytest.mark.parametrize("kind", STATEFUL)
def test_production_keeps_its_data(prod: Synthesized, kind: str) -> None:
    for resource in prod.resources("stateful", kind).values():
        assert resource["DeletionPolicy"] == "Retain"
        assert resource["UpdateReplacePolicy"] == "Retain"


@pytest.mark.parametrize("kind", STATEFUL)
def test_development_goes_without_a_trace(dev: Synthesized, kind: str) -> None:
    for resource in dev.resources("stateful", kind).values():
        assert resource["DeletionPolicy"] == "Delete"


def test_production_refuses_deletion(prod: Synthesized, dev: Synthesized) -> None:
    for app, protected in ((prod, True), (dev, False)):
        for table in app.resources("stateful", "AWS::DynamoDB::Table").values():
            assert table["Properties"]["DeletionProtectionEnabled"] is protected
        pool = app.one("stateful", "AWS::Cognito::UserPool")
        assert pool.get("DeletionProtection") == ("ACTIVE" if protected else "INACTIVE")


# ── bucket ─────────────────────────────────────────────────────────────────────────────────────


def test_the_bucket_is_private_and_versioned(app: Synthesized) -> None:
    bucket = app.one("stateful", "AWS::S3::Bucket")

    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(bucket["PublicAccessBlockConfiguration"]) == 4
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    assert bucket["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    assert "BucketName" not in bucket


def test_the_bucket_refuses_plain_http_and_old_tls(app: Synthesized) -> None:
    statements = app.one("stateful", "AWS::S3::BucketPolicy")["PolicyDocument"]["Statement"]

    denied = [each["Condition"] for each in statements if each["Effect"] == "Deny"]
    assert {"Bool": {"aws:SecureTransport": "false"}} in denied
    assert {"NumericLessThan": {"s3:TlsVersion": 1.2}} in denied
    assert all(each["Effect"] == "Deny" for each in statements)


def test_a_dataset_never_expires(app: Synthesized) -> None:
    rules = app.one("stateful", "AWS::S3::Bucket")["LifecycleConfiguration"]["Rules"]

    assert rules
    for rule in rules:
        assert rule["Status"] == "Enabled"
        assert not rule.keys() & {"ExpirationInDays", "ExpirationDate", "Transitions", "Expiration"}


def test_what_nobody_reads_any_more_goes(app: Synthesized) -> None:
    rules = app.one("stateful", "AWS::S3::Bucket")["LifecycleConfiguration"]["Rules"]

    by_id = {rule["Id"]: rule for rule in rules}
    assert by_id["abandoned-uploads"]["AbortIncompleteMultipartUpload"] == {
        "DaysAfterInitiation": 2
    }
    replaced = by_id["replaced-versions"]
    assert replaced["NoncurrentVersionExpiration"] == {"NoncurrentDays": 90}
    assert replaced["ExpiredObjectDeleteMarker"] is True
    assert all("Prefix" not in rule and "TagFilters" not in rule for rule in rules)


def test_browsers_may_use_the_bucket_only_where_they_are_named(
    dev: Synthesized, private: Synthesized
) -> None:
    assert "CorsConfiguration" not in dev.one("stateful", "AWS::S3::Bucket")
    (rule,) = private.one("stateful", "AWS::S3::Bucket")["CorsConfiguration"]["CorsRules"]
    assert rule["AllowedOrigins"] == ["https://app.example.com"]
    assert set(rule["AllowedMethods"]) == {"GET", "POST"}


# ── users ──────────────────────────────────────────────────────────────────────────────────────


def test_passwords_are_long_and_mixed(app: Synthesized) -> None:
    pool = app.one("stateful", "AWS::Cognito::UserPool")

    policy = pool["Policies"]["PasswordPolicy"]
    assert policy["MinimumLength"] >= 12
    for kind in ("Lowercase", "Uppercase", "Numbers", "Symbols"):
        assert policy[f"Require{kind}"] is True


def test_a_second_factor_is_offered_without_text_messages(app: Synthesized) -> None:
    pool = app.one("stateful", "AWS::Cognito::UserPool")

    assert pool["MfaConfiguration"] == "OPTIONAL"
    assert pool["EnabledMfas"] == ["SOFTWARE_TOKEN_MFA"]
    assert "SmsConfiguration" not in pool


def test_strangers_may_register_only_where_it_is_set(
    dev: Synthesized, prod: Synthesized, private: Synthesized
) -> None:
    for app, closed in ((dev, True), (prod, True), (private, False)):
        pool = app.one("stateful", "AWS::Cognito::UserPool")
        assert pool["AdminCreateUserConfig"]["AllowAdminCreateUserOnly"] is closed


def test_the_client_has_no_secret_and_three_flows(app: Synthesized) -> None:
    client = app.one("stateful", "AWS::Cognito::UserPoolClient")

    assert client["GenerateSecret"] is False
    assert set(client["ExplicitAuthFlows"]) == {
        "ALLOW_USER_SRP_AUTH",
        "ALLOW_USER_PASSWORD_AUTH",
        "ALLOW_REFRESH_TOKEN_AUTH",
    }
    assert client["PreventUserExistenceErrors"] == "ENABLED"
    assert client["EnableTokenRevocation"] is True
    assert client["AllowedOAuthFlowsUserPoolClient"] is False
    assert client["AccessTokenValidity"] == 60
    assert client["TokenValidityUnits"]["AccessToken"] == "minutes"
