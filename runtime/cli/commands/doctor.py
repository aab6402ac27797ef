"""`seedwright doctor`: what is right, wrong or unknown in an AWS account, line by line."""

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Final

import orjson
import typer

from runtime.cli.options import JsonOption, PricesOption
from runtime.cli.output import print_exactly, print_json, print_line
from runtime.contract.exit_codes import EXIT_FAILED
from runtime.doctor import examination
from runtime.doctor.finding import Finding, State
from runtime.doctor.policy import policy_document

EXAMPLE: Final = "Example: seedwright doctor --stage prod --region eu-west-1"

_STATE_WIDTH: Final = max(map(len, State))


def doctor(
    *,
    stage: Annotated[str, typer.Option(help="What was deployed, or will be.")] = "dev",
    region: Annotated[
        str | None, typer.Option(help="AWS region. [AWS_REGION, or the profile's]")
    ] = None,
    profile: Annotated[
        str | None, typer.Option(help="Profile of the AWS command line. [AWS_PROFILE]")
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(help="Look at this model, too, beside those of all tiers; may be repeated."),
    ] = None,
    prices: PricesOption = None,
    policy: Annotated[
        bool,
        typer.Option("--policy", help="Print the IAM policy that suffices, and look at nothing."),
    ] = False,
    json: JsonOption = False,
) -> int:
    """Look at an AWS account before and after a deployment, with calls that only read.

    Each line is ok, wrong, unknown or not deployed; below what is not right stands the command that
    mends it. Nothing is changed, and no model is called. The exit code is 1 if something is wrong.
    """
    if policy:
        print_exactly(orjson.dumps(policy_document(), option=orjson.OPT_INDENT_2).decode())
        return 0
    found = examination.doctor(
        stage=stage, region=region, profile=profile, models=model or (), prices=prices
    )
    if json:
        print_json({"stage": stage, "findings": [each.document() for each in found]})
    else:
        _show(found)
    return EXIT_FAILED if any(each.state is State.WRONG for each in found) else 0


def _show(found: Sequence[Finding]) -> None:
    for each in found:
        print_line(f"{each.state:<{_STATE_WIDTH}}  {each.name}: {each.says}")
        if each.mend and each.state is not State.NOT_DEPLOYED:
            print_line(f"{'':<{_STATE_WIDTH}}    → {each.mend}")
    counts = Counter(each.state for each in found)
    print_line(", ".join(f"{counts[state]} {state}" for state in State if counts[state]))
    if counts[State.NOT_DEPLOYED]:
        mend = next(each.mend for each in found if each.state is State.NOT_DEPLOYED)
        print_line(f"What is not deployed yet comes with `{mend}`: docs/deploy.md.")
