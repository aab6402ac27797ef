"""Every check of an account, in every state that it can find."""

import json
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
from botocore.exceptions import ConnectTimeoutError

from runtime.contract.stacks import BOOTSTRAP_VERSION, EVENTS, STATEFUL
from runtime.contract.tables import QUEUE
from runtime.doctor import registry
from runtime.doctor.account import Account
from runtime.doctor.check import Check
from runtime.doctor.examination import examine
from runtime.doctor.finding import MAX_CHARACTERS, Finding, State, ok
from runtime.doctor.models import models_of_tiers
from runtime.doctor.policy import policy_document
from runtime.domain.models.price_table import load_prices
from tests.fixtures.aws_answers import (
    AVAILABLE,
    CHOSEN,
    HEALTHY,
    LLAMA,
    MODELS,
    NOW,
    TOPIC,
    Broken,
    Refusal,
    alarm,
    answering,
    model,
    quota,
    stack,
    subscription,
    swept,
)
from tests.fixtures.aws_faults import no_retry_pauses

OK, WRONG, UNKNOWN, LATER = State.OK, State.WRONG, State.UNKNOWN, State.NOT_DEPLOYED
DENIED: Final = Refusal(code="AccessDenied", status=403)
ABSENT: Final = Refusal(code="ValidationError")
CHECKS: Final = {check.name: check for check in registry.CHECKS}
AWS_CHECKS: Final = {name: each for name, each in CHECKS.items() if each.actions}


@pytest.fixture(scope="module")
def session() -> Any:
    """The SDK reads its descriptions of twelve services once."""
    from botocore.session import Session  # noqa: PLC0415

    return Session()


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    no_retry_pauses(monkeypatch)


def account(*models: str, **changes: Any) -> Account:
    settings: dict[str, Any] = {
        "stage": "dev",
        "region": None,
        "profile": None,
        "prices": load_prices(),
        "models": models or CHOSEN,
        "now": lambda: NOW,
    }
    return Account(**{**settings, **changes})


def look(
    name: str, session: Any, answers: Mapping[str, Any], *models: str, **changes: Any
) -> list[Finding]:
    with answering({**HEALTHY, **answers}, session):
        return CHECKS[name].findings(account(*models, **changes))


def only(text: str, asked: Mapping[str, Any]) -> Any:
    """The answer to `describe_stacks` where one stack has this status and the others are well."""
    what, _, status = text.partition(" ")
    return stack(status if asked["StackName"].endswith(what) else "CREATE_COMPLETE")


def described(text: str) -> Mapping[str, Any]:
    return {"cloudformation.DescribeStacks": lambda asked: only(text, asked)}


def quotas(*found: Any) -> Mapping[str, Any]:
    return {"service-quotas.ListServiceQuotas": {"Quotas": list(found)}}


def alarms(*found: Any) -> Mapping[str, Any]:
    return {"cloudwatch.DescribeAlarms": {"MetricAlarms": list(found)}}


def subscribers(*arns: str) -> Mapping[str, Any]:
    return {"sns.ListSubscriptionsByTopic": {"Subscriptions": list(map(subscription, arns))}}


def sweeps(*events: Any) -> Mapping[str, Any]:
    return {"logs.FilterLogEvents": {"events": list(events)}}


def waiting(minutes: int) -> Mapping[str, Any]:
    since = NOW.replace(hour=11, minute=60 - minutes).isoformat()
    item = {"work_id": {"S": "job-7"}, "queued_at": {"S": since}}
    return {"dynamodb.Query": {"Items": [item], "Count": 1, "ScannedCount": 1}}


def availability(**changes: Any) -> Mapping[str, Any]:
    return {"bedrock.GetFoundationModelAvailability": {**AVAILABLE, **changes}}


def models(*found: Any) -> Mapping[str, Any]:
    return {"bedrock.ListFoundationModels": {"modelSummaries": list(found)}}


NOVA: Final = "amazon.nova-micro-v1:0"
NOVA_2: Final = "global.amazon.nova-2-lite-v1:0"
PER_MINUTE: Final = "On-demand model inference tokens per minute for Amazon Nova Micro"
PER_DAY: Final = "Model invocation max tokens per day for Amazon Nova Micro"

