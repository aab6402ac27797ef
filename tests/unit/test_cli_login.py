"""Signing in at an emulated Cognito over HTTP, through the command itself."""

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import orjson
import pytest
from moto.server import ThreadedMotoServer

from runtime.cli.main import run
from runtime.client.api_client import Client
from runtime.client.cognito import refreshed
from runtime.client.connection import connect
from runtime.client.profiles import Profile, Profiles, open_profiles
from tests.fixtures.aws import REGION
from tests.fixtures.scripted_server import Script, scripted_server

API = "https://api.example.com"
FIRST, SECOND = "First-Passw0rd", "Second-Passw0rd"
ENDPOINT = "AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER"


class Pool:
    """A user pool with one user, `ada`, whose password is FIRST."""

    def __init__(self, url: str) -> None:
        self.cognito: Any = boto3.client("cognito-idp", region_name=REGION, endpoint_url=url)
        self.pool_id = self.cognito.create_user_pool(PoolName="pool")["UserPool"]["Id"]
        self.client_id = self.cognito.create_user_pool_client(
            UserPoolId=self.pool_id,
            ClientName="command",
            ExplicitAuthFlows=["ALLOW_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"],
        )["UserPoolClient"]["ClientId"]
        self.cognito.admin_create_user(
            UserPoolId=self.pool_id, Username="ada", TemporaryPassword=FIRST
        )

    def confirm(self) -> None:
        """From now on no new password is asked for."""
        self.cognito.admin_set_user_password(
            UserPoolId=self.pool_id, Username="ada", Password=FIRST, Permanent=True
        )

    def subject(self, token: str) -> str:
        """Whose access token it is."""
        return str(self.cognito.get_user(AccessToken=token)["Username"])


@pytest.fixture(scope="module")
def cognito_url() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def pool(cognito_url: str) -> Pool:
    return Pool(cognito_url)


@pytest.fixture
def profiles(tmp_path: Path, cognito_url: str, monkeypatch: pytest.MonkeyPatch) -> Profiles:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv(ENDPOINT, cognito_url)
    monkeypatch.setenv("SEEDWRIGHT_PASSWORD", FIRST)
    return open_profiles(os.environ)


def options(pool: Pool, *more: str) -> list[str]:
    place = ["--api-url", API, "--user-pool-client-id", pool.client_id, "--region", REGION]
    return ["login", *place, "--username", "ada", *more]


def test_a_sign_in_is_stored_and_becomes_current(
    pool: Pool, profiles: Profiles, capsys: pytest.CaptureFixture[str]
) -> None:
    pool.confirm()

    assert run(options(pool)) == 0

    assert capsys.readouterr().out == f"Signed in to {API} as ada (profile default).\n"
    assert profiles.current() == "default"
    stored = profiles.get("default")
    assert stored is not None
    assert stored.refresh_token
    assert stored.expires_at is not None
    assert time.time() + 600 < stored.expires_at < time.time() + 90_000
    assert pool.subject(stored.access_token or "") == "ada"
    assert FIRST not in profiles.path.read_text()


