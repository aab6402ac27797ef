"""What one stack takes from another: whoever only looks must lock nobody."""

import json
from dataclasses import replace
from pathlib import Path

from cdk_app.config import DEV
from tests.infra.conftest import Synthesized, synthesize

STACK = "monitoring"


def test_monitoring_locks_no_other_stack(app: Synthesized) -> None:
    """A name that is imported can't change, so no function could be renamed or replaced."""
    assert "Fn::ImportValue" not in json.dumps(app.templates[STACK])
    assert "Fn::GetStackOutput" in json.dumps(app.templates[STACK])
    for stack in ("api", "events"):
        exports = [each for each in app.templates[stack]["Outputs"].values() if "Export" in each]
        assert exports == [], stack


def test_a_stage_that_still_exports_can_be_moved_by_one_deployment(tmp_path: Path) -> None:
    """CloudFormation refuses to take an export away that is imported at that moment."""
    moving = synthesize(replace(DEV, monitoring_references="both"), tmp_path)

    assert "Fn::ImportValue" not in json.dumps(moving.templates[STACK])
    outputs = moving.templates["api"]["Outputs"].values()
    assert len([each for each in outputs if "Export" in each]) > 20