ROWS: Final[tuple[tuple[str, Mapping[str, Any], tuple[str, ...], State, str, str], ...]] = (
    # check, what AWS answers, models, state, part of what is said, part of what mends it
    ("credentials", {}, (), OK, "account 111122223333 as arn:aws:iam::111122223333:user/ada", ""),
    (
        "credentials",
        {"sts.GetCallerIdentity": Refusal(code="ExpiredToken", status=403)},
        (),
        WRONG,
        "there are none that AWS takes (ExpiredToken)",
        "aws configure",
    ),
    (
        "credentials",
        {"sts.GetCallerIdentity": Broken(ConnectTimeoutError(endpoint_url="https://x"))},
        (),
        UNKNOWN,
        "could not be looked at (ConnectTimeoutError)",
        "",
    ),
    ("region", {}, (), OK, "us-east-1: Bedrock is there", ""),
    ("CDK bootstrap", {}, (), OK, "version 28", ""),
    (
        "CDK bootstrap",
        {"ssm.GetParameter": {"Parameter": {"Name": "version", "Value": "5"}}},
        (),
        WRONG,
        "version 5 is too old: 6 or newer is needed",
        "npx cdk bootstrap",
    ),
    (
        "CDK bootstrap",
        {"ssm.GetParameter": Refusal(code="ParameterNotFound")},
        (),
        WRONG,
        "has not been in us-east-1 yet",
        "npx cdk bootstrap",
    ),
    ("role of ECS", {}, (), OK, "AWSServiceRoleForECS is there", ""),
    (
        "role of ECS",
        {"iam.GetRole": Refusal(code="NoSuchEntity", status=404)},
        (),
        WRONG,
        "the first deployment may roll back",
        "aws iam create-service-linked-role --aws-service-name ecs.amazonaws.com",
    ),
    ("Fargate quotas", {}, (), OK, "6, so many workers at a time", ""),
    (
        "Fargate quotas",
        quotas(quota("Fargate Spot vCPU resource count", 0)),
        (),
        WRONG,
        "0: no worker can start",
        "--service-code fargate --quota-code L-00000001 --desired-value 64",
    ),
    ("Fargate quotas", quotas(), (), UNKNOWN, "Service Quotas shows no", "/services/fargate/"),
    ("Lambda concurrency", {}, (), OK, "1000 executions at a time", ""),
    (
        "Lambda concurrency",
        {"lambda.GetAccountSettings": {"AccountLimit": {"ConcurrentExecutions": 10}}},
        (),
        WRONG,
        "10 executions at a time",
        "--service-code lambda --quota-code L-B99A9384",
    ),
    ("prices of models", {}, (), OK, "Amazon Nova Micro, checked", ""),
    ("prices of models", {}, ("wat.ai-v1:0",), WRONG, "unknown model", "docs/prices.md"),
    ("access to models", {}, (), OK, "subscribed and authorized", ""),
    (
        "access to models",
        {"bedrock.GetFoundationModelAvailability": Refusal(code="ResourceNotFoundException")},
        (),
        WRONG,
        "Bedrock in us-east-1 doesn't know it",
        "seedwright models",
    ),
    (
        "access to models",
        availability(agreementAvailability={"status": "PENDING"}),
        (),
        UNKNOWN,
        "up to 15 minutes",
        "look again then",
    ),
    (
        "access to models",
        availability(agreementAvailability={"status": "NOT_AVAILABLE"}),
        (),
        WRONG,
        "not subscribed (agreement NOT_AVAILABLE",
        f"bedrock-runtime converse --model-id {NOVA}",
    ),
    (
        "access to models",
        availability(entitlementAvailability="NOT_AVAILABLE"),
        (),
        WRONG,
        "entitlement NOT_AVAILABLE",
        "bedrock-runtime converse",
    ),
    (
        "access to models",
        availability(authorizationStatus="NOT_AUTHORIZED"),
        (),
        WRONG,
        "the account is not authorized",
        "console.aws.amazon.com/bedrock",
    ),
    (
        "access to models",
        availability(regionAvailability="NOT_AVAILABLE"),
        (),
        WRONG,
        "not available in us-east-1",
        "seedwright models",
    ),
    (
        "access to models",
        availability(regionAvailability="NOT_AVAILABLE"),
        (NOVA_2,),
        OK,
        "subscribed and authorized",
        "",
    ),
    ("ways to call models", {}, (), OK, "by its own id", ""),
    ("ways to call models", {}, (NOVA_2,), OK, "the profile is there", ""),
    (
        "ways to call models",
        {},
        (LLAMA,),
        WRONG,
        f"it can't be called by its own id; there is us.{LLAMA}",
        "choose another model",
    ),
    (
        "ways to call models",
        {},
        (f"eu.{LLAMA}",),
        WRONG,
        f"no such profile in us-east-1; there is us.{LLAMA}",
        "choose another model",
    ),
    ("ways to call models", models(), (), WRONG, "not offered in us-east-1", "seedwright models"),
    ("life of models", {}, (), OK, "active", ""),
    (
        "life of models",
        models(
            model(
                NOVA, status="LEGACY", legacyTime="2026-09-01", endOfLifeTime="2027-03-30T00:00:00Z"
            )
        ),
        (),
        WRONG,
        "legacy, legacy from 2026-09-01, last day 2027-03-30",
        "choose another model",
    ),
    ("life of models", models(*MODELS[1:]), (), UNKNOWN, "doesn't say", ""),
    ("token quotas", {}, (), OK, "2 000 000", ""),
    ("token quotas", {}, (NOVA_2,), OK, "8 000 000", ""),
    (
        "token quotas",
        {},
        ("global.anthropic.claude-sonnet-4-5-20250929-v1:0",),
        OK,
        "500 000",
        "",
    ),
    (
        "token quotas",
        quotas(quota(PER_MINUTE, 0), quota(PER_DAY, 0, Adjustable=False)),
        (),
        WRONG,
        "0: too few for a dataset",
        "--service-code bedrock --quota-code L-00000001 --desired-value 2000000",
    ),
    (
        "token quotas",
        {
            **quotas(),
            "service-quotas.ListAWSDefaultServiceQuotas": {"Quotas": [quota(PER_MINUTE, 2e6)]},
        },
        (),
        UNKNOWN,
        "AWS shows its default, 2 000 000, and not what this account has",
        "/services/bedrock/",
    ),
    ("token quotas", quotas(), (), UNKNOWN, "shows none by this model's name", "/bedrock/"),
    ("stacks", {}, (), OK, "CREATE_COMPLETE", ""),
    ("stacks", {"cloudformation.DescribeStacks": ABSENT}, (), LATER, "not deployed", "npm run dep"),
    (
        "stacks",
        {"cloudformation.DescribeStacks": stack("REVIEW_IN_PROGRESS")},
        (),
        LATER,
        "not deployed",
        "npm run deploy",
    ),
    (
        "stacks",
        described("stateful DELETE_COMPLETE"),
        (),
        WRONG,
        "is not there, though others of its stage are",
        "npm run deploy",
    ),
    (
        "stacks",
        described("stateful ROLLBACK_COMPLETE"),
        (),
        WRONG,
        "ROLLBACK_COMPLETE: see why (aws cloudformation describe-stack-events",
        "aws cloudformation delete-stack --stack-name seedwright-dev-stateful",
    ),
    (
        "stacks",
        described("stateful UPDATE_ROLLBACK_COMPLETE"),
        (),
        WRONG,
        "as before the last deployment, which failed",
        "npm run deploy",
    ),
    (
        "stacks",
        described("stateful UPDATE_ROLLBACK_FAILED"),
        (),
        WRONG,
        "UPDATE_ROLLBACK_FAILED",
        "continue-update-rollback --stack-name seedwright-dev-stateful",
    ),
    ("stacks", described("stateful UPDATE_FAILED"), (), WRONG, "UPDATE_FAILED", "npm run deploy"),
    (
        "stacks",
        described("stateful UPDATE_IN_PROGRESS"),
        (),
        UNKNOWN,
        "look again when that has ended",
        "describe-stack-events",
    ),
    ("alarms reach somebody", {}, (), OK, "2 alarms, 1 confirmed subscriber", ""),
    (
        "alarms reach somebody",
        subscribers("PendingConfirmation", f"{TOPIC}:1"),
        (),
        WRONG,
        "1 not confirmed, beside 1 confirmed subscriber",
        "open the link in the mail",
    ),
    (
        "alarms reach somebody",
        subscribers("Deleted"),
        (),
        WRONG,
        "the topic has no subscriber",
        f"aws sns subscribe --topic-arn {TOPIC}",
    ),
    (
        "alarms reach somebody",
        alarms(alarm("FailedJobs", ActionsEnabled=False), alarm("ApiErrors")),
        (),
        WRONG,
        "switched off or without an action: FailedJobs",
        "enable-alarm-actions --alarm-names seedwright-dev-monitoring-FailedJobs",
    ),
    (
        "alarms reach somebody",
        alarms(),
        (),
        UNKNOWN,
        "stack seedwright-dev-monitoring shows no alarms",
        "",
    ),
    ("alarms now", {}, (), OK, "none of 2 is raised", ""),
    (
        "alarms now",
        alarms(*(alarm(f"A{number}", StateValue="ALARM") for number in range(7))),
        (),
        WRONG,
        "raised: A0, A1, A2, A3, A4, and 2 more",
        "docs/runbook.md",
    ),
    ("last sweeps", {}, (), OK, "2 in 15 minutes", ""),
    ("last sweeps", sweeps(), (), WRONG, "none in 15 minutes", "aws logs tail seedwright-dev-ev"),
    ("last sweeps", sweeps(swept(7)), (), WRONG, "the last one was 7 minutes ago", "logs tail"),
    (
        "last sweeps",
        sweeps(swept(1, failed=2), {"timestamp": 0, "message": "queue swept, not JSON"}),
        (),
        WRONG,
        "failed for 2 work items",
        "aws logs tail",
    ),
    ("oldest queued job", {}, (), OK, "no job waits", ""),
    ("oldest queued job", waiting(3), (), OK, "job-7 has waited for 3 minutes", ""),
    ("oldest queued job", waiting(16), (), WRONG, "job-7 has waited for 16 min", "OldestQueuedJob"),
    (
        "oldest queued job",
        {"cloudformation.ListStackResources": {"StackResourceSummaries": []}},
        (),
        UNKNOWN,
        "stack seedwright-dev-stateful has no TablesQueue",
        "",
    ),
    ("AWS Budgets", {}, (), OK, "none; every job has a budget of its own", ""),
    (
        "AWS Budgets",
        {
            "budgets.DescribeBudgets": {"Budgets": [{"BudgetName": "b"}]},
            "budgets.DescribeBudgetNotificationsForAccount": {
                "BudgetNotificationsForAccount": [{"BudgetName": "b", "Notifications": [{}]}]
            },
        },
        (),
        OK,
        "1 budget with notifications",
        "",
    ),
    (
        "AWS Budgets",
        {"budgets.DescribeBudgets": {"Budgets": [{"BudgetName": "b"}, {"BudgetName": "a"}]}},
        (),
        WRONG,
        "nobody is notified: a, b",
        "console.aws.amazon.com",
    ),
    *(
        (name, {"cloudformation.DescribeStacks": ABSENT}, (), LATER, "not deployed", "npm run dep")
        for name in ("alarms reach somebody", "alarms now", "last sweeps", "oldest queued job")
    ),
)


