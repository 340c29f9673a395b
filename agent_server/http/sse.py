"""The one file that knows Server-Sent Events: a run's events, encoded, on an open response.

``EventSourceResponse`` gives the heartbeat, the end on disconnect and the signal on shutdown. It is
fed with whole frames in bytes, all that is ready in one piece. Nothing of a run lives here: a
stream is a reader, and may go at any moment.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, Final, Protocol, Self

import anyio
from sse_starlette import EventSourceResponse
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

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
    """Set by the response when the server stops; ends whatever the stream waits for.

    It does so as ``asyncio.timeout`` does, by cancelling the task and catching that again: this
    costs nothing while the stream runs, where a cancel scope for each batch is a third of its cost.
    """

    def __new__(cls) -> Self:
        return object.__new__(cls)

    def __init__(self) -> None:
        self._stopping = False
        self._waiting: asyncio.Task[Any] | None = None

    def set(self) -> None:
        self._stopping = True
        if self._waiting is not None:
            self._waiting.cancel()

    def is_set(self) -> bool:
        return self._stopping

    async def next_of(self, batches: Batches) -> list[RecordedEvent] | None:
        """Return the next batch, None after the last; raise ``_Stopping`` if the server stops.

        A cancellation that ``set`` made ends here; a cancel scope for each batch would cost more
        than the batch does.
        """
        if self._stopping:
            raise _Stopping
        self._waiting = task = asyncio.current_task()
        try:
            return await anext(batches, None)
        except asyncio.CancelledError:
            if not self._stopping or task is None or task.uncancel() > 0:
                raise
            raise _Stopping from None
        finally:
            self._waiting = None


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

    async def _send_with_timeout(self, send: Send, message: Message) -> None:
        await send(message)  # no limit of its own: TCP_USER_TIMEOUT ends dead connections


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
