"""Frames: length-prefixed JSON, how server, zygote and child speak over a stream. Never pickle.

A frame is bounded before it is buffered, and parsed strictly: what comes from a child is as
trustworthy as the tool that ran in it.
"""

import math
import re
import socket
import struct
from collections.abc import Iterator
from typing import Any, Final

from pydantic_core import from_json, to_json

from agent_server.tooling.text import sanitize_text

_LENGTH: Final = struct.Struct(">I")
_RECEIVE_BYTES: Final = 262_144
_SUSPECT: Final = re.compile(rb"[eE]\+?[0-9]{3}|[0-9]{309}|\\u0000")
"""What may be a number beyond a float's range, or a NUL: the parser lets both pass."""


class FrameError(Exception):
    """The other side broke the protocol; the message says how."""


class OversizeError(FrameError):
    """A frame is announced that is over the cap."""


def encode_frame(value: object) -> bytes:
    """Encode ``value`` (JSON values, dataclasses and pydantic models) as one frame."""
    body = to_json(value)
    return _LENGTH.pack(len(body)) + body


def parse_strictly(body: bytes) -> Any:
    """Parse JSON: no NaN, infinities or lone surrogates; NULs are replaced; depth is bounded.

    Raises:
        FrameError: it is no such JSON.
    """
    try:
        value = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise FrameError(f"not valid JSON: {error}") from error
    return _clean(value) if _SUSPECT.search(body) else value


def _clean(value: Any) -> Any:  # as deep as the parser's own limit at most
    if isinstance(value, str):
        return sanitize_text(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise FrameError("a number is out of range")
    if isinstance(value, list):
        return [_clean(item) for item in value]
    if isinstance(value, dict):
        return {sanitize_text(key): _clean(item) for key, item in value.items()}
    return value


class FrameReader:
    """Cuts a stream of bytes into frames of at most ``cap_bytes``."""

    def __init__(self, cap_bytes: int) -> None:
        self._cap_bytes = cap_bytes
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Add ``data``; yield the body of each frame that is complete now.

        Raises:
            OversizeError: the next frame is over the cap; nothing after it can be read.
        """
        self._buffer += data
        while len(self._buffer) >= _LENGTH.size:
            (size,) = _LENGTH.unpack_from(self._buffer)
            if size > self._cap_bytes:
                raise OversizeError(f"a frame of {size} bytes, over {self._cap_bytes}")
            end = _LENGTH.size + size
            if len(self._buffer) < end:
                return
            body = bytes(self._buffer[_LENGTH.size : end])
            del self._buffer[:end]
            yield body


def receive_frame(channel: socket.socket) -> Any | None:
    """Wait for one frame from a peer that is trusted; None when it has closed ``channel``."""
    head = _receive_exactly(channel, _LENGTH.size)
    if head is None:
        return None
    body = _receive_exactly(channel, _LENGTH.unpack(head)[0])
    return None if body is None else from_json(body)


def _receive_exactly(channel: socket.socket, size: int) -> bytes | None:
    data = bytearray()
    while len(data) < size:
        chunk = channel.recv(min(size - len(data), _RECEIVE_BYTES))
        if not chunk:
            return None
        data += chunk
    return bytes(data)