@pytest.mark.parametrize(
    ("name", "answers", "chosen", "state", "says", "mend"),
    ROWS,
    ids=[f"{row[0]}: {row[3]}, {row[4]}" for row in ROWS],
)
def test_what_a_check_finds(
    session: Any,
    name: str,
    answers: Mapping[str, Any],
    chosen: tuple[str, ...],
    state: State,
    says: str,
    mend: str,
) -> None:
    first = look(name, session, answers, *chosen)[0]
    assert (first.state, says in first.says, mend in first.mend) == (state, True, True), first
    assert bool(first.mend) or state in {OK, UNKNOWN}
    assert "secret detail" not in str(first)


def test_every_check_has_a_row_for_each_state_that_it_knows() -> None:
    states = {name: {row[3] for row in ROWS if row[0] == name} for name in CHECKS}
    outside = {"Docker", "buildx", "region"}  # tests/unit/test_doctor_command.py, and below
    assert [name for name, seen in states.items() if not seen >= {OK} and name not in outside] == []
    assert [
        name for name, seen in states.items() if not seen & {WRONG} and name not in outside
    ] == []


def test_a_region_without_bedrock_or_without_prices_is_unknown(session: Any) -> None:
    (tokyo,) = look("region", session, {}, region="ap-northeast-1")
    assert (tokyo.state, tokyo.mend) == (
        UNKNOWN,
        "compare with https://aws.amazon.com/bedrock/pricing/, docs/prices.md",
    )
    (nowhere,) = look("region", session, {}, region="xy-nowhere-1")
    assert nowhere.state is UNKNOWN
    assert "knows of no Bedrock there" in nowhere.says


