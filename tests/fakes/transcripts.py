"""What the real Messages API refuses, so that a fake of it can refuse the same.

Source: Anthropic Messages API, "Errors", "Tool use" and "Extended thinking".
"""

import re
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

JsonObject = dict[str, Any]

_FIELDS = """
model max_tokens messages stream system tools tool_choice thinking temperature top_p top_k
stop_sequences metadata service_tier output_config cache_control container context_management
compaction diagnostics fallbacks inference_geo mcp_servers speed
"""
_KNOWN = frozenset(_FIELDS.split())
_TOOL_NAME = re.compile(r"^[a-zA-Z0-9_-]{1,128}$")
_MAX_CACHE_MARKS = 4


def complaint(body: JsonObject) -> str | None:
    """Say why the real API would answer 400, or None."""
    return next((why for why in _complaints(body) if why), None)


def _complaints(body: JsonObject) -> Iterable[str | None]:
    yield _check_head(body)
    yield _check_tools(body.get("tools") or [])
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        yield "messages: at least one message is required"
        return
    yield _check_messages(messages)
    merged = _merge(messages)
    if merged[0]["role"] != "user":
        yield "messages: first message must use the user role"
    yield _check_pairs(merged)
    if (body.get("thinking") or {}).get("type") in {"enabled", "adaptive"}:
        yield _check_thinking(merged)


def _check_head(body: JsonObject) -> str | None:
    extra = body.keys() - _KNOWN
    if extra:
        return f"{min(extra)}: Extra inputs are not permitted"
    if not isinstance(body.get("max_tokens"), int) or body["max_tokens"] < 1:
        return "max_tokens: Input should be greater than or equal to 1"
    marks = str(body.get("tools")) + str(body.get("system")) + str(body.get("messages"))
    if marks.count("'cache_control': {") > _MAX_CACHE_MARKS:
        return "A maximum of 4 blocks with cache_control may be provided"
    return None


def _check_tools(tools: list[JsonObject]) -> str | None:
    names = [tool.get("name") for tool in tools]
    if len(set(names)) != len(names):
        return "tools: Tool names must be unique."
    bad = [name for name in names if not isinstance(name, str) or not _TOOL_NAME.match(name)]
    return f"tools: {bad[0]!r} is not a tool name" if bad else None


def _check_messages(messages: list[JsonObject]) -> str | None:
    for index, message in enumerate(messages):
        content = message.get("content")
        if message.get("role") not in {"user", "assistant"}:
            return f"messages.{index}.role: Input should be 'user' or 'assistant'"
        if not content:
            return f"messages.{index}: all messages must have non-empty content"
        for block in _blocks(message):
            why = _check_block(block)
            if why:
                return f"messages.{index}.content: {why}"
    return None


def _check_block(block: JsonObject) -> str | None:
    kind = block.get("type")
    if kind == "text" and not block.get("text"):
        return "text content blocks must be non-empty"
    if kind == "tool_use" and not isinstance(block.get("input"), dict):
        return "tool_use.input: Input should be a valid dictionary"
    if kind == "thinking" and not block.get("signature"):
        return "thinking.signature: Field required"
    return None


def _check_pairs(merged: list[JsonObject]) -> str | None:
    seen: set[str] = set()
    for before, message in pairwise([{"role": "user", "content": []}, *merged]):
        calls = _ids(before, "tool_use", "id") if before["role"] == "assistant" else []
        if seen & set(calls):
            return "messages: `tool_use` ids must be unique"
        seen |= set(calls)
        results = _ids(message, "tool_result", "tool_use_id")
        if len(set(results)) != len(results):
            return "each tool_use must have a single result"
        if set(results) - set(calls):
            return "unexpected `tool_use_id` found in `tool_result` blocks"
        if set(calls) - set(results):
            return "`tool_use` ids were found without `tool_result` blocks immediately after"
        kinds = [block["type"] for block in _blocks(message)][: len(results)]
        if any(kind != "tool_result" for kind in kinds):
            return "tool_result blocks must come first in the message"
    if merged[-1]["role"] == "assistant" and _ids(merged[-1], "tool_use", "id"):
        return "`tool_use` ids were found without `tool_result` blocks immediately after"
    return None


def _check_thinking(merged: list[JsonObject]) -> str | None:
    """In a tool loop, the assistant's turn must begin with its thinking."""
    if not _ids(merged[-1], "tool_result", "tool_use_id"):
        return None
    first = _blocks(merged[-2])[0]["type"]
    if first in {"thinking", "redacted_thinking"}:
        return None
    return "a final assistant message must start with a thinking block when thinking is enabled"


def _merge(messages: list[JsonObject]) -> list[JsonObject]:
    merged: list[JsonObject] = []
    for message in messages:
        if merged and merged[-1]["role"] == message["role"]:
            merged[-1]["content"] = [*merged[-1]["content"], *_blocks(message)]
        else:
            merged.append({"role": message["role"], "content": list(_blocks(message))})
    return merged


def _blocks(message: JsonObject) -> list[JsonObject]:
    content: Any = message["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _ids(message: JsonObject, kind: str, field: str) -> list[str]:
    return [block[field] for block in _blocks(message) if block.get("type") == kind]
