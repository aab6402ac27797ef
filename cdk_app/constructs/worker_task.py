"""The worker as an ECS task: what it runs, as whom, and what it may do."""

from typing import Final

from cdk_app.config import StageConfig
from cdk_app.constructs.tables import Tables
from cdk_app.grants import acknowledge_models, worker_statements
from cdk_app.logs import log_group
from cdk_app.models import PricedModels
from cdk_app.nag import acknowledge, acknowledge_objects, acknowledge_wildcard
from cdk_app.servers import document_of, keys_of
from cdk_app.source import ROOT, WORKER_SOURCES
from runtime.contract import environment
from runtime.contract.grants import ObjectGrant
from runtime.contract.tables import TABLES
from runtime.contract.worker_grants import WORKER_GRANTS

from aws_cdk import Duration, IgnoreMode, Stack
from aws_cdk import aws_ecr_assets as ecr_assets
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from constructs import Construct

_SCRATCH: Final = "scratch"
"""The volume for temporary files, gone with the task."""
USER: Final = "10001:10001"
"""Numbers, because the image makes no account: it has no step that runs on the target machine."""
STOP_SECONDS: Final = 120
"""The most that Fargate grants. The worker drains for 90 and is ended by its own alarm at 100."""


class WorkerTask(Construct):
    """Task definition, image, log group and the two roles."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        stage: StageConfig,
        tables: Tables,
        bucket: s3.IBucket,
    ) -> None:
        super().__init__(scope, construct_id)
        self.log_group = log_group(self, "Log", days=stage.log_days)
        self.definition = ecs.FargateTaskDefinition(
            self,
            "Definition",
            cpu=stage.worker_cpu,
            memory_limit_mib=stage.worker_memory_mib,
            ephemeral_storage_gib=stage.worker_disk_gib,
            runtime_platform=ecs.RuntimePlatform(
                cpu_architecture=ecs.CpuArchitecture.ARM64,
                operating_system_family=ecs.OperatingSystemFamily.LINUX,
            ),
            task_role=_task_role(self),
        )
        models = PricedModels(price_file=stage.price_file)
        container = self._add_container(stage, tables, bucket)
        for statement in worker_statements(Stack.of(self), tables, bucket, models):
            self.definition.task_role.add_to_principal_policy(statement)
        if (prices := models.give(Stack.of(self), self.definition.task_role)) is not None:
            container.add_environment(environment.PRICES_FILE, prices)
        self._acknowledge(bucket, models)

    def _add_container(
        self, stage: StageConfig, tables: Tables, bucket: s3.IBucket
    ) -> ecs.ContainerDefinition:
        servers = document_of(stage.servers)
        linux = ecs.LinuxParameters(self, "Linux", init_process_enabled=True)
        linux.drop_capabilities(ecs.Capability.ALL)
        container = self.definition.add_container(
            environment.WORKER_CONTAINER,
            container_name=environment.WORKER_CONTAINER,
            image=ecs.ContainerImage.from_docker_image_asset(_image(self, stage.python_image)),
            # The exec form: a shell in between would keep SIGTERM from Python.
            entry_point=["python", "-m", "runtime.worker"],
            user=USER,
            readonly_root_filesystem=True,
            linux_parameters=linux,
            stop_timeout=Duration.seconds(STOP_SECONDS),
            environment={
                **{table.variable: tables[table.name].table_name for table in TABLES},
                environment.BUCKET_NAME: bucket.bucket_name,
                environment.WORKER_CONCURRENCY: str(stage.worker_concurrency),
                **({environment.SERVERS: servers} if servers else {}),
            },
            secrets=keys_of(stage.servers, self) or None,
            logging=ecs.LogDriver.aws_logs(
                stream_prefix=environment.WORKER_CONTAINER,
                log_group=self.log_group,
                # Logs that can't be delivered must not stop a worker that pays for its time.
                mode=ecs.AwsLogDriverMode.NON_BLOCKING,
            ),
        )
        # Seeds are kept on the disk while a job draws from them; all else stays read-only.
        self.definition.add_volume(name=_SCRATCH)
        container.add_mount_points(
            ecs.MountPoint(container_path="/tmp", read_only=False, source_volume=_SCRATCH)  # noqa: S108 - of its own
        )
        return container

    def _acknowledge(self, bucket: s3.IBucket, models: PricedModels) -> None:
        acknowledge(
            self.definition,
            "AwsSolutions-ECS2",
            "The variables are names of tables and the bucket, and what servers of models there"
            " are; keys of these come from Secrets Manager.",
        )
        role = self.definition.task_role
        why = "One role works on the jobs of all users; prefixes keep it to seeds and jobs."
        objects = [each.grant for each in WORKER_GRANTS if isinstance(each.grant, ObjectGrant)]
        for pattern in sorted({key for each in objects for key in each.keys}):
            acknowledge_objects(role, bucket, pattern, why)
        acknowledge_models(role, models)
        acknowledge_wildcard(
            self.definition.obtain_execution_role(),
            "*",
            "ecr:GetAuthorizationToken takes no resource; pulling is limited to the repository.",
        )


def _task_role(scope: Construct) -> iam.Role:
    return iam.Role(
        scope,
        "Role",
        description="What a Seedwright worker may do",
        assumed_by=iam.ServicePrincipal(
            "ecs-tasks.amazonaws.com",
            # Excludes tasks of another account (the confused deputy).
            conditions={"StringEquals": {"aws:SourceAccount": Stack.of(scope).account}},
        ),
    )


def _image(scope: Construct, python_image: str | None) -> ecr_assets.DockerImageAsset:
    """Built when it is deployed, never when it is synthesized. What it is built on is part of the
    hash: the Dockerfile is a file of it, and so are arguments.
    """
    return ecr_assets.DockerImageAsset(
        scope,
        "Image",
        directory=str(ROOT),
        file="runtime/worker/Dockerfile",
        platform=ecr_assets.Platform.LINUX_ARM64,
        build_args=None if python_image is None else {"PYTHON_IMAGE": python_image},
        exclude=["*", *(f"!{path}" for path in WORKER_SOURCES), "**/__pycache__", "**/*.pyc"],
        ignore_mode=IgnoreMode.DOCKER,
    )
