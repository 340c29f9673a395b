"""The demo model: deterministic, in process, no AI. What the server answers with without a key.

It reads the tools it is given and emits the provider's own wire bytes into the same parser, so
the loop cannot tell. Ids and text derive from the request; nothing is remembered between requests.
"""

import asyncio
import contextlib
import hashlib
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import Final, Literal

from agent_server.model import ModelRequest, ModelStream, wire
from agent_server.model.demo_plan import plan_reply
from agent_server.model.demo_reply import Reply
from agent_server.model.request import request_bytes
from agent_server.model.stream import ParsedStream

_TOKEN_CHARS: Final = 4
_TEXT_PIECE: Final = 12
_JSON_PIECE: Final = 14
_MIN_DELTAS: Final = 3
_WORDS: Final = re.compile(r"\S+\s*|\s+")


class DemoModel:
    """Answers from rules, paced like a model: ``delay_ms`` between two deltas."""

    def __init__(self, delay_ms: float = 15) -> None:
        self._delay_s = delay_ms / 1000

    @property
    def provider(self) -> Literal["demo"]:
        """The provider's name."""
        return "demo"

    @contextlib.asynccontextmanager
    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelStream]:
        """Answer a request.

        Raises:
            ModelError: the request asked for one (``/demo overloaded``).
        """
        reply = plan_reply(request)
        if reply.failure is not None:
            raise reply.failure
        events = list(_Writer(request, reply).write())
        async with contextlib.aclosing(self._pace(events, reply.pace)) as chunks:
            yield ParsedStream(chunks, request_id=f"req_demo_{_digest(request)[:24]}")

    async def aclose(self) -> None:
        """Nothing to close."""

    async def _pace(self, events: list[bytes], pace: float) -> AsyncGenerator[bytes]:
        delay_s = self._delay_s * pace
        for event in events:
            is_delta = event.startswith(b"event: content_block_delta")
            await asyncio.sleep(delay_s if is_delta else 0)
            yield event


class _Writer:
    """Writes one reply as wire bytes, up to the request's ``max_tokens``."""

    def __init__(self, request: ModelRequest, reply: Reply) -> None:
        self._request = request
        self._reply = reply
        self._digest = _digest(request)
        limit = min(request.max_tokens, reply.max_tokens or request.max_tokens)
        self._left = limit * _TOKEN_CHARS
        self._written = 0

    def write(self) -> Iterator[bytes]:
        reply, request = self._reply, self._request
        usage = {"input_tokens": max(1, len(request_bytes(request)) // _TOKEN_CHARS)}
        yield wire.message_start(
            f"msg_demo_{self._digest[:24]}",
            model=request.model,
            usage={**usage, "output_tokens": 1},
        )
        yield from self._blocks()
        if reply.breaks:
            yield wire.error("overloaded_error", "Overloaded (demo)")
            return
        reason = reply.stop_reason or ("tool_use" if reply.wishes else "end_turn")
        output = -(-self._written // _TOKEN_CHARS)
        yield wire.message_delta(
            "max_tokens" if self._left <= 0 else reason,
            usage={**usage, "output_tokens": output},
            stop_details=reply.stop_details,
        )
        yield wire.message_stop()

    def _blocks(self) -> Iterator[bytes]:
        reply, index = self._reply, 0
        if reply.thinking:
            pieces = self._fit(_cut_text(reply.thinking))
            yield from wire.thinking_block(index, pieces, signature=self._digest)
            index += 1
        if (reply.text or not reply.wishes) and self._left > 0:
            yield from wire.text_block(index, self._fit(_cut_text(reply.text)))
            index += 1
        for number, wish in enumerate(reply.wishes):
            if self._left <= 0:
                return
            pieces = self._fit(_cut_json(json.dumps(wish.arguments, ensure_ascii=False)))
            call_id = f"toolu_demo_{self._digest[:20]}_{number}"
            block = list(
                wire.call_block(index + number, call_id=call_id, name=wish.tool, pieces=pieces)
            )
            # The provider leaves a call that it had to cut without its end.
            yield from block if self._left > 0 else block[:-1]

    def _fit(self, pieces: list[str]) -> list[str]:
        """Return the pieces that there is still room for, and count them."""
        fitting: list[str] = []
        for piece in pieces:
            if self._left <= 0:
                break
            fitting.append(piece[: self._left])
            self._left -= len(piece)
            self._written += len(fitting[-1])
        return fitting


def _digest(request: ModelRequest) -> str:
    return hashlib.sha256(request_bytes(request)).hexdigest()


def _cut_text(text: str) -> list[str]:
    """Cut into pieces of a few words."""
    pieces: list[str] = []
    piece = ""
    for word in _WORDS.findall(text):
        piece += word
        if len(piece) >= _TEXT_PIECE:
            pieces.append(piece)
            piece = ""
    return [*pieces, piece] if piece else pieces


def _cut_json(text: str) -> list[str]:
    size = max(1, min(_JSON_PIECE, len(text) // _MIN_DELTAS))
    return [text[start : start + size] for start in range(0, len(text), size)]
