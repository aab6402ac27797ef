"""The text of a template file, YAML or JSON, to the plain document and back.

    text ─▶ parse_text ─▶ document ─▶ document.parse_template ─▶ Template

Nothing is built from what could be a bomb: aliases, tags and deep nesting are refused event by
event. A plain word is a truth value, null, a number, a date, which no template holds, or else text:
there are no numbers to the base of 60.
"""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import yaml

from runtime.domain.errors import TemplateError
from runtime.domain.templates.measure import MAX_DOCUMENT_DEPTH

MAX_TEXT_BYTES: Final = 512 * 1024
"""Twice what a template may hold: the rest is YAML's own characters and comments."""

_WIDTH: Final = 100
_BLOCK_TEXT: Final = re.compile(r"[^\n]\n")
_ESCAPED_TEXT: Final = re.compile(r"[\r\x85\u2028\u2029\ufeff]")
"""Other ends of lines, which YAML folds where they stand as they are, and the byte order mark."""


def parse_text(text: str, *, name: str = "") -> Any:
    """The document in a text: JSON, or else YAML without aliases.

    Raises `TemplateError` with line and column, and with `name` in front where it is given.
    """
    if len(text.encode(errors="surrogatepass")) > MAX_TEXT_BYTES:
        raise TemplateError(_placed(name, "", f"larger than {MAX_TEXT_BYTES // 1024} KiB"))
    text = text.removeprefix("\ufeff")
    if text.lstrip().startswith("{"):
        # YAML knows no surrogate pairs, with which JSON may write half of all characters.
        try:
            return _parse_json(text)
        except json.JSONDecodeError:
            pass  # a flow mapping of YAML, which also says best what is wrong
        except (ValueError, RecursionError) as exc:
            raise TemplateError(_placed(name, "", f"not valid JSON: {_reason(exc)}")) from exc
    with _yaml_errors(name):
        _check_events(text)
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader


def render_yaml(document: Mapping[str, Any]) -> str:
    """Inverse of `parse_text`, as an author would write it: prompts of many lines as blocks."""
    return yaml.dump(
        document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_WIDTH, indent=2
    )


# ── JSON ───────────────────────────────────────────────────────────────────────────────────────


def _parse_json(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_without_duplicates, parse_constant=_no_constant)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"{name!r} stands twice in an object")
        found[name] = value
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def _reason(exc: ValueError | RecursionError) -> str:
    return "nested too deeply" if isinstance(exc, RecursionError) else str(exc)


# ── YAML ───────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def _yaml_errors(name: str) -> Iterator[None]:
    try:
        yield
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = ", ".join(part for part in (exc.context, exc.problem) if part)
        raise TemplateError(_placed(name, place, f"not valid YAML: {problem}")) from exc
    except yaml.YAMLError as exc:
        # The reader's errors: a character that YAML doesn't have.
        reason = str(exc).splitlines()[0]
        raise TemplateError(_placed(name, "", f"not valid YAML: {reason}")) from exc
    except ValueError as exc:  # such as a date in a month with fewer days
        raise TemplateError(_placed(name, "", f"not valid YAML: {exc}")) from exc


def _placed(name: str, place: str, problem: str) -> str:
    where = ", ".join(part for part in (name, place) if part)
    return f"{where}: {problem}" if where else problem


def _check_events(text: str) -> None:
    """Refuse aliases, whose expansion is the classic bomb, tags, which build what they name of any
    text, and deep nesting, which would exhaust the stack, before anything is built.
    """
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise _problem("aliases (*name) are not allowed", event.start_mark)
        if isinstance(event, (yaml.ScalarEvent, yaml.CollectionStartEvent)) and event.tag:
            raise _problem(
                "could not determine a constructor: tags (!name) are not allowed", event.start_mark
            )
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DOCUMENT_DEPTH:
                raise _problem(f"nested deeper than {MAX_DOCUMENT_DEPTH} levels", event.start_mark)
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _problem(problem: str, mark: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=mark)


class _Loader(yaml.CSafeLoader):
    """Safe YAML without silent duplicates, and with nothing but texts as keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - PyYAML's signature
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _problem("a key has to be a plain text", key.start_mark)
            if key.value in seen:
                raise _problem(f"{key.value!r} stands here twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


_TAG: Final = "tag:yaml.org,2002:"
_KEPT: Final = frozenset({f"{_TAG}bool", f"{_TAG}null", f"{_TAG}timestamp"})
_INTEGER: Final = re.compile(
    r"[-+]?(?:0b_*[01][01_]*|0x_*[0-9a-fA-F][0-9a-fA-F_]*|0[0-7_]*|[1-9][0-9_]*)$"
)
_FLOAT: Final = re.compile(
    r"(?:[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?|[-+]?\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
)
_Loader.yaml_implicit_resolvers = {
    first: [(tag, words) for tag, words in known if tag in _KEPT]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(f"{_TAG}int", _INTEGER, list("-+0123456789"))
_Loader.add_implicit_resolver(f"{_TAG}float", _FLOAT, list("-+0123456789."))


class _Dumper(yaml.SafeDumper):
    """Safe YAML that repeats what it holds twice: `parse_text` refuses aliases."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - PyYAML's signature
        return True


def _write_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    # What a block can't hold, PyYAML puts in quotes by itself.
    style = '"' if _ESCAPED_TEXT.search(text) else "|" if _BLOCK_TEXT.search(text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _write_text)
