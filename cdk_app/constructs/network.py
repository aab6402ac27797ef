"""The network of the workers. Nothing is reachable from outside; nothing is paid for by default.

public    a public address and no inbound rule; S3 and DynamoDB through free gateway endpoints
private   no way to the internet; the other AWS services through interface endpoints, which are
billed by the hour and zone
"""

from typing import Final

from cdk_app.config import StageConfig
from cdk_app.logs import log_group
from cdk_app.nag import acknowledge
from cdk_app.servers import HTTPS
from cdk_app.zones import first_zones, pin_zones

from aws_cdk import aws_ec2 as ec2
from constructs import Construct

_ENDPOINT_ZONES: Final = 2
"""Zones that have interface endpoints, which are paid for by the hour and reached from all zones.
An endpoint takes one subnet a zone, and every region has two."""

_INTERFACES: Final = {
    "EcrApi": ec2.InterfaceVpcEndpointAwsService.ECR,
    "EcrDocker": ec2.InterfaceVpcEndpointAwsService.ECR_DOCKER,
    "Logs": ec2.InterfaceVpcEndpointAwsService.CLOUDWATCH_LOGS,
    "BedrockRuntime": ec2.InterfaceVpcEndpointAwsService.BEDROCK_RUNTIME,
}
"""What a task calls besides S3 and DynamoDB: it pulls its image, logs, and asks models."""


class WorkerNetwork(Construct):
    """A VPC over the zones of the stage, and the security group that workers run in."""

    def __init__(self, scope: Construct, construct_id: str, *, stage: StageConfig) -> None:
        super().__init__(scope, construct_id)
        self.assign_public_ip = stage.network == "public"
        self.vpc = ec2.Vpc(
            self,
            "Vpc",
            availability_zones=first_zones(stage.zones),
            nat_gateways=0,
            restrict_default_security_group=False,  # nothing uses it; saves a custom resource
            subnet_configuration=[
                ec2.SubnetConfiguration(
                    name="Worker",
                    cidr_mask=20,
                    subnet_type=ec2.SubnetType.PUBLIC
                    if self.assign_public_ip
                    else ec2.SubnetType.PRIVATE_ISOLATED,
                )
            ],
            gateway_endpoints={
                "S3": ec2.GatewayVpcEndpointOptions(service=ec2.GatewayVpcEndpointAwsService.S3),
                "DynamoDb": ec2.GatewayVpcEndpointOptions(
                    service=ec2.GatewayVpcEndpointAwsService.DYNAMODB
                ),
            },
        )
        self.subnets = self.vpc.select_subnets(subnet_group_name="Worker")
        pin_zones(self, self.subnets.subnets)
        self.security_group = ec2.SecurityGroup(
            self,
            "Workers",
            vpc=self.vpc,
            description="Seedwright workers: HTTPS to AWS, nothing inbound",
            allow_all_outbound=False,
        )
        self.security_group.add_egress_rule(
            ec2.Peer.any_ipv4(), ec2.Port.tcp(HTTPS), "AWS service endpoints"
        )
        for port in sorted({each.port for each in stage.servers} - {HTTPS}):
            self.security_group.add_egress_rule(
                ec2.Peer.any_ipv4(), ec2.Port.tcp(port), "servers of models"
            )
        if not self.assign_public_ip:
            self._add_interfaces()
        self._log_flows(stage)

    def _add_interfaces(self) -> None:
        group = ec2.SecurityGroup(
            self,
            "Endpoints",
            vpc=self.vpc,
            description="Seedwright endpoints: HTTPS from workers",
            allow_all_outbound=False,
        )
        group.add_ingress_rule(self.security_group, ec2.Port.tcp(HTTPS), "from workers")
        for name, service in _INTERFACES.items():
            self.vpc.add_interface_endpoint(
                name,
                service=service,
                subnets=ec2.SubnetSelection(subnets=self.subnets.subnets[:_ENDPOINT_ZONES]),
                security_groups=[group],
                open=False,  # only workers, not the whole VPC
            )

    def _log_flows(self, stage: StageConfig) -> None:
        if not stage.flow_logs:
            acknowledge(
                self.vpc,
                "AwsSolutions-VPC7",
                "Flow logs are billed by volume and a setting of the stage (flow_logs, on in PROD):"
                " this VPC holds workers that nothing can connect to.",
            )
            return
        group = log_group(self, "FlowLog", days=stage.log_days)
        self.vpc.add_flow_log(
            "FlowLogs", destination=ec2.FlowLogDestination.to_cloud_watch_logs(group)
        )
