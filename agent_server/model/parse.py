"""The provider's wire bytes become ModelItems, and what breaks its protocol becomes an error.

Sans-IO: every model feeds its bytes here, the demo's included, so the loop cannot tell them apart.
Source: Anthropic Messages API, "Streaming messages".
"""

import json
import re
from typing import Any, Final, NoReturn

from pydantic_core import from_json

from agent_server.errors import ModelError
from agent_server.messages import JsonObject
from agent_server.model import (
    BlockDelta,
    BlockStart,
    MessageDelta,
    MessageStart,
    MessageStop,
    ModelItem,
    RawItem,
)
from agent_server.model.blocks import CALLS, KNOWN_BLOCKS, OpenBlock, open_block
from agent_server.model.errors import breach, classify_event, truncated
from agent_server.model.sse import SseDecoder, SseEvent, SseTooLarge

MAX_RESPONSE_BYTES: Final = 256 * 1024 * 1024

_CUTS: Final = frozenset({"max_tokens", "refusal", "model_context_window_exceeded"})
"""Stop reasons that may leave the last block without its ``content_block_stop``."""

_CONTENT_EVENTS: Final = frozenset(
    {
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    }
)
_LONE_SURROGATE: Final = re.compile("[\ud800-\udfff]")


class ProviderParser:
    """Reads one response. Feed it chunks as they arrive, then ``finish`` it.

    A failure does not take away the items before it: ``feed`` returns those, and ``failure`` then
    holds the error, which every later call raises. So the items never depend on the chunks.
    """

    def __init__(self) -> None:
        self.failure: ModelError | None = None
        self._decoder = SseDecoder()
        self._received = 0
        self._started = False
        self._stopped = False
        self._stop_reason: str | None = None
        self._usage: JsonObject = {}
        self._open: dict[int, OpenBlock] = {}
        self._closed: set[int] = set()
        self._call_ids: set[str] = set()

    @property
    def is_complete(self) -> bool:
        """Whether ``message_stop`` was seen."""
        return self._stopped

    def feed(self, chunk: bytes) -> list[ModelItem]:
        """Return the items that ``chunk`` completes.

        Raises:
            ModelError: the stream had failed already.
        """
        if self.failure is not None:
            raise self.failure
        items: list[ModelItem] = []
        try:
            self._received += len(chunk)
            if self._received > MAX_RESPONSE_BYTES:
                raise breach("the response is larger than 256 MiB")
            for event in self._decoder.feed(chunk):
                self._take(event, items)
        except SseTooLarge:
            self.failure = breach("an event larger than 16 MiB")
        except ModelError as error:
            self.failure = error
        return items

    def finish(self) -> list[ModelItem]:
        """Note the end of the bytes; return the items of a last event that had no blank line.

        Raises:
            ModelError: the stream had failed, or ends without ``message_stop``
                (``stream_truncated``).
        """
        items: list[ModelItem] = []
        if self.failure is None and not self._stopped:
            try:
                self._take_last(items)
            except ModelError as error:
                self.failure = error
        if self.failure is not None:
            raise self.failure
        return items

    def _take_last(self, items: list[ModelItem]) -> None:
        """Take an event that lacks only its blank line; half an event is what a cut leaves."""
        try:
            for event in self._decoder.flush():
                from_json(event.data)
                self._take(event, items)
        except (SseTooLarge, ValueError) as error:
            raise truncated(f"the stream ends inside an event: {error}") from error
        if not self._stopped:
            raise truncated(f"{self._received} bytes without a message_stop")

    def _take(self, sse: SseEvent, items: list[ModelItem]) -> None:
        try:
            event = from_json(sse.data, allow_inf_nan=False)
        except ValueError as error:
            event = _mend(sse.data, error)
        if type(event) is not dict:
            raise breach("an event that is no JSON object")
        kind = event.get("type")
        if kind == "content_block_delta" and not self._stopped:
            self._delta(event, items)
        elif isinstance(kind, str) and kind in _CONTENT_EVENTS:
            self._take_rarer(kind, event, items)
        elif not self._stopped and kind != "ping":
            # llama.cpp's errors carry a type of their own: the event's name tells.
            if kind == "error" or sse.name == b"error":
                raise classify_event(event)
            items.append(RawItem(event))

    def _take_rarer(self, kind: str, event: JsonObject, items: list[ModelItem]) -> None:
        if self._stopped:
            raise breach(f"{kind} after message_stop")
        if kind == "message_start":
            self._start(event, items)
            return
        if not self._started:
            raise breach(f"{kind} before message_start")
        if kind == "content_block_start":
            self._open_block(event, items)
        elif kind == "content_block_stop":
            items.append(self._find(event).close())
            self._closed.add(event["index"])
            del self._open[event["index"]]
        elif kind == "message_delta":
            self._message_delta(event, items)
        else:
            self._stop(items)

    def _start(self, event: JsonObject, items: list[ModelItem]) -> None:
        if self._started:
            raise breach("a second message_start")
        message = event.get("message")
        if type(message) is not dict:
            raise breach("message_start without a message")
        self._started = True
        self._merge_usage(message.get("usage"))
        items.append(MessageStart(message))

    def _open_block(self, event: JsonObject, items: list[ModelItem]) -> None:
        index, block = event.get("index"), event.get("content_block")
        if type(index) is not int or index < 0 or type(block) is not dict:
            raise breach("content_block_start without an index or block")
        if index in self._open or index in self._closed:
            raise breach(f"a second block {index}")
        opened = open_block(index, block)
        if opened.kind in CALLS:
            if block["id"] in self._call_ids:
                raise breach("a tool call id used twice in one message")
            self._call_ids.add(block["id"])
        self._open[index] = opened
        items.append(BlockStart(index, block))
        if opened.kind not in KNOWN_BLOCKS:
            items.append(RawItem(event))

    def _delta(self, event: JsonObject, items: list[ModelItem]) -> None:
        block = self._find(event)
        delta = event.get("delta")
        if type(delta) is not dict:
            raise breach("content_block_delta without a delta")
        if block.apply(delta):
            items.append(BlockDelta(block.index, delta))
        else:
            items.append(RawItem(event))

    def _find(self, event: JsonObject) -> OpenBlock:
        index = event.get("index")
        block = self._open.get(index) if type(index) is int else None
        if block is None:
            raise breach(f"{event['type']} for block {index!r}, which is not open")
        return block

    def _message_delta(self, event: JsonObject, items: list[ModelItem]) -> None:
        delta = event.get("delta") or {}
        if type(delta) is not dict:
            raise breach("a message_delta whose delta is no object")
        reason, details = delta.get("stop_reason"), delta.get("stop_details")
        if not isinstance(reason, str | None) or not isinstance(details, dict | None):
            raise breach("a message_delta with a malformed stop reason")
        self._stop_reason = reason or self._stop_reason
        self._merge_usage(event.get("usage"))
        items.append(MessageDelta(self._stop_reason, details, dict(self._usage)))

    def _merge_usage(self, usage: Any) -> None:
        """Later counts are totals and replace earlier ones; absent ones stay."""
        if usage is None:
            return
        if type(usage) is not dict:
            raise breach("usage that is no object")
        for name, value in usage.items():
            if name.endswith("_tokens") and value is not None and not _is_count(value):
                raise breach(f"usage with a malformed {name}")
            if value is not None or name not in self._usage:
                self._usage[name] = value

    def _stop(self, items: list[ModelItem]) -> None:
        """End the message. Text that a cut left open is kept; a cut call or thought is not."""
        if self._open and self._stop_reason not in _CUTS:
            raise breach(f"message_stop while block {min(self._open)} is open")
        items.extend(block.close() for block in self._open.values() if block.kind == "text")
        self._open.clear()
        self._stopped = True
        items.append(MessageStop())


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _mend(data: bytes, error: ValueError) -> Any:
    """Replace lone surrogates in a piece of text, which a UTF-16 gateway may have cut in two.

    Anywhere else (a tool's input, a signature) damage may not pass for the provider's word.
    """
    try:
        event = json.loads(data, parse_constant=_refuse_constant)
        delta = event["delta"]
        if delta["type"] != "text_delta" or not _LONE_SURROGATE.search(delta["text"]):
            raise breach(f"bad JSON: {error}") from error
        delta["text"] = _LONE_SURROGATE.sub("\ufffd", delta["text"])
        return from_json(json.dumps(event))
    except (ValueError, TypeError, LookupError, RecursionError):
        raise breach(f"bad JSON: {error}") from error


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)
