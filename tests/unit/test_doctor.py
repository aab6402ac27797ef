"""The doctor as a whole: what stands for itself, what is asked of whom, and with which rights."""

import json
import shlex
import threading
import time
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any, Final

import pytest
from botocore.exceptions import ConnectTimeoutError

from runtime.contract.stacks import BOOTSTRAP_VERSION, EVENTS, STATEFUL
from runtime.contract.tables import QUEUE
from runtime.doctor import registry
from runtime.doctor.account import MAX_PAGES, Account
from runtime.doctor.check import Check
from runtime.doctor.examination import examine
from runtime.doctor.finding import MAX_CHARACTERS, Finding, ok
from runtime.doctor.models import models_of_tiers
from runtime.doctor.policy import policy_document
from runtime.domain.models.price_table import load_prices
from tests.fixtures.aws_answers import (
    HEALTHY,
    MODELS,
    NOW,
    Broken,
    Refusal,
    alarm,
    answering,
    quota,
)
from tests.fixtures.doctor import CHECKS, OK, UNKNOWN, WRONG, account, look, models, quotas

DENIED: Final = Refusal(code="AccessDenied", status=403)
AWS_CHECKS: Final = {name: each for name, each in CHECKS.items() if each.actions}


pytestmark = pytest.mark.usefixtures("at_once")


def test_a_region_without_bedrock_or_without_prices_is_unknown(sdk_session: Any) -> None:
    (nowhere,) = look("region", sdk_session, {}, region="xy-nowhere-1")
    assert nowhere.state is UNKNOWN
    assert "knows of no Bedrock there" in nowhere.says
    far = load_prices().seen_from("sa-east-1")
    told = [
        each
        for each in look("prices of models", sdk_session, {}, prices=far)
        if each.state is UNKNOWN
    ]
    assert told
    assert all("is not known" in each.says for each in told)


