"""Seeds in a dataset repository of the Hub: which files of it are meant, and where they come from.

    hf://datasets/owner/name                     rows of the training split, else all
    hf://datasets/owner/name/config/split        as the card's `configs` say, else by names
    hf://datasets/owner/name/path/to/file        that file, or all below that folder
    hf://datasets/owner/name@revision/…          of a branch, a tag or a commit

The commit that a revision is at that moment is what is read, and what is noted.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

import yaml

from runtime.domain.errors import InputError
from runtime.hub.target import Target, read_target

_SCHEME: Final = re.compile(r"hf:/+", re.IGNORECASE)
_KIND: Final = "datasets/"
_PARTS: Final = 2
_SHOWN: Final = 5
_ROWS: Final = re.compile(
    r".+\.(?:parquet|(?:jsonl?|ndjson|csv|tsv)(?:\.gz|\.zst)?)", re.IGNORECASE
)
_NOT_ROWS: Final = frozenset(
    {"dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"}
)
_TRAIN: Final = "train"
_MAX_CARD_CHARACTERS: Final = 256 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class HubSeeds:
    """A repository, and what of it: `rest` is a path, or a config and a split; empty: all."""

    target: Target
    rest: str

    @property
    def repository(self) -> str:
        """The repository as a user knows it."""
        at = "" if self.target.revision is None else f"@{self.target.revision}"
        return f"hf://datasets/{self.target.repo}{at}"

    def __str__(self) -> str:
        return f"{self.repository}/{self.rest}" if self.rest else self.repository


@dataclass(frozen=True, kw_only=True, slots=True)
class Fetched:
    """Files on this machine, by their name in the repository, and the commit they are of."""

    revision: str
    files: tuple[tuple[str, Path], ...]


def is_hub(source: object) -> bool:
    """Whether a source is one of the Hub; `Path` has made one slash of two."""
    return _SCHEME.match(str(source)) is not None


def read_hub_seeds(source: str) -> HubSeeds:
    """A source by its URL. Raises `InputError`, `ConfigurationError` for the endpoint."""
    path = _SCHEME.sub("", source, count=1)
    if not path.startswith(_KIND):
        raise InputError(f"{source}: give a dataset of the Hub: hf://datasets/owner/name")
    owner, _, path = path.removeprefix(_KIND).partition("/")
    name, _, rest = path.partition("/")
    name, at, revision = name.partition("@")
    if any(part == ".." for part in rest.split("/")):
        raise InputError(f"{source}: a path in a repository has no '..'")
    target = read_target(f"{owner}/{name}", os.environ, revision=revision if at else None)
    return HubSeeds(target=target, rest=rest.strip("/"))


def choose_files(names: Sequence[str], rest: str, card: str) -> list[str]:
    """The files that are meant, by name. `card` is the text of the repository's README.md. Raises
    `InputError` where there are none.
    """
    if rest in names:
        return [rest]
    rows = sorted(name for name in names if _is_rows(name))
    below = [name for name in rows if name.startswith(f"{rest}/")]
    chosen = _by_card(rows, rest, card) or (below if rest else []) or _by_names(rows, rest)
    if not chosen:
        shown = ", ".join(rows[:_SHOWN]) + (", …" if len(rows) > _SHOWN else "")
        there = f"it has {shown}" if rows else "it has no files of rows"
        what = f"{rest}: there is no such file, config or split" if rest else "no seeds"
        raise InputError(f"{what}: {there}")
    return chosen


def _is_rows(name: str) -> bool:
    hidden = any(part.startswith(".") for part in name.split("/"))
    return not hidden and name.rpartition("/")[2] not in _NOT_ROWS and bool(_ROWS.fullmatch(name))


def _by_names(rows: Sequence[str], rest: str) -> list[str]:
    """By a split in their names, within the folder of a config."""
    if not rest:
        return _of_split(rows, _TRAIN) or list(rows)
    config, slash, split = rest.rpartition("/")
    if not slash:
        return _of_split(rows, rest)
    return _of_split([name for name in rows if name.startswith(f"{config}/")], split)


def _of_split(rows: Sequence[str], split: str) -> list[str]:
    word = re.compile(rf"(?:^|[/_.-]){re.escape(split)}(?:[/_.-]|$)")
    return [name for name in rows if word.search(name)]


def _by_card(rows: Sequence[str], rest: str, card: str) -> list[str]:
    """By the `configs` of the card, where it has them."""
    configs = _configs(card)
    if not configs:
        return []
    config, _, split = rest.partition("/")
    chosen = configs.get(config)
    if chosen is None and not split:
        chosen, split = configs.get("default") or next(iter(configs.values())), config
    if chosen is None:
        return []
    patterns = chosen.get(split or _TRAIN, [] if split else next(iter(chosen.values()), []))
    return [name for name in rows if any(fnmatchcase(name, each) for each in patterns)]


def _configs(card: str) -> dict[str, dict[str, list[str]]]:
    """Patterns of files by config and split; whatever is not such a list is left out."""
    found: dict[str, dict[str, list[str]]] = {}
    listed = _front_matter(card).get("configs")
    for config in listed if isinstance(listed, list) else []:
        if not isinstance(config, dict):
            continue
        data = config.get("data_files")
        splits: dict[str, list[str]] = {}
        for each in data if isinstance(data, list) else [{"split": _TRAIN, "path": data}]:
            if isinstance(each, dict):
                path = each.get("path")
                paths = path if isinstance(path, list) else [path]
                texts = [one for one in paths if isinstance(one, str)]
                splits.setdefault(str(each.get("split", _TRAIN)), []).extend(texts)
        found[str(config.get("config_name", "default"))] = splits
    return found


def _front_matter(card: str) -> dict[str, Any]:
    parts = card[:_MAX_CARD_CHARACTERS].split("---\n", 2)
    if len(parts) <= _PARTS or parts[0].strip():
        return {}
    try:
        found = yaml.safe_load(parts[1])
    except (yaml.YAMLError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
