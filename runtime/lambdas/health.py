"""GET /health: whether the API answers. Needs no token and touches nothing."""

from http import HTTPStatus
from typing import Literal

from runtime.lambdas.http import ApiModel, Call, NoBody, endpoint


class Health(ApiModel):
    """The API answers."""

    status: Literal["ok"] = "ok"


@endpoint(body=NoBody, query=NoBody, answers={HTTPStatus.OK: Health}, authenticated=False)
def lambda_handler(call: Call[NoBody, NoBody]) -> Health:  # noqa: ARG001 - the shape of an operation
    """Say that the API answers."""
    return Health()
