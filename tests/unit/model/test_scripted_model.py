"""The public fake: it plays what it is told, through the real parser."""

import asyncio

import pytest

from agent_server.errors import ModelError
from agent_server.messages import text_message
from agent_server.model import BlockStop, MessageDelta, MessageStop, ModelItem, ModelRequest, wire
from agent_server.model.scripted import (
    Part,
    Reply,
    ScriptedModel,
    Turn,
    call,
    error,
    fail,
    pause,
    raw,
    stall,
    text,
    thinking,
)

REQUEST = ModelRequest("m", 10, [text_message("user", "hi")])


async def read(model: ScriptedModel) -> list[ModelItem]:
    async with asyncio.timeout(10), model.stream(REQUEST) as stream:
        return [item async for item in stream]


async def blocks(reply: Reply) -> list[BlockStop]:
    return [item for item in await read(ScriptedModel([reply])) if isinstance(item, BlockStop)]


def ended(items: list[ModelItem]) -> str | None:
    return next(item.stop_reason for item in reversed(items) if isinstance(item, MessageDelta))


async def test_a_string_is_an_answer() -> None:
    model = ScriptedModel(["Hello"])
    items = await read(model)
    assert BlockStop(0, {"type": "text", "text": "Hello"}) in items
    assert ended(items) == "end_turn"
    assert model.requests == [REQUEST]


async def test_parts_become_blocks_in_order_with_ids_of_their_own() -> None:
    parts: list[Part] = [thinking("hm"), text("a", "b"), call("one", {"x": 1}), call("two")]
    items = await read(ScriptedModel([parts]))
    stops = [item.block for item in items if isinstance(item, BlockStop)]
    assert [block["type"] for block in stops] == ["thinking", "text", "tool_use", "tool_use"]
    assert [block["id"] for block in stops[2:]] == ["toolu_scripted_1_1", "toolu_scripted_1_2"]
    assert [block["input"] for block in stops[2:]] == [{"x": 1}, {}]
    assert ended(items) == "tool_use"


async def test_ids_differ_from_turn_to_turn() -> None:
    model = ScriptedModel([call("one"), call("one")])
    ids = [
        item.block["id"]
        for _ in range(2)
        for item in await read(model)
        if isinstance(item, BlockStop)
    ]
    assert len(set(ids)) == 2


async def test_malformed_inputs_are_sent_as_they_are() -> None:
    (stop,) = await blocks(call("one", '{"x": 1,}', deltas=3))
    assert stop.partial_json == '{"x": 1,}'
    assert stop.input_error is not None


async def test_a_function_gets_the_request() -> None:
    model = ScriptedModel([lambda request: f"{len(request.messages)} messages"])
    stops = [item for item in await read(model) if isinstance(item, BlockStop)]
    assert stops[0].block["text"] == "1 messages"


async def test_a_request_after_the_last_turn_says_so() -> None:
    model = ScriptedModel(["only one"])
    await read(model)
    with pytest.raises(ModelError, match="out of turns: request 2 came, but the script has 1"):
        await read(model)


async def test_a_failure_is_raised_instead_of_opening() -> None:
    failure = ModelError("no", code="upstream_rate_limited", retryable=True, retry_after_s=3)
    with pytest.raises(ModelError) as caught:
        await read(ScriptedModel([fail(failure)]))
    assert caught.value is failure


@pytest.mark.parametrize("cut_at", [0, 1, 100, 400])
async def test_a_cut_turn_is_truncated_at_that_byte(cut_at: int) -> None:
    model = ScriptedModel([Turn((text("some", "thing"),), cut_at=cut_at)])
    with pytest.raises(ModelError) as caught:
        async with model.stream(REQUEST) as stream:
            _ = [item async for item in stream]
    assert caught.value.code == "stream_truncated"
    assert len(stream.raw) == cut_at


async def test_errors_and_raw_bytes_come_where_they_stand() -> None:
    with pytest.raises(ModelError) as caught:
        await read(ScriptedModel([[text("a"), error("overloaded_error")]]))
    assert caught.value.code == "upstream_overloaded"
    assert isinstance((await read(ScriptedModel([[raw(wire.ping()), text("a")]])))[-1], MessageStop)


async def test_a_turn_without_its_end_is_truncated() -> None:
    with pytest.raises(ModelError) as caught:
        await read(ScriptedModel([Turn((text("a"),), ends=False)]))
    assert caught.value.code == "stream_truncated"


async def test_a_pause_waits_for_its_hook() -> None:
    gate, arrived = asyncio.Event(), asyncio.Event()

    async def hook() -> None:
        arrived.set()
        await gate.wait()

    async def open_gate() -> None:
        await arrived.wait()
        gate.set()

    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        reading = group.create_task(read(ScriptedModel([[text("a"), pause(hook), text("b")]])))
        group.create_task(open_gate())
    assert isinstance(reading.result()[-1], MessageStop)


async def test_a_stall_ends_with_whoever_waits_for_it() -> None:
    async def wait_in_vain() -> None:
        async with asyncio.timeout(0.01):
            await read(ScriptedModel([[text("a"), stall()]]))

    with pytest.raises(TimeoutError):
        await wait_in_vain()


async def test_stop_reasons_details_and_usage_are_the_scripts() -> None:
    details = {"type": "refusal", "category": "cyber"}
    turn = Turn((), "refusal", details, usage={"input_tokens": 1, "output_tokens": 0})
    items = await read(ScriptedModel([turn]))
    assert MessageDelta("refusal", details, {"input_tokens": 1, "output_tokens": 0}) in items
