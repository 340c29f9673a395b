"""The provider's wire bytes, written: for models of our own and for fakes of the provider."""

from collections.abc import Iterator, Sequence

from pydantic_core import to_json

from agent_server.messages import JsonObject


def encode(event: JsonObject) -> bytes:
    """Encode one event as the provider frames it."""
    return b"event: %b\ndata: %b\n\n" % (str(event["type"]).encode(), to_json(event))


def message_start(message_id: str, *, model: str, usage: JsonObject) -> bytes:
    """The head of a response."""
    message: JsonObject = {
        "id": message_id,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage,
    }
    return encode({"type": "message_start", "message": message})


def block_start(index: int, block: JsonObject) -> bytes:
    """The head of a content block."""
    return encode({"type": "content_block_start", "index": index, "content_block": block})


def block_delta(index: int, delta: JsonObject) -> bytes:
    """A piece of a content block."""
    return encode({"type": "content_block_delta", "index": index, "delta": delta})


def block_stop(index: int) -> bytes:
    """The end of a content block."""
    return encode({"type": "content_block_stop", "index": index})


def message_delta(
    stop_reason: str | None, *, usage: JsonObject, stop_details: JsonObject | None = None
) -> bytes:
    """Why the message stops, and what it used."""
    delta: JsonObject = {"stop_reason": stop_reason, "stop_sequence": None}
    if stop_details is not None:
        delta["stop_details"] = stop_details
    return encode({"type": "message_delta", "delta": delta, "usage": usage})


def message_stop() -> bytes:
    """The end of a response."""
    return encode({"type": "message_stop"})


def ping() -> bytes:
    """A sign of life between events."""
    return encode({"type": "ping"})


def error(kind: str, message: str) -> bytes:
    """An error inside a stream, as the API sends it with status 200."""
    return encode({"type": "error", "error": {"type": kind, "message": message}})


def text_block(index: int, pieces: Sequence[str]) -> Iterator[bytes]:
    """A whole text block, a delta a piece."""
    yield block_start(index, {"type": "text", "text": ""})
    for piece in pieces:
        yield block_delta(index, {"type": "text_delta", "text": piece})
    yield block_stop(index)


def thinking_block(index: int, pieces: Sequence[str], *, signature: str) -> Iterator[bytes]:
    """A whole thinking block with its signature."""
    yield block_start(index, {"type": "thinking", "thinking": "", "signature": ""})
    for piece in pieces:
        yield block_delta(index, {"type": "thinking_delta", "thinking": piece})
    yield block_delta(index, {"type": "signature_delta", "signature": signature})
    yield block_stop(index)


def call_block(index: int, *, call_id: str, name: str, pieces: Sequence[str]) -> Iterator[bytes]:
    """A whole ``tool_use`` block; ``pieces`` are its input's JSON text."""
    yield block_start(index, {"type": "tool_use", "id": call_id, "name": name, "input": {}})
    yield block_delta(index, {"type": "input_json_delta", "partial_json": ""})
    for piece in pieces:
        yield block_delta(index, {"type": "input_json_delta", "partial_json": piece})
    yield block_stop(index)
