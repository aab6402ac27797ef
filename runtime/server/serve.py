"""The API's handlers over HTTP, on local storage, with a worker beside them.

requests ─▶ server ─▶ handlers ─▶ LocalApi ─▶ DIR/storage ◀─ worker (a process of its own)
└── there is work ──────────────▶┘
"""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from runtime.bootstrap import LocalService, local_api
from runtime.client.profiles import LOCAL_PROFILE, Profile, open_profiles
from runtime.datasets.engine_parts import log_to
from runtime.domain.addresses import is_loopback_host
from runtime.domain.models.calls import ModelClient
from runtime.domain.service_ports import ApiSettings
from runtime.models.registry import Backend
from runtime.server.data_folder import DataFolder, default_data_folder
from runtime.server.listener import ApiServer, Listener
from runtime.server.pages import pages_of
from runtime.server.processes import WorkerProcess
from runtime.server.worker import WorkerOrder

LOCAL_USER: Final = "local"
"""Whose everything is: an API on a laptop has one user."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ServeOptions:
    """Where to listen, what to serve from, and what the worker is given."""

    host: str
    port: int
    data: Path | None
    backend: str
    base_url: str | None
    concurrency: int | None
    prices: Path | None
    settings: ApiSettings | None = None


class LocalServer:
    """An API whose address and folder are taken and whose worker is on its way."""

    def __init__(
        self,
        options: ServeOptions,
        folder: DataFolder,
        profile: Profile,
        listener: Listener,
        service: LocalService,
        worker: WorkerProcess,
    ) -> None:
        from runtime.lambdas.router import methods_of  # noqa: PLC0415
        from runtime.server.deletions import Deletions  # noqa: PLC0415 - as the next one
        from runtime.server.dispatch import LocalDispatch  # noqa: PLC0415 - after logging is set up

        self.options = options
        self.folder = folder
        self.profile = profile
        """What leads a client here."""
        self._worker = worker
        self._deletions = Deletions(service.api)
        self._server = ApiServer(
            listener,
            api=service.api,
            dispatch=LocalDispatch(service.api),
            methods_of=methods_of,
            token=folder.token(),
            user=LOCAL_USER,
            pages=pages_of(listener.base_url, _openapi),
        )

    @property
    def is_open_to_others(self) -> bool:
        """Whether other machines can reach it, over plain HTTP."""
        return not is_loopback_host(self.options.host)

    def start(self) -> None:
        """Answer requests. Raises `ConfigurationError` when the worker can't work."""
        self._worker.wait_until_ready()
        self._server.start()
        self._deletions.start()

    def save_profile(self) -> bool:
        """Store the profile that leads here; whether commands use it when none is named: who is
        signed in elsewhere stays there.
        """
        profiles = open_profiles(os.environ)
        use = profiles.current() in {None, LOCAL_PROFILE}
        profiles.save(self.profile, make_current=use)
        return use

    def stop(self) -> None:
        """Finish the answers and the model calls that are on their way, and save."""
        self._server.stop()
        self._deletions.stop()
        self._worker.stop()

    def kill_worker(self) -> None:
        """End the worker at once. Its work goes on at the next start."""
        self._worker.kill()


@contextmanager
def open_server(
    options: ServeOptions, *, on_restart: Callable[[int], object]
) -> Iterator[LocalServer]:
    """A server for the length of the block. `on_restart` is called by a thread of its own with the
    exit code of a worker that died and is started again.

    Raises `ConfigurationError` when the address is taken, the folder is in use or can't be used.
    """
    backend = Backend(options.backend, options.base_url)
    prices = backend.prices(options.prices)
    folder = DataFolder((options.data or default_data_folder(os.environ)).absolute())
    with folder.locked(), _logging_to(folder.log), _listen(options) as listener:
        profile = folder.remember(listener.base_url)
        order = WorkerOrder(
            storage=str(folder.storage),
            log=str(folder.log),
            backend=options.backend,
            base_url=options.base_url,
            concurrency=options.concurrency,
            prices=None if options.prices is None else str(options.prices.absolute()),
        )
        with ExitStack() as stack:
            models = _preview_models(backend)
            worker = WorkerProcess(
                order, on_restart=lambda code: _replace(service, on_restart, code)
            )
            stack.callback(worker.stop)
            service = local_api(
                folder.storage,
                models=models,
                provider=backend.name,
                prices=prices,
                base_url=listener.base_url,
                on_launch=lambda _item: worker.notify(),
                settings=options.settings,
            )
            stack.enter_context(closing(service))
            yield LocalServer(options, folder, profile, listener, service, worker)


def _openapi() -> bytes:
    from runtime.lambdas.openapi import render  # noqa: PLC0415 - few ask for it

    return render()


def _listen(options: ServeOptions) -> Listener:
    # Whoever names an address means it; the command says what that means.
    return Listener(options.host, options.port, allow_remote=not is_loopback_host(options.host))


def _preview_models(backend: Backend) -> ModelClient:
    """What a preview calls when it is asked to. The worker has models of its own."""
    return backend.open(1).client


@contextmanager
def _logging_to(path: Path) -> Iterator[None]:
    """Send what handlers and engine log to a file; the metrics of AWS go nowhere."""
    # Powertools reads it when the handlers are imported.
    os.environ["POWERTOOLS_METRICS_DISABLED"] = "true"
    with log_to(path) as stream:
        from runtime.service.observability import logger  # noqa: PLC0415

        handler = logger.registered_handler
        if isinstance(handler, logging.StreamHandler):
            handler.setStream(stream)
        yield


def _replace(service: LocalService, on_restart: Callable[[int], object], code: int) -> None:
    """Before a worker is followed by the next: say so, and count what it had in hand."""
    from runtime.server.losses import recover_losses  # noqa: PLC0415 - after logging is set up

    on_restart(code)
    recover_losses(service.api)
