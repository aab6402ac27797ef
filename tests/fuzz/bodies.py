"""Requests to the API: whatever they hold, an answer below 500 in time; refusals are one line."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any, Final

from runtime.bootstrap import LocalService, local_api
from runtime.contract.keys import seed_prefix
from runtime.contract.routes import ROUTES
from runtime.domain.models.calls import ModelReply, ModelRequest, Usage
from runtime.domain.models.price_table import load_prices
from runtime.domain.outputs.shape import Shape
from runtime.lambdas.answers import MAX_DETAILS
from runtime.lambdas.router import endpoint_of, match
from tests.fixtures.api import captured_logs
from tests.fixtures.aws_api import counted_ids
from tests.fixtures.clock import ManualClock
from tests.fixtures.lambda_events import ALICE, BOB, api_event
from tests.fuzz import templates, words
from tests.fuzz.case import Case, demand, one_line, pick

MOST_BYTES: Final = 6 * 1024 * 1024
"""Of an answer: more than that Lambda doesn't pass on."""
REQUESTS: Final = 200
"""After so many there is a new store, so that lists stay short."""
_SEEDS: Final = "seeds.jsonl"
_ID: Final = "0f1e2d3c-4b5a-4968-8776-655443322110"


class EchoModel:
    """Answers with what it was asked, a token a word."""

    def converse(self, request: ModelRequest) -> ModelReply:
        text = request.messages[-1].text
        return ModelReply(text=text, usage=Usage(input_tokens=len(text.split()), output_tokens=1))

    def close(self) -> None:
        pass


class Bodies:
    """The handlers on the storage of a laptop, with templates, seeds and jobs of two users."""

    name = "bodies"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stores = 0
        self._requests = REQUESTS
        self._service: LocalService | None = None
        self._known: dict[str, list[str]] = {}
        self._clock = ManualClock()

    def close(self) -> None:
        if self._service is not None:
            self._service.close()

    # ── making ─────────────────────────────────────────────────────────────────────────────────

    def make(self, rng: Random) -> Case:
        """One request. Ids in it are numbers of what the store holds."""
        key = rng.choice(list(_BODIES)) if rng.random() < 0.8 else rng.choice(ROUTES).key
        body = _body(rng, key)
        return {
            "route": key,
            "user": rng.choice((0, 0, 0, 1)),
            "id": rng.choice((0, 0, 0, 1, 2, 3, _ID, "x")),
            "query": _query(rng) if rng.random() < (0.6 if key.startswith("GET") else 0.02) else {},
            "body": _written(rng, body),
        }

    # ── checking ───────────────────────────────────────────────────────────────────────────────

    def check(self, case: Case) -> str:
        """Send it."""
        ports = self._store().api
        route = next((each for each in ROUTES if each.key == case["route"]), ROUTES[0])
        path = route.path
        for name in ("job_id", "template_id"):
            path = path.replace(f"{{{name}}}", self._id(name, case["id"]))
        path = path.replace("{version}", "1")
        found = match(route.method, path)
        if found is None:
            return "no route"
        text = str(case["body"])
        for name in ("job_id", "template_id"):
            text = text.replace(f"<{name}>", self._id(name, case["id"]))
        query = case["query"] if isinstance(case["query"], dict) else {}
        event = api_event(
            route.method,
            path,
            user=(ALICE, BOB)[case["user"] == 1],
            route=found[0].key,
            path_parameters=found[1],
            query={str(name): str(value) for name, value in query.items()},
            raw_body=text,
        )
        with captured_logs() as logs:
            answer = endpoint_of(found[0]).respond(event, ports)
        demand(answer["statusCode"] < 500, f"{answer['statusCode']}: {_logged(logs.text)}")
        return self._check_answer(route.key, answer)

    def _check_answer(self, key: str, answer: Mapping[str, Any]) -> str:
        status, body = answer["statusCode"], answer["body"]
        demand(len(body.encode()) <= MOST_BYTES, f"an answer of {len(body)} characters")
        if answer["headers"].get("content-type") == "application/json":
            document = json.loads(body)
            if status >= 400:
                one_line(document["error"]["message"])
                demand(len(document["error"]["details"]) <= MAX_DETAILS, "more than 20 details")
            else:
                self._note(document)
        return f"{status}" if status >= 400 else f"{key.split(maxsplit=1)[0]} {status}"

    # ── the store ──────────────────────────────────────────────────────────────────────────────

    def _store(self) -> LocalService:
        self._requests += 1
        if self._service is None or self._requests > REQUESTS:
            self.close()
            self._stores += 1
            self._requests = 0
            self._service = _service(self._folder / f"store-{self._stores}", self._clock)
            self._known = {}
            self._prepare()
        return self._service

    def _prepare(self) -> None:
        """A template and a job of each user."""
        for user in (0, 1):
            order = {
                "template_id": "<template_id>",
                "seed_data_path": f"{seed_prefix((ALICE, BOB)[user])}{_SEEDS}",
                "num_records": 3,
                "budget_limit": 1,
                "output_format": "JSONL",
                "allow_partial": True,
            }
            step = {"id": "a", "prompt": "Review {{ product }}.", "max_tokens": 20}
            template = {"name": "n", "steps": [step], "public": user == 1}
            for route, body in (("POST /templates", template), ("POST /jobs", order)):
                case: Case = {
                    "route": route,
                    "user": user,
                    "id": 0,
                    "query": {},
                    "body": json.dumps(body),
                }
                self.check(case)
        demand(len(self._known.get("job_id", ())) == 2, "no jobs")

    def _id(self, name: str, number: object) -> str:
        known = self._known.get(name, [])
        if isinstance(number, int) and known:
            return known[-1 - number % min(len(known), 4)]
        return str(number)[:100].replace("/", "")

    def _note(self, answer: object) -> None:
        if isinstance(answer, dict):
            for name in ("job_id", "template_id"):
                if isinstance(answer.get(name), str):
                    self._known.setdefault(name, []).append(answer[name])


