"""The DynamoDB tables, built from the contract that handlers, worker and tests share."""

from collections.abc import Mapping
from typing import Final

from runtime.contract.tables import TABLES, Key, Table

from aws_cdk import RemovalPolicy
from aws_cdk import aws_dynamodb as dynamodb
from constructs import Construct

_TYPES: Final = {"S": dynamodb.AttributeType.STRING, "N": dynamodb.AttributeType.NUMBER}

Tables = Mapping[str, dynamodb.Table]
"""By `Table.name` of the contract."""


class ContractTables(Construct):
    """All tables of the contract: on demand, recoverable to any second of the last 35 days."""

    def __init__(self, scope: Construct, construct_id: str, *, retain: bool) -> None:
        super().__init__(scope, construct_id)
        self.tables: Tables = {table.name: self._table(table, retain=retain) for table in TABLES}

    def _table(self, table: Table, *, retain: bool) -> dynamodb.Table:
        created = dynamodb.Table(
            self,
            table.name,
            partition_key=_attribute(table.key.partition),
            sort_key=_sort(table.key),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            time_to_live_attribute=table.ttl_attribute,
            encryption=dynamodb.TableEncryption.DEFAULT,
            deletion_protection=retain,
            removal_policy=RemovalPolicy.RETAIN if retain else RemovalPolicy.DESTROY,
        )
        for name, key in table.indexes.items():
            created.add_global_secondary_index(
                index_name=name,
                partition_key=_attribute(key.partition),
                sort_key=_sort(key),
                projection_type=dynamodb.ProjectionType.ALL,
            )
        return created


def _attribute(pair: tuple[str, str]) -> dynamodb.Attribute:
    return dynamodb.Attribute(name=pair[0], type=_TYPES[pair[1]])


def _sort(key: Key) -> dynamodb.Attribute | None:
    return None if key.sort is None else _attribute(key.sort)
