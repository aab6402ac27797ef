"""The same promises for both families of adapters."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.fixtures.clock import ManualClock
from tests.fixtures.storage import OpenPorts, Storage, open_aws, open_local


@pytest.fixture(params=["aws", "local"])
def open_ports(
    request: pytest.FixtureRequest, clock: ManualClock, tmp_path: Path
) -> Iterator[OpenPorts]:
    """Each call opens new adapters on the same storage, as another process would."""
    if request.param == "aws":
        account = request.getfixturevalue("aws")
        yield lambda: open_aws(account, clock)
        return
    with ExitStack() as opened:

        def open_another() -> Storage:
            storage = open_local(tmp_path / "data", clock)
            opened.callback(storage.close)
            return storage

        yield open_another


@pytest.fixture
def ports(open_ports: OpenPorts) -> Storage:
    """One set of adapters."""
    return open_ports()
