"""The provider's events become items; what breaks its protocol becomes a ModelError."""

import json
from typing import Any

import pytest
from anthropic.types import ContentBlock
from anthropic.types.beta import BetaContentBlock

from agent_server.errors import ModelError
from agent_server.model import (
    BlockDelta,
    BlockStart,
    BlockStop,
    MessageDelta,
    MessageStart,
    MessageStop,
    ModelItem,
    RawItem,
    wire,
)
from agent_server.model.blocks import KNOWN_BLOCKS
from agent_server.model.parse import ProviderParser
from tests.fakes.scenarios import SCENARIOS, call, message, text

START = wire.message_start("msg_1", model="m", usage={"input_tokens": 3})
STOP = wire.message_delta("end_turn", usage={"output_tokens": 2}) + wire.message_stop()


def parse(*chunks: bytes) -> list[ModelItem]:
    parser = ProviderParser()
    items = [item for chunk in chunks for item in parser.feed(chunk)]
    return items + parser.finish()


def stops(*chunks: bytes) -> list[BlockStop]:
    return [item for item in parse(*chunks) if isinstance(item, BlockStop)]


def failure(*chunks: bytes) -> ModelError:
    with pytest.raises(ModelError) as caught:
        parse(*chunks)
    return caught.value


def start(index: int, **block: Any) -> bytes:
    return wire.block_start(index, block)


def delta(index: int, **fields: Any) -> bytes:
    return wire.block_delta(index, fields)


def test_a_text_message_gives_its_items_in_order() -> None:
    assert parse(message(text("Hel", "lo"))) == [
        MessageStart(
            json.loads(SCENARIOS["text"][0].split(b"data: ", 1)[1].split(b"\n")[0])["message"]
        ),
        BlockStart(0, {"type": "text", "text": ""}),
        BlockDelta(0, {"type": "text_delta", "text": "Hel"}),
        BlockDelta(0, {"type": "text_delta", "text": "lo"}),
        BlockStop(0, {"type": "text", "text": "Hello"}),
        MessageDelta("end_turn", None, {"input_tokens": 12, "output_tokens": 7}),
        MessageStop(),
    ]


def test_a_start_block_is_kept_with_every_field_and_its_deltas_applied() -> None:
    (stop,) = stops(
        START,
        start(0, type="text", text="A", citations=None, novel={"x": [1]}),
        delta(0, type="citations_delta", citation={"cited_text": "c", "encrypted_index": "e"}),
        delta(0, type="text_delta", text="B"),
        delta(0, type="citations_delta", citation={"cited_text": "d"}),
        wire.block_stop(0),
        STOP,
    )
    assert stop.block == {
        "type": "text",
        "text": "AB",
        "citations": [{"cited_text": "c", "encrypted_index": "e"}, {"cited_text": "d"}],
        "novel": {"x": [1]},
    }
    assert list(stop.block) == ["type", "text", "citations", "novel"]


def test_thinking_keeps_its_signature_and_compaction_its_content() -> None:
    thinking, compaction = stops(
        START,
        b"".join(wire.thinking_block(0, ["a", "b"], signature="c2ln")),
        start(1, type="compaction", content=None),
        delta(1, type="compaction_delta", content="short", encrypted_content="e"),
        wire.block_stop(1),
        STOP,
    )
    assert thinking.block == {"type": "thinking", "thinking": "ab", "signature": "c2ln"}
    assert compaction.block == {"type": "compaction", "content": "short", "encrypted_content": "e"}


