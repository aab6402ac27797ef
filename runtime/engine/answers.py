"""From the text of a reply to the JSON values it may mean.

    text ─▶ reasoning set apart ─▶ all of it, else the last fenced block, else every value in it

A value is read as it is written or not at all: what looks like JSON and isn't, a name that an
object holds twice, and a number that 64 bits can't hold are refused. Which value is the output is
decided by the step's schema, in `outputs.py`.
"""

import json
import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import orjson

from runtime.domain.errors import OutputError
from runtime.domain.fields import is_within
from runtime.domain.outputs.types import INT64_MAX, INT64_MIN

MAX_DEPTH: Final = 100
"""Levels of lists and objects in an output: what can be read deeper can't all be written."""

_MAX_DIGITS: Final = 19
_TOO_LARGE: Final = 2**64
"""Stands for every whole number that is too long to be worth converting."""

_NAMES: Final = "think|thinking|thought|reasoning|seed:think"
_TAG: Final = re.compile(rf"<(/?)(?:{_NAMES})>|\[(/?)THINK\]", re.IGNORECASE)

_FENCE: Final = re.compile(
    r"""(?<![`~]) (`{3,}+|~{3,}+) [ \t]*+ ([\w+-]*+) [ \t]*+ \n
        (.*?) ( (?<![`~]) \1 [`~]*+ [ \t]*+ (?:\n|\Z) | \Z )""",
    re.DOTALL | re.VERBOSE,
)
"""A fenced block: mark, label, content, end. Where a run of marks begins is asked only once."""

_JSON_LABELS: Final = frozenset({"json", "json5", "jsonc", "jsonl"})
_TEXT_LABELS: Final = _JSON_LABELS | {"", "text", "txt", "plaintext", "md", "markdown"}

_OPENING: Final = re.compile(r"[\[{]")
_SPACE: Final = re.compile(r"\s*")
_QUOTE: Final = "[\"'\u201c\u2018]"
_MAY_BE_VALUE: Final = re.compile(r"[\[\s]*+(?:[\]\"\dtfn-]|\{\s*+[\"}])")
"""What stands at the bracket of a value: asked first, since a parser's refusal takes longer."""
_BEGINS_OBJECT: Final = re.compile(rf"\{{\s*(?:{_QUOTE}|//|/\*|\w*\Z|[^{{}}\[\]\n]*:)")
_BEGINS_LIST: Final = re.compile(
    rf"{_QUOTE}|(?:-?\d[\d.eE+-]*+|true|false|null|True|False|None|NaN)\s*[,\[{{\"\d]|-?[\w.]*\Z"
)
"""What stands behind the bracket of a list; a citation [1] or a range [1-3] is none."""

_MAX_REFUSALS: Final = 200
"""Brackets that may begin a value and don't: so many of them are no reply to be searched."""

_decode: Final = json.JSONDecoder().raw_decode


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """A reply in two parts. `reasoning` is what the text marks as such; None: nothing."""

    text: str
    reasoning: str | None = None


class _Value(NamedTuple):
    start: int
    end: int


# ── reasoning ──────────────────────────────────────────────────────────────────────────────────


def answer_of_text(text: str) -> Answer:
    """A text with a reasoning block in front set apart. Tags further on belong to the text, since
    it may be about them. A block whose opening tag the model's own prompt holds has none here.
    """
    opening = _TAG.search(text)
    if opening is None:
        return Answer(text=text)
    if _closes(opening):
        return Answer(
            text=text[opening.end() :].lstrip(), reasoning=text[: opening.start()].strip()
        )
    if text[: opening.start()].strip():
        return Answer(text=text)
    closing = next((tag for tag in _TAG.finditer(text, opening.end()) if _closes(tag)), None)
    if closing is None:
        return Answer(text="", reasoning=text[opening.end() :].strip())
    return Answer(
        text=text[closing.end() :].lstrip(),
        reasoning=text[opening.end() : closing.start()].strip(),
    )


def answer_of_data(text: str) -> Answer:
    """A text that holds JSON, with all reasoning set apart: blocks anywhere outside of a value,
    what stands before a closing tag without its opening one, and a block that never ends.
    """
    if _TAG.search(text) is None:
        return Answer(text=text)
    values = list(_values(text, strict=False))
    kept: list[str] = []
    thought: list[str] = []
    position, inside = 0, False
    for tag in _TAG.finditer(text):
        before = bisect_left(values, (tag.start(), 0))
        if before and tag.start() < values[before - 1].end:
            continue
        piece = text[position : tag.start()]
        if not _closes(tag) and not inside:
            kept.append(piece)
            inside = True
        elif _closes(tag) and inside:
            thought.append(piece)
            inside = False
        elif _closes(tag):
            thought += [*kept, piece]
            kept = []
        else:
            continue
        position = tag.end()
    (thought if inside else kept).append(text[position:])
    reasoning = "\n\n".join(part.strip() for part in thought if part.strip())
    if not (thought or inside):
        return Answer(text=text)
    return Answer(text="".join(kept).strip(), reasoning=reasoning or None)


