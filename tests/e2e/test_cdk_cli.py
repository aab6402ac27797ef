"""The commands of the deploy guide: bootstrap, deploy, diff, destroy."""

from collections.abc import Callable
from pathlib import Path

from tests.e2e.cdk_cli import CdkCommand
from tests.e2e.emulator.process import ACCOUNT, Emulator
from tests.fixtures.aws import REGION
from tests.fixtures.bedrock_double import BedrockDouble

TOOLKIT = "CDKToolkit"


def test_cdk_deploys_finds_no_difference_and_destroys(
    assembly: Path, double: BedrockDouble, tell: Callable[[str], None]
) -> None:
    with Emulator(bedrock_url=double.url) as emulator:
        cdk = CdkCommand(assembly=assembly, emulator=emulator, tell=tell)
        cdk.run("bootstrap", f"aws://{ACCOUNT}/{REGION}")

        cdk.run("deploy", "--all", "--require-approval", "never", "--concurrency", "2")
        assert len(_stacks(emulator)) > 1

        difference = cdk.run("diff", "--fail")  # which exits with 1 when there is one
        assert "Number of stacks with differences: 0" in difference

        cdk.run("destroy", "--all", "--force")
        assert _stacks(emulator) == {TOOLKIT}


def _stacks(emulator: Emulator) -> set[str]:
    stacks = emulator.client("cloudformation").describe_stacks()["Stacks"]
    return {stack["StackName"] for stack in stacks}
