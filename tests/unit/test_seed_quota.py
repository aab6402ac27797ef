"""What the seeds of a user may take, on AWS and beside `seedwright serve` (N18), and how room is
made again.
"""

import base64
import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

import pytest

from runtime.bootstrap import local_api
from runtime.domain.errors import ConfigurationError
from runtime.domain.jobs.job import JobStatus
from runtime.domain.models.names import BEDROCK
from runtime.domain.models.price_table import load_prices
from runtime.domain.seeds import uploads
from runtime.domain.seeds.uploads import DEFAULT_QUOTA_BYTES, GIB, HOLD, parse_quota
from runtime.domain.service_ports import ApiSettings
from tests.fixtures.api import Api, Reply
from tests.fixtures.api_world import SOME_ID, ApiWorld
from tests.fixtures.aws_api import API_ENVIRONMENT
from tests.fixtures.clock import ManualClock
from tests.fixtures.lambda_events import ALICE, BOB
from tests.fixtures.local_api import NoModels

FORM = timedelta(minutes=15)


class Uploads(Protocol):
    """The handlers with a quota of 2 GiB, and a store behind them."""

    api: Api

    def put(self, key: str, body: bytes) -> object: ...


class OnAws:
    def __init__(self, world: ApiWorld) -> None:
        self.api: Api = world
        self._world = world

    def put(self, key: str, body: bytes) -> object:
        return self._world.put_object(key, body)


class Local:
    def __init__(self, ports: Any) -> None:
        self.api = Api(ports)
        self._objects = ports.objects

    def put(self, key: str, body: bytes) -> object:
        return self._objects.put(key, body, content_type="")


@pytest.fixture(params=["aws", "local"])
def served(
    request: pytest.FixtureRequest,
    clock: ManualClock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Uploads]:
    if request.param == "aws":
        variables = {**API_ENVIRONMENT, "SEED_QUOTA_GIB": "2"}
        monkeypatch.setattr("tests.fixtures.api_world.API_ENVIRONMENT", variables)
        yield OnAws(request.getfixturevalue("api_world"))
        return
    service = local_api(
        tmp_path,
        models=NoModels(),
        provider=BEDROCK,
        prices=load_prices(),
        base_url="http://127.0.0.1:1",
        on_launch=lambda _item: None,
        settings=ApiSettings(seed_bytes=2 * GIB),
        clock=clock,
    )
    with closing(service):
        yield Local(service.api)


def ask(served: Uploads, size: int | None = None, *, user: str = ALICE) -> Reply:
    body = {"filename": "a.jsonl", **({} if size is None else {"size": size})}
    return served.api.post("/seed-data/upload-url", body, user=user)


def signed_bytes(fields: Mapping[str, str]) -> int:
    """The most that a form takes, as whoever takes it reads it."""
    if "max_bytes" in fields:
        return int(fields["max_bytes"])
    policy = json.loads(base64.b64decode(fields["policy"]))
    ranges = [each for each in policy["conditions"] if isinstance(each, list)]
    [found] = [each for each in ranges if each[0] == "content-length-range"]
    return int(found[2])


def test_n18_what_was_given_out_counts_before_it_has_arrived(served: Uploads) -> None:
    first = ask(served, GIB)
    assert (first.status, first.body["max_bytes"]) == (201, GIB)
    assert signed_bytes(first.body["fields"]) == GIB
    refused = ask(served, GIB + 1)
    assert (refused.status, refused.body["error"]["code"]) == (409, "seed_quota")
    assert refused.message.startswith(
        "your seeds may take 2.15 GB and 1.07 GB of it are left (1.07 GB of that is reserved for"
        " uploads on their way), not enough for 1.07 GB: delete seeds"
    )
    assert ask(served, GIB, user=BOB).status == 201
    rest = ask(served)
    assert (rest.status, rest.body["max_bytes"]) == (201, GIB), "all that is left"
    assert ask(served).status == 409
    assert ask(served, 5 * GIB).status == 400


def test_n18_uploads_that_are_asked_for_at_once_do_not_pass_it(served: Uploads) -> None:
    with ThreadPoolExecutor(max_workers=4) as pool:
        replies = list(pool.map(lambda _: ask(served, GIB), range(4)))
    assert sorted({each.status for each in replies} - {503}) == [201, 409]
    assert [each.status for each in replies].count(201) == 2


