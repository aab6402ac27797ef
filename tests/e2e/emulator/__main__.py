"""The AWS emulator on loopback: `python -m tests.e2e.emulator`, in the environment of its own.

Prints its URL on the first line and ends when its standard input does, so that it can't outlive
whoever started it, however that ended.

| variable | meaning |
|---|---|
| `TMPDIR` | everything it writes goes there |
| `EMULATOR_PYTHON`, `EMULATOR_PACKAGES` | the interpreter of functions and tasks, its packages |
| `EMULATOR_BEDROCK_URL` | the double of Bedrock |
"""

import asyncio
import os
import signal
import socket
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[3]
HOST = "127.0.0.1"
STATE_MACHINE_SCALE = "0.05"
"""How long a second of Step Functions is, for pauses before retries and for states that wait."""
SHORT_LEASE = {"HEARTBEAT_SECONDS": "2", "LEASE_SECONDS": "8"}
"""Of workers. Functions have the same lease from `lambda_start.py`."""


def main() -> None:
    """Serve until standard input ends."""
    listener = socket.create_server((HOST, 0), backlog=256)
    port = listener.getsockname()[1]
    url = f"http://{HOST}:{port}"
    folder = tempfile.gettempdir()
    os.environ.update(
        AUTH="true",
        AWS_ENDPOINT_URL=url,
        GATEWAY_PORT=str(port),
        IOT_MTLS_ENABLED="0",
        SFTP_ENABLED="0",
        LOG_LEVEL=os.environ.get("LOG_LEVEL", "WARNING"),
        MINISTACK_ACCOUNT_ID="123456789012",
        S3_DATA_DIR=f"{folder}/s3",
        SFN_WAIT_SCALE=STATE_MACHINE_SCALE,
        STATE_DIR=f"{folder}/state",
    )
    os.set_inheritable(listener.fileno(), False)
    _install()
    print(url, flush=True)  # noqa: T201 - the first line is the contract
    asyncio.run(_serve(listener))


def _install() -> None:
    # The emulator reads its settings when it is imported.
    from tests.e2e.emulator import (  # noqa: PLC0415
        authorization,
        containers,
        faults,
        functions,
        models,
        state_machines,
        tasks,
    )

    python = os.environ["EMULATOR_PYTHON"]
    containers.install(python=python, folder=ROOT, extra=SHORT_LEASE)
    tasks.install()
    state_machines.install()
    functions.install(python=python, packages=Path(os.environ["EMULATOR_PACKAGES"]))
    models.install(double_url=os.environ["EMULATOR_BEDROCK_URL"])
    authorization.install()
    faults.install()


async def _serve(listener: socket.socket) -> None:
    from hypercorn.asyncio import serve  # noqa: PLC0415
    from hypercorn.config import Config  # noqa: PLC0415
    from ministack.app import app  # noqa: PLC0415

    config = Config()
    config.bind = [f"fd://{listener.fileno()}"]
    config.graceful_timeout = 1
    config.loglevel = os.environ["LOG_LEVEL"]
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, over.set)
    loop.add_reader(sys.stdin.fileno(), _end_with_input, over)
    await serve(app, config, shutdown_trigger=over.wait)


def _end_with_input(over: asyncio.Event) -> None:
    if not os.read(sys.stdin.fileno(), 1024):
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        over.set()


if __name__ == "__main__":
    try:
        main()
    finally:
        # Tasks and functions are in this process group, and end with it.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.killpg(0, signal.SIGTERM)
