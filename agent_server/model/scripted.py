"""ScriptedModel: plays a list of turns, for tests of agents, adapters and servers.

A turn is made of parts: ``text``, ``thinking`` and ``call`` blocks, ``raw`` bytes, ``error``
events, and ``pause`` for whatever the script has to wait for. It becomes the provider's own wire
bytes and passes the same parser as the real thing.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from agent_server.errors import ModelError
from agent_server.messages import JsonObject
from agent_server.model import ModelRequest, ModelStream, wire
from agent_server.model.stream import ParsedStream

_USAGE: Final[JsonObject] = {"input_tokens": 10, "output_tokens": 5}


@dataclass(frozen=True, slots=True)
class Text:
    """A text block, a delta a piece."""

    pieces: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Thinking:
    """A thinking block, a delta a piece."""

    pieces: tuple[str, ...]
    signature: str


@dataclass(frozen=True, slots=True)
class Call:
    """A ``tool_use`` block; ``pieces`` are its input's JSON text, sound or not."""

    name: str
    pieces: tuple[str, ...]
    call_id: str | None


@dataclass(frozen=True, slots=True)
class Raw:
    """Bytes as they are, framing and all."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Pause:
    """A point where the stream waits for ``hook`` to return."""

    hook: Callable[[], Awaitable[object]]


Part = Text | Thinking | Call | Raw | Pause


@dataclass(frozen=True, slots=True)
class Turn:
    """One response. ``failure`` is raised instead of opening the stream.

    ``stop_reason`` None: ``tool_use`` where there are calls, else ``end_turn``. ``cut_at`` ends the
    bytes there. ``ends`` False: the stream lacks ``message_delta`` and ``message_stop``.
    """

    parts: tuple[Part, ...] = ()
    stop_reason: str | None = None
    stop_details: JsonObject | None = None
    usage: JsonObject = field(default_factory=lambda: dict(_USAGE))
    cut_at: int | None = None
    starts: bool = True
    ends: bool = True
    failure: ModelError | None = None
    request_id: str | None = "req_scripted"


Reply = Turn | Part | str | Sequence[Part]
"""What a script may hold: a whole turn, its parts, one part, or the text of an answer."""


def text(*pieces: str) -> Text:
    """Say something, a delta a piece."""
    return Text(pieces)


def thinking(*pieces: str, signature: str = "c2lnbmF0dXJl") -> Thinking:
    """Think aloud."""
    return Thinking(pieces, signature)


def call(
    name: str,
    arguments: JsonObject | str | None = None,
    *,
    call_id: str | None = None,
    deltas: int = 2,
) -> Call:
    """Call a tool. ``arguments`` as a string are sent as they are, malformed ones included."""
    given = {} if arguments is None else arguments
    source = given if isinstance(given, str) else json.dumps(given)
    size = max(1, -(-len(source) // deltas))
    pieces = tuple(source[start : start + size] for start in range(0, len(source), size))
    return Call(name, pieces, call_id)


def raw(data: bytes) -> Raw:
    """Send bytes as they are."""
    return Raw(data)


def error(kind: str = "overloaded_error", message: str = "Overloaded") -> Raw:
    """Send an error event inside the stream."""
    return Raw(wire.error(kind, message))


def pause(hook: Callable[[], Awaitable[object]]) -> Pause:
    """Wait for ``hook`` at this point: ``event.wait`` of an ``asyncio.Event``, or a probe."""
    return Pause(hook)


def stall() -> Pause:
    """Wait for ever: only a watchdog or a cancellation ends this turn."""
    return Pause(asyncio.Event().wait)


def fail(failure: ModelError) -> Turn:
    """Raise ``failure`` instead of opening the stream."""
    return Turn(failure=failure)


class ScriptedModel:
    """Plays ``turns`` in order, one a request; a function among them gets the request.

    ``requests`` are the requests so far. A request after the last turn fails with a ModelError
    that says so.
    """

    def __init__(self, turns: Iterable[Reply | Callable[[ModelRequest], Reply]]) -> None:
        self._turns = list(turns)
        self.requests: list[ModelRequest] = []

    @property
    def provider(self) -> Literal["scripted"]:
        """The provider's name."""
        return "scripted"

    @contextlib.asynccontextmanager
    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelStream]:
        """Play the next turn.

        Raises:
            ModelError: the turn's own failure, or the script has no more turns.
        """
        self.requests.append(request)
        number = len(self.requests)
        turn = self._next(request)
        if turn.failure is not None:
            raise turn.failure
        async with contextlib.aclosing(_play(turn, number, request.model)) as chunks:
            yield ParsedStream(chunks, request_id=turn.request_id)

    async def aclose(self) -> None:
        """Nothing to close."""

    def _next(self, request: ModelRequest) -> Turn:
        number = len(self.requests)
        if number > len(self._turns):
            raise ModelError(
                f"ScriptedModel is out of turns: request {number} came, "
                f"but the script has {len(self._turns)}.",
                code="upstream_invalid_request",
                retryable=False,
            )
        reply = self._turns[number - 1]
        return _as_turn(reply(request) if callable(reply) else reply)


def _as_turn(reply: Reply) -> Turn:
    if isinstance(reply, Turn):
        return reply
    if isinstance(reply, str):
        return Turn((text(reply),))
    return Turn((reply,) if isinstance(reply, Part) else tuple(reply))


async def _play(turn: Turn, number: int, model: str) -> AsyncGenerator[bytes]:
    """Yield the turn's bytes, an event a chunk, up to where it is cut."""
    left = turn.cut_at
    for step in _steps(turn, number, model):
        if isinstance(step, Pause):
            await step.hook()
            continue
        chunk = step if left is None else step[:left]
        if chunk:
            # A real response yields to others between its chunks.
            await asyncio.sleep(0)
            yield chunk
        if left is not None:
            left -= len(chunk)
            if left == 0:
                return


def _steps(turn: Turn, number: int, model: str) -> Iterable[bytes | Pause]:
    if turn.starts:
        usage = {**turn.usage, "output_tokens": 1}
        yield wire.message_start(f"msg_scripted_{number}", model=model, usage=usage)
    index = calls = 0
    for part in turn.parts:
        match part:
            case Pause():
                yield part
                continue
            case Raw(data):
                yield data
                continue
            case Text(pieces):
                yield from wire.text_block(index, pieces)
            case Thinking(pieces, signature):
                yield from wire.thinking_block(index, pieces, signature=signature)
            case Call(name, pieces, call_id):
                calls += 1
                given = call_id or f"toolu_scripted_{number}_{calls}"
                yield from wire.call_block(index, call_id=given, name=name, pieces=pieces)
        index += 1
    if turn.ends:
        reason = turn.stop_reason or ("tool_use" if calls else "end_turn")
        yield wire.message_delta(reason, usage=turn.usage, stop_details=turn.stop_details)
        yield wire.message_stop()
