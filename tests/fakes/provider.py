"""A fake of the model provider on a loopback port: exact bytes, faults on demand, strict requests.

The model's name chooses what is played: a recording of ``folder``, a scenario, or turns that a
test has queued; which turn follows from the transcript. Faults are suffixes of the name::

    text!cut=0.5      the connection breaks after half of the bytes
    text!stall=0.5    silence after half of the bytes, until the client closes
    text!byte=1       so many bytes a write           text!crlf     CRLF line ends
    text!error=0.5    an overload error inside        text!nostop   no message_stop, a clean end
    text!status=529   an error answer                 text!status=429*1   once, with retry-after
    text!empty        no bytes                        text!garbage  data that is no JSON
    text!json         an answer that is no stream     text!reset    closed without an answer

It refuses what the real API refuses (``transcripts.py``). As a script it serves until interrupted:
``python tests/fakes/provider.py --port 8100 --folder RECORDINGS``.
"""

import argparse
import asyncio
import contextlib
import json
import sys
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.fakes.scenarios import SCENARIOS
from tests.fakes.transcripts import complaint

JsonObject = dict[str, Any]

_ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_EVENT_STREAM = "text/event-stream; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> JsonObject:
        value: JsonObject = json.loads(self.raw)
        return value


@dataclass(frozen=True, slots=True)
class Abort:
    """A response whose client closed the connection before its end."""

    model: str
    sent_bytes: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked for by a model's name."""

    scenario: str
    faults: dict[str, str]

    @classmethod
    def parse(cls, model: str) -> Self:
        scenario, *suffixes = model.split("!")
        pairs = (suffix.partition("=") for suffix in suffixes)
        return cls(scenario, {name: value for name, _, value in pairs})

    def share(self, name: str) -> float | None:
        """The fraction of the bytes after which a fault happens."""
        return float(self.faults[name] or "0.5") if name in self.faults else None


class _Reader(asyncio.StreamReader):
    """A reader that says when its peer has gone, without having to read."""

    def __init__(self) -> None:
        super().__init__(limit=64 * 1024)
        self.gone = asyncio.Event()

    def feed_eof(self) -> None:
        super().feed_eof()
        self.gone.set()

    def set_exception(self, exc: Exception) -> None:
        super().set_exception(exc)
        self.gone.set()