def test_without_a_region_that_is_what_is_wrong(
    session: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    with answering(HEALTHY, session):
        found = {each.name: each for each in examine(account())}
    assert found["region"].state is WRONG
    assert "--region" in found["region"].mend
    assert found["CDK bootstrap"].state is UNKNOWN
    assert "set AWS_REGION" in found["CDK bootstrap"].says


@pytest.mark.parametrize("name", AWS_CHECKS)
def test_what_may_not_be_looked_at_is_unknown_and_says_which_action_is_missing(
    session: Any, name: str
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
    assert [(each.state, each.says) for each in look(name, session, answers)] == [
        (UNKNOWN, f"you may not look: {last} is missing")
    ]


def test_commands_that_mend_are_for_the_region_and_the_profile_that_were_given(
    session: Any,
) -> None:
    session.set_config_variable("profile", None)
    role = {"iam.GetRole": Refusal(code="NoSuchEntity", status=404)}
    (found,) = look("role of ECS", session, role, region="us-east-1")
    assert found.mend.endswith("ecs.amazonaws.com --region us-east-1")
    assert account(region="r", profile="p").aws("x") == "aws x --region r --profile p"


def test_a_profile_that_is_not_there_is_wrong(session: Any) -> None:
    del session
    with answering(HEALTHY):
        (found,) = CHECKS["credentials"].findings(account(profile="nobody"))
    assert found.state is WRONG
    assert "ProfileNotFound" in found.says


def test_the_whole_of_a_healthy_account(session: Any, docker: None) -> None:
    """Nothing is wrong; and the calls that are made are those that the policy allows."""
    del docker
    names = {"DescribeBudgets": "ViewBudget", "DescribeBudgetNotificationsForAccount": "ViewBudget"}
    services = {"service-quotas": "servicequotas"}
    answers = {**HEALTHY, **models(*MODELS[1:])}  # one is missing: profiles are asked for, too
    with answering(HEALTHY, session) as healthy:
        found = examine(account())
    assert {each.state for each in found} == {OK}
    with answering({**answers, **quotas()}, session) as lacking:
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


def test_without_credentials_nothing_else_is_asked_of_aws(session: Any, docker: None) -> None:
    del docker
    refused = {"sts.GetCallerIdentity": Refusal(code="InvalidClientTokenId", status=403)}
    with answering({**HEALTHY, **refused}, session) as aws:
        found = {each.name: each for each in examine(account())}
    assert set(aws.asked) == {"sts.GetCallerIdentity"}
    assert found["credentials"].state is WRONG
    assert found["last sweeps"].says == "not asked: there are no credentials"
    assert found["Docker"].state is OK


def test_a_check_that_breaks_or_hangs_stops_no_other(session: Any) -> None:
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
    with answering(HEALTHY, session):
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


def test_a_question_without_an_answer_is_asked_twice(session: Any) -> None:
    answers = {"iam.GetRole": Broken(ConnectTimeoutError(endpoint_url="https://x"))}
    with answering({**HEALTHY, **answers}, session) as aws:
        (found,) = CHECKS["role of ECS"].findings(account())
    assert aws.asked == ["iam.GetRole", "iam.GetRole"]
    assert found.state is UNKNOWN


def test_what_aws_answers_is_plain_and_short(session: Any) -> None:
    name = f"\x1b[31m{'b' * 2000}\u202e"
    (found,) = look(
        "AWS Budgets", session, {"budgets.DescribeBudgets": {"Budgets": [{"BudgetName": name}]}}
    )
    assert found.says.isprintable()
    assert len(found.says) == MAX_CHARACTERS + 1


def test_lists_are_read_to_their_end(session: Any) -> None:
    """A quota that stands on the second page is found."""

    def page(asked: Mapping[str, Any]) -> Any:
        spot, on_demand = (
            quota(f"Fargate {kind} vCPU resource count", 9) for kind in ("Spot", "On-Demand")
        )
        if "NextToken" in asked:
            return {"Quotas": [on_demand]}
        return {"Quotas": [spot], "NextToken": "more"}

    found = look("Fargate quotas", session, {"service-quotas.ListServiceQuotas": page})
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
