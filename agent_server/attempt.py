"""One attempt at a turn: the provider's items become events as they come."""

import time
from dataclasses import dataclass, field
from typing import Final

from agent_server.errors import ModelError
from agent_server.events import (
    AnyEvent,
    Emit,
    Executor,
    ProviderRaw,
    TextCompleted,
    TextDelta,
    TextStarted,
    ThinkingCompleted,
    ThinkingDelta,
    ThinkingStarted,
    ToolCallInputDelta,
    ToolCallRequested,
    ToolCallStarted,
    ToolResultCompleted,
    TurnCompleted,
    Usage,
)
from agent_server.messages import JsonObject
from agent_server.model import (
    BlockDelta,
    BlockStart,
    BlockStop,
    MessageDelta,
    MessageStart,
    MessageStop,
    ModelItem,
    RawItem,
)

EXECUTORS: Final[dict[str, Executor]] = {
    "tool_use": "server",
    "server_tool_use": "provider",
    "mcp_tool_use": "mcp",
}
THINKING: Final = frozenset({"thinking", "redacted_thinking"})


@dataclass(frozen=True, slots=True)
class ToolUse:
    """A ``tool_use`` block past its ``content_block_stop``; ``error`` says why it has no input."""

    call_id: str
    name: str
    input: JsonObject
    raw: str
    error: str | None = None


