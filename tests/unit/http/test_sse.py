import asyncio
from collections.abc import AsyncGenerator, Sequence

from starlette.types import Message

from agent_server.events import RecordedEvent
from agent_server.http.requests import Exchange
from agent_server.http.sse import Wire, stream_events
from agent_server.wire.native import NativeWire

LIMIT_S = 10
GET = {"type": "http", "method": "GET"}


def event(seq: int) -> RecordedEvent:
    return RecordedEvent(
        run_id="r", thread_id="t", seq=seq, ts=0, type="run.started", turn=None, data=b"{}"
    )


class Client:
    """An ASGI client that keeps what it is sent and goes when told."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.gone = asyncio.Event()
        self.first = asyncio.Event()

    async def receive(self) -> Message:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.sent.append(message)
        self.first.set()

    @property
    def pieces(self) -> list[bytes]:
        return [message["body"] for message in self.sent[1:]]


class Source:
    """Batches, then nothing for ever if it ``stays``; knows whether it was given back."""

    def __init__(self, *batches: Sequence[RecordedEvent], stays: bool = False) -> None:
        self.batches = batches
        self.stays = stays
        self.closed = False

    async def read(self) -> AsyncGenerator[list[RecordedEvent], None]:
        try:
            for batch in self.batches:
                yield list(batch)
            if self.stays:
                await asyncio.Event().wait()
        finally:
            self.closed = True


async def play(source: Source, client: Client, exchange: Exchange, **options: object) -> None:
    wire: Wire = NativeWire()
    batches = source.read()
    await anext(batches)  # whoever holds a reader has begun to read
    response = stream_events(batches, wire, exchange=exchange, heartbeat_s=60, **options)  # type: ignore[arg-type]
    async with asyncio.timeout(LIMIT_S):
        await response(GET, client.receive, client.send)


async def test_each_batch_is_one_write() -> None:
    client, exchange = Client(), Exchange()
    source = Source([event(1)], [event(2), event(3)], [event(4)])
    await play(source, client, exchange, held=[event(1)])
    encode = NativeWire().encode
    assert client.pieces == [
        NativeWire.head + encode([event(1)]),
        encode([event(2), event(3)]),
        encode([event(4)]),
        b"",
    ]
    assert (exchange.events, exchange.end_reason) == (4, "complete")


async def test_a_client_that_goes_gives_its_reader_back() -> None:
    client, exchange = Client(), Exchange()
    source = Source([event(1)], stays=True)
    async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as group:
        group.create_task(play(source, client, exchange))
        await client.first.wait()
        client.gone.set()
    assert source.closed
    assert exchange.end_reason == "disconnect"


async def test_a_client_that_is_gone_before_the_first_byte_gives_its_reader_back() -> None:
    client, exchange = Client(), Exchange()
    client.gone.set()
    source = Source([event(1)], stays=True)
    await play(source, client, exchange)
    assert source.closed


async def test_a_head_request_opens_no_stream_and_gives_the_reader_back() -> None:
    client, source = Client(), Source([event(1)], stays=True)
    batches = source.read()
    await anext(batches)
    response = stream_events(batches, NativeWire(), exchange=Exchange(), heartbeat_s=60)
    async with asyncio.timeout(LIMIT_S):
        await response({"type": "http", "method": "HEAD"}, client.receive, client.send)
    assert client.pieces == [b""]
    assert source.closed
