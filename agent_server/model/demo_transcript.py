"""What has happened since the user last spoke, read from a request's messages."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic_core import from_json

from agent_server.messages import JsonObject, Message, text_of, tool_uses

_MAX_QUESTION: Final = 4_000
_MAX_QUOTE: Final = 400


@dataclass(frozen=True, slots=True)
class Done:
    """A call that has its result."""

    tool: str
    arguments: JsonObject
    result: str
    is_error: bool


@dataclass(frozen=True, slots=True)
class Exchange:
    """The user's last words, what was said before them, and the rounds of calls since."""

    question: str
    earlier: list[str] = field(default_factory=list)
    rounds: list[list[Done]] = field(default_factory=list)


def read_exchange(messages: Sequence[Message]) -> Exchange:
    """Read the transcript: a user message with text opens an exchange, results continue it."""
    questions: list[str] = []
    rounds: list[list[Done]] = []
    calls: list[JsonObject] = []
    for message in messages:
        content = message["content"]
        if message["role"] == "assistant":
            calls = tool_uses(content)
            continue
        done = _read_results(calls, content)
        if done:
            rounds.append(done)
        said = text_of(content).strip()
        if said:
            questions.append(said[:_MAX_QUESTION])
            rounds = []
    return Exchange(questions[-1] if questions else "", questions[:-1], rounds)


def _read_results(calls: list[JsonObject], content: list[JsonObject]) -> list[Done]:
    by_id = {call["id"]: call for call in calls}
    return [
        Done(
            call["name"],
            call["input"],
            quote(block.get("content")),
            is_error=bool(block.get("is_error")),
        )
        for block in content
        if block.get("type") == "tool_result" and (call := by_id.get(block.get("tool_use_id")))
    ]


def quote(content: Any) -> str:
    """Put a result's content into one short line."""
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content or []
    parts = [_quote_block(block) for block in blocks if isinstance(block, dict)]
    line = " ".join(" ".join(part for part in parts if part).split())
    return line if len(line) <= _MAX_QUOTE else f"{line[:_MAX_QUOTE]}…"


def _quote_block(block: JsonObject) -> str:
    kind = block.get("type")
    if kind != "text":
        source = block.get("source")
        media = source.get("media_type") if isinstance(source, dict) else None
        return f"[{kind}{f', {media}' if media else ''}]"
    text = str(block.get("text"))
    try:
        return flatten(from_json(text))
    except ValueError:
        return text


def flatten(value: Any) -> str:
    """Put a JSON value as people write it."""
    if isinstance(value, dict):
        return ", ".join(f"{key}: {flatten(inner)}" for key, inner in value.items())
    if isinstance(value, list):
        return ", ".join(map(flatten, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)
