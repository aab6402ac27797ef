"""Ways of sending signed requests, beside each other: how much CPU each takes for one.

    make bench-transports

All ask the same double of Bedrock for the same Converse calls, with 64 in flight, at no latency and
at 50 ms, in turn. What is compared is the client alone: the request is encoded and signed by the
same code everywhere but for boto3, which does it itself, and the reply is read by orjson. CPU is
that of the process from the first call to the last, so imports don't count. Needs an environment of
its own (requirements/peers.txt): most of the candidates are no dependency of the project.
"""

import argparse
import asyncio
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import orjson

sys.path.insert(0, str(Path(__file__).parents[2]))

from runtime.models.transport.signing import Keys, Signer
from tests.bench.workload import MAX_TOKENS, MODEL, PROMPT

IN_FLIGHT: Final = 64
LATENCIES_MS: Final = (0, 50)
PATH: Final = "/model/us.amazon.nova-micro-v1%3A0/converse"
_KEYS: Final = Keys(access_key="testing", secret_key="testing")  # noqa: S106 - the double reads none
_SIGNER: Final = Signer(region="us-east-1", service="bedrock")


def signed(url: str, index: int) -> tuple[dict[str, str], bytes]:
    """Headers and body of one call."""
    body = orjson.dumps(
        {
            "messages": [{"role": "user", "content": [{"text": PROMPT.format(index=index)}]}],
            "inferenceConfig": {"maxTokens": MAX_TOKENS},
        }
    )
    headers = {"Host": urlsplit(url).netloc, "Content-Type": "application/json"}
    now = datetime.now(UTC)
    return _SIGNER.sign(_KEYS, method="POST", path=PATH, headers=headers, body=body, now=now), body


def tokens_of(body: bytes) -> int:
    """Something of the reply, so that it has to be read."""
    count: int = orjson.loads(body)["usage"]["outputTokens"]
    return count


def raw(url: str, index: int) -> bytes:
    """One call as it goes over the wire."""
    headers, body = signed(url, index)
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST {PATH} HTTP/1.1\r\n{lines}Content-Length: {len(body)}\r\n\r\n".encode() + body


# ── an event loop with a reader of HTTP ────────────────────────────────────────────────────────


class Reader(asyncio.Protocol):
    """A connection that asks again as soon as it has its answer."""

    def __init__(self, calls: "Calls") -> None:
        self.calls = calls

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.ask()

    def ask(self) -> None:
        index = next(self.calls.indices, None)
        if index is None:
            self.transport.close()
        else:
            self.begin()
            self.transport.write(raw(self.calls.url, index))

    def begin(self) -> None:
        """Before each request."""

    def answered(self, body: bytes) -> None:
        self.calls.answered(body)
        self.ask()


class Calls:
    """What is left to ask, and when all is answered."""

    def __init__(self, url: str, count: int) -> None:
        self.url = url
        self.indices = iter(range(count))
        self.left = count
        self.tokens = 0
        self.done = asyncio.get_running_loop().create_future()

    def answered(self, body: bytes) -> None:
        self.tokens += tokens_of(body)
        self.left -= 1
        if not self.left:
            self.done.set_result(None)


class HttptoolsReader(Reader):
    """llhttp, the parser of Node.js, through httptools."""

    def begin(self) -> None:
        import httptools  # noqa: PLC0415

        self.parts: list[bytes] = []
        self.parser = httptools.HttpResponseParser(self)

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_header(self, _name: bytes, _value: bytes) -> None: ...

    def on_body(self, body: bytes) -> None:
        self.parts.append(body)

    def on_message_complete(self) -> None:
        self.answered(b"".join(self.parts))


class H11Reader(Reader):
    """A parser in Python that knows all of HTTP/1.1's states."""

    def begin(self) -> None:
        import h11  # noqa: PLC0415

        self.parts: list[bytes] = []
        self.h11 = h11
        self.connection = h11.Connection(h11.CLIENT)
        # It writes the request, too, but the others have theirs ready: only its state is told.
        self.connection.send(h11.Request(method="GET", target="/", headers=[("host", "x")]))
        self.connection.send(h11.EndOfMessage())

    def data_received(self, data: bytes) -> None:
        self.connection.receive_data(data)
        while (event := self.connection.next_event()) is not self.h11.NEED_DATA:
            if isinstance(event, self.h11.Data):
                self.parts.append(bytes(event.data))
            elif isinstance(event, self.h11.EndOfMessage):
                self.answered(b"".join(self.parts))
                return


class OwnReader(Reader):
    """The least that could do: status, Content-Length, body."""

    def begin(self) -> None:
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self.buffer[:end].lower()
        at = head.index(b"content-length:") + len(b"content-length:")
        length = int(head[at : head.find(b"\r", at) % (end + 1)])
        if len(self.buffer) >= end + 4 + length:
            self.answered(self.buffer[end + 4 :])


def on_a_loop(reader: type[Reader], run: Callable[[Any], int] = asyncio.run) -> Any:
    """A candidate whose connections are of this kind."""

    async def ask_all(url: str, count: int) -> int:
        calls = Calls(url, count)
        at = urlsplit(url)
        loop = asyncio.get_running_loop()
        for _ in range(IN_FLIGHT):
            await loop.create_connection(lambda: reader(calls), at.hostname or "", at.port or 80)
        await calls.done
        return calls.tokens

    return lambda url, count: run(ask_all(url, count))


def on_uvloop(url: str, count: int) -> int:
    """httptools on libuv's loop."""
    import uvloop  # noqa: PLC0415

    tokens: int = on_a_loop(HttptoolsReader, uvloop.run)(url, count)
    return tokens


