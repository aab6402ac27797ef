"""Datasets that are generated here, and the libraries that read them in an environment of their
own.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

ROOT: Final = Path(__file__).parents[2]
PYTHON: Final = Path(os.environ.get("LOADERS_PYTHON", ROOT / ".venv-loaders/bin/python"))


@pytest.hookimpl(tryfirst=True)  # before the marker is asked for
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder, and nothing else, needs the loaders' environment."""
    folder = Path(__file__).parent
    for item in items:
        if folder in item.path.parents:
            item.add_marker(pytest.mark.loaders)


class Reader:
    """The process of `reader.py`."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def ask(self, **question: str) -> Any:
        """What the libraries answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        found = json.loads(self._process.stdout.readline())
        assert "error" not in found, found["error"]
        return found["answer"]


@pytest.fixture(scope="session")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    cache = tmp_path_factory.mktemp("cache")
    offline = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(cache), "HOME": str(cache)}
    with subprocess.Popen(
        [str(PYTHON), "-W", "error", str(Path(__file__).with_name("reader.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **offline},
    ) as process:
        yield Reader(process)
        assert process.stdin is not None
        process.stdin.close()
