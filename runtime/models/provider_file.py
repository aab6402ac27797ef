"""Providers of one's own, by name, in `~/.config/seedwright/providers.yaml`:

    gpu:
      base_url: http://gpu.lan:8000/v1
      free: true
    openrouter:
      base_url: https://openrouter.ai/api/v1
      key: OPENROUTER_API_KEY
      extra: {provider: {require_parameters: true}}
      prices:
        qwen/qwen3-32b: {input: 80, output: 240}

Keys stay in the environment: the file names the variable. docs/models.md explains the fields.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

import orjson

from runtime.disk import folder_of
from runtime.domain.addresses import is_loopback
from runtime.domain.errors import ConfigurationError, PriceError
from runtime.domain.models.abilities import Api
from runtime.domain.models.limiter import MAX_CONCURRENCY
from runtime.domain.models.names import BEDROCK, LOCAL, PROVIDER_NAME
from runtime.models.base_urls import check_base_url

_FIELDS: Final = {
    "base_url": str,
    "api": str,
    "key": str,
    "key_header": str,
    "headers": dict,
    "free": bool,
    "concurrency": int,
    "limit_field": str,
    "seed": bool,
    "extra": dict,
    "prices": dict,
}
_OURS: Final = frozenset(
    {"model", "messages", "input", "n", "best_of", "stream", "tools", "max_tokens", "store"}
    | {"max_completion_tokens", "max_output_tokens", "background"}
)
"""Fields of a request that decide what a call costs, or how its reply is read."""

_FRAMING: Final = frozenset({"connection", "content-length", "transfer-encoding"})
"""Headers that say where a request ends."""

_LIMIT_FIELDS: Final = ("max_tokens", "max_completion_tokens")
_USUAL_CALLS: Final = 32
_ANY_SIZE: Final = 10**7
_ROW_DEFAULTS: Final[Mapping[str, object]] = {
    "profiles": {},
    "structured_output": True,
    "context_tokens": _ANY_SIZE,
    "max_output_tokens": _ANY_SIZE,
    "cache_write": None,
    "valid_from": None,
    "valid_until": None,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerSettings:
    """One server, and what is known of it. `key` is the variable that holds its key; `prices` are
    rows of a price file.
    """

    name: str
    base_url: str
    api: Api = Api.CHAT
    key: str | None = None
    key_header: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    free: bool = False
    concurrency: int | None = None
    limit_field: str | None = None
    seed: bool = True
    extra: Mapping[str, object] = field(default_factory=dict)
    prices: tuple[Mapping[str, object], ...] = ()

    @property
    def is_free(self) -> bool:
        """Whether no call is billed: it runs on this machine, or its user says so."""
        return self.free or is_loopback(self.base_url)

    @property
    def calls_at_a_time(self) -> int:
        """The most of one process."""
        return self.concurrency or _USUAL_CALLS


def providers_path(environment: Mapping[str, str]) -> Path:
    """Where the file is."""
    return folder_of(environment, "XDG_CONFIG_HOME", ".config") / "providers.yaml"


def read_providers(path: Path) -> dict[str, ServerSettings]:
    """What the file says; nothing where there is none. Raises `ConfigurationError`."""
    try:
        text = path.read_bytes()
        modified = datetime.fromtimestamp(path.stat().st_mtime, UTC).date()
    except FileNotFoundError:
        return {}
    except OSError as exc:
        raise ConfigurationError(f"{path} can't be read: {exc.strerror}") from exc
    import yaml  # noqa: PLC0415 - few have such a file, and every start would pay

    try:
        document = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as exc:
        raise ConfigurationError(f"{path} is not valid YAML") from exc
    return {} if document is None else parse_providers(document, file=str(path), dated=modified)


def parse_providers(document: object, *, file: str, dated: date) -> dict[str, ServerSettings]:
    """What a document says, which complaints call `file`; its prices are as of that day. Raises
    `ConfigurationError`, `PriceError`.
    """
    if not isinstance(document, dict):
        raise ConfigurationError(f"{file}: must name providers, each with its base_url")
    return {name: _settings(name, each, file, dated) for name, each in document.items()}


def _settings(name: Any, value: Any, file: str, dated: date) -> ServerSettings:
    where = f"{file}: {name!r}"
    if not isinstance(name, str) or not PROVIDER_NAME.fullmatch(name) or name in {BEDROCK, LOCAL}:
        raise ConfigurationError(
            f"{where}: a provider's name has small letters, digits, - and _, and is not bedrock or"
            " local"
        )
    if not isinstance(value, dict):
        raise ConfigurationError(f"{where}: must be fields, base_url among them")
    for key, each in value.items():
        kind = _FIELDS.get(key)
        if kind is None:
            raise ConfigurationError(f"{where}: unknown field {key!r}; known are {_KNOWN}")
        if not isinstance(each, kind) or (kind is int and isinstance(each, bool)):
            raise ConfigurationError(f"{where}: {key} must be {_WORDS[kind]}")
    if "base_url" not in value:
        raise ConfigurationError(f"{where}: base_url is missing")
    _one_of(value, "api", (Api.CHAT, Api.RESPONSES), where)
    _one_of(value, "limit_field", _LIMIT_FIELDS, where)
    if not 1 <= value.get("concurrency", 1) <= MAX_CONCURRENCY:
        raise ConfigurationError(f"{where}: concurrency must be 1 to {MAX_CONCURRENCY}")
    if ours := sorted(_OURS & value.get("extra", {}).keys()):
        raise ConfigurationError(f"{where}: extra can't hold {', '.join(ours)}")
    headers = {str(key): str(each) for key, each in value.get("headers", {}).items()}
    if framing := sorted(_FRAMING & {name.lower() for name in headers}):
        raise ConfigurationError(f"{where}: headers can't hold {', '.join(framing)}")
    fields = {key: each for key, each in value.items() if key not in {"prices", "api", "headers"}}
    return ServerSettings(
        **{
            **fields,
            "name": name,
            "base_url": check_base_url(value["base_url"], where=f"{where}: base_url"),
            "api": Api(value.get("api", Api.CHAT)),
            "headers": headers,
            "prices": _rows(name, value.get("prices", {}), file, dated),
        }
    )


def _one_of(value: Mapping[str, Any], name: str, known: tuple[str, ...], where: str) -> None:
    if value.get(name, known[0]) not in known:
        raise ConfigurationError(f"{where}: {name} must be {' or '.join(known)}")


def _rows(
    provider: str, prices: Mapping[Any, Any], file: str, dated: date
) -> tuple[Mapping[str, object], ...]:
    """Rows of a price file. A cached token costs no more than another one, so who gives no rate for
    it pays the full one.
    """
    rows = []
    for model, price in prices.items():
        if not isinstance(price, dict):
            raise PriceError(f"{file}: {provider!r}: the price of {model} must be its rates")
        rows.append(
            {
                **_ROW_DEFAULTS,
                "cache_read": price.get("input"),
                "name": str(model),
                "source": file,
                "checked": dated.isoformat(),
                **price,
                "id": str(model),
                "provider": provider,
            }
        )
    return tuple(rows)


def price_document(settings: Mapping[str, ServerSettings]) -> bytes | None:
    """The prices of all of them as a price file; None where there are none."""
    rows = [row for each in settings.values() for row in each.prices]
    return orjson.dumps({"models": rows}, default=str) if rows else None


_KNOWN: Final = ", ".join(_FIELDS)
_WORDS: Final[Mapping[type, str]] = {
    str: "a text",
    dict: "fields with values",
    bool: "true or false",
    int: "a whole number",
}
