"""Byte proxies on the same uvicorn: the limits that a server's cost per delta is compared with.

``raw``: asyncio.Protocol to the provider, ASGI ``send`` to the client: the least Python can do.
``httpx2``: the same over httpx2, what anyone on the SDK's default transport could at best reach.
"""

import argparse
import asyncio
import json
import os
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any, cast

import httpx2
import uvicorn

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
HEADERS = [(b"content-type", b"text/event-stream")]


async def read_body(receive: Receive) -> bytes:
    """Read an ASGI request body."""
    body: bytes = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body


class _Upstream(asyncio.Protocol):
    """Queues what the provider sends, without its response head and chunk framing."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._head_passed = False
        self._buffer = b""
        self.pending: list[bytes] = []
        self.wake = asyncio.Event()
        self.ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.Transport", transport).write(self._request)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._head_passed:
            _, separator, rest = self._buffer.partition(b"\r\n\r\n")
            if not separator:
                return
            self._head_passed, self._buffer = True, rest
        while True:
            size_text, separator, rest = self._buffer.partition(b"\r\n")
            if not separator:
                break
            size = int(size_text, 16)
            if len(rest) < size + 2:
                break
            if size:
                self.pending.append(rest[:size])
            self._buffer = rest[size + 2 :]
        self.wake.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended = True
        self.wake.set()


def raw_proxy(port: int) -> Callable[[Message, Receive, Send], Awaitable[None]]:
    """Make the ASGI app of the raw proxy."""

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        body = await read_body(receive)
        head = (
            f"POST /v1/messages HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
            "connection: close\r\n\r\n"
        )
        loop = asyncio.get_running_loop()
        transport, upstream = await loop.create_connection(
            lambda: _Upstream(head.encode() + body), "127.0.0.1", port
        )
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        while not upstream.ended or upstream.pending:
            await upstream.wake.wait()
            upstream.wake.clear()
            pending, upstream.pending = upstream.pending, []
            if pending:
                await send(
                    {"type": "http.response.body", "body": b"".join(pending), "more_body": True}
                )
        await send({"type": "http.response.body", "body": b""})
        transport.close()

    return app


def httpx2_proxy(port: int) -> Callable[[Message, Receive, Send], Awaitable[None]]:
    """Make the ASGI app of the httpx2 proxy."""
    client = httpx2.AsyncClient(
        base_url=f"http://127.0.0.1:{port}",
        timeout=None,
        limits=httpx2.Limits(max_connections=2_000),
    )

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        body = await read_body(receive)
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        headers = {"content-type": "application/json"}
        async with client.stream("POST", "/v1/messages", content=body, headers=headers) as answer:
            async for piece in answer.aiter_raw():
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    return app


def main() -> None:
    """Serve one proxy on a free loopback port and say where in the ready file."""
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=["raw", "httpx2"])
    parser.add_argument("--upstream", type=int, required=True)
    parser.add_argument("--ready-file", type=Path, required=True)
    arguments = parser.parse_args()
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", 0))
    listener.listen(2048)
    make = raw_proxy if arguments.kind == "raw" else httpx2_proxy
    config = uvicorn.Config(
        make(arguments.upstream),
        log_level="warning",
        access_log=False,
        loop="uvloop",
        http="httptools",
        lifespan="off",
        timeout_graceful_shutdown=2,
    )
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    arguments.ready_file.write_text(json.dumps({"url": url, "pid": os.getpid()}))
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