@dataclass(slots=True)
class FakeProvider:
    """What tests see of the fake: its address, what it received, who hung up."""

    folder: Path | None = None
    default: str | None = None
    url: str = ""
    requests: list[Received] = field(default_factory=list)
    aborts: list[Abort] = field(default_factory=list)
    turns: deque[bytes] = field(default_factory=deque)
    connections: int = 0
    aborted: asyncio.Event = field(default_factory=asyncio.Event)
    streaming: asyncio.Event = field(default_factory=asyncio.Event)
    _failed: Counter[str] = field(default_factory=Counter)
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _idle: asyncio.Event = field(default_factory=asyncio.Event)

    def queue(self, *responses: bytes) -> None:
        """Play these next, whatever the model's name (its faults still hold)."""
        self.turns.extend(responses)

    def play(self, name: str, body: JsonObject) -> bytes | None:
        """Return the response to ``body``, None for a model that does not exist."""
        if self.turns:
            return self.turns.popleft()
        turn = _turn_of(body["messages"])
        responses = SCENARIOS.get(name) or self._recorded(name)
        if not responses:
            return self.play(self.default, body) if self.default not in {None, name} else None
        response = responses[min(turn, len(responses) - 1)]
        return response.replace(b"toolu_fake_1", b"toolu_fake_%d" % (turn + 1))

    def _recorded(self, name: str) -> list[bytes]:
        if self.folder is None or not name.replace("_", "").isalnum():
            return []
        return [path.read_bytes() for path in sorted(self.folder.glob(f"{name}.*.sse"))]

    # --- one connection --------------------------------------------------------------------

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection until it closes."""
        assert isinstance(reader, _Reader)
        self._writers.add(writer)
        self._idle.clear()
        self.connections += 1
        try:
            while (received := await _read_request(reader)) is not None:
                self.requests.append(received)
                if not await self._answer(received, reader, writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client has gone: that is one of the things it may do
        finally:
            writer.close()
            self._writers.discard(writer)
            if not self._writers:
                self._idle.set()

    async def _answer(
        self, received: Received, reader: _Reader, writer: asyncio.StreamWriter
    ) -> bool:
        """Answer one request; return whether the connection lives on."""
        status, why = self._judge(received)
        model = str(received.body.get("model")) if status != 400 else ""
        plan = Plan.parse(model)
        if status == 200:
            status, why = self._fault_status(model, plan)
        response = self.play(plan.scenario, received.body) if status == 200 else None
        if status == 200 and response is None:
            status, why = 404, f"model: {plan.scenario}"
        if "reset" in plan.faults:
            writer.transport.abort()
            return False
        if status != 200 or response is None:
            retry_after = {"retry-after": "1"} if status == 429 else {}
            _write_json(writer, status, _error(status, why), headers=retry_after)
            await writer.drain()
            return True
        if "json" in plan.faults:
            _write_json(writer, 200, {"type": "message", "content": []})
            await writer.drain()
            return True
        return await self._stream(_spoil(response, plan), plan, model, reader, writer)

    def _judge(self, received: Received) -> tuple[int, str]:
        try:
            body = received.body
        except ValueError:
            return 400, "the body is not valid JSON"
        if "wrong" in received.headers.get("authorization", ""):
            return 401, "invalid x-api-key"
        if not received.path.startswith("/v1/messages"):
            return 404, received.path
        why = complaint(body)
        return (400, why) if why else (200, "")

    def _fault_status(self, model: str, plan: Plan) -> tuple[int, str]:
        value = plan.faults.get("status")
        if value is None:
            return 200, ""
        status, _, times = value.partition("*")
        if times and self._failed[model] >= int(times):
            return 200, ""
        self._failed[model] += 1
        return int(status), f"as asked: {status}"

    async def _stream(
        self,
        data: bytes,
        plan: Plan,
        model: str,
        reader: _Reader,
        writer: asyncio.StreamWriter,
    ) -> bool:
        stop = plan.share("cut") or plan.share("stall")
        size = int(plan.faults.get("byte") or 0)
        end = len(data) if stop is None else int(len(data) * stop)
        sent = await self._send(data[:end], size, reader, writer)
        if "stall" in plan.faults:
            self.streaming.set()
            await reader.gone.wait()
        if reader.gone.is_set():
            self.aborts.append(Abort(model, sent))
            self.aborted.set()
            return False
        if "cut" in plan.faults:
            writer.transport.abort()
            return False
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True

    async def _send(
        self, data: bytes, size: int, reader: _Reader, writer: asyncio.StreamWriter
    ) -> int:
        """Write a chunk a piece; return how many bytes went out before the client hung up."""
        sent = 0
        try:
            writer.write(_head(200, _EVENT_STREAM, "transfer-encoding: chunked"))
            for piece in _pieces(data, size):
                writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                await writer.drain()
                sent += len(piece)
                self.streaming.set()
                # Without this a client that hangs up is seen only once the socket is full.
                await asyncio.sleep(0)
                if reader.gone.is_set():
                    break
        except ConnectionError:
            reader.gone.set()
        return sent

    async def close(self) -> None:
        """Break every connection and wait for their ends."""
        for writer in list(self._writers):
            writer.transport.abort()
        if self._writers:
            async with asyncio.timeout(5):
                await self._idle.wait()


@contextlib.asynccontextmanager
async def serve_provider(
    *, folder: Path | None = None, default: str | None = None, port: int = 0
) -> AsyncIterator[FakeProvider]:
    """Serve a fake provider on a loopback port; ``default`` names what unknown models play."""
    fake = FakeProvider(folder=folder, default=default)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: asyncio.StreamReaderProtocol(_Reader(), fake.serve), "127.0.0.1", port
    )
    fake.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield fake
    finally:
        server.close()
        await fake.close()
        await server.wait_closed()


async def _read_request(reader: asyncio.StreamReader) -> Received | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    line, *lines = head.decode("latin-1").strip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (x.partition(":") for x in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Received(line.split()[1], headers, body)


def _turn_of(messages: list[JsonObject]) -> int:
    """Which turn of its script a transcript has come to: results given, plus a pause continued."""
    results = sum(
        isinstance(message["content"], list)
        and any(block["type"] == "tool_result" for block in message["content"])
        for message in messages
    )
    return results + int(messages[-1]["role"] == "assistant")


def _spoil(data: bytes, plan: Plan) -> bytes:
    """Apply the faults that change the bytes themselves."""
    if "empty" in plan.faults:
        return b""
    if "garbage" in plan.faults:
        return b"event: message_start\ndata: <html>no</html>\n\n"
    share = plan.share("error")
    if "nostop" in plan.faults or share is not None:
        events = [event + b"\n\n" for event in data.rstrip(b"\n").split(b"\n\n")]
        events = [event for event in events if b"message_stop" not in event]
        if share is not None:
            error = json.dumps(_error(529, "Overloaded")).encode()
            events = [*events[: int(len(events) * share)], b"event: error\ndata: %b\n\n" % error]
        data = b"".join(events)
    return data.replace(b"\n", b"\r\n") if "crlf" in plan.faults else data


def _pieces(data: bytes, size: int) -> Iterator[bytes]:
    """Cut into pieces of ``size`` bytes; 0: an event a piece."""
    if size:
        yield from (data[start : start + size] for start in range(0, len(data), size))
        return
    end = b"\r\n\r\n" if b"\r\n\r\n" in data else b"\n\n"
    start = 0
    while start < len(data):
        found = data.find(end, start)
        stop = len(data) if found < 0 else found + len(end)
        yield data[start:stop]
        start = stop


def _error(status: int, why: str) -> JsonObject:
    kind = _ERROR_TYPES.get(status, "api_error")
    return {"type": "error", "error": {"type": kind, "message": why}, "request_id": "req_fake"}


def _head(status: int, kind: str, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} Fake", f"content-type: {kind}", "request-id: req_fake", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _write_json(
    writer: asyncio.StreamWriter,
    status: int,
    body: JsonObject,
    *,
    headers: dict[str, str] | None = None,
) -> None:
    data = json.dumps(body).encode()
    extra = [f"{name}: {value}" for name, value in (headers or {}).items()]
    length = f"content-length: {len(data)}"
    writer.write(_head(status, "application/json", length, *extra) + data)


async def _main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=None, help="recordings: NAME.TURN.sse")
    parser.add_argument("--default", default="text", help="what a model of another name plays")
    options = parser.parse_args()
    async with serve_provider(
        folder=options.folder, default=options.default, port=options.port
    ) as fake:
        sys.stdout.write(f"{fake.url}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_main())
