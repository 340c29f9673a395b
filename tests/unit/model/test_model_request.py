"""What is sent for a ModelRequest, and which parameters pass."""

import hashlib
import json
from typing import Any

import pytest
from anthropic.types.message_create_params import MessageCreateParamsBase

from agent_server.errors import InvalidRequest, ModelError
from agent_server.messages import text_message
from agent_server.model import ModelRequest
from agent_server.model.request import (
    PARAMS,
    check_params,
    request_body,
    request_bytes,
    request_headers,
    request_sha256,
)

TOOLS = [
    {"name": "a", "description": "A", "input_schema": {"type": "object"}},
    {"name": "b", "description": "B", "input_schema": {"type": "object"}},
]
MARK = {"type": "ephemeral"}


def ask(**fields: Any) -> ModelRequest:
    return ModelRequest("m", 100, [text_message("user", "hi")], **fields)


def test_the_body_holds_every_field_in_a_fixed_order() -> None:
    body = request_body(
        ask(system="S", tools=TOOLS, params={"top_p": 0.5, "stop_sequences": ["x"]})
    )
    assert list(body) == [
        "model",
        "max_tokens",
        "stream",
        "system",
        "tools",
        "messages",
        "stop_sequences",
        "top_p",
    ]


def test_the_end_of_the_stable_prefix_is_marked_for_the_cache() -> None:
    with_system = request_body(ask(system="S", tools=TOOLS))
    assert with_system["system"] == [{"type": "text", "text": "S", "cache_control": MARK}]
    assert with_system["tools"] == TOOLS
    without = request_body(ask(tools=TOOLS))
    assert without["tools"] == [TOOLS[0], {**TOOLS[1], "cache_control": MARK}]


def test_a_tool_that_loads_later_is_never_marked() -> None:
    tools = [TOOLS[0], {**TOOLS[1], "defer_loading": True}]
    assert request_body(ask(tools=tools))["tools"] == [
        {**TOOLS[0], "cache_control": MARK},
        tools[1],
    ]


def test_marks_of_ones_own_and_null_turn_ours_off() -> None:
    marked = [{**TOOLS[0], "cache_control": {"type": "ephemeral", "ttl": "1h"}}, TOOLS[1]]
    assert request_body(ask(tools=marked))["tools"] == marked
    body = request_body(ask(system="S", tools=TOOLS, params={"cache_control": None}))
    assert body["system"] == [{"type": "text", "text": "S"}]
    assert "cache_control" not in body


def test_the_same_request_gives_the_same_bytes_and_hash() -> None:
    one = ask(system="S", tools=TOOLS, params={"top_p": 0.5, "top_k": 2})
    two = ask(system="S", tools=TOOLS, params={"top_k": 2, "top_p": 0.5})
    assert request_bytes(one) == request_bytes(two)
    assert request_sha256(one) == request_sha256(two)
    assert request_sha256(one) == hashlib.sha256(request_bytes(one)).hexdigest()


def test_a_later_turn_repeats_the_earlier_bytes_as_its_prefix() -> None:
    first = ask(system="S", tools=TOOLS)
    more = [*first.messages, text_message("assistant", "yes"), text_message("user", "go on")]
    second = ModelRequest("m", 100, more, system="S", tools=TOOLS)
    assert request_bytes(second).startswith(request_bytes(first)[: -len("]}")])


def test_betas_go_into_the_header_and_the_hash() -> None:
    plain, beta = ask(), ask(params={"betas": ["x-1"]})
    assert request_headers(plain) == {}
    assert request_headers(beta) == {"anthropic-beta": "x-1"}
    assert request_bytes(plain) == request_bytes(beta)
    assert request_sha256(plain) != request_sha256(beta)


def test_effort_is_short_for_the_output_config() -> None:
    params = {"effort": "low", "output_config": {"format": {"type": "json_schema"}}}
    body = request_body(ask(params=params))
    assert body["output_config"] == {"format": {"type": "json_schema"}, "effort": "low"}
    assert params["output_config"] == {"format": {"type": "json_schema"}}


def test_a_request_is_json_and_keeps_the_order_of_its_keys() -> None:
    call = {"type": "tool_use", "id": "t", "name": "n", "input": {"b": 1, "a": 2}}
    request = ModelRequest("m", 1, [{"role": "assistant", "content": [call]}])
    sent = json.loads(request_bytes(request))["messages"][0]["content"][0]
    assert list(sent["input"]) == ["b", "a"]


def test_text_that_utf8_cannot_express_is_a_model_error() -> None:
    with pytest.raises(ModelError) as caught:
        request_bytes(ModelRequest("m", 1, [text_message("user", "\ud800")]))
    assert (caught.value.code, caught.value.retryable) == ("upstream_invalid_request", False)


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"temperature": 0, "top_p": 0.9, "top_k": 5},
        {"thinking": {"type": "adaptive"}, "effort": "high"},
        {"betas": [], "stop_sequences": ["a"], "container": "c", "metadata": None},
    ],
)
def test_allowed_parameters_pass(params: dict[str, Any]) -> None:
    check_params(params)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"temprature": 1}, "Did you mean temperature"),
        ({"stream": False}, "not a model parameter"),
        ({"messages": []}, "not a model parameter"),
        ({"thread": {}}, "not a model parameter"),
        ({"temperature": "hot"}, "must be a number"),
        ({"temperature": True}, "must be a number"),
        ({"top_k": 1.5}, "must be a number"),
        ({"thinking": "on"}, "must be an object"),
        ({"betas": "x"}, "must be a list"),
        ({"betas": [1]}, "must be a list"),
        ({"container": 1}, "must be a string or an object"),
        ({"effort": "low", "output_config": {"effort": "high"}}, "exclude each other"),
    ],
)
def test_other_parameters_are_refused_by_name(params: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRequest, match=message) as caught:
        check_params(params)
    assert caught.value.status == 422
    assert caught.value.param is not None
    assert caught.value.param.startswith("model_params.")


def test_every_body_parameter_of_the_sdk_is_placed_or_left_out_on_purpose() -> None:
    ours = {"model", "max_tokens", "messages", "system", "tools"}
    headers = {"user_profile_id", "workspace_id"}
    assert MessageCreateParamsBase.__annotations__.keys() - PARAMS.keys() - ours - headers == set()
