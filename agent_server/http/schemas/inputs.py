"""What makes a client's messages a valid beginning of a run."""

from collections.abc import Sequence
from typing import Final

from pydantic_core import PydanticCustomError

from agent_server.messages import JsonObject, Message, tool_uses

_REQUIRED: Final[dict[str, dict[str, type]]] = {
    "text": {"text": str},
    "tool_use": {"id": str, "name": str, "input": dict},
    "tool_result": {"tool_use_id": str},
}
"""What the server itself reads in blocks; other blocks go to the provider as they are."""


def check_input(messages: Sequence[Message]) -> None:
    """Refuse messages that no provider would take: blank, malformed, or with orphan tool blocks.

    Raises:
        PydanticCustomError: naming the message by its number.
    """
    open_calls: list[str] = []
    for number, message in enumerate(messages):
        for block in message["content"]:
            _check_block(block, number)
        if open_calls or _results(message):
            _check_results(message, open_calls, number)
        open_calls = [block["id"] for block in tool_uses(message["content"])]
        if open_calls and message["role"] == "user":
            raise _refuse(number, "tool_use blocks belong to the assistant")
        if len(set(open_calls)) < len(open_calls):
            raise _refuse(number, "two tool_use blocks have the same id")
    last = len(messages) - 1
    if messages[last]["role"] == "assistant":
        raise _refuse(last, "the last message must be the user's")


def _check_block(block: JsonObject, number: int) -> None:
    kind = block.get("type")
    if not isinstance(kind, str):
        raise _refuse(number, "every block needs a type")
    for name, wanted in _REQUIRED.get(kind, {}).items():
        if not isinstance(block.get(name), wanted):
            raise _refuse(number, f"a {kind} block needs {name!r}")
    if kind == "text" and not block["text"].strip():
        raise _refuse(number, "the text is empty")


def _check_results(message: Message, open_calls: list[str], number: int) -> None:
    """Every open call must be answered, once, by the message that follows it."""
    results = _results(message)
    if message["role"] == "assistant" and results:
        raise _refuse(number, "tool_result blocks belong to the user")
    if sorted(results) != sorted(open_calls):
        raise _refuse(
            number, "tool_use and tool_result blocks do not match: each call needs one result"
        )


def _results(message: Message) -> list[str]:
    return [
        block["tool_use_id"] for block in message["content"] if block.get("type") == "tool_result"
    ]


def _refuse(number: int, reason: str) -> PydanticCustomError:
    return PydanticCustomError(
        "invalid_input", "Message {number}: {reason}.", {"number": number, "reason": reason}
    )
