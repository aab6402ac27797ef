"""The same promises for both families of adapters, and for the fakes that stand in for them."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import cast

import pytest

from tests.fixtures.aws import FakeAws
from tests.fixtures.clock import ManualClock
from tests.fixtures.families import API_FAMILIES, FAMILIES, open_api, open_family
from tests.fixtures.storage import ApiStorage, OpenApi, OpenPorts, Storage


@pytest.fixture(params=FAMILIES)
def open_ports(request: pytest.FixtureRequest, clock: ManualClock) -> Iterator[OpenPorts]:
    """Each call opens new adapters on the same storage, as another process would."""
    with ExitStack() as stack:
        yield open_family(request.param, clock, stack, get_aws=lambda: _aws(request))


@pytest.fixture
def ports(open_ports: OpenPorts) -> Storage:
    """One set of adapters."""
    return open_ports()


@pytest.fixture(params=API_FAMILIES)
def open_api_ports(request: pytest.FixtureRequest, clock: ManualClock) -> Iterator[OpenApi]:
    """As `open_ports`, with the ports of the API."""
    with ExitStack() as stack:
        yield open_api(request.param, clock, stack, get_aws=lambda: _aws(request))


@pytest.fixture
def api_ports(open_api_ports: OpenApi) -> ApiStorage:
    """One set of them."""
    return open_api_ports()


def _aws(request: pytest.FixtureRequest) -> FakeAws:
    return cast("FakeAws", request.getfixturevalue("aws"))