# ── whole clients ──────────────────────────────────────────────────────────────────────────────


def on_aiohttp(url: str, count: int) -> int:
    """A session of aiohttp, as many tasks as calls in flight."""
    import aiohttp  # noqa: PLC0415

    async def ask_all() -> int:
        indices, tokens = iter(range(count)), 0
        connector = aiohttp.TCPConnector(limit=IN_FLIGHT)
        async with aiohttp.ClientSession(connector=connector) as session:

            async def ask() -> None:
                nonlocal tokens
                for index in indices:
                    headers, body = signed(url, index)
                    async with session.post(f"{url}{PATH}", data=body, headers=headers) as reply:
                        tokens += tokens_of(await reply.read())

            await asyncio.gather(*(ask() for _ in range(IN_FLIGHT)))
        return tokens

    return asyncio.run(ask_all())


def on_urllib3(url: str, count: int) -> int:
    """Threads over one pool of urllib3."""
    import urllib3  # noqa: PLC0415

    pool = urllib3.connection_from_url(url, maxsize=IN_FLIGHT)

    def ask(index: int) -> int:
        headers, body = signed(url, index)
        reply = pool.request("POST", PATH, body=body, headers=headers, retries=False)
        return tokens_of(reply.data)

    with ThreadPoolExecutor(IN_FLIGHT) as threads:
        return sum(threads.map(ask, range(count)))


def on_pycurl(url: str, count: int) -> int:
    """One thread, libcurl's multi interface, handles used again."""
    import pycurl  # noqa: PLC0415

    multi, indices, tokens = pycurl.CurlMulti(), iter(range(count)), 0
    bodies: dict[Any, list[bytes]] = {}

    def ask(handle: Any) -> int:
        index = next(indices, None)
        if index is None:
            return 0
        headers, body = signed(url, index)
        bodies[handle] = []
        handle.setopt(pycurl.HTTPHEADER, [f"{name}: {text}" for name, text in headers.items()])
        handle.setopt(pycurl.POSTFIELDS, body)
        handle.setopt(pycurl.WRITEFUNCTION, bodies[handle].append)
        multi.add_handle(handle)
        return 1

    handles = [pycurl.Curl() for _ in range(IN_FLIGHT)]
    for handle in handles:
        handle.setopt(pycurl.URL, f"{url}{PATH}".encode())
    left = sum(ask(handle) for handle in handles)
    while left:
        multi.perform()
        _, ended, failed = multi.info_read()
        assert not failed
        for handle in ended:
            multi.remove_handle(handle)
            tokens += tokens_of(b"".join(bodies[handle]))
            left += ask(handle) - 1
        if not ended:
            multi.select(1.0)
    return tokens


def on_boto3(url: str, count: int) -> int:
    """Threads over one client of boto3."""
    import boto3  # noqa: PLC0415
    from botocore.config import Config  # noqa: PLC0415

    client = boto3.client(
        "bedrock-runtime",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",  # noqa: S106 - as above
        config=Config(max_pool_connections=IN_FLIGHT),
    )

    def ask(index: int) -> int:
        reply: Any = client.converse(
            modelId=MODEL,
            messages=[{"role": "user", "content": [{"text": PROMPT.format(index=index)}]}],
            inferenceConfig={"maxTokens": MAX_TOKENS},
        )
        return int(reply["usage"]["outputTokens"])

    with ThreadPoolExecutor(IN_FLIGHT) as threads:
        return sum(threads.map(ask, range(count)))


CANDIDATES: Final[dict[str, Callable[[str, int], int]]] = {
    "own reader": on_a_loop(OwnReader),
    "httptools": on_a_loop(HttptoolsReader),
    "httptools, uvloop": on_uvloop,
    "h11": on_a_loop(H11Reader),
    "pycurl": on_pycurl,
    "aiohttp": on_aiohttp,
    "urllib3, threads": on_urllib3,
    "boto3, threads": on_boto3,
}


def run_one(name: str, url: str, count: int) -> None:
    """One candidate in this process; its figures as a line of JSON."""
    CANDIDATES[name](url, IN_FLIGHT)  # imports and first connections
    before, started = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    CANDIDATES[name](url, count)
    seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(json.dumps([count / seconds, cpu / count * 1000, after.ru_maxrss / 1024]))


def main() -> None:
    """All candidates in turn, or the one that is named."""
    parser = argparse.ArgumentParser(description="CPU of a signed request by client.")
    parser.add_argument("--calls", type=int, default=3000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--one", choices=CANDIDATES, help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        run_one(arguments.one, arguments.url, arguments.calls)
        return
    from tests.bench.engine import double_process  # noqa: PLC0415

    for latency_ms in LATENCIES_MS:
        figures: dict[str, list[list[float]]] = {name: [] for name in CANDIDATES}
        with double_process(latency_ms) as double:
            for _ in range(arguments.repeat):
                for name, runs in figures.items():
                    command = [sys.executable, __file__, "--one", name, "--url", double.url]
                    command += ["--calls", str(arguments.calls)]
                    runs.append(json.loads(subprocess.check_output(command)))
        print(f"\n{latency_ms:2} ms, {IN_FLIGHT} in flight  calls/s   CPU ms/call   RSS MB")
        for name, runs in figures.items():
            rate, cpu, memory = (statistics.median(each) for each in zip(*runs, strict=True))
            print(f"{name:20} {rate:9.0f} {cpu:12.3f} {memory:9.0f}", flush=True)


if __name__ == "__main__":
    main()
