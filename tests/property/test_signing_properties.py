"""Requests as this project signs and writes them, beside botocore's own."""

from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.session import Session
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.domain.models.calls import Message, ModelRequest
from runtime.domain.roles import Role
from runtime.models.bedrock import BedrockModels
from runtime.models.converse import Converse
from runtime.models.transport.signing import Keys, Signer

words = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)
names = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-", min_size=1, max_size=12)
values = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30) | st.lists(
    words, max_size=3
).map("  ".join)
paths = st.text("abcXYZ019/-._~%!$&'()*+,;=:@ {}", max_size=40).map("/{}".format)
moments = st.datetimes(datetime(2020, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - naive bounds
RESERVED = {"authorization", "date", "host"} | {
    f"x-amz-{name}" for name in ("date", "security-token", "content-sha256")
}


@given(
    access=words,
    secret=words,
    token=st.none() | words,
    region=words,
    service=words,
    method=st.sampled_from(["GET", "POST", "PUT"]),
    path=paths,
    headers=st.dictionaries(names, values, max_size=5),
    body=st.binary(max_size=200),
    now=moments,
    port=st.sampled_from(["", ":8443"]),
)
def test_a_signature_is_botocores(
    access: str,
    secret: str,
    token: str | None,
    region: str,
    service: str,
    method: str,
    path: str,
    headers: dict[str, str],
    body: bytes,
    now: datetime,
    port: str,
) -> None:
    seen: set[str] = set()
    for name in list(headers):  # a name is one header, however it is written
        if name.lower() in RESERVED | seen:
            del headers[name]
        seen.add(name.lower())
    host = f"bedrock.example{port}"
    request = AWSRequest(method=method, url=f"https://{host}{path}", headers=headers, data=body)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("botocore.auth.get_current_datetime", lambda: now)
        SigV4Auth(Credentials(access, secret, token), service, region).add_auth(request)

    signed = Signer(region=region, service=service).sign(
        Keys(access_key=access, secret_key=secret, token=token),
        method=method,
        path=path,
        headers={"Host": host, **headers},
        body=body,
        now=now,
    )

    assert signed.pop("Host") == host
    theirs = {name.lower(): value for name, value in request.headers.items()}
    assert {name.lower(): value for name, value in signed.items()} == theirs


texts = st.text(min_size=1, max_size=40)


@pytest.fixture(scope="module")
def sent() -> list[Any]:
    """What botocore was about to send."""
    return []


@pytest.fixture(scope="module")
def boto3_models(sent: list[Any]) -> BedrockModels:
    session = Session()
    session.set_credentials("a", "b")
    client: Any = session.create_client(
        "bedrock-runtime", region_name="us-east-1", config=Config(retries={"total_max_attempts": 1})
    )

    def stop(request: Any, **_: object) -> None:
        sent.append(request)
        raise KeyboardInterrupt  # what the client doesn't make an error of its own

    client.meta.events.register_first("before-send", stop)
    return BedrockModels(lambda _: client)


@settings(max_examples=15)
@given(
    model=st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=30),
    prompt=texts,
    system=st.none() | texts,
    temperature=st.none() | st.floats(0, 1),
    top_p=st.none() | st.floats(0, 1),
    stop=st.lists(texts, max_size=2).map(tuple),
    schema=st.none() | st.dictionaries(texts, texts | st.integers(), max_size=3),
)
def test_a_request_is_what_boto3_sends(
    boto3_models: BedrockModels,
    sent: list[Any],
    model: str,
    prompt: str,
    system: str | None,
    temperature: float | None,
    top_p: float | None,
    stop: tuple[str, ...],
    schema: dict[str, object] | None,
) -> None:
    import orjson  # noqa: PLC0415 - beside its one use

    request = ModelRequest(
        model=model,
        messages=(Message(role=Role.USER, text=prompt),),
        max_tokens=7,
        system=system,
        temperature=temperature,
        top_p=top_p,
        stop=stop,
        output_schema=schema,
    )
    with pytest.raises(KeyboardInterrupt):
        boto3_models.converse(request)
    theirs = sent.pop()

    ours = Converse().encode(request)

    assert theirs.url == f"https://bedrock-runtime.us-east-1.amazonaws.com{ours.path}"
    assert orjson.loads(theirs.body) == orjson.loads(ours.body)
    assert theirs.headers["Content-Type"] == ours.headers["Content-Type"].encode()