@dataclass(slots=True)
class Attempt:
    """What one attempt has received so far. ``take`` each item, in order."""

    turn: int
    number: int
    seen_call_ids: set[str]
    emit: Emit
    started_s: float = field(default_factory=time.monotonic)
    first_content_s: float | None = None
    blocks: dict[int, JsonObject] = field(default_factory=dict)
    open_text: dict[int, list[str]] = field(default_factory=dict)
    open_calls: dict[int, str] = field(default_factory=dict)
    calls: list[ToolUse] = field(default_factory=list)
    usage: JsonObject = field(default_factory=dict)
    stop_reason: str | None = None
    complete: bool = False

    @property
    def showed_output(self) -> bool:
        """Whether clients saw anything of this attempt."""
        return self.first_content_s is not None

    @property
    def asked_for_tools(self) -> bool:
        """Whether a call of ours was begun, perhaps not finished."""
        return bool(self.calls or self.open_calls)

    @property
    def content(self) -> list[JsonObject]:
        """The completed blocks, in order, exactly as received."""
        return [self.blocks[index] for index in sorted(self.blocks)]

    async def take(self, item: ModelItem) -> None:
        """Record one item and emit what follows from it.

        Raises:
            ModelError: the provider used a call id twice in this run.
        """
        match item:
            case BlockDelta():
                await self._delta(item)
            case BlockStart():
                await self._start(item.index, item.block)
            case BlockStop():
                await self._stop(item)
            case MessageStart():
                self.usage = dict(item.message.get("usage") or {})
            case MessageDelta():
                self.stop_reason = item.stop_reason
                self.usage |= {key: n for key, n in item.usage.items() if n is not None}
            case MessageStop():
                self.complete = True
            case RawItem():
                await self.emit(ProviderRaw(turn=self.turn, event=item.event))

    async def _start(self, index: int, block: JsonObject) -> None:
        if self.first_content_s is None:
            self.first_content_s = time.monotonic()
        kind = block.get("type")
        if kind == "text":
            self.open_text[index] = []
            await self.emit(TextStarted(turn=self.turn, block=self._id(index)))
        elif kind in THINKING:
            await self.emit(ThinkingStarted(turn=self.turn, block=self._id(index)))
        elif kind in EXECUTORS:
            await self._start_call(index, block, EXECUTORS[kind])

    async def _start_call(self, index: int, block: JsonObject, executor: Executor) -> None:
        call_id = block["id"]
        known = self.seen_call_ids.union(call.call_id for call in self.calls)
        if call_id in known or call_id in self.open_calls.values():
            raise ModelError(
                "The model provider used a tool call id twice.",
                code="provider_protocol",
                retryable=True,
            )
        await self.emit(
            ToolCallStarted(
                turn=self.turn,
                call_id=call_id,
                name=block["name"],
                block=self._id(index),
                executor=executor,
            )
        )
        self.open_calls[index] = call_id

    async def _delta(self, item: BlockDelta) -> None:
        delta = item.delta
        match delta.get("type"):
            case "text_delta":
                text = delta["text"]
                if text and item.index in self.open_text:
                    self.open_text[item.index].append(text)
                    await self.emit(
                        TextDelta(turn=self.turn, block=self._id(item.index), delta=text)
                    )
            case "thinking_delta":
                await self.emit(
                    ThinkingDelta(
                        turn=self.turn, block=self._id(item.index), thinking=delta["thinking"]
                    )
                )
            case "input_json_delta" if delta["partial_json"] and item.index in self.open_calls:
                await self.emit(
                    ToolCallInputDelta(
                        turn=self.turn,
                        call_id=self.open_calls[item.index],
                        partial_json=delta["partial_json"],
                    )
                )

    async def _stop(self, item: BlockStop) -> None:
        block = self.blocks[item.index] = item.block
        self.open_text.pop(item.index, None)
        self.open_calls.pop(item.index, None)
        kind = block.get("type", "")
        if kind == "tool_use":
            self.calls.append(
                ToolUse(
                    call_id=block["id"],
                    name=block["name"],
                    input=block["input"],
                    raw=item.partial_json or "",
                    error=item.input_error,
                )
            )
        event = self._completed(item.index, block, kind)
        if event is not None:
            await self.emit(event)

    def _completed(self, index: int, block: JsonObject, kind: str) -> AnyEvent | None:
        """The event that a finished block gives, but for our own tool calls (the gate's)."""
        turn = self.turn
        if kind == "text":
            return TextCompleted(
                turn=turn,
                block=self._id(index),
                text=block["text"],
                citations=block.get("citations") or [],
            )
        if kind in THINKING:
            return ThinkingCompleted(
                turn=turn,
                block=self._id(index),
                text=block.get("thinking", ""),
                redacted=kind == "redacted_thinking",
            )
        if kind in EXECUTORS and kind != "tool_use":
            return ToolCallRequested(
                turn=turn, call_id=block["id"], name=block["name"], input=block["input"]
            )
        if kind.endswith("_tool_result") and "tool_use_id" in block:
            return ToolResultCompleted(turn=turn, call_id=block["tool_use_id"], content=[block])
        return None

    def turn_completed(self, *, usage: Usage, stop_reason: str | None) -> TurnCompleted:
        """The event that records this attempt as the turn."""
        first = self.first_content_s
        return TurnCompleted(
            turn=self.turn,
            stop_reason=stop_reason,
            message={"role": "assistant", "content": self.content},
            usage=usage,
            provider_usage=self.usage,
            ttft_ms=None if first is None else int((first - self.started_s) * 1000),
            duration_ms=int((time.monotonic() - self.started_s) * 1000),
        )

    def close_open_text(self) -> list[AnyEvent]:
        """Keep the partial text of a stopped turn; unfinished blocks and unanswered calls go."""
        events: list[AnyEvent] = []
        for index, pieces in self.open_text.items():
            text = "".join(pieces)
            if text:
                self.blocks[index] = {"type": "text", "text": text}
                events.append(TextCompleted(turn=self.turn, block=self._id(index), text=text))
        self.open_text.clear()
        answered = {block.get("tool_use_id") for block in self.blocks.values()}
        self.blocks = {
            index: block
            for index, block in self.blocks.items()
            if block.get("type") not in EXECUTORS or block["id"] in answered
        }
        return events

    def _id(self, index: int) -> str:
        return f"b{self.turn}.{self.number}.{index}"
