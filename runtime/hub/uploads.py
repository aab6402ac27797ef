"""A push with huggingface_hub: compare with what is there, send what is not, one commit for all.

    create the repository ─▶ list it ─▶ send large files, one after the other ─▶ commit

A file whose hash the repository has is not sent. A large file is stored under its hash before the
commit, so a push that was cut has not lost it: the next one is told that it is there. The commit
names its parent: what somebody else has pushed in between is a conflict, and nothing of it goes.
"""

import hashlib
import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import BinaryIO, Final

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_token
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.hf_api import RepoFile

from runtime.domain.errors import InputError
from runtime.domain.wording import counted
from runtime.hub.failures import failure, no_hub, no_token
from runtime.hub.observer import OnBytes, Pushed, PushedFile, PushObserver
from runtime.hub.selection import LocalFile, Selection
from runtime.hub.session import guard_client, hub_session
from runtime.hub.target import MAIN, Target

_KIND: Final = "dataset"
_ABSENT: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.NOT_FOUND})
"""Of a repository that the token can't see, the Hub says the one or the other."""
_MAX_FILES: Final = 100_000
"""Of a repository: a list that goes on is not one."""


def push_files(
    selection: Selection, target: Target, token: str | None, observer: PushObserver
) -> Pushed:
    """Push a selection. Without `token` the one of HF_TOKEN or of `hf auth login` is taken.

    Raises errors of the tree, and whatever `observer` raises.
    """
    with hub_session():
        secret = (token or get_token() or "").strip()
        if not secret:
            raise no_token(target)
        push = _Push(api=HfApi(endpoint=target.endpoint, token=secret), target=target)
        try:
            return push.run(selection, observer)
        except Exception as error:  # noqa: BLE001 - strangers' code, it fails in ways of its own
            raised = push.stopped_by or failure(error, target, secret)
        raise raised  # without a cause, see failures.py


@dataclass(kw_only=True)
class _Push:
    api: HfApi
    target: Target
    stopped_by: Exception | None = None
    """What the observer has raised: it is not the Hub's failure."""

    def run(self, selection: Selection, observer: PushObserver) -> Pushed:
        with self._observed():
            observer.planned(selection, self.target)
        private = self._open_repository(observer)
        head, remote = self._head(), self._listed()
        missing = [each for each in selection.files if not _is_there(each, remote)]
        with self._observed():
            observer.unchanged(selection.size - sum(each.size for each in missing))
        additions = [self._send(each, observer) for each in missing]
        removed = selection.older(remote)
        commit = head
        if additions or removed:
            commit = self._commit(additions, removed, head)
        return Pushed(
            repo=self.target.repo,
            url=self.target.url,
            commit=commit,
            private=private,
            files=tuple(
                PushedFile(name=each.name, size=each.size, sent=each in missing)
                for each in selection.files
            ),
            removed=removed,
            left_out=selection.left_out,
        )

    def _open_repository(self, observer: PushObserver) -> bool:
        """Create the repository, and the branch, where there is none. Whether it is private."""
        repo, target = self.target.repo, self.target
        guard_client()
        try:
            found = self.api.dataset_info(repo)
        except HfHubHTTPError as error:
            if error.response.status_code not in _ABSENT:
                raise
            guard_client()
            self.api.create_repo(repo, repo_type=_KIND, private=target.private, exist_ok=True)
            guard_client()
            found = self.api.dataset_info(repo)
        is_private: object = found.private
        if not isinstance(is_private, bool):  # of no type that it promises: it is a server's word
            raise no_hub(target)
        if target.private and not is_private:
            raise InputError(
                f"{repo} is there and everybody can read it: push with --public (private=False), "
                "or make it private on its page first"
            )
        if is_private and not target.private:
            with self._observed():
                observer.notice(f"{repo} is there and stays private: its page can make it public")
        if target.revision not in {None, MAIN}:
            guard_client()
            self.api.create_branch(
                repo, branch=str(target.revision), repo_type=_KIND, exist_ok=True
            )
        return is_private

    def _head(self) -> str:
        guard_client()
        info = self.api.dataset_info(self.target.repo, revision=self.target.revision)
        return str(info.sha)

    def _listed(self) -> Mapping[str, RepoFile]:
        """The files of the repository by name."""
        guard_client()
        found: dict[str, RepoFile] = {}
        for entry in self.api.list_repo_tree(
            self.target.repo, repo_type=_KIND, recursive=True, revision=self.target.revision
        ):
            if isinstance(entry, RepoFile):
                found[entry.path] = entry
            if len(found) > _MAX_FILES:
                raise InputError(
                    f"{self.target.repo} has more than {_MAX_FILES} files: choose another one"
                )
        return found

    def _send(self, file: LocalFile, observer: PushObserver) -> CommitOperationAdd:
        """Store a file by its hash if it is large; a small one goes with the commit."""
        with self._observed():
            transfer = observer.transfer(file.name, file.size)
            on_bytes = transfer.__enter__()
        moved = 0

        def count(size: int) -> None:
            nonlocal moved
            moved += size
            with self._observed():
                on_bytes(size)

        try:
            addition = _Addition(path_in_repo=file.name, path_or_fileobj=file.path)
            addition.on_bytes = count
            guard_client()
            self.api.preupload_lfs_files(
                self.target.repo,
                additions=[addition],
                repo_type=_KIND,
                revision=self.target.revision,
                free_memory=False,
            )
            count(file.size - moved)  # what was there, what goes with the commit
        finally:
            transfer.__exit__(None, None, None)
        return addition

    def _commit(
        self, additions: list[CommitOperationAdd], removed: tuple[str, ...], head: str
    ) -> str:
        guard_client()
        done = self.api.create_commit(
            self.target.repo,
            [*map(CommitOperationDelete, removed), *additions],
            commit_message=self.target.message
            or f"Seedwright: {counted(len(additions), 'file')} of a dataset",
            repo_type=_KIND,
            revision=self.target.revision,
            parent_commit=head,
        )
        return str(done.oid)

    @contextmanager
    def _observed(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self.stopped_by = error
            raise


class _Addition(CommitOperationAdd):
    """An addition that says how much of its file was sent."""

    on_bytes: OnBytes

    @contextmanager
    def as_file(self, with_tqdm: bool = False) -> Iterator[BinaryIO]:  # noqa: FBT001, FBT002 - as inherited
        """The file, opened; with `with_tqdm` it is for sending."""
        if not with_tqdm:
            with super().as_file() as file:
                yield file
            return
        with _Counted(str(self.path_or_fileobj), self.on_bytes) as file:
            yield file


class _Counted(io.BufferedReader):
    """Reports how far it was read; going back for another attempt takes back what was reported."""

    def __init__(self, path: str, on_bytes: OnBytes) -> None:
        super().__init__(io.FileIO(path))
        self._on_bytes = on_bytes
        self._reported = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        position = self.tell()
        self._on_bytes(position - self._reported)
        self._reported = position
        return data


def _is_there(file: LocalFile, remote: Mapping[str, RepoFile]) -> bool:
    """Whether the repository has this very file."""
    found = remote.get(file.name)
    if found is None or found.size != file.size:
        return False
    with file.path.open("rb") as content:
        if found.lfs is not None:
            return hashlib.file_digest(content, "sha256").hexdigest() == found.lfs.sha256
        # Git's own name of a file's content.
        digest = hashlib.sha1(b"blob %d\0" % file.size, usedforsecurity=False)
        while chunk := content.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest() == found.blob_id
