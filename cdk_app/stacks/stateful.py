"""What must not be lost: tables, bucket and users. Everything else can be deployed anew."""

from cdk_app.config import StageConfig
from cdk_app.constructs.bucket import DatasetBucket
from cdk_app.constructs.tables import ContractTables
from cdk_app.constructs.users import Users

from aws_cdk import Stack
from constructs import Construct


class StatefulStack(Stack):
    def __init__(self, scope: Construct, construct_id: str, *, stage: StageConfig) -> None:
        super().__init__(
            scope,
            construct_id,
            description="Seedwright: tables, bucket and users",
            termination_protection=stage.retain_data,
        )
        self.tables = ContractTables(self, "Tables", retain=stage.retain_data).tables
        self.bucket = DatasetBucket(self, "Datasets", stage=stage).bucket
        users = Users(self, "Users", stage=stage)
        self.user_pool, self.user_pool_client = users.pool, users.client
