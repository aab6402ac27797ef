"""Options of a job. Each is one field of a small configuration that owns it, and that field says
all that anybody has to know of it. A new option is written there, and nowhere else:

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Draws:
        random_seed: int | None = option(None, help="…", least=0)

    stored documents     `parse_options`, `options_document`      (this module)
    bodies and answers   fields of the API's models               (runtime/lambdas/option_fields.py)
    the command          flags                                    (runtime/cli/job_options.py)
    a dataset's folder   `identity`: what makes it another one    (this module)

`JobConfig` embeds the configurations that are stored with a job.
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum
from functools import cache
from types import UnionType
from typing import TYPE_CHECKING, Any, Final, TypeVar, get_args, get_type_hints

from runtime.domain.errors import InputError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_KEY: Final = "option"
_KINDS: Final[Mapping[type, str]] = {
    bool: "true or false",
    int: "a whole number",
    str: "a text",
}
_SAME: Final = object()

OptionsT = TypeVar("OptionsT", bound="DataclassInstance")
GroupT = TypeVar("GroupT")
"""A configuration: a frozen dataclass whose every field is an `option`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Option:
    """What is known of one option.

    `field` is the attribute, `name` the key in documents and in the API, `flag` the command's.
    Numbers lie between `least` and `most`; texts have 1 to `longest` characters, `printable` ones
    none that could steer a terminal. `read` turns what a document or a client gave into the value,
    and raises `ValueError` that says what is expected; `schema` is the JSON Schema of what it
    takes. `read_flag` does so for a flag that may be repeated, and raises `InputError`.

    A document that lacks an option means `absent`. `identifies` options make a dataset another one.
    `late` ones came after datasets and requests were stored without them: where they are `absent`
    they are left out of every document, so that what was written before means the same still.
    Nobody is asked for those that are not `chosen`: the program decides, and answers show it.
    """

    field: str
    name: str
    flag: str
    kind: type
    optional: bool
    default: Any
    help: str
    hint: str
    least: int | None
    most: int | None
    longest: int | None
    printable: bool
    read: Callable[[object], Any] | None
    read_flag: Callable[[list[str]], Any] | None
    schema: Mapping[str, Any] | None
    identifies: bool
    late: bool
    absent: Any
    chosen: bool


def option(
    default: Any,
    *,
    help: str,  # noqa: A002 - the word that everybody uses for it
    hint: str = "",
    name: str | None = None,
    flag: str | None = None,
    least: int | None = None,
    most: int | None = None,
    longest: int | None = None,
    printable: bool = False,
    read: Callable[[object], Any] | None = None,
    read_flag: Callable[[list[str]], Any] | None = None,
    schema: Mapping[str, Any] | None = None,
    identifies: bool = False,
    late: bool = False,
    absent: Any = _SAME,
    chosen: bool = True,
) -> Any:
    """A field of a configuration; see `Option`. `hint` is for users of the command alone; `absent`
    is the default unless it is given.
    """
    known = {
        "help": help,
        "hint": hint,
        "name": name,
        "flag": flag,
        "least": least,
        "most": most,
        "longest": longest,
        "printable": printable,
        "read": read,
        "read_flag": read_flag,
        "schema": schema,
        "identifies": identifies,
        "late": late,
        "absent": default if absent is _SAME else absent,
        "chosen": chosen,
    }
    return dataclasses.field(default=default, metadata={_KEY: known})


def options_of(group: type) -> tuple[Option, ...]:
    """The options of a configuration, in the order in which they stand there."""
    return _options_of(group)


@cache
def _options_of(group: Any) -> tuple[Option, ...]:
    hints = get_type_hints(group)
    found: list[Option] = []
    for field in dataclasses.fields(group):
        given = dict(field.metadata[_KEY])
        kind, optional = _kind_of(hints[field.name])
        given["name"] = given["name"] or field.name
        given["flag"] = given["flag"] or f"--{given['name'].replace('_', '-')}"
        found.append(
            Option(field=field.name, kind=kind, optional=optional, default=field.default, **given)
        )
    return tuple(found)


