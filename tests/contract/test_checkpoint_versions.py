"""What every `CheckpointVersions` promises. Requirements S7.6 and S9.4 rest on it."""

import pytest

from runtime.domain.errors import ConflictError, LeaseLostError
from runtime.domain.ports import CheckpointVersion
from tests.fixtures.race import of_type, race
from tests.fixtures.storage import OpenPorts, Storage


def at(version: int, *, records: int = 0, fence: int = 1) -> CheckpointVersion:
    return CheckpointVersion(version=version, records_generated=records, fence=fence)


def test_none_is_stored_at_first(ports: Storage) -> None:
    assert ports.checkpoints.get("a") is None


def test_versions_follow_one_another(open_ports: OpenPorts) -> None:
    ports = open_ports()
    for version in range(1, 13):
        new = at(version, records=50 * version)
        ports.checkpoints.put("a", new)
        assert open_ports().checkpoints.get("a") == new


def test_shards_count_apart(ports: Storage) -> None:
    ports.checkpoints.put("a#0", at(1, records=50))
    ports.checkpoints.put("a#1", at(1, records=7))
    assert ports.checkpoints.get("a#0") == at(1, records=50)
    assert ports.checkpoints.get("a#1") == at(1, records=7)


def test_a_write_whose_reply_was_lost_succeeds_again(ports: Storage) -> None:
    for new in (at(1, records=50), at(2, records=100)):
        ports.checkpoints.put("a", new)
        ports.checkpoints.put("a", new)
        assert ports.checkpoints.get("a") == new


@pytest.mark.parametrize("version", [1, 2, 4, 5])
def test_a_version_that_does_not_follow_is_refused(ports: Storage, version: int) -> None:
    for stored in (1, 2):
        ports.checkpoints.put("a", at(stored))
    with pytest.raises(ConflictError):
        ports.checkpoints.put("a", at(version, records=1))
    assert ports.checkpoints.get("a") == at(2)


def test_the_first_version_is_one(ports: Storage) -> None:
    with pytest.raises(ConflictError):
        ports.checkpoints.put("a", at(2))
    assert ports.checkpoints.get("a") is None


def test_a_stale_owner_is_refused_even_with_the_right_version(ports: Storage) -> None:
    ports.checkpoints.put("a", at(1, fence=2))
    for version in (1, 2, 3):
        with pytest.raises(LeaseLostError):
            ports.checkpoints.put("a", at(version, fence=1))
    assert ports.checkpoints.get("a") == at(1, fence=2)


def test_a_successor_goes_on(ports: Storage) -> None:
    ports.checkpoints.put("a", at(1, fence=1))
    ports.checkpoints.put("a", at(2, fence=7))
    with pytest.raises(ConflictError):
        ports.checkpoints.put("a", at(2, fence=8))


def test_one_of_two_writers_gets_the_version(open_ports: OpenPorts) -> None:
    one, two = open_ports(), open_ports()
    for version in range(1, 11):
        mine, theirs = at(version, records=1), at(version, records=2)
        outcomes = race(
            [
                lambda: one.checkpoints.put("a", mine),  # noqa: B023
                lambda: two.checkpoints.put("a", theirs),  # noqa: B023
            ]
        )
        assert of_type(outcomes, ConflictError) == 1, outcomes
        winner = mine if outcomes[0] is None else theirs
        assert one.checkpoints.get("a") == winner
