"""Bedrock behind IAM: the emulator checks the caller's policy, and the double answers.

The emulator's own Bedrock makes up replies and counts nothing. Calls that its IAM let through go
to the project's double instead, byte by byte.
"""

import asyncio
from http.client import HTTPConnection
from typing import Any, Final
from urllib.parse import urlsplit

from ministack import app

REPLY_SECONDS: Final = 120.0

Reply = tuple[int, dict[str, str], bytes]


def install(*, double_url: str) -> None:
    """Send what IAM let through to the double at that address."""
    address = urlsplit(double_url).netloc

    def forward(path: str, body: bytes) -> Reply:
        connection = HTTPConnection(address, timeout=REPLY_SECONDS)
        try:
            connection.request("POST", path, body)
            reply = connection.getresponse()
            return reply.status, dict(reply.getheaders()), reply.read()
        finally:
            connection.close()

    async def handle(
        _method: str, path: str, _headers: dict[str, str], body: bytes, _query: Any
    ) -> Reply:
        return await asyncio.to_thread(forward, path, body)

    app.SERVICE_HANDLERS["bedrock-runtime"] = handle
