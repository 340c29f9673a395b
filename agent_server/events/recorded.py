"""Events on disk, as bytes that every reader shares, and the door they go through."""

from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

from agent_server.events.union import TERMINAL_TYPES, AnyEvent, event_adapter
from agent_server.messages import JsonObject

ENVELOPE_VERSION: Final = 1

_ENVELOPE_FIELDS: Final = {"type", "turn"}


def encode_data(event: AnyEvent) -> bytes:
    """Encode the fields that are the event's own, as a JSON object: what the store keeps.

    Every event is encoded exactly once; live readers and late readers get these bytes.
    """
    return event.__pydantic_serializer__.to_json(event, exclude=_ENVELOPE_FIELDS)


@dataclass(slots=True)
class RecordedEvent:
    """An event on disk, with its place in its run. Nobody changes one.

    ``seq`` counts from 1 without gaps and is the SSE id; ``ts`` is in epoch milliseconds; ``data``
    is the encoded object of the event's own fields.
    """

    run_id: str
    thread_id: str
    seq: int
    ts: int
    type: str
    turn: int | None
    data: bytes
    _json: bytes | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def json(self) -> bytes:
        """The whole event as clients get it: one JSON object, no newline. Encoded once."""
        if self._json is None:
            self._json = (
                b'{"v":%d,"run_id":"%b","thread_id":"%b","seq":%d,"ts":%d,"type":"%b","turn":%b'
                % (
                    ENVELOPE_VERSION,
                    self.run_id.encode(),
                    self.thread_id.encode(),
                    self.seq,
                    self.ts,
                    self.type.encode(),
                    self._rest,
                )
            )
        return self._json

    @property
    def is_terminal(self) -> bool:
        """Whether this is the last event of its run."""
        return self.type in TERMINAL_TYPES

    def parse(self) -> AnyEvent:
        """Decode the typed event from the recorded bytes."""
        return event_adapter.validate_json(
            b'{"type":"%b","turn":%b' % (self.type.encode(), self._rest)
        )

    @property
    def _rest(self) -> bytes:
        """The turn and the event's own fields, up to the closing brace."""
        turn = b"null" if self.turn is None else b"%d" % self.turn
        return turn + (b"}" if self.data == b"{}" else b"," + self.data[1:])


@dataclass(frozen=True, slots=True)
class RawAttempt:
    """The exact bytes and facts of one attempt at a turn's model call.

    ``request`` is the request's sha256 (hex) over its canonical JSON; ``response`` the provider's
    body as received, perhaps cut; times are epoch microseconds.
    """

    turn: int
    attempt: int
    status: Literal["completed", "failed", "cancelled"]
    request_sha256: str
    params: JsonObject
    response: bytes
    upstream_request_id: str | None
    error_code: str | None
    started_at: int
    finished_at: int


class Emit(Protocol):
    """Where the loop sends its events.

    Returns at once for buffered events (deltas, output, progress), in order; waits above 256 KiB
    buffered. For any other event it returns after the commit. ``raw`` is written in the same
    transaction.

    Raises:
        Fenced: the run has another owner now.
        StoreError: the event is not on disk and never will be.
    """

    async def __call__(self, *events: AnyEvent, raw: RawAttempt | None = None) -> None:
        """Take events, in order."""
        ...
