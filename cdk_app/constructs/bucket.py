"""The bucket of seeds, batches and datasets."""

from cdk_app.config import StageConfig
from cdk_app.nag import acknowledge

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_s3 as s3
from constructs import Construct

_ABANDONED_UPLOAD_DAYS = 2
"""An upload in parts lives within one export of one worker, which takes hours at most."""


class DatasetBucket(Construct):
    """Private, versioned, TLS only. Nothing current ever expires: a dataset stays downloadable
    until its job is deleted.
    """

    def __init__(self, scope: Construct, construct_id: str, *, stage: StageConfig) -> None:
        super().__init__(scope, construct_id)
        retain = stage.retain_data
        self.bucket = s3.Bucket(
            self,
            "Bucket",
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            encryption=s3.BucketEncryption.S3_MANAGED,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            versioned=True,
            removal_policy=RemovalPolicy.RETAIN if retain else RemovalPolicy.DESTROY,
            cors=_cors(stage.cors_origins),
            lifecycle_rules=[
                s3.LifecycleRule(
                    id="abandoned-uploads",
                    abort_incomplete_multipart_upload_after=Duration.days(_ABANDONED_UPLOAD_DAYS),
                ),
                s3.LifecycleRule(
                    id="replaced-versions",
                    noncurrent_version_expiration=Duration.days(stage.noncurrent_days),
                    expired_object_delete_marker=True,
                ),
            ],
        )
        acknowledge(
            self.bucket,
            "AwsSolutions-S1",
            "Access logs would need a second bucket that grows with every request; the API's access"
            " log and, where an account has it, CloudTrail tell who read what.",
        )


def _cors(origins: tuple[str, ...]) -> list[s3.CorsRule] | None:
    if not origins:
        return None
    return [
        s3.CorsRule(
            allowed_origins=list(origins),
            # A browser uploads seeds and downloads datasets by presigned requests.
            allowed_methods=[s3.HttpMethods.GET, s3.HttpMethods.POST],
            allowed_headers=["*"],
            max_age=3600,
        )
    ]
