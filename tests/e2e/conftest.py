"""The deployed Seedwright of this session: synthesized once, deployed on an emulator once."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e import assembly as assemblies
from tests.e2e.cdk_cli import CDK, NODE_FOLDER
from tests.e2e.deployment import Deployment
from tests.e2e.emulator.process import ROOT, Emulator
from tests.e2e.observe import recent_logs
from tests.fixtures.bedrock_double import BedrockDouble

LATENCY_MS = 300
"""Of a model call: long enough that a job can be interrupted, short enough to wait for."""
_DEPLOYED = pytest.StashKey[Deployment]()

Tell = Callable[[str], None]


@pytest.hookimpl(tryfirst=True)  # before the marker is asked for
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder, and nothing else, is an end-to-end test."""
    folder = Path(__file__).parent
    for item in items:
        if folder in item.path.parents:
            item.add_marker(pytest.mark.e2e)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """A failure shows what the deployed functions and workers last logged."""
    del call
    report: pytest.TestReport = yield  # type: ignore[assignment]
    deployed = item.session.stash.get(_DEPLOYED, None)
    if report.failed and deployed is not None:
        report.sections.append(("logs of the deployment", recent_logs(deployed.emulator)))
    return report  # type: ignore[return-value]


@pytest.fixture(scope="session")
def tell(pytestconfig: pytest.Config) -> Tell:
    """Prints a line of progress, with the seconds since the start."""
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    start = time.monotonic()

    def line(text: str) -> None:
        with capture.global_and_fixture_disabled():
            print(f"\n  [{time.monotonic() - start:5.1f} s] {text}", end="", flush=True)  # noqa: T201

    return line


@pytest.fixture(scope="session")
def assembly(tmp_path_factory: pytest.TempPathFactory, tell: Tell) -> Path:
    """The templates and assets as `cdk deploy` takes them."""
    tell("cdk synth")
    return _synthesized(tmp_path_factory.mktemp("assembly") / "cdk.out")


def _synthesized(out: Path, *options: str) -> Path:
    environment = {name: value for name, value in os.environ.items() if name[:4] != "AWS_"}
    environment["PATH"] = f"{NODE_FOLDER}{os.pathsep}{environment['PATH']}"
    subprocess.run(
        [CDK, "synth", "--quiet", "--no-notices", "--output", out, *options],
        cwd=ROOT,
        env=environment | {"CDK_DISABLE_CLI_TELEMETRY": "true"},
        check=True,
    )
    return out


@pytest.fixture(scope="session")
def other_stage(
    deployment: Deployment, tmp_path_factory: pytest.TempPathFactory, tell: Tell
) -> Deployment:
    """The stage *next* beside the one of `deployment`, in the same account and region."""
    tell("cdk synth of a second stage")
    app = ("--app", f"{sys.executable} -m tests.e2e.next_stage")
    assembly = _synthesized(tmp_path_factory.mktemp("next") / "cdk.out", *app)
    outputs = assemblies.deploy(assembly, deployment.emulator)
    tell(f"deployed {len(outputs)} more stacks")
    merged = {key: value for stack in outputs.values() for key, value in stack.items()}
    return Deployment(emulator=deployment.emulator, outputs=merged)


@pytest.fixture(scope="session")
def double() -> Iterator[BedrockDouble]:
    with BedrockDouble(latency_ms=LATENCY_MS) as double:
        yield double


@pytest.fixture(scope="session")
def deployment(
    assembly: Path, double: BedrockDouble, tell: Tell, request: pytest.FixtureRequest
) -> Iterator[Deployment]:
    """All stacks, in an account of their own."""
    with Emulator(bedrock_url=double.url) as emulator:
        tell("deploying the stacks with CloudFormation")
        outputs = assemblies.deploy(assembly, emulator)
        merged = {key: value for stack in outputs.values() for key, value in stack.items()}
        deployed = Deployment(emulator=emulator, outputs=merged)
        request.session.stash[_DEPLOYED] = deployed
        tell(f"deployed {len(outputs)} stacks")
        yield deployed
        del request.session.stash[_DEPLOYED]
