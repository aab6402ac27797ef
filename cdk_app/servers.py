"""Servers of models that workers may call besides Bedrock, as a stage names them:

    "servers": {
      "gpu": {"base_url": "https://gpu.example.com/v1", "free": true},
      "openrouter": {
        "base_url": "https://openrouter.ai/api/v1",
        "secret": "seedwright/openrouter",
        "prices": {"qwen/qwen3-32b": {"input": 80, "output": 240}}
      }
    }

The fields are those of providers.yaml (docs/models.md). Instead of `key`, the name of a variable, a
server has `secret`: name or whole ARN of a secret at Secrets Manager, and `secret_field` where the
key is a field in it. Functions get the document, which holds no key. A worker's container gets the
key as a variable from ECS: the execution role may read these secrets, and the worker may not.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from runtime.contract.environment import server_key

from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

HTTPS: Final = 443
HTTP: Final = 80

MAX_DOCUMENT_BYTES: Final = 2048
"""All variables of a function may have 4096 bytes together."""

_SECRET_NAME: Final = re.compile(r"[A-Za-z0-9/_+=.@-]{1,512}")
_SECRET_ARN: Final = re.compile(
    r"arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:\d{12}:secret:[A-Za-z0-9/_+=.@-]+-[A-Za-z0-9]{6}"
)
_LIKE_AN_ARNS_END: Final = re.compile(r".*-[A-Za-z0-9]{6}")


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelServer:
    """One server. `document` is what the runtime is given of it, without the key's variable."""

    name: str
    document: Mapping[str, Any]
    secret: str | None = None
    secret_field: str | None = None

    @property
    def port(self) -> int:
        """Where it listens."""
        parts = urlsplit(self.document["base_url"])
        return parts.port or (HTTP if parts.scheme == "http" else HTTPS)


def document_of(servers: tuple[ModelServer, ...]) -> str:
    """What functions and workers are given of all of them, as JSON; empty for none."""
    if not servers:
        return ""
    documents = {
        each.name: {
            **each.document,
            **({} if each.secret is None else {"key": server_key(each.name)}),
        }
        for each in servers
    }
    return json.dumps(documents, separators=(",", ":"), sort_keys=True)


def keys_of(servers: tuple[ModelServer, ...], scope: Construct) -> dict[str, ecs.Secret]:
    """The variables of a worker that hold keys, each with its secret."""
    return {
        server_key(each.name): ecs.Secret.from_secrets_manager(
            _secret(scope, each.name, each.secret), each.secret_field
        )
        for each in servers
        if each.secret is not None
    }


def _secret(scope: Construct, name: str, secret: str) -> secretsmanager.ISecret:
    construct = f"Key-{name}"
    if secret.startswith("arn:"):
        return secretsmanager.Secret.from_secret_complete_arn(scope, construct, secret)
    return secretsmanager.Secret.from_secret_name_v2(scope, construct, secret)


def servers_from(value: object) -> tuple[ModelServer, ...]:
    """The servers of a context: an object, or the path of a file in JSON that holds it. Raises
    `ValueError` for what is wrong with names, secrets and size; the runtime checks the rest.
    """
    document = value if isinstance(value, Mapping) else _read(str(value))
    servers = tuple(_server(name, each) for name, each in document.items())
    variables: dict[str, str] = {}
    for each in servers:
        other = variables.setdefault(server_key(each.name), each.name)
        if other != each.name:
            raise ValueError(f"servers: {other!r} and {each.name!r} are too much alike: rename one")
    size = len(document_of(servers).encode())
    if size > MAX_DOCUMENT_BYTES:
        raise ValueError(
            f"servers: take {size} bytes, and functions have room for {MAX_DOCUMENT_BYTES}: give"
            " their prices in a price file (context prices)"
        )
    return servers


def _read(text: str) -> Mapping[str, Any]:
    try:
        document = json.loads(Path(text).read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise ValueError(f"servers {text!r} is not a JSON file that can be read: {exc}") from exc
    if not isinstance(document, dict):
        raise ValueError(f"servers {text!r} must hold an object of servers by name")  # noqa: TRY004 - as any other value
    return document


def _server(name: str, value: object) -> ModelServer:
    where = f"servers: {name!r}"
    if not isinstance(value, Mapping) or not isinstance(value.get("base_url"), str):
        raise ValueError(f"{where}: needs fields, base_url among them")  # noqa: TRY004 - as any other value
    if "key" in value:
        raise ValueError(f"{where}: has no variable for a key here: name its secret as `secret`")
    fields = dict(value)
    secret, field = fields.pop("secret", None), fields.pop("secret_field", None)
    if secret is not None:
        _check_secret(secret, where)
    if field is not None and (secret is None or not isinstance(field, str) or not field):
        raise ValueError(f"{where}: secret_field is the name of a field in `secret`")
    return ModelServer(name=name, document=fields, secret=secret, secret_field=field)


def _check_secret(secret: object, where: str) -> None:
    text = secret if isinstance(secret, str) else ""
    if text.startswith("arn:"):
        if _SECRET_ARN.fullmatch(text) is None:
            raise ValueError(
                f"{where}: secret {text!r} is not the whole ARN of a secret, with the hyphen and"
                " six characters at its end"
            )
    elif _SECRET_NAME.fullmatch(text) is None:
        raise ValueError(f"{where}: secret must be the name or ARN of one at Secrets Manager")
    elif _LIKE_AN_ARNS_END.fullmatch(text):
        # Secrets Manager takes the end for that of an ARN, and finds nothing.
        raise ValueError(
            f"{where}: the name {text!r} ends like an ARN, so AWS wants the whole ARN of it"
        )
