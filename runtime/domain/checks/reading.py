"""Reads `checks:` of a template's document; each problem goes to `refuse` with its place.

    document ─▶ a list of checks ─▶ the one kind of each, by the field that names it ─▶ Checks

The syntax trees of conditions and prompts are checked with the steps', by `templates.check`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from runtime.domain.checks.check import (
    NO_CHECKS,
    Balance,
    Check,
    Checks,
    Condition,
    TextKind,
    Unique,
)
from runtime.domain.checks.judge_reading import read_judge
from runtime.domain.checks.known import Known
from runtime.domain.checks.text_reading import read_text_check
from runtime.domain.checks.words import EMBEDDING, JACCARD
from runtime.domain.errors import TemplateError
from runtime.domain.fields import (
    ID_PROBLEM,
    MAX_NAME_CHARACTERS,
    Refuse,
    is_id,
    number_field,
    refuse_unknown,
    text_field,
)
from runtime.domain.hints import hint_for
from runtime.domain.wording import counted

MAX_CHECKS: Final = 20
MAX_VALUES: Final = 1000
"""Values of one balance."""
MAX_VALUE_CHARACTERS: Final = 200
_MOST_WRONG: Final = 5
"""Wrong values of a balance that are named; the others are counted."""
LEAST_NEAR: Final = 0.5

_KEEP_IF: Final = "keep_if"
_JUDGE: Final = "judge"
_MORE: Final[Mapping[str, tuple[str, ...]]] = {
    _JUDGE: (_KEEP_IF, "sample"),
    **dict.fromkeys(TextKind, ("of",)),
}
"""Fields of a check beside its id and the field that names its kind."""


def read_checks(document: object, known: Known, refuse: Refuse) -> Checks:
    """The checks that a document asks for. Where there was a problem, what is returned is of no
    use.
    """
    if document is None:
        return NO_CHECKS
    if not isinstance(document, list | tuple) or not 1 <= len(document) <= MAX_CHECKS:
        refuse("checks", f"list 1 to {MAX_CHECKS} checks, each with id and what it asks for")
        return NO_CHECKS
    read = [_read(number, each, known, refuse) for number, each in enumerate(document, start=1)]
    checks = tuple(each for each in read if each is not None)
    _check_ids([each.id for each in checks], known, refuse)
    if sum(isinstance(each, Balance) for each in checks) > 1:
        refuse("checks", "only one check may be balance: a record has one value that counts")
    return Checks(checks)


def stored_checks(document: object) -> Checks:
    """Checks that were checked before they were stored. Raises `TemplateError` on a document this
    project didn't write.
    """
    problems: list[str] = []
    checks = read_checks(document, Known(), lambda *problem: problems.append(": ".join(problem)))
    if problems:
        raise TemplateError(problems[0])
    return checks


def _check_ids(ids: Sequence[str], known: Known, refuse: Refuse) -> None:
    for each in sorted({each for each in ids if each and ids.count(each) > 1}):
        refuse("checks", f'check id "{each}" is used {ids.count(each)} times: rename one')
    for each in sorted({*ids} & {*known.steps}):
        refuse(f'check "{each}"', "a step has this id: use another one")


def _read(number: int, document: object, known: Known, refuse: Refuse) -> Check | None:
    place = f"check {number}"
    if not isinstance(document, Mapping):
        refuse(place, f"a check is a mapping with id and one of {', '.join(_READERS)}")
        return None
    check_id = text_field(place, document, refuse, "id", required=True)
    if check_id is not None and is_id(check_id):
        place = f'check "{check_id}"'
    elif check_id is not None:
        refuse(f"{place}, id", ID_PROBLEM)
    kind = _kind_of(place, document, refuse)
    if kind is None:
        return None
    refuse_unknown(place, document, refuse, ("id", kind, *_MORE.get(kind, ())))
    return _READERS[kind](_Asked(place, check_id or "", kind, document, known, refuse))


def _kind_of(place: str, document: Mapping[object, object], refuse: Refuse) -> str | None:
    """The field that says what the check does: one, but that a judge may have `keep_if`."""
    named = [kind for kind in _READERS if kind in document]
    if _JUDGE in named and _KEEP_IF in named:
        named.remove(_KEEP_IF)
    if len(named) == 1:
        return named[0]
    if named:
        refuse(place, f"{' and '.join(named)} are several checks: give each an id of its own")
        return None
    unknown = [str(each)[:MAX_NAME_CHARACTERS] for each in document if each not in _FIELDS]
    hint = hint_for(unknown[0], _READERS) if unknown else ""
    refuse(place, f"say what it asks for: one of {', '.join(_READERS)}{hint}")
    return None


@dataclass(frozen=True, slots=True)
class _Asked:
    """One check of a document."""

    place: str
    id: str
    kind: str
    document: Mapping[object, object]
    known: Known
    refuse_in_all: Refuse
    problems: list[str] = field(default_factory=list)

    def refuse(self, place: str, problem: str) -> None:
        self.problems.append(problem)
        self.refuse_in_all(place, problem)


def _condition(asked: _Asked) -> Check | None:
    source = _source(asked)
    return None if source is None else Condition(id=asked.id, keep_if=source)


def _source(asked: _Asked) -> str | None:
    value = asked.document.get(_KEEP_IF)
    if not isinstance(value, str) or not value.strip():
        asked.refuse(
            asked.place,
            "keep_if must be an expression that is true or false, such as"
            " steps.<id>.output | wordcount <= 60",
        )
        return None
    return value


def _text(asked: _Asked) -> Check | None:
    return read_text_check(
        asked.place, asked.id, TextKind(asked.kind), asked.document, asked.known, asked.refuse
    )


def _judge(asked: _Asked) -> Check | None:
    decides = asked.document.get(_KEEP_IF) is not None
    keep_if = _source(asked) if decides else None
    sample = number_field(asked.place, asked.document, asked.refuse, "sample", 0, 1)
    if sample == 0:
        asked.refuse(asked.place, "sample must be above 0: leave the check out instead")
    if decides and sample is not None:
        asked.refuse(
            asked.place,
            "sample judges a share of the records and rejects none: leave out sample or keep_if",
        )
    return read_judge(
        asked.place,
        asked.id,
        asked.document[_JUDGE],
        asked.known,
        asked.refuse,
        keep_if=keep_if,
        sample=sample,
    )


def _unique(asked: _Asked) -> Check | None:
    document = _by(asked, ("by", "near", "using"))
    if document is None:
        return None
    place = f"{asked.place}, unique"
    using = document.get("using", JACCARD)
    if using == EMBEDDING:
        asked.refuse(place, f"using: {EMBEDDING} is not built yet: leave it out")
    elif using != JACCARD:
        hint = hint_for(using, (JACCARD,)) if isinstance(using, str) else ""
        asked.refuse(place, f"using must be {JACCARD}{hint}")
    near = number_field(place, document, asked.refuse, "near", LEAST_NEAR, 1)
    if near == 1:
        asked.refuse(place, "near must be below 1: leave it out for texts that are the same")
    by = asked.known.text_path(place, document.get("by"), asked.refuse, name="by")
    return None if by is None else Unique(id=asked.id, by=by, near=near)


def _balance(asked: _Asked) -> Check | None:
    document = _by(asked, ("by", "values"))
    if document is None:
        return None
    place = f"{asked.place}, balance"
    by = asked.known.label_path(place, document.get("by"), asked.refuse)
    if by is None:
        return None
    follow = asked.known.values_at(by)
    given = document.get("values")
    if given is None:
        if not follow:
            asked.refuse(
                place, f"which values {by} has doesn't follow from the template: list them, values"
            )
            return None
        values = tuple(dict.fromkeys(follow))
    else:
        values = _values(asked, place, given, by, follow)
    if len(values) > MAX_VALUES or any(len(each) > MAX_VALUE_CHARACTERS for each in values):
        asked.refuse(
            place, f"at most {MAX_VALUES} values of at most {MAX_VALUE_CHARACTERS} characters"
        )
    return None if asked.problems else Balance(id=asked.id, by=by, values=values)


def _values(
    asked: _Asked, place: str, given: object, by: str, follow: Sequence[str] | None
) -> tuple[str, ...]:
    if (
        not isinstance(given, list | tuple)
        or not given
        or not all(isinstance(each, str | int) for each in given)
    ):
        asked.refuse(place, "values must list the values to balance, such as [praise, complaint]")
        return ()
    values = tuple(str(each).lower() if isinstance(each, bool) else str(each) for each in given)
    truths = {each for each, value in zip(values, given, strict=True) if isinstance(value, bool)}
    if truths and (asked.known.is_text(by) if follow is None else not truths <= {*follow}):
        asked.refuse(
            place,
            f"values: {' and '.join(sorted(truths))} (true or false to YAML) is never at {by}:"
            ' quote what should be a text, such as ["yes", "no"]',
        )
        return ()
    if len(set(values)) < len(values):
        asked.refuse(place, "values must list each value once")
    if follow is not None:
        known = {*follow}
        wrong = [each[:MAX_VALUE_CHARACTERS] for each in values if each not in known]
        for number, shown in enumerate(wrong[:_MOST_WRONG]):
            hint = "" if number else hint_for(shown, known)
            asked.refuse(place, f'no record has the value "{shown}"{hint}')
        if len(wrong) > _MOST_WRONG:
            more = counted(len(wrong) - _MOST_WRONG, "more value")
            asked.refuse(place, f"no record has {more} of the list either")
    return values


def _by(asked: _Asked, fields: tuple[str, ...]) -> Mapping[object, object] | None:
    """The mapping of a check of the dataset, which may be its `by` alone."""
    document = asked.document[asked.kind]
    if isinstance(document, str):
        return {"by": document}
    if not isinstance(document, Mapping):
        asked.refuse(asked.place, f"{asked.kind} must be a path, or a mapping with by")
        return None
    refuse_unknown(f"{asked.place}, {asked.kind}", document, asked.refuse, fields)
    return document


_READERS: Final[Mapping[str, Callable[[_Asked], Check | None]]] = {
    _KEEP_IF: _condition,
    _JUDGE: _judge,
    **dict.fromkeys((kind.value for kind in TextKind), _text),
    "unique": _unique,
    "balance": _balance,
}
KINDS: Final = frozenset(_READERS)
"""The fields that say what a check asks for."""
_FIELDS: Final = frozenset({"id", "of", "sample", *KINDS})
