"""A stand-in for the `docker` package: a container is a process of this machine.

The emulator starts ECS tasks through docker-py. Here the same few calls start a local process with
the container's command and environment, so that exit codes and signals are real and no Docker is
needed. A process stays in the emulator's process group and ends with it.
"""

import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, Final

KILLED_BY: Final = 128
"""The exit code of a process that a signal ended is this plus the signal's number."""
NOT_STARTED: Final = 127
_INHERITED: Final = ("PATH", "HOME", "LANG", "TMPDIR")


class NotFoundError(Exception):
    """The container is gone."""


class Container:
    """One process, under the names docker-py gives to a container."""

    def __init__(
        self,
        command: list[str],
        environment: Mapping[str, str],
        folder: Path,
        labels: Mapping[str, str],
    ) -> None:
        self.id = uuid.uuid4().hex * 2
        self.labels = dict(labels)
        self.status = "running"
        self.attrs: dict[str, Any] = {
            "NetworkSettings": {"Networks": {"bridge": {"IPAddress": "127.0.0.1"}}}
        }
        self._lines: list[bytes] = []
        self._changed = threading.Condition()
        self._code = NOT_STARTED
        try:
            self._process: subprocess.Popen[bytes] | None = subprocess.Popen(
                command,
                cwd=folder,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
        except OSError as error:
            self._process = None
            self._lines.append(f"{command[0]}: {error.strerror}\n".encode())
        threading.Thread(target=self._follow, name=f"container-{self.id[:8]}", daemon=True).start()

    def _follow(self) -> None:
        if self._process is not None:
            assert self._process.stdout is not None
            for line in self._process.stdout:
                with self._changed:
                    self._lines.append(line)
                    self._changed.notify_all()
            code = self._process.wait()
            self._code = code if code >= 0 else KILLED_BY - code
        with self._changed:
            self.status = "exited"
            self._changed.notify_all()

    def reload(self) -> None:
        """`status` is always current."""

    def wait(self, **_: object) -> dict[str, int]:
        """Block until it has ended."""
        with self._changed:
            self._changed.wait_for(lambda: self.status == "exited")
        return {"StatusCode": self._code}

    def logs(
        self, *, stream: bool = False, tail: int | None = None, **_: object
    ) -> bytes | Iterator[bytes]:
        """What it has printed; with `stream`, line by line until it has ended."""
        if stream:
            return self._stream()
        with self._changed:
            return b"".join(self._lines[-tail:] if tail else self._lines)

    def _stream(self) -> Iterator[bytes]:
        seen = 0
        while True:
            with self._changed:
                while seen == len(self._lines) and self.status != "exited":
                    self._changed.wait()
                lines, seen = self._lines[seen:], len(self._lines)
            if not lines:
                return
            yield from lines

    def stop(self, timeout: float = 10) -> None:
        """SIGTERM, and SIGKILL when that has not ended it after `timeout` seconds."""
        if self._process is None or self.status == "exited":
            return
        self._process.terminate()
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self.wait()

    def remove(self, **_: object) -> None:
        """Nothing is left of an ended process."""


class _Containers:
    def __init__(self, python: str, folder: Path, extra: Mapping[str, str]) -> None:
        self._python = python
        self._folder = folder
        self._extra = extra
        self._all: dict[str, Container] = {}

    def run(self, _image: str, **options: Any) -> Container:
        command = list(options.get("entrypoint") or ()) + list(options.get("command") or ())
        if not command:
            command = ["python", "-m", "runtime.worker"]  # the entry point of the worker's image
        if command[0] in {"python", "python3"}:
            command[0] = self._python
        kept = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        container = Container(
            command,
            {**kept, **self._extra, **options["environment"]},
            self._folder,
            options.get("labels", {}),
        )
        self._all[container.id] = container
        return container

    def get(self, container_id: str) -> Container:
        try:
            return self._all[container_id]
        except KeyError:
            raise NotFoundError(container_id) from None

    def list(self, **_: object) -> list[Container]:
        return []


def install(*, python: str, folder: Path, extra: Mapping[str, str]) -> None:
    """Put the stand-in in the place of `docker`. `python` in a container is that interpreter, in
    `folder`; `extra` goes into every container's environment.
    """
    client = SimpleNamespace(
        containers=_Containers(python, folder, extra),
        images=SimpleNamespace(),
        ping=lambda: True,
    )
    docker, errors = ModuleType("docker"), ModuleType("docker.errors")
    for name in ("NotFound", "ImageNotFound"):
        setattr(errors, name, NotFoundError)
    for name in ("APIError", "DockerException"):
        setattr(errors, name, Exception)
    docker.errors = errors  # type: ignore[attr-defined]
    docker.from_env = docker.DockerClient = lambda **_: client  # type: ignore[attr-defined]
    sys.modules.update({"docker": docker, "docker.errors": errors})
