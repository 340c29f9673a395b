"""One content block while it streams: the provider's start block with its deltas applied.

Nothing is re-modelled: what this version does not know stays in the block as it came.
"""

import re
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic_core import from_json

from agent_server.messages import JsonObject
from agent_server.model import BlockStop
from agent_server.model.errors import breach

CALLS: Final = frozenset({"tool_use", "server_tool_use", "mcp_tool_use"})
"""Blocks whose ``input`` streams as ``partial_json``."""

KNOWN_BLOCKS: Final = CALLS | {
    "text",
    "thinking",
    "redacted_thinking",
    "web_search_tool_result",
    "web_fetch_tool_result",
    "advisor_tool_result",
    "code_execution_tool_result",
    "bash_code_execution_tool_result",
    "text_editor_code_execution_tool_result",
    "tool_search_tool_result",
    "mcp_tool_result",
    "mcp_tool_listing",
    "container_upload",
    "compaction",
    "fallback",
}

_TEXT_FIELDS: Final = {
    "text_delta": ("text", "text"),
    "thinking_delta": ("thinking", "thinking"),
    "input_json_delta": ("partial_json", "input"),
}
"""Delta type → its text field, and the block field it belongs to."""

_OWNERS: Final = {
    "text_delta": frozenset({"text"}),
    "citations_delta": frozenset({"text"}),
    "thinking_delta": frozenset({"thinking"}),
    "signature_delta": frozenset({"thinking"}),
    "compaction_delta": frozenset({"compaction"}),
    "input_json_delta": CALLS,
}
"""Delta type → the known blocks it may come for; unknown blocks may take any."""

_MAYBE_INFINITE: Final = re.compile(r"[0-9.][eE]\+?[0-9]{3}|[0-9]{309}")


@dataclass(slots=True)
class OpenBlock:
    """A block between its ``content_block_start`` and ``content_block_stop``."""

    index: int
    block: JsonObject
    kind: str
    text: list[str] = field(default_factory=list)
    thinking: list[str] = field(default_factory=list)
    partial_json: list[str] = field(default_factory=list)

    def apply(self, delta: JsonObject) -> bool:
        """Apply a delta; return False for a type this version does not know.

        Raises:
            ModelError: the delta does not fit the block (``provider_protocol``).
        """
        kind = delta.get("type")
        if kind == "text_delta" and self.kind == "text":
            text = delta.get("text")
            if type(text) is not str:
                raise breach("text_delta without text")
            self.text.append(text)
            return True
        return self._apply_rarer(kind, delta)

    def _apply_rarer(self, kind: object, delta: JsonObject) -> bool:
        if not isinstance(kind, str):
            raise breach("a delta without a type")
        owners = _OWNERS.get(kind)
        if owners is None:
            return False
        if self.kind in KNOWN_BLOCKS and self.kind not in owners:
            raise breach(f"{kind} for a block of type {self.kind}")
        if kind in _TEXT_FIELDS:
            self._append_text(kind, delta)
        elif kind == "citations_delta":
            self._add_citation(delta)
        elif kind == "signature_delta":
            self.block["signature"] = _text(delta, "signature")
        else:
            self.block.update({key: value for key, value in delta.items() if key != "type"})
        return True

    def _append_text(self, kind: str, delta: JsonObject) -> None:
        name, _ = _TEXT_FIELDS[kind]
        pieces: list[str] = getattr(self, name)
        pieces.append(_text(delta, name))

    def _add_citation(self, delta: JsonObject) -> None:
        if "citation" not in delta:
            raise breach("citations_delta without a citation")
        citations = self.block.get("citations")
        self.block["citations"] = [*(citations or []), delta["citation"]]

    def close(self) -> BlockStop:
        """Return the whole block, as it must be sent back."""
        for name, pieces in (("text", self.text), ("thinking", self.thinking)):
            if pieces:
                self.block[name] = (self.block.get(name) or "") + "".join(pieces)
        if self.kind not in CALLS and not self.partial_json:
            return BlockStop(self.index, self.block)
        partial_json = "".join(self.partial_json)
        error: str | None = None
        if partial_json.strip():
            self.block["input"], error = parse_input(partial_json)
        return BlockStop(self.index, self.block, partial_json=partial_json, input_error=error)


def open_block(index: int, block: JsonObject) -> OpenBlock:
    """Check a start block's own fields, as far as the server relies on them.

    Raises:
        ModelError: a field is missing or of the wrong type (``provider_protocol``).
    """
    block = dict(block)
    kind = block.get("type")
    if type(kind) is not str:
        raise breach("a content block without a type")
    if kind in CALLS:
        if not _text(block, "id") or not _text(block, "name"):
            raise breach(f"a {kind} block with an empty id or name")
        if not isinstance(block.setdefault("input", {}), dict):
            raise breach(f"a {kind} block whose input is no object")
    elif kind in {"text", "thinking"}:
        _check_prose(kind, block)
    elif "tool_use_id" in block:
        _text(block, "tool_use_id")
    return OpenBlock(index, block, kind)


def _check_prose(kind: str, block: JsonObject) -> None:
    block.setdefault(kind, "")
    _text(block, kind)
    if not isinstance(block.get("citations"), list | None):
        raise breach("a text block whose citations are no list")


def parse_input(partial_json: str) -> tuple[JsonObject, str | None]:
    """Parse a call's input strictly; return it, or ``{}`` and why there is none."""
    try:
        value = from_json(partial_json, allow_inf_nan=False)
    except ValueError as error:
        return {}, f"the input is not valid JSON: {error}"
    if not isinstance(value, dict):
        return {}, f"the input must be a JSON object, not {_json_type(value)}"
    if _MAYBE_INFINITE.search(partial_json) and _has_infinity(value):
        return {}, "the input holds a number out of range"
    return value, None


def _json_type(value: Any) -> str:
    names = {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def _has_infinity(value: Any) -> bool:
    if isinstance(value, float):
        return value in {float("inf"), float("-inf")}
    if isinstance(value, dict):
        return any(map(_has_infinity, value.values()))
    return isinstance(value, list) and any(map(_has_infinity, value))


def _text(holder: JsonObject, name: str) -> str:
    text = holder.get(name)
    if type(text) is not str:
        raise breach(f"{holder.get('type')} without a string {name}")
    return text
