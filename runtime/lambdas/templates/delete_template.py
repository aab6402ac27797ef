"""DELETE /templates/{template_id}."""

from http import HTTPStatus

from runtime.lambdas.http import Call, Nothing, endpoint
from runtime.service.access import own_template


@endpoint(
    body=Nothing,
    query=Nothing,
    answers={HTTPStatus.NO_CONTENT: None},
    errors=(HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND),
)
def lambda_handler(call: Call[Nothing, Nothing]) -> None:
    """Delete a template of yours. Jobs that use it already keep their version."""
    call.ports.template_catalog.delete(own_template(call).template_id)
