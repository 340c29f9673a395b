"""The native protocol: every event as one SSE frame, its seq as the SSE id.

A live reader, a late reader and a reader next year get the same bytes: a frame depends on nothing
but the event and the reader's wish for ``event:`` lines.
"""

from collections.abc import Collection, Sequence
from typing import Final, get_args

from agent_server.agents import nearest
from agent_server.errors import InvalidRequest
from agent_server.events import AnyEvent, RecordedEvent

RETRY_MS: Final = 2_000
"""How long a client should wait before it connects again."""

EVENT_TYPES: Final = tuple(str(event.model_fields["type"].default) for event in get_args(AnyEvent))
"""Every event type, in the order of the union."""


class NativeWire:
    """Encodes recorded events for ``GET /v1/runs/{id}/events``.

    ``named=False`` leaves the ``event:`` lines out, for plain ``EventSource.onmessage``; ``types``
    lets only those through.
    """

    head: Final = b"retry: %d\n: connected\n\n" % RETRY_MS
    farewell: Final = b": the server is stopping, connect again\nretry: %d\n\n" % RETRY_MS
    tail: Final = b""
    done: Final = False

    def __init__(self, *, named: bool = True, types: Collection[str] | None = None) -> None:
        self._named = named
        self._types = types

    def encode(self, events: Sequence[RecordedEvent]) -> bytes:
        """Return the frames of ``events`` in one piece."""
        if self._types is not None:
            events = [event for event in events if event.type in self._types]
        if self._named:
            return b"".join(
                [
                    b"id: %d\nevent: %b\ndata: %b\n\n" % (e.seq, e.type.encode(), e.json)
                    for e in events
                ]
            )
        return b"".join([b"id: %d\ndata: %b\n\n" % (event.seq, event.json) for event in events])


def parse_types(names: str | None) -> frozenset[str] | None:
    """Read a comma-separated list of event types; None lets all through.

    Raises:
        InvalidRequest: code ``unknown_event_type``, naming the nearest match.
    """
    if names is None:
        return None
    wanted = frozenset(name.strip() for name in names.split(","))
    for name in sorted(wanted.difference(EVENT_TYPES)):
        raise InvalidRequest(
            f"No event type is named {name[:64]!r}.{nearest(name[:64], EVENT_TYPES)}",
            code="unknown_event_type",
            param="types",
        )
    return wanted
