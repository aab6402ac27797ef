"""The templates as a whole: valid, the same every time, and made without anything but Python."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import cfnlint.api
import pytest
from cfnlint.config import ManualArgs

from tests.fixtures.role_policies import STACKS
from tests.infra.conftest import ROOT, Synthesized, Variations

LINT_IGNORED: Final = {
    "W3005": "a function depends on its role and on the role's policy; the CDK writes both down",
    "W6001": "the outputs for signing in stand on the stack that is looked at, not on their own",
}
_MAX_RESOURCES: Final = 500
_MAX_TEMPLATE_BYTES: Final = 1_000_000


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("stage", ["prod", "private"])
def test_cfn_lint_has_nothing_to_say(synthesized: Variations, stage: str, stack: str) -> None:
    text = json.dumps(synthesized[stage].templates[stack], indent=1)

    found = cfnlint.api.lint(
        text, config=ManualArgs(regions=["us-east-1"], ignore_checks=list(LINT_IGNORED))
    )

    assert [str(match) for match in found] == []


def test_a_stack_is_within_the_limits_of_cloudformation(app: Synthesized) -> None:
    for stack, template in app.templates.items():
        assert len(template["Resources"]) < _MAX_RESOURCES * 0.8, stack
        assert len(json.dumps(template)) < _MAX_TEMPLATE_BYTES * 0.8, stack


def test_a_stack_belongs_to_no_account_and_no_region(app: Synthesized) -> None:
    for stack, template in app.templates.items():
        # Where a region's zones have to be named there is a condition for it, and others stay out.
        text = json.dumps({**template, "Conditions": {}})
        assert "123456789012" not in text, stack
        assert "us-east-1" not in text, stack


def test_nothing_has_a_name_that_a_second_deployment_would_collide_with(app: Synthesized) -> None:
    named = {
        *("TableName", "BucketName", "FunctionName", "RoleName", "PolicyName", "ClusterName"),
        *("TopicName", "LogGroupName", "UserPoolName", "AlarmName", "DashboardName"),
    }
    for stack, template in app.templates.items():
        for logical_id, resource in template["Resources"].items():
            if resource["Type"] == "AWS::IAM::Policy":
                continue  # a name within its role
            for name in named & resource.get("Properties", {}).keys():
                # Another resource's name may be referred to.
                assert isinstance(resource["Properties"][name], dict), f"{stack}: {logical_id}"


def test_every_stack_is_tagged(app: Synthesized) -> None:
    bucket = app.one("stateful", "AWS::S3::Bucket")

    assert {"Key": "project", "Value": "seedwright"} in bucket["Tags"]
    assert {"Key": "stage", "Value": app.stage.name} in bucket["Tags"]


# ── app.py ─────────────────────────────────────────────────────────────────────────────────────


def run_app(folder: Path, **context: str) -> subprocess.CompletedProcess[str]:
    """`python app.py` in an empty folder, with no credentials and nothing on the path: no Docker,
    no Node.js. The context is what the command line reads from cdk.json.
    """
    settings = json.loads((ROOT / "cdk.json").read_text())["context"]
    return subprocess.run(
        [sys.executable, str(ROOT / "app.py")],
        cwd=folder,
        env={
            "HOME": str(Path.home()),  # jsii unpacks its libraries there once
            "PATH": str(folder),
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "CDK_OUTDIR": str(folder / "out"),
            "CDK_CONTEXT_JSON": json.dumps({**settings, "aws:cdk:bundling-stacks": [], **context}),
        },
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_app_runs_from_any_folder_with_nothing(dev: Synthesized, tmp_path: Path) -> None:
    done = run_app(tmp_path)

    assert done.returncode == 0, done.stderr
    elsewhere = Synthesized(tmp_path / "out", dev.stage)
    assert elsewhere.templates == dev.templates
    assert elsewhere.findings == []
    for path in tmp_path.rglob("*.assets.json"):
        assert path.read_text() == (dev.folder / path.name).read_text()


def test_a_wrong_setting_is_a_line_and_not_a_traceback(tmp_path: Path) -> None:
    done = run_app(tmp_path, stage="staging")

    assert done.returncode == 1
    assert done.stderr.strip() == "unknown stage 'staging': choose one of dev, prod"
    assert not list(tmp_path.rglob("*.template.json"))


def test_a_price_file_that_no_job_could_use_is_not_deployed(tmp_path: Path) -> None:
    path = tmp_path / "prices.json"
    path.write_text('{"models": [{"id": "acme.model-1"}]}')
    done = run_app(tmp_path, prices=str(path))

    assert done.returncode == 1
    assert "model 'acme.model-1': field" in done.stderr
    assert len(done.stderr.splitlines()) == 1