def _kind_of(hint: Any) -> tuple[type, bool]:
    """The plain type of a field, and whether None is a value, too."""
    if not isinstance(hint, UnionType):
        return hint, False
    (kind,) = (each for each in get_args(hint) if each is not type(None))
    return kind, True


def parse_options(group: type[GroupT], document: Mapping[str, Any]) -> GroupT:
    """The configuration from a document that may lack any of its options, or have others besides.

    Whole numbers may be Decimal. Raises `ValueError` for what this project didn't write.
    """
    values = {
        each.field: each.absent
        if document.get(each.name) is None
        else _value(each, document[each.name])
        for each in options_of(group)
    }
    return group(**values)


def _value(each: Option, value: Any) -> Any:
    if each.read is not None:
        return each.read(value)
    if issubclass(each.kind, Enum):
        return each.kind(value)
    if each.kind is int:
        return int(value)
    if not isinstance(value, each.kind):
        raise ValueError(f"{each.name} is not what a job has there")  # noqa: TRY004 - as above
    return value


def options_document(*groups: object) -> dict[str, Any]:
    """Inverse of `parse_options`: strings, integers, booleans, None and lists."""
    return {
        each.name: _plain(getattr(group, each.field))
        for group in groups
        for each in options_of(type(group))
        if not (each.late and getattr(group, each.field) == each.absent)
    }


def asked_document(*groups: object) -> dict[str, Any]:
    """What users are asked for, as the API takes it."""
    return {
        each.name: _plain(getattr(group, each.field))
        for group in groups
        for each in options_of(type(group))
        if each.chosen and not (each.late and getattr(group, each.field) == each.absent)
    }


def identity(*groups: object) -> dict[str, Any]:
    """What makes a dataset another one, by the words that users of the command know."""
    return {
        each.flag: _plain(getattr(group, each.field))
        for group in groups
        for each in options_of(type(group))
        if each.identifies and not (each.late and getattr(group, each.field) == each.absent)
    }


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, StrEnum) else value


def options_given(base: OptionsT, **values: Any) -> OptionsT:
    """`base` with what a program gave: values, or their plain texts. None leaves what `base` has.
    Raises `InputError` that names the option.
    """
    by_field = {each.field: each for each in options_of(type(base))}
    given = {
        field: _given(by_field[field], value)
        for field, value in values.items()
        if value is not None
    }
    return check_options(dataclasses.replace(base, **given))


def _given(each: Option, value: Any) -> Any:
    words = each.field.replace("_", " ")
    if each.read_flag is not None:
        names = [value] if isinstance(value, str) else value
        if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
            raise InputError(f"the {words} are a text or a list of texts, not {value!r}")
        return each.read_flag(list(names))
    if issubclass(each.kind, Enum):
        try:
            return each.kind(value)
        except ValueError as exc:
            known = ", ".join(each.kind)
            raise InputError(f"{words} {value!r} is unknown: use {known}") from exc
    if not isinstance(value, each.kind) or (each.kind is int and isinstance(value, bool)):
        kind = _KINDS[each.kind]
        raise InputError(f"the {words} is {kind}, not {value!r}")
    return value


def check_options(group: GroupT) -> GroupT:
    """The configuration, with every value in its range. Raises `InputError` that names the flag."""
    for each in options_of(type(group)):
        problem = _problem(each, getattr(group, each.field))
        if problem is not None:
            raise InputError(f"{each.flag}: {problem}")
    return group


def _problem(each: Option, value: Any) -> str | None:
    if each.longest is not None and value is not None:
        if not 1 <= len(value) <= each.longest:
            return f"use 1 to {each.longest} characters"
        if each.printable and not (value.isprintable() and value.strip()):
            return "use characters that can be seen"
    low = each.least is not None and value is not None and value < each.least
    high = each.most is not None and value is not None and value > each.most
    if not (low or high):
        return None
    if each.most is None:
        return f"use a number of at least {each.least}"
    return f"use a number from {each.least} to {each.most}"
