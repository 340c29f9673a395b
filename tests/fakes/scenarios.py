"""Whole responses of the provider that no recording has: each a list of bytes, one a turn."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from agent_server.model import wire

JsonObject = dict[str, Any]

USAGE: JsonObject = {"input_tokens": 12, "output_tokens": 7}


def message(*blocks: Iterable[bytes], stop_reason: str | None = "end_turn") -> bytes:
    """A whole response of these blocks."""
    return b"".join(
        [
            wire.message_start("msg_fake", model="fake", usage={**USAGE, "output_tokens": 1}),
            *(b"".join(block) for block in blocks),
            wire.message_delta(stop_reason, usage=USAGE),
            wire.message_stop(),
        ]
    )


def text(*pieces: str, index: int = 0) -> Iterator[bytes]:
    return wire.text_block(index, pieces)


def call(
    name: str, source: Any, *, index: int = 0, call_id: str = "toolu_fake_1"
) -> Iterator[bytes]:
    """A call whose input is ``source``: JSON, or text sent as it is."""
    sent = source if isinstance(source, str) else json.dumps(source)
    return wire.call_block(index, call_id=call_id, name=name, pieces=[sent[:5], sent[5:]])


def _unknown_block() -> bytes:
    block = {"type": "hologram", "shape": {"sides": 6}, "text": "see"}
    return message([wire.block_start(0, block), wire.block_stop(0)], text("done", index=1))


def _unknown_events() -> bytes:
    weather = wire.encode({"type": "weather_report", "sky": "blue"})
    twist = wire.block_delta(0, {"type": "twist_delta", "angle": 3})
    block = list(text("calm"))
    return message([weather, block[0], twist, *block[1:], weather])


def _cut_call() -> bytes:
    """A call cut by max_tokens: the provider sends no content_block_stop for it."""
    block = list(call("word_count", {"text": "a long text"}))[:-1]
    return message(block, stop_reason="max_tokens")


DONE = message(text("All ", "done."))
COUNT = {"text": "one two three"}

SCENARIOS: dict[str, list[bytes]] = {
    "text": [message(text("Hello", ", ", "world."))],
    "many": [message(text(*(f"piece {number} " for number in range(5_000))))],
    "unicode": [message(text("a\u2028b\x00c", "👩", "\u200d👧", "é"))],
    "tool": [
        message(text("Counting."), call("word_count", COUNT, index=1), stop_reason="tool_use"),
        DONE,
    ],
    "parallel": [
        message(
            call("word_count", COUNT, call_id="toolu_a"),
            call("word_count", {"text": "four"}, index=1, call_id="toolu_b"),
            stop_reason="tool_use",
        ),
        DONE,
    ],
    "thinking_tool": [
        message(
            wire.thinking_block(0, ["I should ", "count."], signature="c2ln"),
            call("word_count", COUNT, index=1),
            stop_reason="tool_use",
        ),
        DONE,
    ],
    "no_arguments": [message(call("word_count", ""), stop_reason="tool_use"), DONE],
    "malformed_input": [
        message(call("calculator", '{"expression": 12*7,}'), stop_reason="tool_use"),
        DONE,
    ],
    "list_input": [message(call("calculator", [12, 7]), stop_reason="tool_use"), DONE],
    "cut_call": [_cut_call()],
    "pause": [message(text("Wait"), stop_reason="pause_turn"), DONE],
    "refusal": [message(stop_reason="refusal")],
    "context": [message(text("So"), stop_reason="model_context_window_exceeded")],
    "duplicate_ids": [
        message(
            call("word_count", COUNT), call("word_count", COUNT, index=1), stop_reason="tool_use"
        )
    ],
    "forever": [message(call("word_count", COUNT), stop_reason="tool_use")],
    "unknown_block": [_unknown_block()],
    "unknown_events": [_unknown_events()],
    "error_first": [wire.error("overloaded_error", "Overloaded")],
}
"""By name; after the last turn, its last response repeats (with a call id of its own)."""
