"""Fetches seeds with huggingface_hub: list the repository, pin its commit, download what is meant.

The sizes that the list says are checked before anything is fetched, and bytes are counted while
they arrive: more than was said is refused.
"""

from collections.abc import Iterator, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Final

import httpx2
from huggingface_hub import HfApi, get_token
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled
from huggingface_hub.hf_api import RepoFile

from runtime.domain.error_statuses import error_class_of
from runtime.domain.errors import (
    ConfigurationError,
    ForbiddenError,
    InputError,
    LimitError,
    NotFoundError,
    SeedError,
    SeedwrightError,
    StorageError,
    StorageUnavailableError,
    UnauthenticatedError,
)
from runtime.domain.seeds import seeds as limits
from runtime.hub.failures import chain, failure
from runtime.hub.repository import Fetched, HubSeeds, choose_files
from runtime.hub.session import guard_client, hub_session

_KIND: Final = "dataset"
_CARD: Final = "README.md"
_MAX_FILES: Final = 100_000
"""Of a repository: a list that goes on is not one."""
_SLACK_BYTES: Final = 64 * 1024
"""Of an answer beside the file itself."""


def download_seeds(seeds: HubSeeds, folder: Path) -> Fetched:
    """Download what is meant. Without HF_TOKEN or `hf auth login` as anybody may.

    Raises errors of the tree.
    """
    token = (get_token() or "").strip()
    with hub_session(most=limits.MAX_SEED_BYTES + _SLACK_BYTES):
        api = HfApi(endpoint=seeds.target.endpoint, token=token or False)
        try:
            return _fetched(api, seeds, folder)
        except Exception as error:  # noqa: BLE001 - strangers' code, it fails in ways of its own
            raised = _failure(error, seeds, token)
        raise raised  # without a cause, see failures.py


def _fetched(api: HfApi, seeds: HubSeeds, folder: Path) -> Fetched:
    repo = seeds.target.repo
    guard_client()
    revision = str(api.dataset_info(repo, revision=seeds.target.revision).sha)
    files = dict(_listed(api, repo, revision))
    card = ""
    if _CARD in files and files[_CARD].size <= limits.MAX_SEED_BYTES:
        path = _download(api, repo, revision, _CARD, folder)
        card = path.read_text(encoding="utf-8", errors="replace")
    try:
        chosen = choose_files(list(files), seeds.rest, card)
    except InputError as exc:
        raise InputError(f"{seeds}: {exc}") from exc
    size = sum(files[name].size for name in chosen)
    if size > limits.MAX_SEED_BYTES:
        raise SeedError(
            f"{seeds}: {len(chosen)} files of {size} bytes; the limit is {limits.MAX_SEED_BYTES}: "
            "name one of its files"
        )
    return Fetched(
        revision=revision,
        files=tuple((name, _download(api, repo, revision, name, folder)) for name in chosen),
    )


def _listed(api: HfApi, repo: str, revision: str) -> Iterator[tuple[str, RepoFile]]:
    guard_client()
    tree = api.list_repo_tree(repo, repo_type=_KIND, recursive=True, revision=revision)
    for number, entry in enumerate(tree):
        if number >= _MAX_FILES:
            raise StorageError(f"{repo} lists more than {_MAX_FILES} files: name a smaller one")
        if isinstance(entry, RepoFile):
            yield entry.path, entry


def _download(api: HfApi, repo: str, revision: str, name: str, folder: Path) -> Path:
    guard_client()
    place = api.hf_hub_download(repo, name, repo_type=_KIND, revision=revision, local_dir=folder)
    path = Path(place)
    if not path.resolve().is_relative_to(folder.resolve()):
        raise StorageError(f"{repo} has a file whose name leads elsewhere: it was not read")
    return path


def _failure(error: Exception, seeds: HubSeeds, token: str) -> SeedwrightError:
    known = (each for each in chain(error) if isinstance(each, HfHubHTTPError | SeedwrightError))
    found = next(known, None)
    if isinstance(found, SeedwrightError):
        return found
    if found is None:
        return _no_answer(error, seeds, token)
    status = int(found.response.status_code)
    kind = error_class_of(status)
    if status == HTTPStatus.UNAUTHORIZED and not token:
        kind = NotFoundError
    words = _MEANING.get(kind, "the Hub does not give {seeds}: check what it names")
    return kind(f"{words.format(seeds=seeds)} (HTTP {status})")


def _no_answer(error: Exception, seeds: HubSeeds, token: str) -> SeedwrightError:
    for each in chain(error):
        if isinstance(each, OfflineModeIsEnabled):
            return ConfigurationError(f"HF_HUB_OFFLINE is set: unset it to read {seeds}")
        if isinstance(each, httpx2.TransportError):
            return StorageUnavailableError(
                f"the connection to {seeds.target.endpoint} failed: check the network, then run "
                "it again"
            )
    return failure(error, seeds.target, token)


_MEANING: Final[Mapping[type[SeedwrightError], str]] = {
    UnauthenticatedError: "the Hub refused the token: set HF_TOKEN to one that may read {seeds}",
    ForbiddenError: "the token may not read {seeds}: ask for access on its page",
    NotFoundError: "{seeds}: there is no such dataset or revision that you can see: check the name;"
    " for one that is private set HF_TOKEN or run `hf auth login`",
    LimitError: "the Hub takes no more requests now: wait, then run it again",
    StorageUnavailableError: "the Hub failed: wait, then run it again",
}
