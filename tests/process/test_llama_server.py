"""A real server of llama.cpp over HTTP, with the embedded model's weights: what it says of itself
is what the double says of servers.
"""

from pathlib import Path
from typing import Any

import orjson
import pytest

from runtime.domain.errors import ModelError, ModelErrorKind, SchemaRefusedError
from runtime.domain.models.calls import Message, ModelRequest
from runtime.domain.roles import Role
from runtime.models.provider_file import ServerSettings
from runtime.models.servers import open_server
from tests.fixtures.command import environment, run
from tests.fixtures.llama_server import KEY, llama_server

TEMPLATE = """\
name: served
output: records
steps:
  - {id: text, prompt: "Say hello to {{ name }}.", max_tokens: 12, temperature: 0}
  - id: rate
    prompt: "Rate this: {{ steps.text.output }}"
    max_tokens: 30
    output_schema:
      type: object
      required: [stars]
      properties: {stars: {type: integer, enum: [1, 2, 3, 4, 5]}}
"""


def ask(text: str = "Say hello.", **fields: Any) -> ModelRequest:
    values: dict[str, Any] = {"model": "openai/any", "max_tokens": 8, "temperature": 0.0}
    return ModelRequest(messages=(Message(role=Role.USER, text=text),), **{**values, **fields})


def test_a_dataset_comes_from_it_and_its_refusals_are_understood(tmp_path: Path) -> None:
    (tmp_path / "template.yaml").write_text(TEMPLATE, encoding="utf-8")
    (tmp_path / "seeds.jsonl").write_text('{"name": "Ada"}\n{"name": "Bob"}\n{"name": "Cleo"}\n')
    with llama_server() as url:
        arguments = ["generate", "template.yaml", "--seeds", "seeds.jsonl", "-n", "3"]
        arguments += ["--backend", "openai", "--base-url", url, "--model", "any", "--out", "out"]
        done = run(arguments, cwd=tmp_path, env=environment(OPENAI_API_KEY=KEY))
        assert done.returncode == 0, done.stderr
        assert "bills nothing" in done.stdout
        lines = (tmp_path / "out" / "dataset.jsonl").read_bytes().splitlines()
        results = [orjson.loads(line)["generation_result"] for line in lines]
        assert len(results) == 3
        assert all(each["rate"]["output"]["stars"] in range(1, 6) for each in results)
        assert all(each["text"]["output"].strip() for each in results)
        log = (tmp_path / "out" / ".seedwright" / "log.jsonl").read_text(encoding="utf-8")
        assert "not compiled" not in log, "the server takes schemas"

        settings = ServerSettings(name="openai", base_url=url, key="KEY")
        models = open_server(settings, {"KEY": KEY})
        reply = models.converse(ask(max_tokens=2))
        assert reply.stop_reason == "max_tokens"
        assert reply.usage is not None
        assert (reply.usage.output_tokens, reply.usage.input_tokens > 5) == (2, True)
        with pytest.raises(ModelError) as caught:
            models.converse(ask("word " * 2000))
        assert caught.value.kind is ModelErrorKind.TOO_LONG
        with pytest.raises(SchemaRefusedError):
            models.converse(ask(output_schema={"type": "nothing that there is"}))
        models.close()
        stranger = open_server(settings, {"KEY": "sk-other"})
        with pytest.raises(ModelError) as caught:
            stranger.converse(ask())
        assert (caught.value.kind, caught.value.denied) == (ModelErrorKind.FATAL, True)
        stranger.close()
