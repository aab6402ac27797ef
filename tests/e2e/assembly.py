"""A synthesized CDK app (a cloud assembly) deployed with CloudFormation alone, as it stands.

What `cdk deploy` does, in a few seconds: upload the assets, create the stacks in their order. The
worker's image is left out: the emulator runs the worker from this tree.
"""

import io
import json
import time
import zipfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tests.e2e.emulator.process import ACCOUNT, Emulator
from tests.fixtures.aws import REGION

QUALIFIER: Final = "hnb659fds"
"""The CDK's own; the templates look for the bootstrap version under it."""
STACK_SECONDS: Final = 60.0
POLL_SECONDS: Final = 0.1

Outputs = Mapping[str, str]


def deploy(assembly: Path, emulator: Emulator) -> dict[str, Outputs]:
    """Create every stack; the outputs of each by its name. Raises `RuntimeError` that tells what
    CloudFormation said.
    """
    bucket = f"cdk-{QUALIFIER}-assets-{ACCOUNT}-{REGION}"
    emulator.client("s3").create_bucket(Bucket=bucket)  # of a second stage it is there already
    emulator.client("ssm").put_parameter(
        Name=f"/cdk-bootstrap/{QUALIFIER}/version", Value="30", Type="String", Overwrite=True
    )
    outputs = {}
    for name, artifact in stacks(assembly).items():
        template_key = _upload(assembly, artifact, bucket, emulator)
        outputs[name] = _create(
            name,
            f"{emulator.url}/{bucket}/{template_key}",
            template(assembly, artifact),
            emulator,
        )
    return outputs


def stacks(assembly: Path) -> dict[str, Any]:
    """The artifacts of stacks by name, each after those it depends on."""
    artifacts: dict[str, Any] = json.loads((assembly / "manifest.json").read_bytes())["artifacts"]
    ordered: dict[str, Any] = {}

    def visit(artifact_id: str) -> None:
        artifact = artifacts[artifact_id]
        name = artifact.get("properties", {}).get("stackName", artifact_id)
        if artifact["type"] != "aws:cloudformation:stack" or name in ordered:
            return
        for dependency in artifact.get("dependencies", []):
            visit(dependency)
        ordered[name] = {**artifact, "id": artifact_id}

    for artifact_id in artifacts:
        visit(artifact_id)
    return ordered


def template(assembly: Path, artifact: Mapping[str, Any]) -> Any:
    """The template of a stack."""
    return json.loads((assembly / artifact["properties"]["templateFile"]).read_bytes())


def _upload(assembly: Path, artifact: Mapping[str, Any], bucket: str, emulator: Emulator) -> str:
    """Put the files of a stack into the bucket; the key of its template."""
    s3 = emulator.client("s3")
    listing = json.loads((assembly / f"{artifact['id']}.assets.json").read_bytes())
    template_key = ""
    for file in listing["files"].values():
        source = assembly / file["source"]["path"]
        body = _zipped(source) if source.is_dir() else source.read_bytes()
        for destination in file["destinations"].values():
            s3.put_object(Bucket=bucket, Key=destination["objectKey"], Body=body)
            if source.name == artifact["properties"]["templateFile"]:
                template_key = destination["objectKey"]
    return template_key


def _zipped(folder: Path) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder))
    return target.getvalue()


def _create(name: str, url: str, document: Any, emulator: Emulator) -> Outputs:
    cloudformation = emulator.client("cloudformation")
    cloudformation.create_stack(
        StackName=name,
        TemplateURL=url,
        Capabilities=["CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
    )
    end = time.monotonic() + STACK_SECONDS
    while True:
        stack = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
        if not stack["StackStatus"].endswith("IN_PROGRESS") or time.monotonic() > end:
            break
        time.sleep(POLL_SECONDS)
    if stack["StackStatus"] != "CREATE_COMPLETE":
        events = cloudformation.describe_stack_events(StackName=name)["StackEvents"]
        failed = [
            f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason')}"
            for event in events
            if event["ResourceStatus"].endswith("FAILED")
        ]
        raise RuntimeError(f"{name}: {stack['StackStatus']} {'; '.join(failed)}")
    missing = _types_in(document) - _types_of(name, cloudformation)
    if missing:
        raise RuntimeError(f"{name}: not created: {dict(missing)}")
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}


def _types_in(document: Any) -> Counter[str]:
    return Counter(resource["Type"] for resource in document["Resources"].values())


def _types_of(name: str, cloudformation: Any) -> Counter[str]:
    pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=name)
    return Counter(
        resource["ResourceType"] for page in pages for resource in page["StackResourceSummaries"]
    )
