"""The app of each variation, put together and synthesized once for all tests of a process."""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fcntl import LOCK_EX, flock
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import pytest

from cdk_app.assembly import add_stacks
from cdk_app.config import DEV, PROD, StageConfig
from cdk_app.nag import check_with_nag
from tests.fixtures.role_policies import STACKS, Deployment, Resolver, deployment_of

from aws_cdk import App

ROOT: Final = Path(__file__).parents[2]

VARIATIONS: Final[Mapping[str, StageConfig]] = {
    "dev": DEV,
    "prod": PROD,
    # Every setting that a stage can have and the two stages don't.
    "private": replace(
        DEV,
        name="private",
        network="private",
        self_sign_up=True,
        cors_origins=("https://app.example.com",),
        alarm_email="ops@example.com",
        zones=2,
        reserve_sweeper=True,
        cost_tags_active=True,
        monthly_budget_usd=50,
        user_monthly_budget_usd=5,
        python_image="python:3.13-slim@sha256:" + "0" * 64,
    ),
}


@dataclass(frozen=True)
class Synthesized:
    """What a synth of one variation left in `folder`."""

    folder: Path
    stage: StageConfig

    @cached_property
    def templates(self) -> Mapping[str, Any]:
        """The templates by the last part of their stack's name."""
        return {
            stack: json.loads(
                (self.folder / f"seedwright-{self.stage.name}-{stack}.template.json").read_text()
            )
            for stack in STACKS
        }

    @cached_property
    def resolver(self) -> Resolver:
        return Resolver(self.templates)

    @cached_property
    def deployment(self) -> Deployment:
        return deployment_of(self.templates)

    @property
    def findings(self) -> list[str]:
        """What cdk-nag found and nobody acknowledged."""
        report = json.loads((self.folder / "validation-report.json").read_text())
        return [
            f"{violation['ruleName']} at {construct['constructPath']}"
            for plugin in report["pluginReports"]
            for violation in plugin.get("violations", ())
            for construct in violation["violatingConstructs"]
        ]

    def resources(self, stack: str, kind: str) -> dict[str, Any]:
        """The resources of a type in one stack, by logical id."""
        return {
            logical_id: resource
            for logical_id, resource in self.templates[stack]["Resources"].items()
            if resource["Type"] == kind
        }

    def one(self, stack: str, kind: str) -> Any:
        """The properties of the only resource of its type."""
        (resource,) = self.resources(stack, kind).values()
        return resource["Properties"]


def synthesize(stage: StageConfig, folder: Path) -> Synthesized:
    """The app as `app.py` builds it, without bundling."""
    context = json.loads((ROOT / "cdk.json").read_text())["context"]
    app = App(outdir=str(folder), context={**context, "aws:cdk:bundling-stacks": []})
    add_stacks(app, stage)
    check_with_nag(app)
    try:
        app.synth()
    except RuntimeError as error:
        # A finding fails the synth after everything is written: test_nag.py shows the report.
        if not str(error).startswith("ValidationFailed"):
            raise
    return Synthesized(folder, stage)


class Variations(Mapping[str, Synthesized]):
    """Each one is synthesized when it is first asked for, by one of the processes that run tests
    at the same time; the others wait for it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._found: dict[str, Synthesized] = {}

    def __getitem__(self, name: str) -> Synthesized:
        if name not in self._found:
            self._found[name] = self._synthesize_once(name)
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(VARIATIONS)

    def __len__(self) -> int:
        return len(VARIATIONS)

    def _synthesize_once(self, name: str) -> Synthesized:
        stage, folder, done = VARIATIONS[name], self._folder / name, self._folder / f"{name}.done"
        with (self._folder / f"{name}.lock").open("w") as lock:
            flock(lock, LOCK_EX)
            if not done.exists():
                synthesize(stage, folder)
                done.touch()
        return Synthesized(folder, stage)


@pytest.fixture(scope="session")
def synthesized(tmp_path_factory: pytest.TempPathFactory) -> Variations:
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "synthesized"
    folder.mkdir(exist_ok=True)
    return Variations(folder)


@pytest.fixture(params=VARIATIONS)
def app(request: pytest.FixtureRequest, synthesized: Mapping[str, Synthesized]) -> Synthesized:
    """Each variation in turn."""
    return synthesized[request.param]


@pytest.fixture
def dev(synthesized: Mapping[str, Synthesized]) -> Synthesized:
    return synthesized["dev"]


@pytest.fixture
def prod(synthesized: Mapping[str, Synthesized]) -> Synthesized:
    return synthesized["prod"]


@pytest.fixture
def private(synthesized: Mapping[str, Synthesized]) -> Synthesized:
    return synthesized["private"]
