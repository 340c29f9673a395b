"""Messages and content blocks in the Messages API's shape, and what makes a history valid.

Blocks are kept as the JSON objects the provider or client sent, keys in the received order: a
model of ours would lose what it does not know (signatures, encrypted citations, new fields).
Source: Anthropic Messages API, "Tool use" and "Extended thinking".
"""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict  # pydantic reads typing's only from Python 3.12 on

JsonObject = dict[str, Any]
"""A parsed JSON object whose schema is somebody else's."""


@with_config(ConfigDict(extra="forbid"))
class Message(TypedDict):
    """One message of a conversation; ``content`` is always a list of blocks inside the server."""

    role: Literal["user", "assistant"]
    content: list[Annotated[JsonObject, Field(description="A content block, kept as received.")]]


class Repair(TypedDict):
    """One change made to a history so that the provider accepts it."""

    kind: Literal[
        "answered_orphan",
        "dropped_stray_result",
        "dropped_empty_text",
        "dropped_empty_message",
    ]
    call_id: str | None


INTERRUPTED = "The call was interrupted; its outcome is unknown."
"""What the model reads for a call that never got a result."""


def text_message(role: Literal["user", "assistant"], text: str) -> Message:
    """Make a message of one text block."""
    return {"role": role, "content": [{"type": "text", "text": text}]}


def text_of(content: Iterable[JsonObject]) -> str:
    """Join the text blocks of ``content``."""
    return "".join(block["text"] for block in content if block.get("type") == "text")


def tool_uses(content: Iterable[JsonObject]) -> list[JsonObject]:
    """Return the ``tool_use`` blocks: the calls this server must answer."""
    return [block for block in content if block.get("type") == "tool_use"]


def repair_history(messages: Sequence[Message]) -> tuple[list[Message], list[Repair]]:
    """Return ``messages`` with every ``tool_use`` answered exactly once, and what was changed.

    Orphan calls (a crash or a cancel came between) are answered as interrupted; results that
    answer no call of the preceding message are dropped, and so are text blocks without text, which
    the provider may send but does not accept, and messages left empty.
    """
    repaired: list[Message] = []
    repairs: list[Repair] = []
    open_calls: list[str] = []
    for message in messages:
        if open_calls and message["role"] == "assistant":
            repaired.append({"role": "user", "content": _answer(open_calls, repairs)})
            open_calls = []
        content = [block for block in message["content"] if not _is_empty_text(block)]
        if len(content) < len(message["content"]):
            repairs.append({"kind": "dropped_empty_text", "call_id": None})
        if message["role"] == "user":
            content = _settle(content, open_calls, repairs)
            open_calls = []
        else:
            open_calls = [block["id"] for block in tool_uses(content)]
        if content:
            repaired.append({"role": message["role"], "content": content})
        else:
            repairs.append({"kind": "dropped_empty_message", "call_id": None})
    if open_calls:
        repaired.append({"role": "user", "content": _answer(open_calls, repairs)})
    return repaired, repairs


def _is_empty_text(block: JsonObject) -> bool:
    return block.get("type") == "text" and not block.get("text")


def _settle(
    content: list[JsonObject], open_calls: list[str], repairs: list[Repair]
) -> list[JsonObject]:
    """Keep one result for each open call, first and in the calls' order, then the rest."""
    results: dict[str, JsonObject] = {}
    rest: list[JsonObject] = []
    for block in content:
        if block.get("type") != "tool_result":
            rest.append(block)
        elif block["tool_use_id"] in open_calls and block["tool_use_id"] not in results:
            results[block["tool_use_id"]] = block
        else:
            repairs.append({"kind": "dropped_stray_result", "call_id": block["tool_use_id"]})
    missing = [call_id for call_id in open_calls if call_id not in results]
    answers = {block["tool_use_id"]: block for block in _answer(missing, repairs)}
    return [results.get(call_id) or answers[call_id] for call_id in open_calls] + rest


def _answer(call_ids: Iterable[str], repairs: list[Repair]) -> list[JsonObject]:
    """Make an interrupted result for each call, and say so."""
    blocks: list[JsonObject] = []
    for call_id in call_ids:
        repairs.append({"kind": "answered_orphan", "call_id": call_id})
        blocks.append(
            {
                "type": "tool_result",
                "tool_use_id": call_id,
                "content": [{"type": "text", "text": INTERRUPTED}],
                "is_error": True,
            }
        )
    return blocks
