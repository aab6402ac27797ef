"""`seedwright serve`: the API on this machine, until a signal asks to stop.

Ctrl-C and polite kills let the worker finish the calls that are on their way; everything else goes
on at the next start with the same folder. So it does after `kill -9`.
"""

import gc
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Final

import typer

from runtime.cli.options import (
    DEFAULT_BACKEND,
    BackendOption,
    BaseUrlOption,
    ConcurrencyOption,
    PricesOption,
)
from runtime.cli.output import print_line, say
from runtime.client.profiles import LOCAL_PROFILE
from runtime.contract.exit_codes import EXIT_INTERRUPTED
from runtime.domain.money.accounts import DEFAULT_MONTHLY_NANO, NO_LIMIT, parse_limit
from runtime.domain.money.amounts import NANO_PER_USD
from runtime.domain.seeds.uploads import parse_quota
from runtime.domain.service_ports import ApiSettings
from runtime.models.registry import models_text
from runtime.server.serve import LocalServer, ServeOptions, open_server

DEFAULT_PORT: Final = 8765

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

EXAMPLE: Final = "Example: seedwright serve --backend bedrock --data ./api-data"


def serve(
    *,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; 0: any that is free.")
    ] = DEFAULT_PORT,
    host: Annotated[
        str, typer.Option(help="Address to listen on. Anything but 127.0.0.1 lets others in.")
    ] = "127.0.0.1",
    data: Annotated[
        Path | None, typer.Option(help="Folder for everything. [~/.local/share/seedwright]")
    ] = None,
    backend: BackendOption = DEFAULT_BACKEND,
    base_url: BaseUrlOption = None,
    concurrency: ConcurrencyOption = None,
    prices: PricesOption = None,
    monthly_budget: Annotated[
        str,
        typer.Option(help="US dollars that all jobs of a month may cost together, or off."),
    ] = str(DEFAULT_MONTHLY_NANO // NANO_PER_USD),
    user_monthly_budget: Annotated[
        str, typer.Option(help="The same of each user. Here there is one.")
    ] = NO_LIMIT,
    seed_quota: Annotated[
        str, typer.Option(help="GiB that uploaded seeds of a user may take, or off.")
    ] = NO_LIMIT,
) -> int:
    """Serve the API on this machine, with a worker beside it. No account and no AWS is needed.

    Stop it any way you like: jobs go on at the next start with the same folder.
    """
    gc.freeze()  # what was imported stays: no collection has to look at it
    gc.enable()
    options = ServeOptions(
        host=host,
        port=port,
        data=data,
        backend=backend,
        base_url=base_url,
        concurrency=concurrency,
        prices=prices,
        settings=ApiSettings(
            monthly_nano=parse_limit(monthly_budget, name="--monthly-budget"),
            user_monthly_nano=parse_limit(user_monthly_budget, name="--user-monthly-budget"),
            seed_bytes=parse_quota(seed_quota, name="--seed-quota"),
        ),
    )
    with open_server(options, on_restart=_say_restart) as server:
        with _stop_signals(server.kill_worker) as stopped:
            server.start()
            _announce(server)
            stopped.wait()
            _say("Stopping: waiting for the answers on their way. Again leaves at once.")
            server.stop()
        _say("Stopped. Unfinished jobs go on at the next start.")
    return 0


@contextmanager
def _stop_signals(kill: Callable[[], object]) -> Iterator[threading.Event]:
    """An event that is set by the first signal to stop. A second one leaves at once."""
    stopped = threading.Event()

    def handle(_signum: int, _frame: object) -> None:
        if stopped.is_set():
            kill()
            os._exit(EXIT_INTERRUPTED)
        stopped.set()

    asked = [each for each in _SIGNALS if signal.getsignal(each) is not signal.SIG_IGN]
    previous = {each: signal.signal(each, handle) for each in asked}
    try:
        yield stopped
    finally:
        for each, handler in previous.items():
            signal.signal(each, handler)


def _announce(server: LocalServer) -> None:
    """Where the API is and what to do now."""
    folder, url = server.folder, server.profile.api_url
    models = models_text(server.options.backend)
    if server.is_open_to_others:
        say(
            f"warning: {server.options.host} lets other machines in, over plain HTTP: only the"
            " token protects your data and your budget"
        )
    used = "" if server.save_profile() else f" --profile {LOCAL_PROFILE}"
    print_line(f"Seedwright API  {url}  with {models}")
    print_line(f"data            {folder.path}")
    print_line(f"log             {folder.log}")
    print_line(f"token           {folder.path / 'token'}")
    print_line(
        f"try             seedwright submit template.yaml --seeds seeds.csv -n 10 --watch{used}"
    )
    print_line(
        f'or              curl -H "Authorization: Bearer $(cat {folder.path / "token"})" {url}/jobs'
    )
    print_line("docs            docs/api.md for programs, docs/cli.md for the command")
    print_line("Ctrl-C stops; jobs go on at the next start.")
    sys.stdout.flush()


def _say_restart(code: int) -> None:
    _say(f"The worker ended unexpectedly (code {code}) and is started again: see the log.")


def _say(text: str) -> None:
    with suppress(OSError):
        os.write(2, f"{text}\n".encode())
