"""A stage with a price file of its own: what may be called follows it, and who prices reads it."""

import json
from dataclasses import replace

import pytest

from cdk_app.config import DEV
from runtime.domain.models.price_table import load_prices
from tests.fixtures.role_policies import WORKER
from tests.infra.conftest import Synthesized, synthesize
from tests.infra.test_iam import model_arns

HOME = "arn:aws:bedrock:us-east-1"
NOVA_MICRO = "amazon.nova-micro-v1:0"


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Synthesized:
    folder = tmp_path_factory.mktemp("priced")
    packaged = json.loads(load_prices().encode())
    (known,) = (row for row in packaged["models"] if row["id"] == NOVA_MICRO)
    own = {**known, "profiles": {"eu.": {}}}
    added = {**known, "id": "acme.model-1", "profiles": {}}
    path = folder / "prices.json"
    path.write_text(json.dumps({"models": [own, added]}), encoding="utf-8")
    return synthesize(replace(DEV, name="dev", price_file=path), folder / "out")


@pytest.mark.parametrize("role", [WORKER, "preview_template"])
def test_f12_what_may_be_called_follows_the_stages_own_file(app: Synthesized, role: str) -> None:
    found = model_arns(app, role)
    profiles = f"{HOME}:123456789012:inference-profile"
    assert f"{HOME}::foundation-model/acme.model-1" in found
    assert f"{profiles}/eu.{NOVA_MICRO}" in found
    assert f"{profiles}/us.{NOVA_MICRO}" not in found
    assert f"{profiles}/us.amazon.nova-lite-v1:0" in found


def test_f12_functions_and_workers_are_given_the_file_and_may_read_it(app: Synthesized) -> None:
    functions = [
        resource["Properties"]["Environment"]["Variables"]
        for stack in ("api", "events")
        for resource in app.resources(stack, "AWS::Lambda::Function").values()
    ]
    (container,) = app.one("worker", "AWS::ECS::TaskDefinition")["ContainerDefinitions"]
    variables = {each["Name"]: each["Value"] for each in container["Environment"]}
    assert functions
    for given in (variables, *functions):
        assert str(given["SEEDWRIGHT_PRICES"]).count("s3://") == 1
    for role in (WORKER, "preview_template", "sweep_queue"):
        readers = [
            each
            for each in app.deployment.roles[role].statements
            if any("cdk-hnb659fds-assets" in resource for resource in each.resources)
        ]
        assert [each.actions for each in readers] == [("s3:GetObject",)]
        assert not any("*" in resource for each in readers for resource in each.resources)
    assert app.findings == []
