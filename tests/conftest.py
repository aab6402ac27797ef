"""What every test relies on: a clean environment, a clock that stands still, an emulated AWS."""

from collections.abc import Iterator

import pytest

from tests.fixtures.aws import FakeAws, emulated_aws, scrub_environment
from tests.fixtures.clock import ManualClock

pytest_plugins = ["tests.fixtures.worker_world"]


@pytest.fixture(scope="session", autouse=True)
def _clean_environment() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        scrub_environment(patch)
        yield


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def aws() -> Iterator[FakeAws]:
    with emulated_aws() as account:
        yield account
