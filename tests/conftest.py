"""What every test relies on: a clean environment, a clock that stands still, an emulated AWS.

Property tests try few examples. `HYPOTHESIS_PROFILE=long` tries many, and the emulated AWS too
where a machine of states runs against every family of adapters.
"""

import gc
import os
import signal
import sys
from collections.abc import Generator, Iterator

import pytest
from hypothesis import settings

from tests.fixtures.api import HandlerLogs, captured_logs
from tests.fixtures.aws import FakeAws, emulated_aws, scrub_environment
from tests.fixtures.clock import ManualClock

# No deadlines: a machine that is busy is no defect.
settings.register_profile("quick", deadline=None, max_examples=50, stateful_step_count=30)
settings.register_profile("long", deadline=None, max_examples=1000, stateful_step_count=60)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))

pytest_plugins = [
    "tests.fixtures.guard_plugin",
    "tests.fixtures.aws_api",
    "tests.fixtures.worker_world",
    "tests.fixtures.api_world",
    "tests.fixtures.fake_api",
    "tests.fixtures.docker_double",
    "tests.fixtures.doctor",
]


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


@pytest.fixture
def handler_logs() -> Iterator[HandlerLogs]:
    with captured_logs() as logs:
        yield logs


def pytest_collection_finish() -> None:
    """Search for garbage less often: an eighth of the time, with all that is imported here."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 50)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Where coverage is measured, tell it which test runs which line: `make mutate` asks. By its
    own means it would not see through Hypothesis and threads.
    """
    running = sys.modules.get("coverage")
    coverage = running.Coverage.current() if running else None
    if coverage is not None:
        coverage.switch_context(item.nodeid.partition("[")[0])
    return (yield)


def pytest_configure() -> None:
    """Take back signals that whoever started the tests ignores, as a shell does for what it starts
    in the background: processes under test would inherit that and never be stopped by them.
    """
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
