"""The commands of the deploy guide: bootstrap, deploy, diff, destroy."""

import json
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

        told = ("--outputs-file", str(emulator.folder / "outputs.json"))
        cdk.run("deploy", "--all", "--require-approval", "never", "--concurrency", "2", *told)
        outputs = json.loads((emulator.folder / "outputs.json").read_bytes())
        assert len(_stacks(emulator)) > 1
        # What `seedwright login --stack-outputs` reads.
        assert any(
            {"ApiUrl", "UserPoolClientId", "Region"} <= set(each) for each in outputs.values()
        )

        difference = cdk.run("diff", "--fail")  # which exits with 1 when there is one
        assert "Number of stacks with differences: 0" in difference

        cdk.run("destroy", "--all", "--force")
        assert _stacks(emulator) == {TOOLKIT}


def _stacks(emulator: Emulator) -> set[str]:
    stacks = emulator.client("cloudformation").describe_stacks()["Stacks"]
    return {stack["StackName"] for stack in stacks}
