"""Reads and checks everything a command is given, before anything is created or paid for."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from runtime.domain.errors import ConfigurationError, InputError, SeedError, TemplateError
from runtime.domain.job import MAX_RECORDS, OutputFormat
from runtime.domain.seed_data import Row, missing_paths, parse_seeds
from runtime.domain.template import Template
from runtime.domain.template_document import parse_template, resolve_includes

FRAGMENT_SUFFIXES: Final = ("", ".txt", ".md", ".j2", ".yaml", ".yml", ".json")


@dataclass(frozen=True, kw_only=True, slots=True)
class SeedFile:
    """A seed file as read: its rows, and the bytes that a job keeps a copy of."""

    name: str
    body: bytes
    rows: list[Row]


@contextmanager
def reading(path: Path, error: type[InputError]) -> Iterator[None]:
    """Turn every reason why a file can't be read into `error`."""
    try:
        yield
    except FileNotFoundError as exc:
        raise error(f"{path}: no such file") from exc
    except IsADirectoryError as exc:
        raise error(f"{path}: is a folder, not a file") from exc
    except OSError as exc:
        raise error(f"{path}: can't be read: {exc.strerror}") from exc


def read_template(path: Path) -> Template:
    """A checked template with its includes, which are files beside it.

    `{% include 'rules' %}` is `rules`, `rules.txt`, `rules.md`, `rules.j2`, or a template file
    with one step. Raises `TemplateError`.
    """
    template = parse_template(_document(path))

    def fragment(name: str) -> str:
        folder = path.resolve().parent
        for suffix in FRAGMENT_SUFFIXES:
            candidate = (folder / f"{name}{suffix}").resolve()
            if candidate.is_relative_to(folder) and candidate.is_file():
                return _fragment(candidate)
        raise TemplateError(f"{path}: no file for the include {name!r} beside the template")

    return resolve_includes(template, fragment)


def _fragment(path: Path) -> str:
    if path.suffix not in {".yaml", ".yml", ".json"}:
        return _text(path)
    document = _document(path)
    steps = document.get("steps") if isinstance(document, Mapping) else None
    if not isinstance(steps, list) or len(steps) != 1 or not isinstance(steps[0], Mapping):
        raise TemplateError(f"{path}: a template that is included has exactly one step")
    return str(steps[0].get("prompt", ""))


def _text(path: Path) -> str:
    with reading(path, TemplateError):
        body = path.read_bytes()
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise TemplateError(f"{path}: not UTF-8 text") from exc


def _document(path: Path) -> Any:
    """YAML, of which JSON is a part, with the place of a syntax error."""
    try:
        return yaml.load(_text(path), Loader=_Loader)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise TemplateError(f"{path}{place}: not valid YAML: {exc.problem}") from exc
    except yaml.YAMLError as exc:
        raise TemplateError(f"{path}: not valid YAML: {str(exc).splitlines()[0]}") from exc
    except (ValueError, RecursionError) as exc:
        raise TemplateError(f"{path}: not valid YAML") from exc


class _Loader(yaml.SafeLoader):
    """Safe YAML without aliases, whose expansion is the classic bomb, and without silent
    duplicates.
    """

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event: Any = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(
                problem="aliases (*name) are not allowed", problem_mark=event.start_mark
            )
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - PyYAML's signature
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"{key.value!r} stands here twice", problem_mark=key.start_mark
                )
            if isinstance(key.value, str):
                seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


def read_seeds(path: Path, requirements: tuple[str, ...]) -> SeedFile:
    """A seed file whose every seed has what the template needs. Raises `SeedError`."""
    with reading(path, SeedError):
        body = path.read_bytes()
    rows = parse_seeds(body, path.name)
    missing = list(missing_paths(rows, requirements))
    if missing:
        first = missing[0]
        more = f" ({len(missing) - 1} more like this)" if len(missing) > 1 else ""
        raise SeedError(
            f"{path}, record {first.row}: the template needs {first.path!r}, which this seed "
            f"lacks{more}"
        )
    return SeedFile(name=path.name, body=body, rows=rows)


def check_count(count: int) -> int:
    """`num_records` within its range. Raises `InputError`."""
    if not 1 <= count <= MAX_RECORDS:
        raise InputError(f"-n is {count}: a dataset has 1 to {MAX_RECORDS} records")
    return count


def parse_formats(names: list[str]) -> tuple[OutputFormat, ...]:
    """Formats from repeated or comma-separated options. Raises `InputError`."""
    formats: list[OutputFormat] = []
    for name in ",".join(names).split(","):
        try:
            formats.append(OutputFormat(name.strip().upper()))
        except ValueError as exc:
            known = ", ".join(each.lower() for each in OutputFormat)
            raise InputError(f"format {name.strip()!r} is unknown: use {known}") from exc
    return tuple(dict.fromkeys(formats))


def check_writable(folder: Path) -> None:
    """Whether `folder` is, or could become, a folder to write into; creates nothing.

    Raises `ConfigurationError`.
    """
    existing = folder.absolute()
    while not existing.exists():
        existing = existing.parent
    if not existing.is_dir():
        raise ConfigurationError(f"--out {folder}: {existing} is not a folder")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise ConfigurationError(f"--out {folder}: no permission to write in {existing}")
