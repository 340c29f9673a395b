"""What a tool returned, as content blocks for the model and as a JSON value, within a size cap.

Runs in the sandbox's child: standard library and pydantic only.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

from pydantic_core import to_json

from agent_server.messages import JsonObject
from agent_server.tooling.blocks import as_blocks
from agent_server.tooling.jsonable import ResultError, to_json_value

__all__ = ["Rendered", "ResultError", "render_result"]


@dataclass(frozen=True, slots=True)
class Rendered:
    """A result ready to send and to store.

    ``content`` are the blocks for the model. ``output`` is the returned value as JSON: None where
    content blocks were returned, and where ``truncated`` says that it was over the cap.
    """

    content: list[JsonObject]
    output: Any
    truncated: bool = False


def render_result(value: object, *, cap_bytes: int) -> Rendered:
    """Render what a tool returned; the content, as JSON, has at most ``cap_bytes``.

    Text over the cap is cut, with a marker that gives size and sha256 of the whole.

    Raises:
        ResultError: it is not JSON, holds NUL, lone surrogates, NaN or infinity, refers to itself,
            or is an image or document that is malformed or over the cap.
    """
    output: Any = None
    content = as_blocks(value)
    if content is None:
        output = to_json_value(value)
        content = [_text_block(output)]
    if len(to_json(content)) <= cap_bytes:
        return Rendered(content, output)
    return Rendered(_cut(content, cap_bytes), None, truncated=True)


def _text_block(output: Any) -> JsonObject:
    """Text as it is, anything else as JSON; so is blank text, which the provider refuses."""
    is_text = isinstance(output, str) and bool(output.strip())
    return {"type": "text", "text": output if is_text else to_json(output).decode()}


def _cut(content: list[JsonObject], cap_bytes: int) -> list[JsonObject]:
    """Keep images and documents whole, and as much of the text, in order, as there is room for."""
    whole = "".join(block["text"] for block in content if block["type"] == "text").encode()
    digest = hashlib.sha256(whole).hexdigest()
    rest = [block for block in content if block["type"] != "text"]
    marker = f"\n[truncated: {{}} of {len(whole)} bytes are shown; sha256 of the whole: {digest}]"
    reserved = len(to_json([*rest, {"type": "text", "text": marker.format(len(whole))}]))
    room = cap_bytes - reserved
    if rest and room < 0:
        raise ResultError(
            f"the result holds {len(to_json(rest))} bytes of images or documents, which are never "
            f"cut; the cap is {cap_bytes} bytes"
        )
    kept: list[JsonObject] = []
    shown = 0
    for block in content:
        if block["type"] != "text":
            kept.append(block)
        elif room >= 0:
            text = _longest_start(block["text"], room)
            shown += len(text.encode())
            is_last = text != block["text"] or shown == len(whole)
            room = -1 if is_last else room - len(to_json(block)) - 1
            kept.append(block | {"text": text + marker.format(shown) if is_last else text})
    if room >= 0 or not any(block["type"] == "text" for block in kept):
        kept.append({"type": "text", "text": marker.format(shown).lstrip()})
    return kept


def _longest_start(text: str, room: int) -> str:
    """Return the longest start of ``text`` that takes at most ``room`` bytes as JSON."""
    low, high = 0, min(len(text), room)
    while low < high:
        middle = (low + high + 1) // 2
        if len(to_json(text[:middle])) - 2 <= room:
            low = middle
        else:
            high = middle - 1
    return text[:low]