def _closes(tag: re.Match[str]) -> bool:
    return bool(tag[1] or tag[2])


# ── values ─────────────────────────────────────────────────────────────────────────────────────


def candidates(text: str) -> list[object]:
    """The values that `text` may mean, each one once; never none.

    Raises `OutputError` if there is none, or if something in it looks like JSON and isn't: the
    value that was meant may be there, and a part of it would be another one.
    """
    try:
        return [parse(text)]
    except orjson.JSONDecodeError as exc:
        whole = exc.msg
    fenced = _last_fenced(text)
    if fenced:
        return fenced
    found: dict[bytes, object] = {}
    prose = _FENCE.sub(_without_code, text)
    for value in _values(prose, strict=True):
        try:
            each = parse(prose[value.start : value.end])
        except orjson.JSONDecodeError as exc:
            raise OutputError(f"not valid JSON: {exc.msg}") from None
        found.setdefault(orjson.dumps(each, option=orjson.OPT_SORT_KEYS), each)
    if not found:
        raise OutputError(f"not valid JSON: {whole}")
    return list(found.values())


def parse(text: str) -> object:
    """The value of a text that is one JSON value and nothing else, exactly as it is written.

    Raises `orjson.JSONDecodeError` where it isn't JSON, and `OutputError` where JSON allows it and
    its meaning can't be kept.
    """
    # The strict one first: the other one lets NaN, and control characters in names, pass.
    if not is_within(orjson.loads(text), MAX_DEPTH):
        raise OutputError(f"the value is nested deeper than {MAX_DEPTH} levels")
    value = json.loads(
        text, object_pairs_hook=_object, parse_int=_whole_number, parse_float=_number
    )
    _refuse_large(value, ())
    return value


def _last_fenced(text: str) -> list[object]:
    """The value in the last fenced block that holds one; empty if no block holds JSON."""
    blocks = list(_FENCE.finditer(text))
    for block in reversed(blocks):
        label, content = block[2].casefold(), block[3].strip()
        if not content or not (block[4] or label in _JSON_LABELS):
            continue
        try:
            return [parse(content)]
        except orjson.JSONDecodeError as exc:
            if label in _JSON_LABELS or _looks_like_data(content, 0):
                raise OutputError(f"not valid JSON: {exc.msg}") from None
    return []


def _without_code(block: re.Match[str]) -> str:
    """A fenced block as it is, or nothing if it is code: a list there belongs to the code."""
    return block[0] if block[2].casefold() in _TEXT_LABELS else "\n"


def _values(text: str, *, strict: bool) -> Iterator[_Value]:
    """Every list and object in `text` that is in no other one, from left to right.

    `strict` raises `OutputError` at what looks like one and isn't; else it is passed over.
    """
    position = refusals = 0
    while refusals < _MAX_REFUSALS and (opening := _OPENING.search(text, position)) is not None:
        start = opening.start()
        said = "unexpected character"
        if _MAY_BE_VALUE.match(text, start) is not None:
            try:
                position = _decode(text, start)[1]
            except json.JSONDecodeError as exc:
                said = exc.msg
            except RecursionError:
                said = "nested too deep"
            else:
                yield _Value(start, position)
                continue
            refusals += 1
        if strict and (refusals == _MAX_REFUSALS or _looks_like_data(text, start)):
            raise OutputError(f"not valid JSON: {said}")
        position = start + 1


def _looks_like_data(text: str, start: int) -> bool:
    """Whether the bracket at `start` begins a list or an object, however wrong, and no remark."""
    position = start
    for _ in range(MAX_DEPTH):
        if text[position] == "{":
            return _BEGINS_OBJECT.match(text, position) is not None
        inner = _SPACE.match(text, position + 1)
        position = position + 1 if inner is None else inner.end()
        if position == len(text) or text[position] not in "[{":
            return _BEGINS_LIST.match(text, position) is not None
        if _MAY_BE_VALUE.match(text, position) is None:
            continue
        try:
            _decode(text, position)
        except (ValueError, RecursionError):
            continue
        return True  # its first item is whole
    return True


# ── what JSON allows and a dataset can't keep ───────────────────────────────────────────────────


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    value = dict(pairs)
    if len(value) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise OutputError(f"the name {twice!r} is listed twice in one object")
    return value


def _whole_number(digits: str) -> int:
    if len(digits.lstrip("-")) > _MAX_DIGITS:
        return _TOO_LARGE
    return int(digits)


def _number(digits: str) -> float | int:
    value = float(digits)
    is_zero = value == 0 and not re.search("[1-9]", re.split("[eE]", digits)[0])
    return value if value or is_zero else _TOO_LARGE


def _refuse_large(value: object, path: tuple[str, ...]) -> None:
    if isinstance(value, dict):
        for name, each in value.items():
            _refuse_large(each, (*path, name))
    elif isinstance(value, list):
        for number, each in enumerate(value):
            _refuse_large(each, (*path, str(number)))
    elif isinstance(value, int) and not INT64_MIN <= value <= INT64_MAX:
        place = "/".join(path) or "the document"
        raise OutputError(f"{place}: a number that 64 bits can't hold")
