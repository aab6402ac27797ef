"""`seedwright serve`: the API's handlers over HTTP, on local storage, with a worker beside them.

    requests ─▶ server ─▶ handlers ─▶ LocalApi ─▶ DIR/storage ◀─ worker (a process of its own)
                                         └── there is work ──────────────▶┘

Ctrl-C and polite kills let the worker finish the calls that are on their way; everything else goes
on at the next start with the same folder. So it does after `kill -9`.
"""

import gc
import ipaddress
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from runtime.bootstrap import BEDROCK, LocalService, bedrock_models, embedded_model, local_api
from runtime.client.profiles import LOCAL_PROFILE, Profile, open_profiles
from runtime.contract.exit_codes import EXIT_INTERRUPTED
from runtime.datasets.engine_parts import log_to
from runtime.domain.models.calls import ModelClient
from runtime.domain.models.price_table import load_prices
from runtime.server.data_folder import DataFolder, default_data_folder
from runtime.server.listener import ApiServer, Listener
from runtime.server.processes import WorkerProcess
from runtime.server.worker import WorkerOrder

LOCAL_USER: Final = "local"
"""Whose everything is: an API on a laptop has one user."""

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, kw_only=True, slots=True)
class ServeOptions:
    """What the command was given."""

    host: str
    port: int
    data: Path | None
    backend: str
    concurrency: int | None
    prices: Path | None


def serve(options: ServeOptions) -> int:
    """Serve until a signal asks to stop. The exit code.

    Raises `ConfigurationError` when the address is taken, the folder is in use or can't be used, or
    the worker can't work.
    """
    gc.freeze()  # what was imported stays: no collection has to look at it
    gc.enable()
    prices = load_prices(options.prices)
    folder = DataFolder((options.data or default_data_folder(os.environ)).absolute())
    with folder.locked(), _logging_to(folder.log), _listen(options) as listener:
        profile = folder.remember(listener.base_url)
        order = WorkerOrder(
            storage=str(folder.storage),
            log=str(folder.log),
            backend=options.backend,
            concurrency=options.concurrency,
            prices=None if options.prices is None else str(options.prices.absolute()),
        )
        with ExitStack() as stack:
            models = _preview_models(options.backend)
            worker = WorkerProcess(order, on_restart=lambda code: _replace(service, code))
            stack.callback(worker.stop)
            service = local_api(
                folder.storage,
                models=models,
                provider=options.backend,
                prices=prices,
                base_url=listener.base_url,
                on_launch=lambda _item: worker.tell(),
            )
            stack.enter_context(closing(service))
            return _run(options, folder, profile, listener, service, worker)


def _listen(options: ServeOptions) -> Listener:
    # Whoever names an address means it; `_announce` says what that means.
    return Listener(options.host, options.port, allow_remote=not _is_loopback(options.host))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _run(
    options: ServeOptions,
    folder: DataFolder,
    profile: Profile,
    listener: Listener,
    service: LocalService,
    worker: WorkerProcess,
) -> int:
    from runtime.lambdas.router import methods_of  # noqa: PLC0415
    from runtime.server.dispatch import LocalDispatch  # noqa: PLC0415 - after logging is set up

    server = ApiServer(
        listener,
        api=service.api,
        dispatch=LocalDispatch(service.api),
        methods_of=methods_of,
        token=folder.token(),
        user=LOCAL_USER,
    )
    with _stop_signals(worker) as stopped:
        worker.wait_until_ready()
        server.start()
        _announce(options, folder, profile)
        stopped.wait()
        _say("Stopping: waiting for the answers on their way. Again leaves at once.")
        server.stop()
        worker.stop()
    _say("Stopped. Unfinished jobs go on at the next start.")
    return 0


def _preview_models(backend: str) -> ModelClient:
    """What a preview calls when it is asked to. The worker has models of its own."""
    return bedrock_models(1) if backend == BEDROCK else embedded_model(1)


@contextmanager
def _stop_signals(worker: WorkerProcess) -> Iterator[threading.Event]:
    """An event that is set by the first signal to stop. A second one leaves at once."""
    stopped = threading.Event()

    def handle(_signum: int, _frame: object) -> None:
        if stopped.is_set():
            worker.kill()
            os._exit(EXIT_INTERRUPTED)
        stopped.set()

    asked = [each for each in _SIGNALS if signal.getsignal(each) is not signal.SIG_IGN]
    previous = {each: signal.signal(each, handle) for each in asked}
    try:
        yield stopped
    finally:
        for each, handler in previous.items():
            signal.signal(each, handler)


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


def _announce(options: ServeOptions, folder: DataFolder, profile: Profile) -> None:
    """Where the API is and what to do now."""
    models = "Bedrock" if options.backend == BEDROCK else "the embedded model"
    if not _is_loopback(options.host):
        print(
            f"warning: {options.host} lets other machines in, over plain HTTP: only the token"
            " protects your data and your budget",
            file=sys.stderr,
        )
    profiles = open_profiles(os.environ)
    current = profiles.current()
    profiles.save(profile, make_current=current in {None, LOCAL_PROFILE})
    used = "" if current in {None, LOCAL_PROFILE} else f" --profile {LOCAL_PROFILE}"
    print(f"Seedwright API  {profile.api_url}  with {models}")
    print(f"data            {folder.path}")
    print(f"log             {folder.log}")
    print(f"token           {folder.path / 'token'}")
    print(f"try             seedwright submit template.yaml --seeds seeds.csv -n 10 --watch{used}")
    print(
        f'or              curl -H "Authorization: Bearer $(cat {folder.path / "token"})"'
        f" {profile.api_url}/jobs"
    )
    print("docs            docs/api.md for programs, docs/cli.md for the command")
    print("Ctrl-C stops; jobs go on at the next start.", flush=True)


def _replace(service: LocalService, code: int) -> None:
    """Before a worker is followed by the next: say so, and count what it had in hand."""
    from runtime.server.losses import recover_losses  # noqa: PLC0415 - after logging is set up

    _say(f"The worker ended unexpectedly (code {code}) and is started again: see the log.")
    recover_losses(service.api)


def _say(text: str) -> None:
    with suppress(OSError):
        os.write(2, f"{text}\n".encode())
