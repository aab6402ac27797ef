"""Options of a job as fields of bodies and answers, made from `runtime.domain.options`."""

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, create_model

from runtime.domain.options import GroupT, Option, options_of
from runtime.lambdas.http import ApiModel

ModelT = TypeVar("ModelT", bound=ApiModel)


def takes(*groups: type) -> Callable[[type[ModelT]], type[ModelT]]:
    """Makes a model a body that takes the options of `groups`, too, each with its default."""
    fields: dict[str, Any] = {
        each.name: (_taken(each), Field(default=each.default, description=each.help))
        for each in _options(groups)
        if each.chosen
    }
    return _extending(fields)


def shows(*groups: type) -> Callable[[type[ModelT]], type[ModelT]]:
    """Makes a model an answer that shows the options of `groups`, too."""
    fields: dict[str, Any] = {
        each.name: (_typed(each), Field(description=each.help)) for each in _options(groups)
    }
    return _extending(fields)


def chosen(body: ApiModel, group: type[GroupT]) -> GroupT:
    """What a body that takes the options of `group` says of them."""
    return group(
        **{each.field: getattr(body, each.name) for each in options_of(group) if each.chosen}
    )


def request_document(body: ApiModel, *groups: type) -> dict[str, Any]:
    """The body as plain JSON values, the same for a request as it was before `groups` got their
    later options and defaults: a body that doesn't name an option says `absent`, and late options
    are left out where they say nothing.
    """
    document: dict[str, Any] = body.model_dump(mode="json")
    for each in _options(groups):
        if not each.chosen:
            continue
        if each.absent != each.default and each.name not in body.model_fields_set:
            document[each.name] = each.absent
        if each.late and document[each.name] == each.absent:
            del document[each.name]
    return document


def shown(*groups: object) -> dict[str, Any]:
    """The fields of an answer that shows these configurations."""
    return {
        each.name: getattr(group, each.field)
        for group in groups
        for each in options_of(type(group))
    }


def _options(groups: tuple[type, ...]) -> list[Option]:
    return [each for group in groups for each in options_of(group)]


def _extending(fields: dict[str, Any]) -> Callable[[type[ModelT]], type[ModelT]]:
    def decorate(model: type[ModelT]) -> type[ModelT]:
        return create_model(
            model.__name__,
            __base__=model,
            __module__=model.__module__,
            __doc__=model.__doc__,
            **fields,
        )

    return decorate


def _taken(each: Option) -> Any:
    kind: Any = _typed(each)
    limits = {"ge": each.least, "le": each.most, "max_length": each.longest}
    given: dict[str, Any] = {name: limit for name, limit in limits.items() if limit is not None}
    if each.longest is not None:
        given["min_length"] = 1
    if given:
        checks = (AfterValidator(_printable),) if each.printable else ()
        kind = Annotated[each.kind, Field(**given), *checks]
        kind = kind | None if each.optional else kind
    if each.read is not None:
        kind = Annotated[kind, BeforeValidator(each.read)]
    if each.schema is not None:
        kind = Annotated[kind, WithJsonSchema(dict(each.schema))]
    return kind


def _printable(text: str) -> str:
    if not (text.isprintable() and text.strip()):
        raise ValueError("use characters that can be seen")
    return text


def _typed(each: Option) -> Any:
    return each.kind | None if each.optional else each.kind
