"""What rows a dataset's folder was asked for: `.seedwright/exports.json`, and copies of reviews."""

from pathlib import Path
from typing import Final

import orjson

from runtime.disk import disk_errors, replacing
from runtime.domain.errors import ConfigurationError, StorageError
from runtime.domain.jobs.delivery import OutputFormat
from runtime.export.configurations import Configuration, Configurations, RowChoice, review_names

_NAME: Final = "exports.json"


def load_configurations(state: Path) -> Configurations:
    """What is remembered in a folder's state. Raises `ConfigurationError` if it is damaged."""
    path = state / _NAME
    try:
        return Configurations.parse(orjson.loads(path.read_bytes()))
    except FileNotFoundError:
        return Configurations()
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise ConfigurationError(f"{path} is damaged: delete it, and export again") from exc


def save_configurations(state: Path, found: Configurations) -> None:
    """Remember. Raises `StorageError`."""
    with disk_errors(f"write {state / _NAME}"), replacing(state / _NAME) as file:
        file.write(orjson.dumps(found.document()))


def choice_of(
    state: Path, wanted: Configuration, *, formats: frozenset[OutputFormat] | None = None
) -> RowChoice:
    """How these rows are written, with the verdicts of their review; `formats` are those of the
    dataset. Raises `StorageError`.
    """
    verdicts = b"" if wanted.review is None else _read(state / wanted.review)
    return wanted.choice(verdicts, formats=formats)


def keep_review(state: Path, folder: str, name: str, body: bytes) -> str:
    """Keep a copy of a review for the rows in `folder`; its name. Raises `StorageError`."""
    csv, jsonl = review_names(folder)
    kept = csv if name.lower().endswith(".csv") else jsonl
    with disk_errors(f"write {state / kept}"), replacing(state / kept) as file:
        file.write(body)
    return kept


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise StorageError(
            f"{path}, the copy of a review, can't be read: give the review again with --review"
        ) from exc