def _service(folder: Path, clock: ManualClock) -> LocalService:
    found = local_api(
        folder,
        models=EchoModel(),
        provider="bedrock",
        prices=load_prices(),
        base_url="http://127.0.0.1:1",
        on_launch=lambda _: None,
        clock=clock,
        new_id=counted_ids(),
    )
    for user in (ALICE, BOB):
        found.api.objects.put(
            f"{seed_prefix(user)}{_SEEDS}", b'{"product": "x"}\n', content_type=""
        )
    return found


def _logged(text: str) -> str:
    """What the handlers said about a failure."""
    lines = [json.loads(line) for line in text.splitlines()]
    told = [str(each.get("exception", "")) for each in lines if each.get("exception")]
    return told[-1][-600:] if told else text[-300:]


# ── requests ───────────────────────────────────────────────────────────────────────────────────


def _query(rng: Random) -> Mapping[str, Any]:
    names = ("limit", "cursor", "status", "format", "version", "prefix", "owner", "scope", "x")
    values = ("0", "1", "20", "-1", "1e9", "COMPLETED", "yaml", "public", "mine", "", "\0")
    return {
        rng.choice(names): rng.choice(values) if rng.random() < 0.8 else words.text(rng)
        for _ in range(1 + words.short(rng) // 2)
    }


def _written(rng: Random, body: Any) -> str:
    """A body as it is sent, sometimes damaged."""
    text = json.dumps(body, ensure_ascii=rng.random() < 0.5)
    return str(
        pick(
            rng,
            (20, lambda: text),
            (2, lambda: words.change_text(rng, text)),
            (1, lambda: text.replace("1", rng.choice(("NaN", "1e999", "9" * 5000)), 1)),
            (0.3, lambda: words.nested(rng, text)),
            (0.8, lambda: _with_many(rng, body)),
            (0.5, lambda: ""),
        )
    )


def _with_many(rng: Random, body: Any) -> str:
    """Many fields that no operation has, or many items."""
    many = rng.choice((21, 200, 8_000, 20_000, 60_000))
    names = {f"{rng.choice(('f', 'größe'))}{number}": number for number in range(many)}
    if not isinstance(body, dict) or not body:
        return json.dumps(names)
    if rng.random() < 0.7:
        return json.dumps({**body, **names})
    return json.dumps({**body, rng.choice(list(body)): rng.choice((names, list(names)))})


def _body(rng: Random, key: str) -> Any:
    make = _BODIES.get(key)
    if make is None:
        return {} if rng.random() < 0.9 else words.value(rng)
    body = make(rng)
    for _ in range(rng.choice((0, 0, 0, 0, 1, 2))):
        body = words.change(rng, body)
    return body


def _template(rng: Random) -> Any:
    document = templates.document(rng)
    if rng.random() < 0.3:
        document["public"] = rng.choice((True, False))
    return document


def _order(rng: Random) -> Any:
    body: dict[str, Any] = {
        "template_id": "<template_id>",
        "seed_data_path": f"{seed_prefix(rng.choice((ALICE, ALICE, BOB)))}{_SEEDS}",
        "num_records": rng.choice((1, 3, 7, 1000, words.number(rng))),
        "budget_limit": rng.choice((1, 0.5, 2, words.number(rng))),
        "output_format": rng.choice(("JSONL", "JSONL", "CSV", "PARQUET", "x")),
    }
    more: Mapping[str, Callable[[], Any]] = {
        "allow_partial": lambda: True,
        "seed_strategy": lambda: rng.choice(("shuffle", "sequential", "random", "x")),
        "random_seed": lambda: words.number(rng),
        "template_version": lambda: rng.choice((1, 2, words.number(rng))),
        "name": lambda: words.text(rng),
        "model": lambda: words.text(rng),
        "shards": lambda: words.number(rng),
    }
    return body | {name: make() for name, make in more.items() if rng.random() < 0.1}


def _preview(rng: Random) -> Any:
    data = {"product": words.value(rng, 1), words.name(rng): words.value(rng)}
    return {"data": data, "run_model": rng.random() < 0.2} if rng.random() < 0.8 else {}


def _export(rng: Random) -> Any:
    fields: dict[str, Callable[[], Any]] = {
        "shape": lambda: rng.choice((*Shape, words.text(rng))),
        "template": lambda: templates.document(rng),
        "template_id": lambda: "<template_id>",
        "split": lambda: {words.name(rng): rng.choice((0.1, words.number(rng)))},
        "split_by": lambda: words.text(rng),
        "formats": lambda: [rng.choice(("CSV", "JSONL", "x"))],
        "keep": lambda: [words.text(rng)],
        "licence": lambda: rng.choice(("mit", words.text(rng))),
    }
    return {name: make() for name, make in fields.items() if rng.random() < 0.3}


_BODIES: Final[Mapping[str, Callable[[Random], Any]]] = {
    "POST /jobs": _order,
    "POST /jobs/estimate": _order,
    "POST /templates": _template,
    "POST /templates/import": lambda rng: pick(
        rng,
        (4, lambda: {"text": templates.file_text(rng)}),
        (1, lambda: {"document": _template(rng)}),
    ),
    "PUT /templates/{template_id}": _template,
    "POST /templates/{template_id}/fork": lambda rng: {"name": words.text(rng)},
    "POST /templates/{template_id}/preview": _preview,
    "POST /jobs/{job_id}/resume": lambda rng: {"budget_limit": words.number(rng)},
    "POST /jobs/{job_id}/export": _export,
    "POST /seed-data/upload-url": lambda rng: {
        "filename": rng.choice(("a.csv", words.text(rng), f"{words.text(rng)}.jsonl")),
    },
    "POST /seed-data/validate": lambda rng: {
        "s3_key": f"{seed_prefix(rng.choice((ALICE, BOB)))}{rng.choice((_SEEDS, words.text(rng)))}",
        "template_id": "<template_id>",
    },
}


def open_kind(folder: Path) -> Bodies:
    """The kind."""
    os.environ["POWERTOOLS_METRICS_DISABLED"] = "true"  # as `seedwright serve` does
    return Bodies(folder)