def test_outputs_of_a_deployment_say_where(
    pool: Pool, profiles: Profiles, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pool.confirm()
    outputs = tmp_path / "outputs.json"
    outputs.write_bytes(
        orjson.dumps(
            {
                "Data": {"Bucket": "b"},
                "Api": {"ApiUrl": API, "UserPoolClientId": pool.client_id, "Region": REGION},
            }
        )
    )
    arguments = ["login", "--stack-outputs", str(outputs), "--username", "ada"]

    assert run([*arguments, "--profile", "dev", "--json"]) == 0

    assert orjson.loads(capsys.readouterr().out) == {
        "profile": "dev",
        "api_url": API,
        "username": "ada",
        "signed_in": True,
    }
    # From now on the profile knows the place and the user.
    assert run(["login", "--profile", "dev"]) == 0
    assert run(["login"]) == 0
    assert profiles.current() == "dev"


@pytest.mark.parametrize("content", ["{", "[]", '{"Api": {"ApiUrl": "https://a.example.com"}}'])
def test_another_file_is_no_outputs(
    profiles: Profiles, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    (tmp_path / "outputs.json").write_text(content)
    assert run(["login", "--stack-outputs", str(tmp_path / "outputs.json")]) == 2
    assert "outputs.json" in one_line(capsys)
    assert profiles.current() is None


def test_a_first_password_is_replaced(
    pool: Pool, profiles: Profiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEEDWRIGHT_NEW_PASSWORD", SECOND)
    assert run(options(pool)) == 0
    monkeypatch.setenv("SEEDWRIGHT_PASSWORD", SECOND)
    assert run(options(pool)) == 0
    assert profiles.current() == "default"


def test_a_code_is_asked_for(
    pool: Pool, profiles: Profiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool.confirm()
    run(options(pool))
    token = connect(None).profile.access_token
    pool.cognito.associate_software_token(AccessToken=token)
    pool.cognito.verify_software_token(AccessToken=token, UserCode="123456")
    pool.cognito.set_user_mfa_preference(
        AccessToken=token, SoftwareTokenMfaSettings={"Enabled": True, "PreferredMfa": True}
    )
    asked: list[str] = []
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)

    def answer(prompt: str, stream: object = None) -> str:  # noqa: ARG001 - the signature of getpass
        asked.append(prompt)
        return "123456"

    monkeypatch.setattr("getpass.getpass", answer)

    assert run(options(pool)) == 0
    assert asked == ["Code of your authenticator app: "]
    assert profiles.current() == "default"


@pytest.mark.parametrize(
    ("changes", "variables", "message"),
    [
        ([], {"SEEDWRIGHT_PASSWORD": "Wrong-Passw0rd"}, "wrong user name or password"),
        (["--username", "nobody"], {}, "wrong user name or password"),
        (["--user-pool-client-id", "nosuchclient"], {}, "no such user pool client"),
        (["--api-url", "http://api.example.com"], {}, "use https://"),
        (["--profile", "local"], {}, "use --local"),
        ([], {"SEEDWRIGHT_PASSWORD": ""}, "no terminal to ask on: set SEEDWRIGHT_PASSWORD"),
    ],
)
def test_what_does_not_work_is_one_line(
    pool: Pool,
    profiles: Profiles,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    changes: list[str],
    variables: dict[str, str],
    message: str,
) -> None:
    pool.confirm()
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert run(options(pool, *changes)) == 2
    assert message in one_line(capsys)
    assert profiles.current() is None


def test_cognito_that_can_not_be_reached(
    pool: Pool,
    profiles: Profiles,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(ENDPOINT, "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    assert run(options(pool)) == 1
    assert "Cognito can't be reached" in one_line(capsys)
    assert profiles.current() is None


def test_where_is_missing(profiles: Profiles, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["login"]) == 2
    assert "--api-url is missing" in one_line(capsys)
    assert profiles.current() is None


def test_a_token_near_its_end_is_renewed_and_stored(pool: Pool, profiles: Profiles) -> None:
    pool.confirm()
    run(options(pool))
    before = profiles.get("default")
    assert before is not None
    with scripted_server() as server:
        server.otherwise = lambda _request: Script(body={"jobs": [], "next_cursor": None})
        ending = replace(before, api_url=server.url, expires_at=int(time.time()) + 60)
        profiles.save(ending, make_current=True)

        assert run(["jobs"]) == 0
        assert run(["jobs"]) == 0

        after = profiles.get("default")
        assert after is not None
        sent = {request.headers["authorization"] for request in server.requests}
        assert sent == {f"Bearer {after.access_token}"}
    assert (after.expires_at or 0) > time.time() + 600
    assert after.refresh_token == before.refresh_token
    assert pool.subject(after.access_token or "") == "ada"


def test_threads_that_share_a_client_renew_its_token_once(
    pool: Pool, profiles: Profiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool.confirm()
    run(options(pool))
    before = profiles.get("default")
    assert before is not None
    renewals: list[Profile] = []

    def count(profile: Profile) -> Profile:
        fresh = refreshed(profile)
        if fresh is not profile:
            renewals.append(fresh)
        return fresh

    monkeypatch.setattr("runtime.client.cognito.refreshed", count)
    with scripted_server() as server:
        server.otherwise = lambda _request: Script(body={"jobs": [], "next_cursor": None})
        ending = replace(before, api_url=server.url, expires_at=int(time.time()) + 60)
        profiles.save(ending, make_current=True)
        client = Client()
        with ThreadPoolExecutor(6) as threads:
            assert list(threads.map(lambda _each: client.jobs(), range(6))) == [[]] * 6
    assert len(renewals) == 1


def test_a_sign_in_that_is_over_says_so(
    pool: Pool, profiles: Profiles, capsys: pytest.CaptureFixture[str]
) -> None:
    pool.confirm()
    run(options(pool))
    stored = profiles.get("default")
    assert stored is not None
    profiles.save(replace(stored, refresh_token="worthless", expires_at=1), make_current=True)  # noqa: S106
    capsys.readouterr()
    assert run(["jobs"]) == 2
    assert "the sign-in has expired: run `seedwright login`" in one_line(capsys)


def test_signing_out_forgets_the_tokens_and_keeps_the_place(
    pool: Pool, profiles: Profiles, capsys: pytest.CaptureFixture[str]
) -> None:
    pool.confirm()
    run(options(pool))
    stored = profiles.get("default")
    assert stored is not None
    assert stored.refresh_token is not None

    assert run(["logout"]) == 0

    assert profiles.get("default") == stored.signed_out()
    assert stored.refresh_token not in profiles.path.read_text()
    capsys.readouterr()
    assert run(["jobs"]) == 2
    assert "not signed in" in one_line(capsys)
    assert run(["login"]) == 0


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line of error."""
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("error: ")
    return lines[0]