def test_a_tool_input_is_parsed_strictly_with_its_keys_in_the_received_order() -> None:
    (stop,) = stops(message(call("t", '{"b": 1, "a": {"d": 2, "c": 1.5}}'), stop_reason="tool_use"))
    assert json.dumps(stop.block["input"]) == '{"b": 1, "a": {"d": 2, "c": 1.5}}'
    assert stop.partial_json == '{"b": 1, "a": {"d": 2, "c": 1.5}}'
    assert stop.input_error is None


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ('{"expression": 12*7,}', "not valid JSON"),
        ('{"a": 1', "not valid JSON"),
        ('{"a": 1} {"b": 2}', "not valid JSON"),
        ('{"a": NaN}', "not valid JSON"),
        ('{"a": "\\ud800"}', "not valid JSON"),
        ('{"a": 1e999}', "out of range"),
        ('{"a": [-1' + "0" * 400 + ".5]}", "out of range"),
        ("[1, 2]", "not an array"),
        ('"text"', "not a string"),
        ("null", "not null"),
        ("12", "not a number"),
        ("true", "not a boolean"),
        ("[" * 5_000, "not valid JSON"),
    ],
)
def test_an_input_that_is_no_sound_object_is_empty_and_says_why(source: str, why: str) -> None:
    (stop,) = stops(message(call("t", source), stop_reason="tool_use"))
    assert stop.block["input"] == {}
    assert stop.input_error is not None
    assert why in stop.input_error
    assert stop.partial_json == source


@pytest.mark.parametrize("source", ["", " "])
def test_a_call_without_input_text_has_the_input_of_its_start(source: str) -> None:
    block = {"type": "tool_use", "id": "t1", "name": "now", "input": {"zone": "UTC"}}
    (stop,) = stops(
        START,
        start(0, **block),
        delta(0, type="input_json_delta", partial_json=source),
        wire.block_stop(0),
        STOP,
    )
    assert stop.block == block
    assert stop.input_error is None


def test_an_unknown_block_belongs_to_the_message_and_is_shown_raw_once() -> None:
    items = parse(SCENARIOS["unknown_block"][0])
    block = {"type": "hologram", "shape": {"sides": 6}, "text": "see"}
    event = {"type": "content_block_start", "index": 0, "content_block": block}
    assert items[1:4] == [BlockStart(0, block), RawItem(event), BlockStop(0, block)]
    assert sum(isinstance(item, RawItem) for item in items) == 1


def test_unknown_blocks_take_known_deltas() -> None:
    stop, *_ = stops(
        START,
        start(0, type="hologram"),
        delta(0, type="text_delta", text="x"),
        delta(0, type="input_json_delta", partial_json='{"a": 1}'),
        wire.block_stop(0),
        STOP,
    )
    assert stop.block == {"type": "hologram", "text": "x", "input": {"a": 1}}


def test_unknown_events_and_deltas_are_kept_raw() -> None:
    raws = [item for item in parse(SCENARIOS["unknown_events"][0]) if isinstance(item, RawItem)]
    assert [item.event["type"] for item in raws] == [
        "weather_report",
        "content_block_delta",
        "weather_report",
    ]
    assert raws[1].event["delta"] == {"type": "twist_delta", "angle": 3}


def test_every_block_type_of_the_sdk_is_known() -> None:
    unions = [ContentBlock.__origin__.__args__, BetaContentBlock.__origin__.__args__]  # type: ignore[attr-defined]
    names = {member.model_fields["type"].annotation.__args__[0] for u in unions for member in u}
    assert names <= KNOWN_BLOCKS


def test_pings_and_what_follows_the_message_are_ignored() -> None:
    late = wire.ping() + wire.encode({"type": "weather_report"}) + wire.error("api_error", "late")
    assert parse(wire.ping(), START, wire.ping(), STOP, late)[-1] == MessageStop()


def test_usage_is_merged_over_the_stream() -> None:
    begun = {"input_tokens": 9, "cache_read_input_tokens": 4, "output_tokens": 1}
    items = parse(
        wire.message_start("m", model="m", usage=begun),
        wire.message_delta(None, usage={"output_tokens": 5, "cache_read_input_tokens": None}),
        wire.message_delta("end_turn", usage={"output_tokens": 8, "iterations": [1]}),
        wire.message_stop(),
    )
    first, last = [item for item in items if isinstance(item, MessageDelta)]
    assert first == MessageDelta(None, None, {**begun, "output_tokens": 5})
    assert last == MessageDelta("end_turn", None, {**begun, "output_tokens": 8, "iterations": [1]})


def test_a_refusal_keeps_its_details() -> None:
    details = {"type": "refusal", "category": "cyber", "explanation": "no"}
    items = parse(
        START, wire.message_delta("refusal", usage={}, stop_details=details), wire.message_stop()
    )
    assert MessageDelta("refusal", details, {"input_tokens": 3}) in items


