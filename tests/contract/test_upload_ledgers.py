"""What is reserved for uploads, in both families: nobody's reservation is lost (N18)."""

from datetime import timedelta
from functools import partial

import pytest

from runtime.domain.errors import ConflictError
from runtime.domain.seeds.uploads import Reservation, UploadLedger
from tests.fixtures.aws import FakeAws
from tests.fixtures.aws_faults import no_retry_pauses, reply_lost
from tests.fixtures.clock import ManualClock
from tests.fixtures.race import of_type, race
from tests.fixtures.storage import ApiStorage, OpenApi, open_aws


def reservation(clock: ManualClock, size: int = 7) -> Reservation:
    now = clock.now()
    later = timedelta(minutes=15, microseconds=1)
    return Reservation(size=size, form_until=now + later, until=now + 2 * later)


def test_a_ledger_comes_back_as_it_was_stored(open_api_ports: OpenApi, clock: ManualClock) -> None:
    ports = open_api_ports()
    assert ports.upload_ledgers.get("ada") == UploadLedger()
    first = UploadLedger().after({"a": reservation(clock)})
    ports.upload_ledgers.replace("ada", first)
    second = first.after({"a": reservation(clock), "b": reservation(clock, 4 * 2**30)})
    ports.upload_ledgers.replace("ada", second)
    again = open_api_ports()
    assert again.upload_ledgers.get("ada") == second
    assert again.upload_ledgers.get("bob") == UploadLedger()
    ports.upload_ledgers.replace("ada", second.after({}))
    assert ports.upload_ledgers.get("ada") == UploadLedger(revision=3)


def test_of_two_writers_one_is_told_to_read_again(
    api_ports: ApiStorage, clock: ManualClock
) -> None:
    ledgers = api_ports.upload_ledgers
    for ledger in (UploadLedger(), UploadLedger(revision=1)):
        next_ones = [ledger.after({name: reservation(clock)}) for name in "ab"]
        outcomes = race([partial(ledgers.replace, "ada", each) for each in next_ones])
        assert of_type(outcomes, ConflictError) == 1
        assert len(ledgers.get("ada").reserved) == 1
    with pytest.raises(ConflictError):
        ledgers.replace("ada", UploadLedger(revision=7))


def test_a_lost_reply_is_a_success(
    aws: FakeAws, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_retry_pauses(monkeypatch)
    ledgers = open_aws(aws, clock).upload_ledgers
    client = ledgers._table._client  # type: ignore[attr-defined]
    with reply_lost(client, "UpdateItem") as sent:
        ledgers.replace("ada", UploadLedger().after({"a": reservation(clock)}))
    assert len(sent) == 2
    assert ledgers.get("ada").revision == 1