def test_n18_an_upload_counts_as_what_it_is_once_its_form_has_expired(
    served: Uploads, clock: ManualClock
) -> None:
    """Before, the form may be used once more, for a larger file."""
    key = ask(served, 2 * GIB).body["s3_key"]
    served.put(key, b"{}\n" * 10)
    assert ask(served, GIB).status == 409
    clock.advance(FORM.total_seconds())
    assert ask(served, 2 * GIB - 30).status == 201
    assert ask(served, 1).status == 409


def test_n18_an_upload_that_never_arrived_is_forgotten(served: Uploads, clock: ManualClock) -> None:
    assert ask(served, 2 * GIB).status == 201
    clock.advance((FORM + HOLD).total_seconds() - 1)
    assert ask(served, 1).status == 409
    clock.advance(1)
    assert ask(served, 2 * GIB).status == 201


def test_a_deleted_file_makes_room(served: Uploads, clock: ManualClock) -> None:
    key = ask(served, 2 * GIB).body["s3_key"]
    served.put(key, b"{}\n")
    [listed] = served.api.get("/seed-data").body["files"]
    path = f"/seed-data/{listed['seed_id']}"
    assert served.api.delete(path, user=BOB).status == 404
    assert served.api.delete(path).status == 204
    assert served.api.get("/seed-data").body["files"] == []
    assert served.api.delete(path).status == 404
    assert ask(served, 1).status == 409, "its form is still good"
    clock.advance(FORM.total_seconds())
    assert ask(served, 2 * GIB).status == 201


def test_seeds_that_a_job_draws_from_are_not_deleted(api_world: ApiWorld) -> None:
    """Neither is anything else: a job that has ended keeps its dataset."""
    seed_id = api_world.own.new_id()
    key = api_world.upload(f"{seed_id}/a.jsonl", b'{"product": "kettle"}\n')
    api_world.upload(f"{SOME_ID}/a.jsonl", b'{"product": "kettle"}\n')
    job = api_world.create_job(seed_data_path=key, allow_partial=True).body["job_id"]
    refused = api_world.delete(f"/seed-data/{seed_id}")
    assert (refused.status, refused.message) == (
        409,
        f"job {job} draws from these seeds: cancel it, or wait until it has ended",
    )
    api_world.own.jobs.set_status(job, JobStatus.CANCELLED, fence=None)
    assert api_world.delete(f"/seed-data/{seed_id}").status == 204
    assert api_world.object_keys("seed-data/") == [f"seed-data/{ALICE}/{SOME_ID}/a.jsonl"]


def test_replaced_versions_count_and_go_with_their_file(api_world: ApiWorld) -> None:
    """A form that is used twice leaves two versions, which both take room."""
    seed_id = api_world.own.new_id()
    for size in (10, 20):
        key = api_world.upload(f"{seed_id}/a.jsonl", b"x" * size)
    found = list(api_world.own.objects.list_versions(f"seed-data/{ALICE}/"))
    assert sorted(each.size for each in found) == [10, 20]
    assert {each.key for each in found} == {key}
    assert api_world.delete(f"/seed-data/{seed_id}").status == 204
    assert api_world.object_keys("seed-data/") == []


def test_uploads_on_their_way_are_not_without_number(
    served: Uploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "MAX_OPEN", 2)
    assert [ask(served, 1).status for _ in range(3)] == [201, 201, 429]


def test_a_quota_is_whole_gib_or_off() -> None:
    assert (parse_quota("3", name="x"), parse_quota("off", name="x")) == (3 * GIB, None)
    assert ApiSettings().seed_bytes == DEFAULT_QUOTA_BYTES == 50 * GIB
    for text in ("0", "-1", "1.5", "", "x"):
        with pytest.raises(ConfigurationError, match="SEED_QUOTA_GIB must be whole GiB"):
            parse_quota(text, name="SEED_QUOTA_GIB")


def test_without_a_quota_nothing_is_counted(tmp_path: Path, clock: ManualClock) -> None:
    service = local_api(
        tmp_path,
        models=NoModels(),
        provider=BEDROCK,
        prices=load_prices(),
        base_url="http://127.0.0.1:1",
        on_launch=lambda _item: None,
        settings=ApiSettings(seed_bytes=None),
        clock=clock,
    )
    with closing(service):
        local = Local(service.api)
        assert [ask(local, 4 * GIB).status for _ in range(20)] == [201] * 20
        assert ask(local).body["max_bytes"] == 4 * GIB
