"""The HTTP API: routes, tokens, limits, logs and what it tells whoever deployed it."""

import json
from typing import Any

from runtime.contract.routes import ROUTES
from tests.infra.conftest import Synthesized

STACK = "api"


def routes(app: Synthesized) -> dict[str, Any]:
    return {
        each["Properties"]["RouteKey"]: each["Properties"]
        for each in app.resources(STACK, "AWS::ApiGatewayV2::Route").values()
    }


def test_the_routes_are_those_of_the_table(app: Synthesized) -> None:
    assert set(routes(app)) == {route.key for route in ROUTES}


def test_every_route_calls_its_function(app: Synthesized) -> None:
    integrations = app.resources(STACK, "AWS::ApiGatewayV2::Integration")
    functions = app.resources(STACK, "AWS::Lambda::Function")
    for route in ROUTES:
        target = json.dumps(routes(app)[route.key]["Target"])
        ((_, integration),) = ((k, v) for k, v in integrations.items() if f'"{k}"' in target)
        properties = integration["Properties"]
        function = functions[properties["IntegrationUri"]["Fn::GetAtt"][0]]["Properties"]
        assert function["Handler"] == route.function.handler, route.key
        assert properties["PayloadFormatVersion"] == "2.0"
        assert properties["TimeoutInMillis"] == route.function.seconds * 1000 <= 30_000


def test_only_the_route_that_says_so_is_open(app: Synthesized) -> None:
    found = {key: each["AuthorizationType"] for key, each in routes(app).items()}

    assert found == {route.key: "JWT" if route.authenticated else "NONE" for route in ROUTES}
    assert [key for key, kind in found.items() if kind == "NONE"] == ["GET /health"]


def test_tokens_are_those_of_the_pool_and_its_client(app: Synthesized) -> None:
    authorizer = app.one(STACK, "AWS::ApiGatewayV2::Authorizer")

    assert authorizer["AuthorizerType"] == "JWT"
    assert authorizer["IdentitySource"] == ["$request.header.Authorization"]
    configuration = authorizer["JwtConfiguration"]
    (client,) = app.resources("stateful", "AWS::Cognito::UserPoolClient")
    (pool,) = app.resources("stateful", "AWS::Cognito::UserPool")
    assert [app.resolver.text(STACK, each) for each in configuration["Audience"]] == [client]
    issuer = app.resolver.text(STACK, configuration["Issuer"])
    assert issuer == f"https://cognito-idp.us-east-1.amazonaws.com/{pool}"
    (authorizer_id,) = app.resources(STACK, "AWS::ApiGatewayV2::Authorizer")
    for route in ROUTES:
        if route.authenticated:
            assert routes(app)[route.key]["AuthorizerId"] == {"Ref": authorizer_id}


def test_the_api_is_throttled(app: Synthesized) -> None:
    settings = app.one(STACK, "AWS::ApiGatewayV2::Stage")["DefaultRouteSettings"]

    assert settings["ThrottlingRateLimit"] == app.stage.throttle_rate
    assert settings["ThrottlingBurstLimit"] == app.stage.throttle_burst


def test_access_is_logged_without_secrets(app: Synthesized) -> None:
    stage = app.one(STACK, "AWS::ApiGatewayV2::Stage")

    line = json.loads(stage["AccessLogSettings"]["Format"])
    assert {"requestId", "routeKey", "status", "authorizer.claims.sub"} <= set(line)
    for value in line.values():
        # A path holds ids, a query cursors, a header the token.
        assert not any(word in value for word in ("header", "path", "query", "token", "body"))
    group = json.dumps(stage["AccessLogSettings"]["DestinationArn"])
    (found,) = (k for k in app.resources(STACK, "AWS::Logs::LogGroup") if f'"{k}"' in group)
    retention = app.resources(STACK, "AWS::Logs::LogGroup")[found]["Properties"]
    assert retention["RetentionInDays"] == app.stage.log_days


def test_the_access_log_needs_no_line_in_the_accounts_policy(app: Synthesized) -> None:
    """That policy has room for few logs, and the group's name must not collide with a stage's."""
    groups = app.resources(STACK, "AWS::Logs::LogGroup").values()
    (name,) = (
        each["Properties"]["LogGroupName"]
        for each in groups
        if "LogGroupName" in each["Properties"]
    )

    assert name == {"Fn::Join": ["", ["/aws/vendedlogs/", {"Ref": "AWS::StackName"}, "/access"]]}


def test_browsers_may_call_only_where_they_are_named(
    dev: Synthesized, private: Synthesized
) -> None:
    assert "CorsConfiguration" not in dev.one(STACK, "AWS::ApiGatewayV2::Api")
    cors = private.one(STACK, "AWS::ApiGatewayV2::Api")["CorsConfiguration"]
    assert cors["AllowOrigins"] == ["https://app.example.com"]
    assert set(cors["AllowMethods"]) == {route.method for route in ROUTES}
    assert {"authorization", "content-type", "idempotency-key"} <= set(cors["AllowHeaders"])
    assert "AllowCredentials" not in cors


def test_only_the_gateway_may_call_a_function_and_by_its_route(app: Synthesized) -> None:
    permissions = app.resources(STACK, "AWS::Lambda::Permission").values()

    assert len(permissions) == len(ROUTES)
    for each in permissions:
        assert each["Properties"]["Principal"] == "apigateway.amazonaws.com"
        source = app.resolver.text(STACK, each["Properties"]["SourceArn"])
        assert source.startswith("arn:aws:execute-api:us-east-1:123456789012:Api")
    sources = {
        app.resolver.text(STACK, each["Properties"]["SourceArn"]).split("/*/*")[1]
        for each in permissions
    }
    assert sources == {route.path for route in ROUTES}


def test_the_outputs_that_the_command_signs_in_with(app: Synthesized) -> None:
    outputs = app.templates[STACK]["Outputs"]

    named = {
        name
        for name, output in outputs.items()
        # What the CDK adds for other stacks of the app.
        if "Export" not in output and not name.startswith("PublishOutput")
    }
    assert named == {
        *("ApiUrl", "UserPoolId", "UserPoolClientId", "Region"),
        *("BucketName", "ClusterArn"),
    }
    values = {name: app.resolver.text(STACK, outputs[name]["Value"]) for name in named}
    (pool,) = app.resources("stateful", "AWS::Cognito::UserPool")
    (client,) = app.resources("stateful", "AWS::Cognito::UserPoolClient")
    assert values["UserPoolId"] == pool
    assert values["UserPoolClientId"] == client
    assert values["Region"] == "us-east-1"
    assert values["ClusterArn"] == app.deployment.launch.cluster
