"""What every `CostStore` promises."""

from tests.fixtures.race import race
from tests.fixtures.storage import OpenPorts, Storage


def test_nothing_spent_yet(ports: Storage) -> None:
    assert ports.costs.total("a") == 0


def test_the_total_is_exact(open_ports: OpenPorts) -> None:
    ports = open_ports()
    costs = [10**12 + 1, 1, 0, 999_999_999]
    for number, cost in enumerate(costs):
        ports.costs.add("a", entry_id=f"1-{number}", cost_nano=cost, tokens=7)
    assert open_ports().costs.total("a") == sum(costs)


def test_jobs_are_counted_apart(ports: Storage) -> None:
    ports.costs.add("a", entry_id="1-1", cost_nano=5, tokens=1)
    ports.costs.add("b", entry_id="1-1", cost_nano=7, tokens=1)
    assert (ports.costs.total("a"), ports.costs.total("b")) == (5, 7)


def test_the_same_entry_counts_once(ports: Storage) -> None:
    ports.costs.add("a", entry_id="1-1", cost_nano=5, tokens=1)
    ports.costs.add("a", entry_id="1-1", cost_nano=5, tokens=1)
    ports.costs.add("a", entry_id="1-1", cost_nano=500, tokens=100)
    assert ports.costs.total("a") == 5


def test_the_same_entry_counts_once_from_several_writers(open_ports: OpenPorts) -> None:
    writers = [open_ports() for _ in range(3)]
    for number in range(8):
        entry = f"1-{number}"
        outcomes = race(
            [
                lambda writer=writer: writer.costs.add(  # type: ignore[misc]
                    "a",
                    entry_id=entry,  # noqa: B023
                    cost_nano=10,
                    tokens=1,
                )
                for writer in writers
            ]
        )
        assert outcomes == [None] * len(writers)
    assert writers[0].costs.total("a") == 80