TEXT = b"".join(text("hi"))
CALL = {"type": "tool_use", "id": "t1", "name": "n", "input": {}}


@pytest.mark.parametrize(
    "chunks",
    [
        [START, START],
        [TEXT],
        [STOP],
        [START, delta(0, type="text_delta", text="x")],
        [START, wire.block_stop(0)],
        [START, TEXT, delta(0, type="text_delta", text="x")],
        [START, TEXT, wire.block_stop(0)],
        [START, TEXT, start(0, type="text", text="")],
        [START, start(0, type="text", text=""), start(0, type="text", text="")],
        [START, start(-1, type="text", text="")],
        [START, wire.encode({"type": "content_block_start", "index": "0", "content_block": CALL})],
        [START, wire.encode({"type": "content_block_start", "index": True, "content_block": CALL})],
        [START, wire.encode({"type": "content_block_start", "index": 0})],
        [START, wire.encode({"type": "content_block_stop", "index": [0]})],
        [START, start(0, text="")],
        [START, start(0, type="text", text=7)],
        [START, start(0, type="text", text="", citations="many")],
        [START, start(0, type="tool_use", id="", name="n", input={})],
        [START, start(0, type="tool_use", id="t", input={})],
        [START, start(0, type="tool_use", id="t", name="n", input=[])],
        [START, start(0, type="web_search_tool_result", tool_use_id=None)],
        [START, start(0, **CALL), wire.block_stop(0), start(1, **CALL)],
        [START, start(0, type="text", text=""), delta(0, type="text_delta")],
        [START, start(0, type="text", text=""), delta(0, type="text_delta", text=None)],
        [START, start(0, type="text", text=""), delta(0, text="x")],
        [START, start(0, type="text", text=""), delta(0, type="citations_delta")],
        [START, start(0, type="text", text=""), delta(0, type="input_json_delta", partial_json="")],
        [START, start(0, **CALL), delta(0, type="text_delta", text="x")],
        [START, start(0, type="text", text=""), STOP],
        [START, start(0, **CALL), wire.message_delta("tool_use", usage={}), wire.message_stop()],
        [START, STOP, TEXT],
        [START, STOP, START],
        [START, STOP, wire.message_stop()],
        [START, wire.encode({"type": "message_delta", "delta": [1]})],
        [START, wire.encode({"type": "message_delta", "delta": {"stop_reason": 7}})],
        [START, wire.encode({"type": "message_delta", "delta": {}, "usage": [1]})],
        [START, wire.message_delta("end_turn", usage={"output_tokens": "many"})],
        [START, wire.message_delta("end_turn", usage={"output_tokens": -1})],
        [wire.encode({"type": "message_start"})],
        [b"event: message_start\ndata: nonsense\n\n"],
        [b"event: message_start\ndata: [1]\n\n"],
        [b"event: message_start\ndata: \xff\xfe\n\n"],
        [b"event: message_start\ndata: " + b"[" * 100_000 + b"\n\n"],
        [START, b'event: ping\ndata: {"type": "ping", "n": NaN}\n\n'],
    ],
)
def test_a_breach_of_the_protocol_fails_the_attempt(chunks: list[bytes]) -> None:
    error = failure(*chunks)
    assert (error.code, error.retryable) == ("provider_protocol", True)


@pytest.mark.parametrize("reason", ["max_tokens", "refusal", "model_context_window_exceeded"])
def test_a_message_cut_inside_a_call_ends_without_that_call(reason: str) -> None:
    chunks = [START, start(0, **CALL), wire.message_delta(reason, usage={}), wire.message_stop()]
    assert stops(*chunks) == []
    assert parse(*chunks)[-1] == MessageStop()


def test_text_that_a_cut_left_open_is_kept() -> None:
    head = b"".join(list(text("so ", "far"))[:-1])
    (stop,) = stops(START, head, wire.message_delta("max_tokens", usage={}), wire.message_stop())
    assert stop.block["text"] == "so far"


