"""What a browser is shown by the local server, and what programs get at the same paths."""

import json
import re
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.fixtures.clock import ManualClock
from tests.fixtures.local_api import TOKEN, served_api

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.fixture
def port(tmp_path: Path, clock: ManualClock) -> Iterator[int]:
    with served_api(tmp_path, clock) as (listener, _):
        yield listener.port


def ask(
    port: int, path: str, *, method: str = "GET", headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], str]:
    with closing(HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
        connection.request(method, path, headers=headers or {})
        reply = connection.getresponse()
        named = {name.lower(): value for name, value in reply.getheaders()}
        return reply.status, named, reply.read().decode()


def test_f8_a_browser_is_told_what_this_is(port: int) -> None:
    status, headers, page = ask(port, "/", headers=BROWSER)
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "Seedwright API" in page
    assert f"http://127.0.0.1:{port}/jobs" in page
    assert "seedwright login --local" in page
    assert TOKEN + '"' not in page.replace("token</code>", "")
    assert "default-src 'none'" in headers["content-security-policy"]
    for link in re.findall(r'href="([^"]+)"', page):  # each leads somewhere, without a token
        assert ask(port, link, headers=BROWSER)[0] == 200
    assert ask(port, "/?x=1", method="HEAD", headers=BROWSER)[0::2] == (200, "")
    assert ask(port, "/", method="POST", headers=BROWSER)[0] == 405


def test_f8_a_program_gets_json_as_before(port: int) -> None:
    for headers in ({}, {"Accept": "application/json"}, {"Accept": "*/*"}):
        status, named, body = ask(port, "/", headers=headers)
        assert (status, named["content-type"]) == (404, "application/json")
        assert json.loads(body)["error"]["code"] == "not_found"
    assert json.loads(ask(port, "/openapi.json")[2])["openapi"].startswith("3.1")
    # Nothing else is open to who has no token, and names of other sites are refused here, too.
    assert ask(port, "/jobs", headers=BROWSER)[0] == 401
    assert ask(port, "/", headers={**BROWSER, "Host": "evil.example"})[0] == 421
