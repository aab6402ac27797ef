"""The same promises for both families of adapters, and for the fakes that stand in for them."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import cast

import pytest

from tests.fixtures.aws import FakeAws
from tests.fixtures.clock import ManualClock
from tests.fixtures.families import FAMILIES, open_family
from tests.fixtures.storage import OpenPorts, Storage


@pytest.fixture(params=FAMILIES)
def open_ports(request: pytest.FixtureRequest, clock: ManualClock) -> Iterator[OpenPorts]:
    """Each call opens new adapters on the same storage, as another process would."""

    def get_aws() -> FakeAws:
        return cast("FakeAws", request.getfixturevalue("aws"))

    with ExitStack() as stack:
        yield open_family(request.param, clock, stack, get_aws=get_aws)


@pytest.fixture
def ports(open_ports: OpenPorts) -> Storage:
    """One set of adapters."""
    return open_ports()
