"""Options of a job as flags of a command, made from `runtime.domain.options`."""

import inspect
from collections.abc import Callable, Collection, Mapping
from functools import wraps
from typing import Annotated, Any, TypeVar

import typer

from runtime.domain.options import Option, check_options, options_of

CommandT = TypeVar("CommandT", bound=Callable[..., Any])


def takes(
    *groups: type,
    together: str | None = None,
    defaults: Mapping[str, Any] | None = None,
    without: Collection[str] = (),
) -> Callable[[CommandT], CommandT]:
    """Gives a command the flags of `groups`. A parameter of the type of a group stands for all of
    its flags, and gets what they say; one that is named `together` stands for all other groups, and
    gets a tuple.

    `defaults` are values of fields that differ for this command, `without` fields that have no flag
    here. A value out of its range is an `InputError`.
    """
    own = defaults or {}

    def flags_of(group: type) -> list[Option]:
        return [each for each in options_of(group) if each.chosen and each.field not in without]

    def decorate(command: CommandT) -> CommandT:
        wanted: dict[str, tuple[type, ...]] = {}
        parameters: list[inspect.Parameter] = []
        own_parameters = inspect.signature(command).parameters
        alone = {each.annotation for each in own_parameters.values()}
        for name, parameter in own_parameters.items():
            if name == together:
                wanted[name] = tuple(each for each in groups if each not in alone)
            elif parameter.annotation in groups:
                wanted[name] = (parameter.annotation,)
            else:
                parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))
                continue
            parameters += [
                _parameter(each, own.get(each.field, each.default))
                for group in wanted[name]
                for each in flags_of(group)
            ]

        @wraps(command)
        def run(**given: Any) -> Any:
            for name, mine in wanted.items():
                found = tuple(
                    check_options(
                        group(
                            **{
                                each.field: _value(each, given.pop(each.field), own)
                                for each in flags_of(group)
                            }
                        )
                    )
                    for group in mine
                )
                given[name] = found if name == together else found[0]
            return command(**given)

        # Typer asks for both, and follows `__wrapped__` where they are missing.
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {each.name: each.annotation for each in parameters}
        return run  # type: ignore[return-value]

    return decorate


def is_given(context: typer.Context, field: str) -> bool:
    """Whether the user said what an option is; else it has its default."""
    source = context.get_parameter_source(field)
    return source is not None and source.name != "DEFAULT"


def _parameter(each: Option, default: Any) -> inspect.Parameter:
    kind: Any = each.kind | None if each.optional else each.kind
    shown: dict[str, Any] = {"help": " ".join(filter(None, (each.help, each.hint)))}
    if each.read_flag is not None:
        shown["help"] += f" [{_shown(default)}]"
        kind, default = list[str] | None, None
    elif issubclass(each.kind, int) and each.kind is not bool:
        shown |= {"min": each.least, "max": each.most}
    return inspect.Parameter(
        each.field,
        inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=Annotated[kind, typer.Option(each.flag, **shown)],
    )


def _shown(value: Any) -> str:
    values = value if isinstance(value, tuple) else (value,)
    return ",".join(str(each).lower() for each in values)


def _value(each: Option, given: Any, own: Mapping[str, Any]) -> Any:
    if each.read_flag is None:
        return given
    return each.read_flag(given) if given else own.get(each.field, each.default)
