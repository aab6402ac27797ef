"""The HTTP API: one route, one function and one role for each row of the route table."""

import json

import jsii

from cdk_app.config import StageConfig
from cdk_app.constructs.functions import Functions, construct_name
from cdk_app.constructs.network import WorkerNetwork
from cdk_app.grants import Resources
from cdk_app.logs import log_group
from cdk_app.nag import acknowledge
from runtime.contract.functions import Route
from runtime.contract.routes import ROUTES

from aws_cdk import Aws, CfnOutput, Duration, Stack
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_apigatewayv2 as apigw
from aws_cdk import aws_apigatewayv2_authorizers as authorizers
from aws_cdk import aws_apigatewayv2_integrations as integrations
from aws_cdk import aws_cognito as cognito
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

_ACCESS_LOG = {
    name: f"$context.{name}"
    for name in (
        "requestId",
        "requestTime",
        "routeKey",
        "status",
        "responseLength",
        "responseLatency",
        "integrationLatency",
        "integrationErrorMessage",
        "authorizer.error",
        "error.message",
        "identity.sourceIp",
        "authorizer.claims.sub",
    )
}
"""What a line of the access log tells. No header and no query: tokens and cursors stay out."""


@jsii.implements(apigw.IAccessLogSettings)
class _AccessLog:
    def __init__(self, group: logs.LogGroup) -> None:
        self._group = group

    @property
    def destination(self) -> apigw.LogGroupLogDestination:
        return apigw.LogGroupLogDestination(self._group)

    @property
    def format(self) -> apigateway.AccessLogFormat:
        return apigateway.AccessLogFormat.custom(json.dumps(_ACCESS_LOG))


class ApiStack(Stack):
    """`functions` is by `Function.name` of the route table."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        stage: StageConfig,
        resources: Resources,
        network: WorkerNetwork,
        user_pool: cognito.UserPool,
        user_pool_client: cognito.UserPoolClient,
    ) -> None:
        super().__init__(scope, construct_id, description="Seedwright: the HTTP API")
        self.api = apigw.HttpApi(
            self,
            "Api",
            description=f"Seedwright {stage.name}",
            create_default_stage=False,
            # What is not opened on purpose needs a token.
            default_authorizer=authorizers.HttpUserPoolAuthorizer(
                "Users", user_pool, user_pool_clients=[user_pool_client]
            ),
            cors_preflight=_cors(stage.cors_origins),
        )
        self._add_stage(stage)
        functions = Functions(self, stage=stage, resources=resources, network=network)
        self.functions = {route.function.name: functions.create(route.function) for route in ROUTES}
        for route in ROUTES:
            self._add_route(route, self.functions[route.function.name])
        for name, value in {
            "ApiUrl": self.api.api_endpoint,
            "UserPoolId": user_pool.user_pool_id,
            "UserPoolClientId": user_pool_client.user_pool_client_id,
            "Region": self.region,
            "BucketName": resources.bucket.bucket_name,
            "ClusterArn": resources.cluster.cluster_arn,
        }.items():
            CfnOutput(self, name, value=value)

    def _add_stage(self, stage: StageConfig) -> None:
        # API Gateway writes its right to a log into one policy of the account, which has room for
        # few; what is below this prefix needs no line of its own.
        group = log_group(
            self, "AccessLog", days=stage.log_days, name=f"/aws/vendedlogs/{Aws.STACK_NAME}/access"
        )
        self.api.add_stage(
            "Stage",
            stage_name="$default",
            auto_deploy=True,
            throttle=apigw.ThrottleSettings(
                rate_limit=stage.throttle_rate, burst_limit=stage.throttle_burst
            ),
            access_log_settings=_AccessLog(group),
        )

    def _add_route(self, route: Route, function: lambda_.Function) -> None:
        added = self.api.add_routes(
            path=route.path,
            methods=[apigw.HttpMethod[route.method]],
            integration=integrations.HttpLambdaIntegration(
                f"{construct_name(route.function)}Integration",
                function,
                timeout=Duration.seconds(route.function.seconds),
            ),
            authorizer=None if route.authenticated else apigw.HttpNoneAuthorizer(),
        )
        if not route.authenticated:
            for each in added:
                acknowledge(
                    each,
                    "AwsSolutions-APIG4",
                    "Whether the API answers is asked without a token, and tells nothing else.",
                )


def _cors(origins: tuple[str, ...]) -> apigw.CorsPreflightOptions | None:
    if not origins:
        return None
    return apigw.CorsPreflightOptions(
        allow_origins=list(origins),
        allow_methods=[
            apigw.CorsHttpMethod[method] for method in sorted({route.method for route in ROUTES})
        ],
        allow_headers=["authorization", "content-type", "idempotency-key"],
        expose_headers=["retry-after"],
        max_age=Duration.hours(1),
    )
