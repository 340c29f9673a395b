"""Content blocks that a tool returns: text, images, documents, search results."""

import base64
import binascii
from typing import Any, Final, TypeGuard

from agent_server.messages import JsonObject
from agent_server.tooling.jsonable import ResultError, to_json_value

__all__ = ["as_blocks"]

_REQUIRED: Final[dict[str, dict[str, type]]] = {
    "text": {"text": str},
    "image": {"source": dict},
    "document": {"source": dict},
    "search_result": {"source": str, "title": str, "content": list},
}
_OPTIONAL: Final = {"type", "cache_control", "citations", "title", "context"}
_IMAGE_TYPES: Final = ("image/jpeg", "image/png", "image/gif", "image/webp")


def as_blocks(value: object) -> list[JsonObject] | None:
    """Return the content blocks that ``value`` is, or None where it is data.

    A block, or a list of blocks and texts with at least one block. Raw bytes as a source's ``data``
    are encoded here.

    Raises:
        ResultError: a block's image or document is malformed.
    """
    if _is_block(value):
        return [_finished(value)]
    if not isinstance(value, (list, tuple)) or not any(_is_block(item) for item in value):
        return None
    blocks = [{"type": "text", "text": item} if isinstance(item, str) else item for item in value]
    if not all(_is_block(block) for block in blocks):
        return None
    return [_finished(block) for block in blocks if block["type"] != "text" or block["text"]]


def _is_block(value: object) -> TypeGuard[JsonObject]:
    """Whether ``value`` has exactly the shape of a block: other objects have a ``type`` too."""
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        return False
    required = _REQUIRED.get(value["type"])
    if required is None or value.keys() - required.keys() - _OPTIONAL:
        return False
    return all(isinstance(value.get(name), kind) for name, kind in required.items())


def _finished(block: JsonObject) -> JsonObject:
    source = block.get("source")
    if isinstance(source, dict) and source.get("type") == "base64":
        block = block | {"source": _encoded(source, kind=block["type"])}
    plain: JsonObject = to_json_value(block)
    if plain["type"] == "text" and not plain["text"].strip():
        plain["text"] = "(blank)"  # the provider refuses blank text blocks
    return plain


def _encoded(source: JsonObject, *, kind: str) -> JsonObject:
    media_type: Any = source.get("media_type")
    if kind == "image" and media_type not in _IMAGE_TYPES:
        raise ResultError(
            f"an image's media_type is one of {', '.join(_IMAGE_TYPES)}, not {media_type!r}"
        )
    data = source.get("data")
    if isinstance(data, (bytes, bytearray)):
        return source | {"data": base64.b64encode(data).decode()}
    try:
        base64.b64decode(data if isinstance(data, str) else "", validate=True)
    except (binascii.Error, ValueError) as error:
        raise ResultError(f"the data of the {kind} is not base64: {error}") from error
    if not data:
        raise ResultError(f"the {kind} has no data: give base64 text or bytes")
    return source