def test_without_a_region_that_is_what_is_wrong(
    sdk_session: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    with answering(HEALTHY, sdk_session):
        found = {each.name: each for each in examine(account())}
    assert found["region"].state is WRONG
    assert "--region" in found["region"].mend
    assert found["CDK bootstrap"].state is UNKNOWN
    assert "set AWS_REGION" in found["CDK bootstrap"].says


@pytest.mark.parametrize("name", AWS_CHECKS)
def test_what_may_not_be_looked_at_is_unknown_and_says_which_action_is_missing(
    sdk_session: Any, name: str
) -> None:
    last = AWS_CHECKS[name].actions[-1]
    operations = {"ViewBudget": "DescribeBudgets"}
    operation = operations.get(last.partition(":")[2], last.partition(":")[2])
    (key,) = [each for each in HEALTHY if each.endswith(f".{operation}")]
    answers = {key: DENIED}
    if operation == "ListAWSDefaultServiceQuotas":  # asked only where the account's own are missing
        answers |= quotas()
    elif operation == "ListInferenceProfiles":  # and this one for profiles only
        answers |= models()
    assert [(each.state, each.says) for each in look(name, sdk_session, answers)] == [
        (UNKNOWN, f"you may not look: {last} is missing")
    ]


def test_commands_that_mend_are_for_the_region_and_the_profile_that_were_given(
    sdk_session: Any,
) -> None:
    role = {"iam.GetRole": Refusal(code="NoSuchEntity", status=404)}
    (found,) = look("role of ECS", sdk_session, role, region="us-east-1")
    assert found.mend.endswith("ecs.amazonaws.com --region us-east-1")
    assert account(region="r", profile="p").aws("x") == "aws x --region r --profile p"


def test_a_profile_that_is_not_there_is_wrong(sdk_session: Any) -> None:
    del sdk_session
    with answering(HEALTHY):
        (found,) = CHECKS["credentials"].findings(account(profile="nobody"))
    assert found.state is WRONG
    assert "ProfileNotFound" in found.says


def test_the_whole_of_a_healthy_account(sdk_session: Any, docker: None) -> None:
    """Nothing is wrong; and the calls that are made are those that the policy allows."""
    del docker
    names = {"DescribeBudgets": "ViewBudget", "DescribeBudgetNotificationsForAccount": "ViewBudget"}
    services = {"service-quotas": "servicequotas"}
    answers = {**HEALTHY, **models(*MODELS[1:])}  # one is missing: profiles are asked for, too
    with answering(HEALTHY, sdk_session) as healthy:
        found = examine(account())
    assert {each.state for each in found} == {OK}
    with answering({**answers, **quotas()}, sdk_session) as lacking:
        examine(account())
    made = {
        f"{services.get(service, service)}:{names.get(operation, operation)}"
        for service, operation in (key.split(".") for key in {*healthy.asked, *lacking.asked})
    }
    statements = policy_document()["Statement"]
    assert made == {action for each in statements for action in each["Action"]}
    assert all(
        action.partition(":")[2].startswith(("Describe", "Filter", "Get", "List", "Query", "View"))
        for action in made
    )


def test_without_credentials_nothing_else_is_asked_of_aws(sdk_session: Any, docker: None) -> None:
    del docker
    refused = {"sts.GetCallerIdentity": Refusal(code="InvalidClientTokenId", status=403)}
    with answering({**HEALTHY, **refused}, sdk_session) as aws:
        found = {each.name: each for each in examine(account())}
    assert set(aws.asked) == {"sts.GetCallerIdentity"}
    assert found["credentials"].state is WRONG
    assert found["last sweeps"].says == "not asked: there are no credentials"
    assert found["Docker"].state is OK


def test_a_check_that_breaks_or_hangs_stops_no_other(sdk_session: Any) -> None:
    stop = threading.Event()

    def hang(_: Account) -> Iterator[Finding]:
        stop.wait(30)
        yield ok("never", "late")

    def break_down(_: Account) -> Iterator[Finding]:
        raise ZeroDivisionError

    checks = [
        registry.CREDENTIALS,
        Check(name="hangs", look=hang),
        Check(name="breaks", look=break_down),
        CHECKS["CDK bootstrap"],
    ]
    began = time.monotonic()
    with answering(HEALTHY, sdk_session):
        found = [
            (each.name, each.state, each.says) for each in examine(account(), checks, seconds=0.5)
        ]
    stop.set()
    assert time.monotonic() - began < 10
    assert found[1:] == [
        ("hangs", UNKNOWN, "gave no answer in time"),
        ("breaks", UNKNOWN, "could not be looked at (ZeroDivisionError)"),
        ("CDK bootstrap", OK, "version 28"),
    ]


def test_a_question_without_an_answer_is_asked_twice(sdk_session: Any) -> None:
    answers = {"iam.GetRole": Broken(ConnectTimeoutError(endpoint_url="https://x"))}
    with answering({**HEALTHY, **answers}, sdk_session) as aws:
        (found,) = CHECKS["role of ECS"].findings(account())
    assert aws.asked == ["iam.GetRole", "iam.GetRole"]
    assert found.state is UNKNOWN


def test_what_aws_answers_is_plain_and_short(sdk_session: Any) -> None:
    name = f"\x1b[31m{'b' * 2000}\u202e"
    (found,) = look(
        "AWS Budgets", sdk_session, {"budgets.DescribeBudgets": {"Budgets": [{"BudgetName": name}]}}
    )
    assert found.says.isprintable()
    assert len(found.says) == MAX_CHARACTERS + 1


def test_an_answer_without_what_is_looked_for_is_unknown(sdk_session: Any) -> None:
    (found,) = look("Lambda concurrency", sdk_session, {"lambda.GetAccountSettings": {}})
    assert (found.state, found.says) == (UNKNOWN, "could not be looked at (KeyError)")


def test_what_others_have_named_does_not_steer_a_shell(sdk_session: Any) -> None:
    """A topic is called by whoever made it, and a command that mends is to be pasted."""
    hostile = "arn:aws:sns:x; rm -rf / $(id) `id`"
    answers = {
        "cloudwatch.DescribeAlarms": {"MetricAlarms": [alarm("A", AlarmActions=[hostile])]},
        "sns.ListSubscriptionsByTopic": {"Subscriptions": []},
    }
    (found,) = look("alarms reach somebody", sdk_session, answers)
    words = shlex.split(found.mend)
    assert words[words.index("--topic-arn") + 1 : words.index("--protocol")] == [hostile]


def test_a_list_without_an_end_is_left(sdk_session: Any) -> None:
    numbers = count()

    def page(_: Mapping[str, Any]) -> Any:
        return {"Quotas": [], "NextToken": f"{next(numbers)}"}

    look("Fargate quotas", sdk_session, {"service-quotas.ListServiceQuotas": page})
    assert next(numbers) == MAX_PAGES


def test_lists_are_read_to_their_end(sdk_session: Any) -> None:
    """A quota that stands on the second page is found."""

    def page(asked: Mapping[str, Any]) -> Any:
        spot, on_demand = (
            quota(f"Fargate {kind} vCPU resource count", 9) for kind in ("Spot", "On-Demand")
        )
        if "NextToken" in asked:
            return {"Quotas": [on_demand]}
        return {"Quotas": [spot], "NextToken": "more"}

    found = look("Fargate quotas", sdk_session, {"service-quotas.ListServiceQuotas": page})
    assert [each.state for each in found] == [OK, OK]


def test_the_models_of_tiers_are_those_that_a_template_gets() -> None:
    prices = load_prices()
    assert models_of_tiers(prices, NOW.date()) == tuple(
        prices.resolve_tier(tier, "bedrock", NOW.date()) for tier in prices.tiers
    )
    assert models_of_tiers(prices, NOW.date().replace(year=2020)) == ()


def test_what_is_looked_for_is_in_the_templates() -> None:
    """Names and types of resources, and the version of the bootstrap that the templates ask for."""

    def template(what: str) -> Any:
        folder = Path(__file__).parents[1] / "infra/__snapshots__/test_snapshots"
        return json.loads((folder / f"test_template[prod-{what}].json").read_bytes())

    for what, kind, begins in (
        (EVENTS, "AWS::Logs::LogGroup", "SweepQueue"),
        (STATEFUL, "AWS::DynamoDB::Table", f"Tables{QUEUE.name}"),
    ):
        found = template(what)["Resources"].items()
        names = [name for name, each in found if each["Type"] == kind and name.startswith(begins)]
        assert len(names) == 1
    (rule,) = template(STATEFUL)["Rules"]["CheckBootstrapVersion"]["Assertions"]
    too_old = rule["Assert"]["Fn::Not"][0]["Fn::Contains"][0]
    assert max(map(int, too_old)) + 1 == BOOTSTRAP_VERSION
