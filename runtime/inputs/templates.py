"""Templates from files and from memory, with what they include."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from runtime.domain.errors import InputError, TemplateError, TemplateNotFoundError
from runtime.domain.templates.document import parse_template, resolve_includes
from runtime.domain.templates.template import Template
from runtime.domain.templates.text import MAX_TEXT_BYTES, parse_text
from runtime.inputs.files import read_file

FRAGMENT_SUFFIXES: Final = ("", ".txt", ".md", ".j2", ".yaml", ".yml", ".json")

TemplateSource = str | Path | Mapping[str, Any]
"""A template file, or a template as the mapping that such a file holds."""


def read_template(source: TemplateSource) -> Template:
    """A checked template with its includes, which are files beside its own.

    `{% include 'rules' %}` is `rules`, `rules.txt`, `rules.md`, `rules.j2`, or a template file
    with one step. A template from memory has no file, so what it includes has to stand in its
    `fragments`. Raises `TemplateError`.
    """
    if isinstance(source, Mapping):
        return resolve_includes(parse_template(dict(source)), _no_fragment)
    path = template_path(source)
    document = _document(path)
    try:
        return resolve_includes(parse_template(document), _fragments_beside(path))
    except TemplateNotFoundError:
        raise
    except TemplateError as exc:
        raise TemplateError(f"{path}: {exc}") from exc


def read_for_api(source: TemplateSource) -> Template:
    """A template for the API: what it includes is taken from files beside it if they are all there,
    else it is left for the API to find among its templates. Raises `TemplateError`.
    """
    try:
        return read_template(source)
    except TemplateNotFoundError:
        return parse_template(
            dict(source) if isinstance(source, Mapping) else _document(template_path(source))
        )


def template_path(source: object) -> Path:
    """The file that `source` names. Raises `InputError` for what is no path."""
    if not isinstance(source, str | Path):
        raise InputError(
            f"a template is a path or a mapping with name and steps, not {type(source).__name__}"
        )
    return Path(source)


def read_text(path: Path) -> str:
    """The text of a template file or of a fragment. Raises `TemplateError`."""
    try:
        return read_file(path, MAX_TEXT_BYTES, TemplateError).decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise TemplateError(f"{path}: not UTF-8 text") from exc


def _fragments_beside(path: Path) -> Callable[[str], str]:
    folder = path.resolve().parent

    def fragment(name: str) -> str:
        for suffix in FRAGMENT_SUFFIXES:
            candidate = (folder / f"{name}{suffix}").resolve()
            if candidate.is_relative_to(folder) and candidate.is_file():
                return _fragment(candidate)
        raise TemplateNotFoundError(f"{path}: no file for the include {name!r} beside the template")

    return fragment


def _no_fragment(name: str) -> str:
    raise TemplateNotFoundError(
        f"no text for the include {name!r}: put it into the template's fragments, or use a file"
    )


def _fragment(path: Path) -> str:
    if path.suffix not in {".yaml", ".yml", ".json"}:
        return read_text(path)
    document = _document(path)
    steps = document.get("steps") if isinstance(document, Mapping) else None
    if not isinstance(steps, list) or len(steps) != 1 or not isinstance(steps[0], Mapping):
        raise TemplateError(f"{path}: a template that is included has exactly one step")
    return str(steps[0].get("prompt", ""))


def _document(path: Path) -> Any:
    return parse_text(read_text(path), name=str(path))
