"""A fake provider for benchmarks: paced text streams, written by a server that costs little.

The model name says what to send: ``bench-<deltas>-<interval_ms>``. Each delta's text is 20
characters: ``|``, the time it was written (nanoseconds, monotonic) and padding.
"""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n"
    b"request-id: req_bench\r\n\r\n"
)
_MODEL = re.compile(rb'"model": ?"bench-(\d+)-(\d+)"')


def _frame(event: dict[str, object]) -> bytes:
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()


_START = _frame(
    {
        "type": "message_start",
        "message": {
            "id": "msg_bench",
            "type": "message",
            "role": "assistant",
            "model": "bench",
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": 10, "output_tokens": 1},
        },
    }
) + _frame(
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
)
_DELTA = (
    b"event: content_block_delta\ndata: "
    b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"|%018d "}}\n\n'
)
_END = (
    _frame({"type": "content_block_stop", "index": 0})
    + _frame(
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {"output_tokens": 500},
        }
    )
    + _frame({"type": "message_stop"})
)


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class _Upstream(asyncio.Protocol):
    """One connection: reads a request, plays its stream, waits for the next."""

    def __init__(self) -> None:
        self._buffer = b""
        self._transport: asyncio.Transport | None = None
        self._left = 0
        self._interval_s = 0.0
        self._next = 0.0
        self._closes = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, separator, body = self._buffer.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        if not separator or length is None or len(body) < int(length.group(1)):
            return
        asked = _MODEL.search(body)
        assert asked is not None
        assert self._transport is not None
        self._buffer = b""
        self._closes = b"connection: close" in head.lower()
        self._left, self._interval_s = int(asked.group(1)), int(asked.group(2)) / 1000
        self._next = asyncio.get_running_loop().time()
        self._transport.write(_HEAD + _chunk(_START))
        self._send()

    def _send(self) -> None:
        transport = self._transport
        assert transport is not None
        if transport.is_closing():
            return
        if not self._left:
            transport.write(_chunk(_END) + b"0\r\n\r\n")
            if self._closes:
                transport.close()
            return
        transport.write(_chunk(_DELTA % time.monotonic_ns()))
        self._left -= 1
        self._next += self._interval_s
        asyncio.get_running_loop().call_at(self._next, self._send)


@asynccontextmanager
async def serve_upstream() -> AsyncIterator[int]:
    """Serve on a free loopback port; yield the port."""
    server = await asyncio.get_running_loop().create_server(_Upstream, "127.0.0.1", 0, backlog=2048)
    async with server:
        yield server.sockets[0].getsockname()[1]
