"""The one file that knows Server-Sent Events: a run's events, encoded, on an open response.

``EventSourceResponse`` gives the heartbeat, the end on disconnect and the signal on shutdown. It is
fed with whole frames in bytes, all that is ready in one piece. Nothing of a run lives here: a
stream is a reader, and may go at any moment.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, Final, Protocol, Self

import anyio
from sse_starlette import EventSourceResponse
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from agent_server.events import RecordedEvent
from agent_server.http.requests import Exchange
from agent_server.wire.timing import Batches

FAREWELL_S: Final = 2.0
"""How long a stream may take to say farewell; less than the server's own limit."""
HEARTBEAT: Final = b": keep-alive\n\n"
HEADERS: Final = {"Cache-Control": "no-cache, no-transform"}


class Wire(Protocol):
    """One client protocol on one stream."""

    @property
    def head(self) -> bytes:
        """What comes before the first event."""
        ...

    @property
    def tail(self) -> bytes:
        """What comes after the last event."""
        ...

    @property
    def farewell(self) -> bytes:
        """What comes instead of the rest when the server stops."""
        ...

    @property
    def done(self) -> bool:
        """Whether the stream ends here, though the run may go on."""
        ...

    def encode(self, events: Sequence[RecordedEvent]) -> bytes:
        """Return the frames of ``events`` in one piece, perhaps none."""
        ...


class _Stopping(Exception):  # noqa: N818 (not an error)
    """The server stops."""


class _Shutdown(anyio.Event):
    """Set by the response when the server stops; ends whatever the stream waits for."""

    def __new__(cls) -> Self:
        return object.__new__(cls)

    def __init__(self) -> None:
        self._stopping = False
        self._wait: anyio.CancelScope | None = None

    def set(self) -> None:
        self._stopping = True
        if self._wait is not None:
            self._wait.cancel()

    def is_set(self) -> bool:
        return self._stopping

    async def next_of(self, batches: Batches) -> list[RecordedEvent] | None:
        """Return the next batch, None after the last; raise ``_Stopping`` if the server stops."""
        if self._stopping:
            raise _Stopping
        try:
            with anyio.CancelScope() as self._wait:
                return await anext(batches, None)
        finally:
            self._wait = None
        raise _Stopping


class _EventStream(EventSourceResponse):
    """A response that always gives its reader back, even if it never began to read."""

    def __init__(
        self, frames: AsyncGenerator[bytes, None], batches: Batches, **options: Any
    ) -> None:
        super().__init__(frames, **options)
        self._batches = batches

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._batches.aclose()


def stream_events(
    batches: Batches,
    wire: Wire,
    *,
    exchange: Exchange,
    heartbeat_s: float,
    held: Sequence[RecordedEvent] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return a response that sends ``held``, then ``batches``, as ``wire`` encodes them."""
    shutdown = _Shutdown()
    return _EventStream(
        _frames(batches, wire, held=held, exchange=exchange, shutdown=shutdown),
        batches,
        headers={**HEADERS, **(headers or {})},
        sep="\n",
        ping=heartbeat_s,
        ping_message_factory=lambda: HEARTBEAT,
        shutdown_event=shutdown,
        shutdown_grace_period=FAREWELL_S,
    )


async def _frames(
    batches: Batches,
    wire: Wire,
    *,
    held: Sequence[RecordedEvent],
    exchange: Exchange,
    shutdown: _Shutdown,
) -> AsyncGenerator[bytes, None]:
    """Yield the stream in pieces; note in ``exchange`` how it went."""
    exchange.events = len(held)
    exchange.end_reason = "disconnect"
    begin = wire.head + wire.encode(held)
    if begin:
        yield begin
    try:
        while not wire.done and (batch := await shutdown.next_of(batches)) is not None:
            piece = wire.encode(batch)
            if piece:
                yield piece
            exchange.events += len(batch)
    except _Stopping:
        exchange.end_reason = "shutdown"
        yield wire.farewell
        return
    if wire.tail:
        yield wire.tail
    exchange.end_reason = "complete"
