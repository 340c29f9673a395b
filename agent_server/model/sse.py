"""Server-sent events out of bytes that arrive split anywhere.

Source: WHATWG HTML, "Server-sent events", section 9.2.6 (parsing an event stream). ``id`` and
``retry`` belong to reconnecting, which a model's stream cannot do, and are dropped.
"""

from typing import Final, NamedTuple

MAX_EVENT_BYTES: Final = 16 * 1024 * 1024

_BOM: Final = b"\xef\xbb\xbf"
_MAX_FIELD_NAME: Final = 64


class SseEvent(NamedTuple):
    """One dispatched event; ``name`` is empty where the stream gave none."""

    name: bytes
    data: bytes


class SseTooLarge(Exception):  # noqa: N818 (named for what happened)
    """A line or event is larger than the decoder accepts."""


class SseDecoder:
    """Turns chunks of bytes into events. Sans-IO: ``feed`` it whatever arrives."""

    def __init__(self, *, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max = max_event_bytes
        self._head: bytes | None = b""
        self._after_cr = False
        self._line: list[bytes] = []
        self._line_size = 0
        self._name = b""
        self._data: list[bytes] = []
        self._data_size = 0
        self._inside = False

    def feed(self, chunk: bytes) -> list[SseEvent]:
        """Return the events that ``chunk`` completes, in order.

        Raises:
            SseTooLarge: a line or an event exceeds the limit; the decoder is of no more use.
        """
        events: list[SseEvent] = []
        if self._head is not None:
            chunk = self._skip_bom(self._head + chunk)
        if self._after_cr or b"\r" in chunk:
            chunk = self._unify_ends(chunk)
        if not chunk:
            return events
        if self._inside:
            chunk = self._finish_event(chunk, events)
        blocks = chunk.split(b"\n\n")
        rest = blocks.pop()
        for block in blocks:
            if block[:7] == b"event: ":
                # What every provider sends: one name, one line of data.
                name, found, data = block[7:].partition(b"\ndata: ")
                if found and b"\n" not in data and b"\n" not in name:
                    if len(data) > self._max:
                        raise SseTooLarge
                    events.append(SseEvent(name, data))
                    continue
            self._take(block + b"\n\n", events)
        if rest:
            self._inside = True
            self._take(rest, events)
        return events

    def flush(self) -> list[SseEvent]:
        """Return the event that the end of the stream left without its blank line, if any.

        Browsers drop such an event; some providers' last one comes so.
        """
        events: list[SseEvent] = []
        if self._inside:
            self._take(b"\n\n", events)
        return events

    def _skip_bom(self, start: bytes) -> bytes:
        """Drop a byte order mark, which may itself come in pieces."""
        if len(start) < len(_BOM) and _BOM.startswith(start):
            self._head = start
            return b""
        self._head = None
        return start.removeprefix(_BOM)

    def _unify_ends(self, chunk: bytes) -> bytes:
        """Make CR and CRLF to LF. A CR ends its line at once; the LF after it may come later."""
        if self._after_cr and chunk:
            chunk = chunk.removeprefix(b"\n")
            self._after_cr = False
        if chunk.endswith(b"\r"):
            self._after_cr = True
        return chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _finish_event(self, chunk: bytes, events: list[SseEvent]) -> bytes:
        """Take lines up to the end of the event begun in an earlier chunk; return what follows."""
        start = 0
        while self._inside:
            end = chunk.find(b"\n", start)
            if end < 0:
                self._take(chunk[start:], events)
                return b""
            self._take(chunk[start : end + 1], events)
            start = end + 1
        return chunk[start:]

    def _take(self, text: bytes, events: list[SseEvent]) -> None:
        """Work line by line; the last line, if it has no end, is kept for later."""
        *lines, rest = text.split(b"\n")
        for line in lines:
            if self._line:
                self._line.append(line)
                whole = b"".join(self._line)
                self._line, self._line_size = [], 0
            else:
                whole = line
            self._end_line(whole, events)
        if rest:
            self._line.append(rest)
            self._line_size += len(rest)
            if self._line_size > self._max + _MAX_FIELD_NAME:
                raise SseTooLarge

    def _end_line(self, line: bytes, events: list[SseEvent]) -> None:
        if not line:
            if self._data:
                events.append(SseEvent(self._name, b"\n".join(self._data)))
            self._name, self._data, self._data_size = b"", [], 0
            self._inside = False
            return
        self._inside = True
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._data.append(value)
            self._data_size += len(value) + 1
            if self._data_size > self._max + 1:
                raise SseTooLarge
        elif field == b"event":
            self._name = value
