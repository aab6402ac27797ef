"""The API client and the transfers against a real HTTP server that refuses, stalls and cuts."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.client import http as client_module
from runtime.client.http import ATTEMPTS, ApiClient, Pauses
from runtime.client.transfer import Transfer
from runtime.domain.errors import (
    ConfigurationError,
    ConflictError,
    ForbiddenError,
    InputError,
    LimitError,
    NotFoundError,
    SeedwrightError,
    StorageError,
    StorageUnavailableError,
    TooLargeError,
    UnauthenticatedError,
)
from tests.fixtures.scripted_server import Script, ScriptedServer, refusal, scripted_server

TOKEN = "a-token"  # noqa: S105
OK = Script(body={"fine": True})
CUT = Script(cut=0)


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted_server() as running:
        yield running


@pytest.fixture
def waited() -> list[float]:
    return []


@pytest.fixture
def pauses(waited: list[float]) -> Pauses:
    return Pauses(sleep=waited.append, jitter=lambda: 1.0)


@pytest.fixture
def api(server: ScriptedServer, pauses: Pauses) -> ApiClient:
    return ApiClient(server.url, lambda: TOKEN, pauses=pauses)


# ── requests ───────────────────────────────────────────────────────────────────────────────────


def test_a_request_carries_token_body_and_query(server: ScriptedServer, api: ApiClient) -> None:
    server.scripts = [OK, OK]

    assert api.get("/jobs", limit=5, cursor=None, status="a&b") == {"fine": True}
    assert api.post("/jobs", {"n": 1}) == {"fine": True}

    get, post = server.requests
    assert (get.method, get.path) == ("GET", "/jobs?limit=5&status=a%26b")
    assert get.headers["authorization"] == f"Bearer {TOKEN}"
    assert "content-type" not in get.headers
    assert (post.method, post.json) == ("POST", {"n": 1})
    assert post.headers["content-type"] == "application/json"


def test_the_token_is_asked_for_each_request(server: ScriptedServer) -> None:
    tokens = iter(["first", "second"])
    server.scripts = [OK, OK]
    api = ApiClient(server.url, lambda: next(tokens))
    api.get("/jobs")
    api.get("/jobs")
    assert [each.headers["authorization"] for each in server.requests] == [
        "Bearer first",
        "Bearer second",
    ]


def test_an_answer_without_a_body_and_one_in_yaml(server: ScriptedServer, api: ApiClient) -> None:
    yaml = {"content-type": "application/yaml; charset=utf-8"}
    server.scripts = [Script(status=204), Script(body="name: é\n".encode(), headers=yaml)]
    assert api.call("DELETE", "/jobs/1").body is None
    assert api.get("/templates/1/export") == "name: é\n"


# ── refusals ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, InputError),
        (403, ForbiddenError),
        (404, NotFoundError),
        (409, ConflictError),
        (413, TooLargeError),
        (418, InputError),
        (500, StorageUnavailableError),
    ],
)
def test_a_refusal_says_what_the_api_says(
    server: ScriptedServer, api: ApiClient, status: int, expected: type[SeedwrightError]
) -> None:
    server.scripts = [refusal(status, "some_code", "num_records: must be more than 0")]
    with pytest.raises(expected, match=r"^num_records: must be more than 0") as caught:
        api.post("/jobs", {})
    assert type(caught.value) is expected
    assert len(server.requests) == 1


def test_a_failure_of_the_api_names_the_request(server: ScriptedServer, api: ApiClient) -> None:
    server.scripts = [refusal(500, "internal", "on our side", x_request_id="abc=")]
    with pytest.raises(StorageUnavailableError, match=r"on our side \(request id abc=\)"):
        api.get("/jobs")


def test_a_refused_token_says_how_to_sign_in(server: ScriptedServer, api: ApiClient) -> None:
    server.scripts = [Script(status=401, body={"message": "Unauthorized"})]
    with pytest.raises(UnauthenticatedError, match="run `seedwright login --local`"):
        api.get("/jobs")


def test_what_a_gateway_refuses_is_told_too(server: ScriptedServer, api: ApiClient) -> None:
    server.scripts = [Script(status=403, body={"message": "Forbidden"})]
    with pytest.raises(ForbiddenError, match=r"^Forbidden$"):
        api.get("/jobs")


@pytest.mark.parametrize(
    "script",
    [
        Script(body=b"<html>welcome</html>"),
        Script(status=404, body=b"<html>nothing here</html>"),
        Script(status=302, headers={"location": "http://127.0.0.1:9/elsewhere"}),
    ],
)
def test_what_is_not_the_api_is_called_so(
    server: ScriptedServer, api: ApiClient, script: Script
) -> None:
    server.scripts = [script]
    with pytest.raises(ConfigurationError, match="is not the API: check the URL"):
        api.get("/jobs")
    assert len(server.requests) == 1


# ── again, and not again ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_busy_api_is_asked_again_after_what_it_says(
    server: ScriptedServer, api: ApiClient, waited: list[float], status: int
) -> None:
    server.scripts = [
        Script(status=status, headers={"retry-after": "3"}, body=b"<html>busy</html>"),
        Script(status=status, body={"message": "Too Many Requests"}),
        OK,
    ]
    assert api.get("/jobs") == {"fine": True}
    assert waited == [3.0, 0.4]


def test_a_lost_answer_is_asked_for_again_only_where_that_does_no_harm(
    server: ScriptedServer, api: ApiClient
) -> None:
    server.scripts = [CUT, OK, CUT, OK, CUT]
    assert api.get("/jobs") == {"fine": True}
    assert api.post("/jobs", {"n": 1}, repeatable=True) == {"fine": True}
    assert server.requests[2].body == server.requests[3].body

    with pytest.raises(StorageUnavailableError, match="the answer was lost"):
        api.post("/templates", {})
    assert len(server.requests) == 5


def test_an_answer_that_breaks_off_is_no_answer(server: ScriptedServer, api: ApiClient) -> None:
    server.scripts = [Script(body={"jobs": ["a", "b"]}, cut=4), OK]
    assert api.get("/jobs") == {"fine": True}


def test_a_users_own_limit_is_not_waited_for(
    server: ScriptedServer, api: ApiClient, waited: list[float]
) -> None:
    server.scripts = [refusal(429, "limit_reached", "you have 5 jobs", retry_after="2")]
    with pytest.raises(LimitError, match="you have 5 jobs"):
        api.post("/jobs", {}, repeatable=True)
    assert waited == []


def test_patience_ends(server: ScriptedServer, api: ApiClient, waited: list[float]) -> None:
    server.otherwise = lambda _request: refusal(503, "storage_unavailable", "busy: try again")
    with pytest.raises(StorageUnavailableError, match="busy: try again"):
        api.get("/jobs")
    assert len(server.requests) == ATTEMPTS
    assert waited == [0.2, 0.4, 0.8, 1.6]


def test_a_long_wish_is_cut(server: ScriptedServer, api: ApiClient, waited: list[float]) -> None:
    server.scripts = [Script(status=503, headers={"retry-after": "86400"}), OK]
    api.get("/jobs")
    assert waited == [client_module.MAX_PAUSE_SECONDS]


def test_nobody_listens(pauses: Pauses, waited: list[float]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refused
        api = ApiClient(f"http://127.0.0.1:{taken.getsockname()[1]}", lambda: TOKEN, pauses=pauses)
        with pytest.raises(StorageUnavailableError, match="is `seedwright serve` running"):
            # What was never sent may be sent again, whatever it is.
            api.post("/templates", {})
    assert len(waited) == ATTEMPTS - 1


def test_a_server_that_nobody_trusts(server: ScriptedServer, pauses: Pauses) -> None:
    api = ApiClient(server.url.replace("http:", "https:"), lambda: TOKEN, pauses=pauses)
    with pytest.raises(ConfigurationError, match="no trusted connection"):
        api.get("/jobs")


def test_a_proxy_is_used_for_what_is_not_on_this_machine(
    server: ScriptedServer, pauses: Pauses, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", server.url)
    server.scripts = [OK, OK]
    assert ApiClient("http://api.example.com", lambda: TOKEN, pauses=pauses).get("/jobs")
    assert ApiClient(server.url, lambda: TOKEN, pauses=pauses).get("/jobs")
    assert [each.path for each in server.requests] == ["http://api.example.com/jobs", "/jobs"]


# ── transfers ──────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def transfer(server: ScriptedServer, pauses: Pauses) -> Transfer:
    return Transfer(server.url, pauses=pauses)


def test_an_upload_is_a_form_with_the_file_last(
    server: ScriptedServer, transfer: Transfer, tmp_path: Path
) -> None:
    content = bytes(range(256)) * 4096
    path = tmp_path / "seeds é.csv"
    path.write_bytes(content)
    server.scripts = [Script(status=503), CUT, Script(status=204)]
    moved: list[int] = []

    transfer.upload(f"{server.url}/objects", {"key": "k", "policy": "p"}, path, moved.append)

    request = server.requests[-1]
    boundary = request.headers["content-type"].partition("boundary=")[2]
    parts = request.body.split(f"--{boundary}".encode())
    assert [part.split(b"\r\n\r\n")[0].partition(b'name="')[2][:6] for part in parts[1:-1]] == [
        b'key"',
        b"policy",
        b'file";',
    ]
    assert parts[3].partition(b"\r\n\r\n")[2] == content + b"\r\n"
    assert "authorization" not in request.headers
    assert "transfer-encoding" not in request.headers
    assert sum(moved) == len(content)


@pytest.mark.parametrize(
    ("status", "expected"), [(403, ForbiddenError), (400, ForbiddenError), (413, InputError)]
)
def test_a_refused_upload_is_not_repeated(
    server: ScriptedServer,
    transfer: Transfer,
    tmp_path: Path,
    status: int,
    expected: type[SeedwrightError],
) -> None:
    path = tmp_path / "seeds.csv"
    path.write_bytes(b"a\n1\n")
    server.scripts = [Script(status=status)]
    with pytest.raises(expected):
        transfer.upload(f"{server.url}/objects?signature=secret", {}, path, lambda _count: None)
    assert len(server.requests) == 1


def test_a_download_appears_when_it_is_whole(
    server: ScriptedServer, transfer: Transfer, tmp_path: Path
) -> None:
    target = tmp_path / "deep" / "dataset.jsonl"
    target.parent.mkdir()
    target.write_bytes(b"old")
    body = b"x" * 1_000_000
    moved: list[int] = []
    server.scripts = [Script(body=body, cut=600_000), Script(status=500), Script(body=body)]

    size = transfer.download(f"{server.url}/file", target, moved.append)

    assert (size, target.read_bytes(), sum(moved)) == (len(body), body, len(body))
    assert [each.name for each in target.parent.iterdir()] == ["dataset.jsonl"]
    assert "authorization" not in server.requests[0].headers


def test_a_download_that_never_ends_well_leaves_what_was_there(
    server: ScriptedServer, transfer: Transfer, tmp_path: Path
) -> None:
    target = tmp_path / "dataset.jsonl"
    target.write_bytes(b"old")
    server.otherwise = lambda _request: Script(body=b"x" * 100, cut=50)
    url = f"{server.url}/file?signature=secret"

    with pytest.raises(StorageUnavailableError, match="the connection failed") as caught:
        transfer.download(url, target, lambda _count: None)

    assert "secret" not in str(caught.value)
    assert target.read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["dataset.jsonl"]


@pytest.mark.parametrize(("status", "expected"), [(403, ForbiddenError), (404, NotFoundError)])
def test_an_address_that_holds_no_more(
    server: ScriptedServer,
    transfer: Transfer,
    tmp_path: Path,
    status: int,
    expected: type[SeedwrightError],
) -> None:
    server.scripts = [Script(status=status)]
    with pytest.raises(expected):
        transfer.download(f"{server.url}/file", tmp_path / "x", lambda _count: None)
    assert len(server.requests) == 1


def test_a_folder_that_can_not_be_written(
    server: ScriptedServer, transfer: Transfer, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    server.scripts = [Script(body=b"data")]
    with pytest.raises(StorageError, match="could not write"):
        transfer.download(f"{server.url}/file", tmp_path / "file" / "x", lambda _count: None)
