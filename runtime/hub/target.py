"""Where a dataset goes on the Hub, checked before anything is sent."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from runtime.domain.errors import ConfigurationError, InputError

PUBLIC_HUB: Final = "https://huggingface.co"
MAIN: Final = "main"

_ENDPOINT: Final = "HF_ENDPOINT"
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?")
_MAX_NAME: Final = 96
"""Characters of `owner/name`, the Hub's own limit."""
_MAX_MESSAGE: Final = 500
_REVISION: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._/-]{0,98}[A-Za-z0-9_-])?")


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """A dataset repository. `repo` is `owner/name`, `endpoint` a URL without a slash at its end."""

    repo: str
    endpoint: str
    private: bool = True
    revision: str | None = None
    """A branch, which is created where there is none; None is the main one."""
    message: str | None = None
    """Of the commit; None leaves it to the push."""

    @property
    def url(self) -> str:
        """The page of the dataset."""
        page = f"{self.endpoint}/datasets/{self.repo}"
        return page if self.revision in {None, MAIN} else f"{page}/tree/{self.revision}"


def read_target(
    repo: object,
    environ: Mapping[str, str],
    *,
    private: bool = True,
    revision: str | None = None,
    message: str | None = None,
    endpoint: str | None = None,
) -> Target:
    """A target from what a user gave; without `endpoint` the one of HF_ENDPOINT, else the public
    Hub.

    Raises `InputError`, `ConfigurationError` for an endpoint that a token must not be sent to.
    """
    if revision is not None and (not _REVISION.fullmatch(revision) or ".." in revision):
        raise InputError(f"revision is {revision[:_MAX_NAME]!r}: give the name of a branch")
    if message is not None and not 1 <= len(message.strip()) <= _MAX_MESSAGE:
        raise InputError(f"message is the commit's: give 1 to {_MAX_MESSAGE} characters")
    return Target(
        repo=_checked_name(repo),
        endpoint=_checked_endpoint(endpoint or environ.get(_ENDPOINT) or PUBLIC_HUB),
        private=private,
        revision=revision,
        message=message,
    )


def _checked_name(repo: object) -> str:
    if not isinstance(repo, str):
        raise InputError(f"{repo!r} is not a name on the Hub: give owner/name")
    owner, slash, name = repo.partition("/")
    if not slash or "/" in name:
        raise InputError(f"{repo[:_MAX_NAME]!r} is not a name on the Hub: give owner/name")
    wrong = not all(
        _NAME.fullmatch(part) and "--" not in part and ".." not in part for part in (owner, name)
    )
    if wrong or len(repo) > _MAX_NAME or name.endswith(".git"):
        raise InputError(
            f"{repo[:_MAX_NAME]!r} is not a name that the Hub takes: letters, digits, '-', '_' and "
            f"'.' inside, no '--' or '..', at most {_MAX_NAME} characters with the owner"
        )
    return repo


def _checked_endpoint(url: str) -> str:
    """Every request carries a token, so a Hub on another machine is asked over HTTPS only."""
    try:
        parts = urlsplit(url.strip())
        host, _ = parts.hostname, parts.port
    except ValueError as exc:
        raise ConfigurationError("the endpoint is not a URL: see HF_ENDPOINT") from exc
    if parts.username or parts.password or parts.query or parts.fragment or not host:
        raise ConfigurationError("the endpoint is not the URL of a Hub: see HF_ENDPOINT")
    if parts.scheme != "https" and not (parts.scheme == "http" and host in _LOOPBACK):
        raise ConfigurationError(f"the endpoint {url.strip()[:200]} has to be an https:// URL")
    return url.strip().rstrip("/")
