"""Operations on templates."""

from typing import Final

from runtime.contract.functions import Function, Route
from runtime.contract.grants import ModelGrant, TableGrant
from runtime.contract.shared_grants import GET, MAKE_TEMPLATE, QUERY, READ_TEMPLATES, TAKE_MONEY
from runtime.contract.tables import TEMPLATES, TEMPLATES_BY_USER, TEMPLATES_PUBLIC

TEMPLATE_ROUTES: Final = (
    Route(
        method="POST",
        path="/templates",
        function=Function(
            name="create_template",
            module="templates.create_template",
            grants=MAKE_TEMPLATE,
            memory=1024,
            bundle="templates",
        ),
    ),
    Route(
        method="GET",
        path="/templates",
        function=Function(
            name="list_templates",
            module="templates.list_templates",
            grants=(
                TableGrant(table=TEMPLATES, actions=QUERY, index=TEMPLATES_BY_USER),
                TableGrant(table=TEMPLATES, actions=QUERY, index=TEMPLATES_PUBLIC),
            ),
        ),
    ),
    Route(
        method="POST",
        path="/templates/import",
        function=Function(
            name="import_template",
            module="templates.import_template",
            grants=MAKE_TEMPLATE,
            memory=1024,
            bundle="templates",
        ),
    ),
    Route(
        method="GET",
        path="/templates/{template_id}",
        function=Function(
            name="get_template",
            module="templates.get_template",
            grants=(TableGrant(table=TEMPLATES, actions=GET),),
            bundle="templates",
        ),
    ),
    Route(
        method="PUT",
        path="/templates/{template_id}",
        function=Function(
            name="update_template",
            module="templates.update_template",
            grants=(
                TableGrant(table=TEMPLATES, actions=("dynamodb:PutItem", "dynamodb:UpdateItem")),
                *READ_TEMPLATES,
            ),
            memory=1024,
            bundle="templates",
        ),
    ),
    Route(
        method="DELETE",
        path="/templates/{template_id}",
        function=Function(
            name="delete_template",
            module="templates.delete_template",
            grants=(
                TableGrant(
                    table=TEMPLATES,
                    actions=(
                        "dynamodb:GetItem",
                        "dynamodb:Query",
                        "dynamodb:UpdateItem",
                        "dynamodb:DeleteItem",
                    ),
                ),
            ),
        ),
    ),
    Route(
        method="GET",
        path="/templates/{template_id}/versions",
        function=Function(
            name="list_template_versions",
            module="templates.list_template_versions",
            grants=(TableGrant(table=TEMPLATES, actions=("dynamodb:GetItem", "dynamodb:Query")),),
        ),
    ),
    Route(
        method="POST",
        path="/templates/{template_id}/preview",
        function=Function(
            name="preview_template",
            module="templates.preview_template",
            grants=(*READ_TEMPLATES, TAKE_MONEY, ModelGrant()),
            memory=1769,
            seconds=29,
            bundle="templates",
        ),
    ),
    Route(
        method="POST",
        path="/templates/{template_id}/fork",
        function=Function(
            name="fork_template",
            module="templates.fork_template",
            grants=MAKE_TEMPLATE,
            memory=1024,
            bundle="templates",
        ),
    ),
    Route(
        method="GET",
        path="/templates/{template_id}/export",
        function=Function(
            name="export_template",
            module="templates.export_template",
            grants=(TableGrant(table=TEMPLATES, actions=GET),),
            bundle="templates",
        ),
    ),
)
