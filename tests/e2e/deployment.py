"""What a deployed Seedwright is to its users: an API, a user pool, objects behind signed links."""

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import urllib3

from tests.e2e.emulator.process import Emulator

T = TypeVar("T")

POLL_SECONDS: Final = 0.05
PASSWORD: Final = "Correct-Horse-Battery-9"  # noqa: S105 - of a user who lives for a minute
TEMPORARY_PASSWORD: Final = f"{PASSWORD}-for-a-day"
_WEB: Final = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(60))


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    status: int
    body: Any


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """The outputs of a deployment on the emulator, and what users do with them."""

    emulator: Emulator
    outputs: Mapping[str, str]
    _physical: dict[str, Any] = field(default_factory=dict)

    @property
    def api_url(self) -> str:
        """The API of the output `ApiUrl`, at the address where the emulator serves it."""
        address = urlsplit(self.outputs["ApiUrl"])
        api_id = address.netloc.partition(".")[0]
        stage = address.path.strip("/") or "$default"
        return f"{self.emulator.url}/_aws/execute-api/{api_id}/{stage}"

    def call(
        self, method: str, path: str, body: Any = None, *, token: str | None = None, **headers: str
    ) -> Reply:
        """One request to the API."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        reply = _WEB.request(
            method,
            self.api_url + path,
            body=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", **sent},
        )
        return Reply(status=reply.status, body=json.loads(reply.data) if reply.data else None)

    def invite(self, email: str) -> None:
        """Make a user, as an administrator does by the deploy guide."""
        invite(self.emulator, self.outputs["UserPoolId"], email)

    def sign_up(self, email: str) -> str:
        """A new user who has signed in; the access token."""
        self.invite(email)
        return sign_in(self.emulator, self.outputs["UserPoolClientId"], email)

    @contextmanager
    def without_sweeper(self) -> Iterator[None]:
        """Nothing runs by the clock meanwhile: what happens is the answer to an event."""
        events = self.emulator.client("events")
        names = [name.rpartition("/")[2] for name in self.resources("AWS::Events::Rule").values()]
        (schedule,) = (n for n in names if "ScheduleExpression" in events.describe_rule(Name=n))
        events.disable_rule(Name=schedule)
        try:
            yield
        finally:
            events.enable_rule(Name=schedule)

    def resources(self, resource_type: str) -> dict[str, str]:
        """Physical ids of every resource of a type in every stack, by stack and logical id."""
        if not self._physical:
            cloudformation = self.emulator.client("cloudformation")
            for stack in cloudformation.describe_stacks()["Stacks"]:
                pages = cloudformation.get_paginator("list_stack_resources")
                for page in pages.paginate(StackName=stack["StackName"]):
                    for found in page["StackResourceSummaries"]:
                        key = f"{stack['StackName']}/{found['LogicalResourceId']}"
                        self._physical[key] = (
                            found["ResourceType"],
                            found["PhysicalResourceId"],
                        )
        return {key: name for key, (kind, name) in self._physical.items() if kind == resource_type}


def invite(emulator: Emulator, pool_id: str, email: str) -> None:
    """Make a user in any pool; nobody gets a message."""
    emulator.client("cognito-idp").admin_create_user(
        UserPoolId=pool_id,
        Username=email,
        TemporaryPassword=TEMPORARY_PASSWORD,
        MessageAction="SUPPRESS",
        UserAttributes=[
            {"Name": "email", "Value": email},
            {"Name": "email_verified", "Value": "true"},
        ],
    )


def sign_in(emulator: Emulator, client_id: str, email: str) -> str:
    """Sign in with the temporary password and choose another one. The access token."""
    cognito = emulator.client("cognito-idp")
    challenge = cognito.initiate_auth(
        ClientId=client_id,
        AuthFlow="USER_PASSWORD_AUTH",
        AuthParameters={"USERNAME": email, "PASSWORD": TEMPORARY_PASSWORD},
    )
    assert challenge["ChallengeName"] == "NEW_PASSWORD_REQUIRED"
    reply = cognito.respond_to_auth_challenge(
        ClientId=client_id,
        ChallengeName="NEW_PASSWORD_REQUIRED",
        Session=challenge["Session"],
        ChallengeResponses={"USERNAME": email, "NEW_PASSWORD": PASSWORD},
    )
    token: str = reply["AuthenticationResult"]["AccessToken"]
    return token


def upload(form: Mapping[str, Any], name: str, content: bytes) -> Reply:
    """Send a file with a presigned POST, as a browser or `curl -F` does."""
    fields = {**form["fields"], "file": (name, content)}
    reply = _WEB.request("POST", form["url"], fields=fields)
    return Reply(status=reply.status, body=_error_code(reply.data))


def download(url: str) -> bytes:
    """The object behind a presigned link."""
    reply = _WEB.request("GET", url)
    assert reply.status == 200, _error_code(reply.data)
    return reply.data


def wait_for(what: str, look: Callable[[], T | None], *, seconds: float) -> T:
    """Look until there is something. Raises `TimeoutError` that names what did not come."""
    end = time.monotonic() + seconds
    while True:
        found = look()
        if found is not None:
            return found
        if time.monotonic() > end:
            raise TimeoutError(f"{what} did not come within {seconds:.0f} s")
        time.sleep(POLL_SECONDS)


def _error_code(page: bytes) -> str:
    found = re.search(rb"<Code>(\w+)</Code>", page)
    return found[1].decode() if found else ""