@pytest.mark.parametrize("chunks", [[], [START], [START, TEXT], [START, STOP[:-30]], [b"\n"]])
def test_a_stream_without_message_stop_is_truncated(chunks: list[bytes]) -> None:
    error = failure(*chunks)
    assert (error.code, error.retryable) == ("stream_truncated", True)


def test_a_last_event_that_lacks_its_blank_line_counts() -> None:
    assert parse(START, STOP.rstrip(b"\n"))[-1] == MessageStop()


def test_items_before_a_failure_are_given_first() -> None:
    parser = ProviderParser()
    items = parser.feed(START + TEXT + START)
    assert items[-1] == BlockStop(0, {"type": "text", "text": "hi"})
    assert parser.failure is not None
    with pytest.raises(ModelError):
        parser.feed(b"")


@pytest.mark.parametrize(
    ("event", "code", "retryable"),
    [
        (wire.error("overloaded_error", "secret"), "upstream_overloaded", True),
        (wire.error("api_error", "secret"), "upstream_error", True),
        (wire.error("rate_limit_error", "secret"), "upstream_rate_limited", True),
        (wire.error("invalid_request_error", "secret"), "upstream_invalid_request", False),
        (wire.error("timeout_error", "secret"), "upstream_timeout", True),
        (wire.error("brand_new_error", "secret"), "upstream_error", True),
        (
            b'event: error\ndata: {"code":500,"message":"secret","type":"server_error"}\n\n',
            "upstream_error",
            True,
        ),
        (
            b'event: error\ndata: {"code":400,"message":"secret","type":"not_supported_error"}\n\n',
            "upstream_invalid_request",
            False,
        ),
        (
            b'event: error\ndata: {"error":{"code":503,"message":"secret"}}\n\n',
            "upstream_error",
            True,
        ),
        (b"event: error\ndata: {}\n\n", "upstream_error", True),
    ],
)
@pytest.mark.parametrize("before", [b"", START])
def test_an_error_event_is_classified_by_its_type(
    event: bytes, code: str, retryable: bool, before: bytes
) -> None:
    error = failure(before, event)
    assert (error.code, error.retryable) == (code, retryable)
    assert "secret" not in error.message


def test_an_event_with_a_senseless_type_is_kept_raw() -> None:
    odd = {"type": [1]}
    assert RawItem(odd) in parse(START, b'event: x\ndata: {"type": [1]}\n\n', STOP)


def test_text_that_a_gateway_cut_inside_a_character_is_mended() -> None:
    halves = b"".join(
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
        b'"delta":{"type":"text_delta","text":"%b"}}\n\n' % half
        for half in (rb"a\ud83d", rb"\ude00b")
    )
    (stop,) = stops(START, start(0, type="text", text=""), halves, wire.block_stop(0), STOP)
    assert stop.block["text"] == "a\ufffd\ufffdb"


@pytest.mark.parametrize(
    "delta_json",
    [
        rb'{"type":"thinking_delta","thinking":"\ud83d"}',
        rb'{"type":"input_json_delta","partial_json":"{\"a\":\"\ud83d"}',
        rb'{"type":"signature_delta","signature":"\ud83d"}',
        rb'{"type":"text_delta","text":"x","extra":"\ud83d"}',
    ],
)
def test_half_a_character_anywhere_else_fails_the_attempt(delta_json: bytes) -> None:
    event = (
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":%b}\n\n'
        % delta_json
    )
    assert failure(START, start(0, type="thinking", thinking=""), event).code == "provider_protocol"


def test_control_characters_and_line_separators_stay_as_they_are() -> None:
    (stop,) = stops(SCENARIOS["unicode"][0])
    assert stop.block["text"] == "a\u2028b\x00c👩\u200d👧é"


def test_half_a_megabyte_of_input_is_one_input() -> None:
    source = json.dumps({"text": "x" * 500_000})
    pieces = [source[at : at + 1_000] for at in range(0, len(source), 1_000)]
    block = wire.call_block(0, call_id="t", name="n", pieces=pieces)
    (stop,) = stops(message(block, stop_reason="tool_use"))
    assert stop.block["input"] == {"text": "x" * 500_000}
