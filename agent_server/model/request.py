"""A ModelRequest as the Messages API takes it: the same request gives the same bytes.

``params`` are checked against an allow-list here, so that configuration and HTTP can refuse a
wrong one before a run exists.
"""

import difflib
import hashlib
from typing import Any, Final

from pydantic_core import PydanticSerializationError, to_json

from agent_server.errors import InvalidRequest, ModelError
from agent_server.messages import JsonObject
from agent_server.model import ModelRequest

BETA_HEADER: Final = "anthropic-beta"

_NUMBER: Final = (int, float)

PARAMS: Final[dict[str, tuple[type, ...]]] = {
    "betas": (list,),
    "cache_control": (dict,),
    "compaction": (dict,),
    "container": (str, dict),
    "context_management": (dict,),
    "diagnostics": (dict,),
    "effort": (str,),
    "fallbacks": (dict, list),
    "inference_geo": (str,),
    "mcp_servers": (list,),
    "metadata": (dict,),
    "output_config": (dict,),
    "service_tier": (str,),
    "speed": (str,),
    "stop_sequences": (list,),
    "temperature": _NUMBER,
    "thinking": (dict,),
    "tool_choice": (dict,),
    "top_k": (int,),
    "top_p": _NUMBER,
}
"""The ``model_params`` that pass, and their JSON types. ``betas`` travel as a header; ``effort`` is
short for ``output_config.effort``; ``cache_control: null`` turns our own cache mark off."""

_NAMES: Final = {str: "a string", dict: "an object", list: "a list", int: "a number"}
_OF_STRINGS: Final = frozenset({"betas", "stop_sequences"})


def check_params(params: JsonObject) -> None:
    """Refuse a model parameter that is not allowed or not of its type.

    Raises:
        InvalidRequest: it names the parameter, and the nearest allowed one (422).
    """
    for name, value in params.items():
        types = PARAMS.get(name)
        if types is None:
            raise InvalidRequest(
                f"model_params.{name} is not a model parameter.{_nearest(name)}",
                code="unknown_model_param",
                param=f"model_params.{name}",
            )
        if value is not None and not _fits(name, value, types):
            expected = " or ".join(dict.fromkeys(_NAMES[t] for t in types if t in _NAMES))
            raise InvalidRequest(
                f"model_params.{name} must be {expected}.",
                code="invalid_model_param",
                param=f"model_params.{name}",
            )
    if params.get("effort") and "effort" in (params.get("output_config") or {}):
        raise InvalidRequest(
            "model_params.effort and model_params.output_config.effort exclude each other.",
            code="invalid_model_param",
            param="model_params.effort",
        )


def request_body(request: ModelRequest) -> JsonObject:
    """Build the body that is sent, in a fixed order of keys.

    The cache mark goes on the end of the prefix that stays the same over a run's turns: the
    system prompt, or the last tool where there is none.
    """
    params = dict(request.params)
    marks = "cache_control" not in params or params["cache_control"] is not None
    body: JsonObject = {"model": request.model, "max_tokens": request.max_tokens, "stream": True}
    if request.system:
        mark = {"cache_control": {"type": "ephemeral"}} if marks else {}
        body["system"] = [{"type": "text", "text": request.system, **mark}]
    if request.tools:
        body["tools"] = _mark_last(request.tools) if marks and not request.system else request.tools
    body["messages"] = request.messages
    effort = params.pop("effort", None)
    if effort is not None:
        params["output_config"] = {**(params.get("output_config") or {}), "effort": effort}
    params.pop("betas", None)
    body.update((name, params[name]) for name in sorted(params) if params[name] is not None)
    return body


def request_bytes(request: ModelRequest) -> bytes:
    """Encode the body exactly as it is sent.

    Raises:
        ModelError: the request holds text that UTF-8 cannot express.
    """
    try:
        return to_json(request_body(request))
    except PydanticSerializationError as error:
        raise ModelError(
            "The request to the model holds text that is not valid Unicode.",
            code="upstream_invalid_request",
            retryable=False,
            detail=str(error),
        ) from error


def request_headers(request: ModelRequest) -> dict[str, str]:
    """Return the headers that belong to this request: its betas."""
    betas = request.params.get("betas")
    return {BETA_HEADER: ",".join(betas)} if betas else {}


def request_sha256(request: ModelRequest) -> str:
    """Hash exactly what is sent: the body, then the beta header where there is one."""
    digest = hashlib.sha256(request_bytes(request))
    for name, value in request_headers(request).items():
        digest.update(f"\n{name}: {value}".encode())
    return digest.hexdigest()


def _mark_last(tools: list[JsonObject]) -> list[JsonObject]:
    """Mark the last tool for the cache, unless tools bring their own marks.

    A tool whose loading is deferred is not part of the prefix and may not be marked.
    """
    if any("cache_control" in tool for tool in tools):
        return tools
    marked = list(tools)
    for position in range(len(marked) - 1, -1, -1):
        if not marked[position].get("defer_loading"):
            marked[position] = {**marked[position], "cache_control": {"type": "ephemeral"}}
            break
    return marked


def _fits(name: str, value: Any, types: tuple[type, ...]) -> bool:
    items: Any = value if name in _OF_STRINGS else ()
    if isinstance(value, bool) or not isinstance(value, types):
        return False
    return all(isinstance(item, str) for item in items)


def _nearest(name: str) -> str:
    close = difflib.get_close_matches(name, PARAMS, n=1)
    return f" Did you mean {close[0]}?" if close else ""
