"""The bundles that would be uploaded, with the packages of the index in them."""

import json
from pathlib import Path

from runtime.contract.routes import FUNCTIONS
from tests.fixtures.bundles import MAX_CORE_BYTES, size_besides_sdk


def core_bundle(assembly: Path) -> Path:
    handlers = {function.handler for function in FUNCTIONS if function.bundle == "core"}
    keys = {
        resource["Properties"]["Code"]["S3Key"]
        for template in assembly.glob("*.template.json")
        for resource in json.loads(template.read_bytes())["Resources"].values()
        if resource["Type"] == "AWS::Lambda::Function"
        and resource["Properties"]["Handler"] in handlers
    }
    (key,) = keys
    return assembly / f"asset.{key.removesuffix('.zip')}"


def test_most_functions_start_from_a_small_bundle(assembly: Path) -> None:
    assert size_besides_sdk(core_bundle(assembly)) <= MAX_CORE_BYTES
