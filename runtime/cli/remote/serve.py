"""`seedwright serve`: the API on this machine."""

from pathlib import Path
from typing import Annotated

import typer

from runtime.cli.options import Backend, BackendOption, PricesOption

DEFAULT_PORT = 8765


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command("serve", epilog="Example: seedwright serve --backend bedrock --data ./api-data")(
        serve_command
    )


def serve_command(
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; 0: any that is free.")
    ] = DEFAULT_PORT,
    host: Annotated[
        str, typer.Option(help="Address to listen on. Anything but 127.0.0.1 lets others in.")
    ] = "127.0.0.1",
    data: Annotated[
        Path | None, typer.Option(help="Folder for everything. [~/.local/share/seedwright]")
    ] = None,
    backend: BackendOption = Backend.LOCAL,
    concurrency: Annotated[
        int | None, typer.Option(min=1, max=512, help="Model calls at a time.")
    ] = None,
    prices: PricesOption = None,
) -> int:
    """Serve the API on this machine, with a worker beside it. No account and no AWS is needed.

    Stop it any way you like: jobs go on at the next start with the same folder.
    """
    from runtime.server.serve import ServeOptions, serve  # noqa: PLC0415

    return serve(
        ServeOptions(
            host=host,
            port=port,
            data=data,
            backend=str(backend),
            concurrency=concurrency,
            prices=prices,
        )
    )
