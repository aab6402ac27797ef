"""The handlers do what the OpenAPI document says: generated requests, alone and in sequences, from
two users, against the real handlers on local storage. No 5xx, no undocumented answer.

Ids that earlier answers gave are put into later requests, from either user, so that sequences reach
what exists. `HYPOTHESIS_PROFILE=long` sends many more.
"""

import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from http import HTTPStatus
from itertools import count
from pathlib import Path
from typing import Any, Final

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from runtime.bootstrap import LocalService, local_api
from runtime.contract.functions import Route
from runtime.contract.keys import seed_prefix
from runtime.contract.routes import ROUTES
from runtime.domain.models.calls import ModelReply, ModelRequest, Usage
from runtime.domain.models.price_table import load_prices
from runtime.lambdas.openapi import document
from tests.fixtures.api import Api
from tests.fixtures.api_wsgi import ApiApplication, StartResponse
from tests.fixtures.aws_api import counted_ids
from tests.fixtures.clock import ManualClock
from tests.fixtures.lambda_events import ALICE, BOB

USERS: Final = {"alice-token": ALICE, "bob-token": BOB}
CHECKS: Final = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
LONG: Final = os.environ.get("HYPOTHESIS_PROFILE") == "long"


def limits(examples: int, steps: int = 1) -> settings:
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        # A failure prints the request: that is short enough without minutes of shrinking.
        phases=[Phase.explicit, Phase.generate],
    )


class EchoModel:
    """Answers with what it was asked, for a token a word."""

    def converse(self, request: ModelRequest) -> ModelReply:
        text = request.messages[-1].text
        return ModelReply(text=text, usage=Usage(input_tokens=len(text.split()), output_tokens=1))

    def close(self) -> None:
        """Nothing is open."""


def open_service(folder: Path) -> LocalService:
    """Storage with a seed file of each user. Ids count up and the clock stands still: the same
    requests get the same answers.
    """
    found = local_api(
        folder,
        models=EchoModel(),
        provider="bedrock",
        prices=load_prices(),
        base_url="http://127.0.0.1:1",
        on_launch=lambda _: None,
        clock=ManualClock(),
        new_id=counted_ids(),
    )
    for user in USERS.values():
        found.api.objects.put(
            f"{seed_prefix(user)}seeds.jsonl", b'{"product": "kettle"}\n', content_type=""
        )
    return found


@pytest.fixture
def service(tmp_path: Path) -> Iterator[LocalService]:
    found = open_service(tmp_path)
    yield found
    found.close()


def make_schema(application: object, mode: GenerationMode) -> Any:
    config = {"base-url": "http://127.0.0.1:1", "generation": {"mode": mode.value}}
    found = schemathesis.openapi.from_dict(document(), config=SchemathesisConfig.from_dict(config))
    found.app = application
    return found


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.key)
def test_every_answer_is_documented(service: LocalService, route: Route) -> None:
    application = ApiApplication(service.api, USERS)
    operation = make_schema(application, GenerationMode.POSITIVE)[route.path][route.method]

    @limits(500 if LONG else 20)
    @given(
        st.one_of(
            operation.as_strategy(generation_mode=GenerationMode.POSITIVE),
            operation.as_strategy(generation_mode=GenerationMode.NEGATIVE),
        )
    )
    def send(case: Any) -> None:
        case.call_and_validate(headers={"Authorization": "Bearer alice-token"}, checks=CHECKS)

    send()


class Memory:
    """Ids by the name of their field, as answers gave them."""

    def __init__(self) -> None:
        self.known: dict[str, list[str]] = {
            "seed_data_path": [f"{seed_prefix(user)}seeds.jsonl" for user in USERS.values()],
        }

    def note(self, answer: Any) -> None:
        for name, value in _fields(answer):
            if name in {"job_id", "template_id"}:
                self.known.setdefault(name, []).append(value)

    def put_into(self, case: Any) -> None:
        """Known ids instead of invented ones, three times of four."""
        draw = zlib.crc32(repr((case.path_parameters, case.query, case.body)).encode())
        if draw % 4 == 0:
            return
        for place in (case.path_parameters, case.body):
            if isinstance(place, dict):
                for name in place:
                    found = self.known.get("seed_data_path" if name == "s3_key" else name)
                    if found:
                        place[name] = found[-1 - (draw >> 4) % min(len(found), 6)]


def _fields(answer: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(answer, Mapping):
        yield from answer.items()
        for value in answer.values():
            yield from _fields(value)
    elif isinstance(answer, list):
        for value in answer:
            yield from _fields(value)


def make_something(api: Api, memory: Memory) -> None:
    """Templates and jobs of both users."""
    for user, public in ((ALICE, False), (BOB, True)):
        steps = [{"id": "review", "prompt": "Review the {{ product }}.", "max_tokens": 20}]
        template = api.post(
            "/templates", {"name": "Reviews", "steps": steps, "public": public}, user=user
        )
        memory.note(template.body)
        order = {
            "template_id": template.body["template_id"],
            "seed_data_path": f"{seed_prefix(user)}seeds.jsonl",
            "num_records": 3,
            "budget_limit": 1,
            "output_format": "JSONL",
        }
        for _ in range(2):
            job = api.post("/jobs", order, user=user)
            assert job.status == 201, job
            memory.note(job.body)


def test_sequences_of_two_users_are_answered_as_documented(tmp_path: Path) -> None:
    statuses: set[tuple[str, int]] = set()
    folders = count()
    current: list[ApiApplication] = []

    def application(environ: Mapping[str, Any], start: StartResponse) -> Iterable[bytes]:
        return current[-1](environ, start)

    machine = make_schema(application, GenerationMode.POSITIVE).as_state_machine()

    class TwoUsers(machine):  # type: ignore[misc, valid-type]
        """Each sequence has storage of its own. Whoever comes next is told from the request, so
        that a run can be repeated.
        """

        def setup(self) -> None:
            self.service = open_service(tmp_path / str(next(folders)))
            self.memory = Memory()
            current.append(ApiApplication(self.service.api, USERS))
            make_something(Api(self.service.api), self.memory)

        def teardown(self) -> None:
            self.service.close()

        def before_call(self, case: Any) -> None:
            self.memory.put_into(case)

        def get_call_kwargs(self, case: Any) -> dict[str, Any]:
            draw = zlib.crc32(repr((case.method, case.body, case.query)).encode())
            return {"headers": {"Authorization": f"Bearer {sorted(USERS)[draw % 3 == 0]}"}}

        def validate_response(self, response: Any, case: Any, **_: Any) -> None:
            statuses.add((case.operation.label, response.status_code))
            if response.headers.get("content-type") == ["application/json"]:
                self.memory.note(response.json())
            case.validate_response(response, checks=CHECKS)

    TwoUsers.run(settings=limits(200 if LONG else 12, steps=30 if LONG else 12))
    successes = {label for label, status in statuses if status < HTTPStatus.BAD_REQUEST}
    # Sequences that never get anywhere would prove nothing; usually it is four to ten operations.
    assert len(successes) >= 3, sorted(statuses)
