"""DELETE /templates/{template_id}."""

from http import HTTPStatus

from runtime.lambdas.http import Call, NoBody, endpoint
from runtime.service.access import own_template


@endpoint(
    body=NoBody,
    query=NoBody,
    answers={HTTPStatus.NO_CONTENT: None},
    errors=(HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND),
)
def lambda_handler(call: Call[NoBody, NoBody]) -> None:
    """Delete a template of yours. Jobs that use it already keep their version."""
    call.ports.template_catalog.delete(own_template(call).template_id)
