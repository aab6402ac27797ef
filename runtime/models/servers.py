"""OpenAI-compatible servers: which are known, and how a client of one is opened."""

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from runtime.domain.addresses import is_loopback
from runtime.domain.errors import ConfigurationError, InputError
from runtime.domain.models.abilities import Api
from runtime.domain.models.calls import BackgroundModels
from runtime.domain.models.names import OPENAI
from runtime.models.base_urls import check_base_url, check_secrecy, shown_server
from runtime.models.provider_file import ServerSettings, providers_path, read_providers
from runtime.models.transport.loop_thread import LoopThread
from runtime.proxies import proxy_of
from runtime.sdk import USER_AGENT, WORKER

BASE_URL: Final = "OPENAI_BASE_URL"
KEY: Final = "OPENAI_API_KEY"
PUBLIC_URL: Final = "https://api.openai.com/v1"

_NEWER_LIMIT_FIELD: Final = ("api.openai.com", ".openai.azure.com", ".cognitiveservices.azure.com")
"""Ends of hosts whose models refuse `max_tokens`."""


def known_servers(
    environment: Mapping[str, str], *, backend: str, base_url: str | None
) -> dict[str, ServerSettings]:
    """All servers by name: those of the user's file, and `openai` at `base_url`, else where the
    environment, the file or OpenAI says. Raises `InputError` for a base URL of another backend,
    `ConfigurationError`.
    """
    if base_url is not None and backend != OPENAI:
        raise InputError(
            f"--base-url is for --backend {OPENAI}, not for {backend}: name the URL of a provider"
            f" of your own in {providers_path(environment)}"
        )
    servers = read_providers(providers_path(environment))
    given = base_url or environment.get(BASE_URL)
    stored = servers.get(OPENAI)
    if given:
        where = BASE_URL if base_url is None else "--base-url"
        given = check_base_url(given, where=where)
    if stored is None or given not in {None, "", stored.base_url}:
        # What a file says of one server, its prices above all, does not hold for another.
        stored = ServerSettings(name=OPENAI, base_url=given or PUBLIC_URL)
    return {**servers, OPENAI: replace(stored, key=stored.key or KEY)}


def open_server(
    settings: ServerSettings, environment: Mapping[str, str], thread: LoopThread | None = None
) -> BackgroundModels:
    """A client, on a loop of its own if none is given. Raises `ConfigurationError` for a key that
    is missing, or would be seen, and for a bundle of authorities that can't be read.
    """
    from runtime.models.chat import ChatCompletions  # noqa: PLC0415 - the loop's parts are 0.1 s
    from runtime.models.dialect import Dialect  # noqa: PLC0415
    from runtime.models.loop_models import LoopModels  # noqa: PLC0415
    from runtime.models.openai_errors import ServerFailures  # noqa: PLC0415
    from runtime.models.responses import Responses  # noqa: PLC0415
    from runtime.models.transport.authorization import FixedHeaders  # noqa: PLC0415
    from runtime.models.transport.opening import address_of  # noqa: PLC0415
    from runtime.models.transport.trust import bundle_in, trusted  # noqa: PLC0415

    server = shown_server(settings.base_url)
    dialect = Dialect(
        provider=settings.name,
        server=server,
        limit_field=settings.limit_field or _limit_field(settings.base_url),
        sends_seed=settings.seed,
        extra=settings.extra,
        about_key=_about_key(settings, environment),
    )
    # Names of headers are the same in capitals, and none goes out twice.
    own = {name.title(): text for name, text in settings.headers.items()}
    return LoopModels(
        families={Api.CHAT: ChatCompletions(dialect), Api.RESPONSES: Responses(dialect)},
        usual=settings.api,
        failures=ServerFailures(server, is_here=is_loopback(settings.base_url)),
        address=address_of(
            settings.base_url,
            proxy=proxy_of(settings.base_url),
            trust=lambda: trusted(bundle_in(os.environ)),
            connect_seconds=WORKER.connect,
        ),
        authorization=FixedHeaders(_key_header(settings, environment)),
        headers={"User-Agent": USER_AGENT, **own},
        thread=thread,
    )


def _key_header(settings: ServerSettings, environment: Mapping[str, str]) -> dict[str, str]:
    key = environment.get(settings.key or "", "").strip()
    if not key:
        # A server of one's own mostly has none; a service that bills always wants one.
        if settings.key is None or settings.is_free:
            return {}
        raise ConfigurationError(
            f"{settings.name} at {shown_server(settings.base_url)} wants a key: set {settings.key}"
        )
    if not key.isascii() or not key.isprintable():
        raise ConfigurationError(f"{settings.key} holds no key: it has other characters")
    check_secrecy(settings.base_url, where=settings.name)
    if settings.key_header is not None:
        return {settings.key_header.title(): key}
    return {"Authorization": f"Bearer {key}"}


def _about_key(settings: ServerSettings, environment: Mapping[str, str]) -> str:
    """What to do where the server refuses a call for its key, or for the lack of one."""
    if settings.key is None:
        return f"none was sent, so name the variable that holds it as `key` of {settings.name}"
    is_set = bool(environment.get(settings.key, "").strip())
    return f"check {settings.key}" if is_set else f"none was sent, so set {settings.key}"


def _limit_field(base_url: str) -> str:
    host = shown_server(base_url).partition(":")[0]
    return "max_completion_tokens" if host.endswith(_NEWER_LIMIT_FIELD) else "max_tokens"
