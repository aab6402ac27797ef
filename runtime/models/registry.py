"""Which providers of models there are, and how a client over them is opened.

    bedrock    Amazon Bedrock, with the credentials and region that boto3 finds
    local      the model that comes with the package
    openai     any OpenAI-compatible server: `--base-url`, OPENAI_BASE_URL, or OpenAI itself
    …          servers that the user named in providers.yaml

One of them is the default of a job; a step may name any of them exactly, as `provider/model`.
"""

import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from runtime.domain.errors import InputError
from runtime.domain.models.abilities import Api
from runtime.domain.models.calls import BackgroundModels
from runtime.domain.models.names import BEDROCK, LOCAL, OPENAI
from runtime.domain.models.price_table import PriceTable, load_prices
from runtime.domain.models.reach import Reach, Reachable
from runtime.models.base_urls import shown_server
from runtime.models.provider_file import ServerSettings, price_document, providers_path
from runtime.models.servers import BASE_URL, PUBLIC_URL, known_servers, open_server
from runtime.models.transport.loop_thread import LoopThread

_ANOTHER_SERVER: Final = (
    f"if a server of your own is meant, say where it is: --backend {OPENAI} --base-url URL, or"
    f" {BASE_URL} (now it is {shown_server(PUBLIC_URL)})"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Provider:
    """A provider: how many calls at a time are usual, and what opens its client for so many, on a
    loop that is shared.

    A client's own module is imported when one is opened: SDKs and weights are heavy.
    """

    concurrency: int
    api: Api
    loads: bool = False
    """Whether its first call loads the model, which may take a while."""
    is_free: bool = False
    """Whether no call is billed, whichever model it serves."""
    server: str | None = None
    """Where it is, for people, if that is not fixed."""
    advice: str = ""
    """What may help who asks it for a model without a price."""
    open: Callable[[int, LoopThread], BackgroundModels]


def _bedrock(_: int, thread: LoopThread) -> BackgroundModels:
    from runtime.models.bedrock_loop import open_bedrock  # noqa: PLC0415

    return open_bedrock(thread=thread)


def _embedded(concurrency: int, _: LoopThread) -> BackgroundModels:
    from runtime.models.llama import LlamaModels  # noqa: PLC0415
    from runtime.models.threaded import ThreadedModels  # noqa: PLC0415

    return ThreadedModels(LlamaModels(slots=concurrency), concurrency)


PROVIDERS: Final[Mapping[str, Provider]] = {
    # With the credentials and region that boto3 finds.
    BEDROCK: Provider(concurrency=32, api=Api.CONVERSE, open=_bedrock),
    # The model that comes with the package. More slots would only share the same cores.
    LOCAL: Provider(concurrency=2, api=Api.EMBEDDED, loads=True, open=_embedded),
}
"""Those that every process has. `Backend` knows the servers, too."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenedModels:
    """`concurrency` calls go out at a time, of each provider at most as many as `limits` says."""

    client: BackgroundModels
    concurrency: int
    limits: Mapping[str, int]


class Backend:
    """The providers that this process can call, one of which is the default.

    `base_url` is where `openai` is, if the user says so. Keys, and where `openai` is else, are
    those of the environment.
    """

    def __init__(
        self,
        name: str,
        base_url: str | None = None,
        *,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Raises `InputError` for a name that nobody knows, `ConfigurationError` for a file of
        providers or a URL that can't be used.
        """
        self.name: Final = name
        env = os.environ if environment is None else environment
        servers = known_servers(env, backend=name, base_url=base_url)
        self.providers: Final[Mapping[str, Provider]] = {
            **PROVIDERS,
            **{each: _server(settings, env) for each, settings in servers.items()},
        }
        if name not in self.providers:
            raise InputError(
                f"there is no provider {name!r} of models: choose"
                f" {' or '.join(self.providers)}, or name one in {providers_path(env)}"
            )
        own = servers[OPENAI].base_url
        self.base_url: Final = own if name == OPENAI and own != PUBLIC_URL else None
        """Where the default provider's server is, if that is not known by its name."""
        self._prices = price_document(servers)
        self._file = str(providers_path(env))

    @property
    def reach(self) -> Reach:
        """What the price table has to know of them."""
        return Reach(
            providers=tuple(
                Reachable(name=name, api=each.api, is_free=each.is_free, advice=each.advice)
                for name, each in self.providers.items()
            )
        )

    def prices(self, override: Path | None = None) -> PriceTable:
        """The price table, with the user's own prices and an override file, as seen from where this
        process calls Bedrock. Raises `PriceError`.
        """
        from runtime.sdk import region_here  # noqa: PLC0415 - as above

        more = [] if self._prices is None else [(self._file, self._prices)]
        return load_prices(override, reach=self.reach, more=more).seen_from(region_here())

    def open(
        self, concurrency: int | None = None, *, providers: Collection[str] = ()
    ) -> OpenedModels:
        """A client over all of them, of which the default and `providers` are opened now. So many
        calls at a time, or each provider's usual number.

        Raises `ConfigurationError` for a provider that can not be used here.
        """
        from runtime.models.routing import RoutedModels  # noqa: PLC0415 - as above

        used = dict.fromkeys((self.name, *providers))
        limits = {
            name: each.concurrency if concurrency is None else concurrency
            for name, each in self.providers.items()
        }
        if self.name != LOCAL and concurrency is not None:
            limits[LOCAL] = min(concurrency, PROVIDERS[LOCAL].concurrency)
        thread = LoopThread()  # one for all, or they would take the interpreter in turns
        openers = {
            name: partial(each.open, limits[name], thread) for name, each in self.providers.items()
        }
        client = RoutedModels(openers, opened=used, unnamed=BEDROCK)
        total = concurrency or sum(limits[name] for name in used)
        return OpenedModels(client=client, concurrency=total, limits=limits)

    def servers(self) -> dict[str, str]:
        """Where each server is, and whether it bills, by its name."""
        return {
            name: f"{each.server}{', bills nothing' if each.is_free else ''}"
            for name, each in self.providers.items()
            if each.server is not None
        }

    def notices(self, providers: Collection[str]) -> list[str]:
        """What users should know of those of `providers` that cost nothing."""
        found = [(name, self.providers[name]) for name in providers if name in self.providers]
        return [f"{name} at {each.server} bills nothing" for name, each in found if each.is_free]


def is_server_named(environment: Mapping[str, str]) -> bool:
    """Whether the environment says where `openai` is."""
    return bool(environment.get(BASE_URL))


def models_text(backend: str) -> str:
    """The models of a backend, for people."""
    return {BEDROCK: "Bedrock", LOCAL: "the embedded model"}.get(backend, f"models of {backend}")


def _server(settings: ServerSettings, environment: Mapping[str, str]) -> Provider:
    return Provider(
        concurrency=settings.calls_at_a_time,
        api=settings.api,
        is_free=settings.is_free,
        server=shown_server(settings.base_url),
        advice=_ANOTHER_SERVER if settings.base_url == PUBLIC_URL else "",
        open=lambda _, thread: open_server(settings, environment, thread),
    )
