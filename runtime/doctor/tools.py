"""What this machine needs to build the worker's image."""

import os
import subprocess
from collections.abc import Iterator, Sequence
from typing import Final

from runtime.doctor.account import Account
from runtime.doctor.finding import Finding, ok, unknown, wrong

DOCKER: Final = "Docker"
BUILDX: Final = "buildx"
SECONDS: Final = 15.0
OLDEST_DOCKER: Final = 23
"""The first version that builds with BuildKit, which the image's Dockerfile needs."""


def look_at_docker(_: Account | None = None) -> Iterator[Finding]:
    """The program, and the daemon behind it."""
    try:
        done = _run("version", "--format", "{{.Server.Version}}")
    except FileNotFoundError:
        yield wrong(
            DOCKER,
            f"{_program()} is not installed here; the worker's image is built with it",
            mend="https://docs.docker.com/engine/install/",
        )
        return
    except subprocess.TimeoutExpired:
        yield unknown(DOCKER, f"gave no answer within {SECONDS:.0f} seconds", mend="docker info")
        return
    version = done.stdout.strip()
    if done.returncode or not version:
        yield wrong(DOCKER, "its daemon gives no answer", mend="start Docker, then: docker info")
    elif _major(version) < OLDEST_DOCKER:
        yield wrong(
            DOCKER,
            f"version {version} is too old: {OLDEST_DOCKER} or newer is needed",
            mend="https://docs.docker.com/engine/install/",
        )
    else:
        yield ok(DOCKER, f"version {version}")


def look_at_buildx(_: Account | None = None) -> Iterator[Finding]:
    """The plugin that builds for another processor than this machine's."""
    try:
        done = _run("buildx", "version")
    except FileNotFoundError:
        yield unknown(BUILDX, f"{_program()} is not installed here")
        return
    except subprocess.TimeoutExpired:
        yield unknown(BUILDX, f"gave no answer within {SECONDS:.0f} seconds", mend="docker info")
        return
    if done.returncode:
        yield wrong(
            BUILDX,
            "the plugin is not installed; the worker's image is for ARM64",
            mend="https://github.com/docker/buildx#installing",
        )
    else:
        yield ok(BUILDX, done.stdout.strip())


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command: Sequence[str] = (_program(), *arguments)
    return subprocess.run(  # noqa: S603 - the CDK runs the same program
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=SECONDS,
        check=False,
    )


def _program() -> str:
    """As the CDK finds it."""
    return os.environ.get("CDK_DOCKER", "docker")


def _major(version: str) -> int:
    digits = version.partition(".")[0]
    return int(digits) if digits.isdecimal() else OLDEST_DOCKER
