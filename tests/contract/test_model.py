"""What every Model promises, whichever provider answers: scripted, demo, anthropic."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from anthropic.types import StopReason
from anthropic.types.beta import BetaStopReason

from agent_server.errors import ModelError
from agent_server.messages import text_message
from agent_server.model import (
    BlockDelta,
    BlockStart,
    BlockStop,
    MessageDelta,
    MessageStart,
    MessageStop,
    Model,
    ModelItem,
    ModelRequest,
)
from agent_server.model.anthropic import AnthropicModel
from agent_server.model.demo import DemoModel
from agent_server.model.parse import ProviderParser
from agent_server.model.scripted import ScriptedModel, Turn, call, error, fail, text
from tests.fakes.provider import FakeProvider, serve_provider
from tests.fakes.scenarios import SCENARIOS, message
from tests.fakes.scenarios import text as text_bytes

LIMIT_S = 20
COUNT = {
    "name": "word_count",
    "description": "Count the words of a text.",
    "input_schema": {
        "type": "object",
        "properties": {"text": {"type": "string"}},
        "required": ["text"],
    },
}
STOP_REASONS = sorted({*StopReason.__args__, *BetaStopReason.__args__})  # type: ignore[attr-defined]


@dataclass
class Subject:
    """A model, and how to ask it for a call, for a failure on entering, and for one midway."""

    model: Model
    calls: ModelRequest
    refused: ModelRequest
    breaks: ModelRequest


def ask(model: str, words: str = "count the words of one two three") -> ModelRequest:
    return ModelRequest(model, 1_000, [text_message("user", words)], tools=[COUNT])


def scripted() -> ScriptedModel:
    def play(request: ModelRequest) -> Turn:
        if request.model == "refused":
            return fail(ModelError("no", code="upstream_auth", retryable=False))
        last = error() if request.model == "breaks" else call("word_count", {"text": "one two"})
        return Turn((text("Count", "ing."), last))

    return ScriptedModel([play] * 20)


@pytest.fixture
async def provider() -> AsyncIterator[FakeProvider]:
    async with serve_provider() as fake:
        yield fake


@pytest.fixture(params=["scripted", "demo", "anthropic"])
async def subject(request: pytest.FixtureRequest, provider: FakeProvider) -> AsyncIterator[Subject]:
    model: Model
    if request.param == "scripted":
        model = scripted()
        found = Subject(model, ask("calls"), ask("refused"), ask("breaks"))
    elif request.param == "demo":
        model = DemoModel(delay_ms=0)
        refused, breaks = ask("m", "/demo overloaded"), ask("m", "/demo overloaded midway")
        found = Subject(model, ask("m"), refused, breaks)
    else:
        model = AnthropicModel(api_key="sk-test", base_url=provider.url)
        found = Subject(model, ask("tool"), ask("tool!status=401"), ask("tool!error=0.5"))
    assert model.provider == request.param
    yield found
    await model.aclose()


async def read(model: Model, request: ModelRequest) -> tuple[list[ModelItem], bytes]:
    async with asyncio.timeout(LIMIT_S), model.stream(request) as stream:
        return [item async for item in stream], stream.raw


async def test_a_stream_begins_with_its_head_and_ends_with_its_stop(subject: Subject) -> None:
    items, _ = await read(subject.model, subject.calls)
    assert isinstance(items[0], MessageStart)
    assert isinstance(items[-2], MessageDelta)
    assert isinstance(items[-1], MessageStop)
    assert sum(isinstance(item, MessageStart | MessageStop) for item in items) == 2


async def test_every_block_is_opened_filled_and_closed_in_turn(subject: Subject) -> None:
    items, _ = await read(subject.model, subject.calls)
    open_index, closed = None, 0
    for item in items:
        match item:
            case BlockStart(index):
                assert (open_index, index) == (None, closed)
                open_index = index
            case BlockDelta(index):
                assert index == open_index
            case BlockStop(index):
                assert index == open_index
                open_index, closed = None, closed + 1
            case _:
                assert open_index is None
    assert closed == 2


async def test_a_call_is_whole_and_its_turn_stops_for_it(subject: Subject) -> None:
    items, _ = await read(subject.model, subject.calls)
    said, used = [item for item in items if isinstance(item, BlockStop)]
    assert said.block["type"] == "text"
    assert said.block["text"]
    assert used.block["name"] == "word_count"
    assert used.block["input"]["text"].startswith("one two")
    assert used.input_error is None
    assert [i.stop_reason for i in items if isinstance(i, MessageDelta)][-1] == "tool_use"
    usage = [item.usage for item in items if isinstance(item, MessageDelta)][-1]
    assert usage["input_tokens"] > 0
    assert usage["output_tokens"] > 0


async def test_the_kept_bytes_hold_everything_again(subject: Subject) -> None:
    items, raw = await read(subject.model, subject.calls)
    parser = ProviderParser()
    assert parser.feed(raw) + parser.finish() == items


async def test_a_request_has_an_id(subject: Subject) -> None:
    async with asyncio.timeout(LIMIT_S), subject.model.stream(subject.calls) as stream:
        assert stream.request_id
        assert stream.raw == b""


async def test_a_refused_request_fails_on_entering(subject: Subject) -> None:
    with pytest.raises(ModelError):
        async with asyncio.timeout(LIMIT_S), subject.model.stream(subject.refused):
            pytest.fail("the stream was opened")


async def test_a_failure_midway_comes_after_what_was_received(subject: Subject) -> None:
    items: list[ModelItem] = []

    async def read_on() -> None:
        async with asyncio.timeout(LIMIT_S), subject.model.stream(subject.breaks) as stream:
            async for item in stream:
                items.append(item)  # noqa: PERF401 (what came before the failure counts)

    with pytest.raises(ModelError) as caught:
        await read_on()
    assert (caught.value.code, caught.value.retryable) == ("upstream_overloaded", True)
    assert isinstance(items[0], MessageStart)
    assert any(isinstance(item, BlockDelta) for item in items)
    assert not any(isinstance(item, MessageStop) for item in items)


async def test_a_stream_may_be_left_at_any_point(subject: Subject) -> None:
    for count in range(5):
        async with asyncio.timeout(LIMIT_S), subject.model.stream(subject.calls) as stream:
            for _ in range(count):
                await anext(aiter(stream))
    items, _ = await read(subject.model, subject.calls)
    assert isinstance(items[-1], MessageStop)


async def test_two_streams_of_one_model_do_not_mix(subject: Subject) -> None:
    async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as group:
        tasks = [group.create_task(read(subject.model, subject.calls)) for _ in range(5)]
    for task in tasks:
        items, raw = task.result()
        parser = ProviderParser()
        assert parser.feed(raw) == items


async def test_closing_twice_is_harmless(subject: Subject) -> None:
    await read(subject.model, subject.calls)
    await subject.model.aclose()
    await subject.model.aclose()


@pytest.mark.parametrize("reason", [*STOP_REASONS, "a_reason_of_next_year", None])
async def test_every_stop_reason_arrives_as_it_was_sent(
    provider: FakeProvider, reason: str | None
) -> None:
    provider.queue(message(text_bytes("x"), stop_reason=reason))
    model = AnthropicModel(api_key="sk-test", base_url=provider.url)
    items, _ = await read(model, ask("any"))
    await model.aclose()
    assert [i.stop_reason for i in items if isinstance(i, MessageDelta)] == [reason]
    if reason is not None:
        played, _ = await read(ScriptedModel([Turn((text("x"),), reason)]), ask("any"))
        assert [i.stop_reason for i in played if isinstance(i, MessageDelta)] == [reason]


@pytest.mark.parametrize("name", sorted(SCENARIOS.keys() - {"error_first", "duplicate_ids"}))
async def test_every_scenario_of_the_fake_provider_is_read_to_its_end(
    provider: FakeProvider, name: str
) -> None:
    model = AnthropicModel(api_key="sk-test", base_url=provider.url)
    items, _ = await read(model, ask(name))
    await model.aclose()
    assert isinstance(items[-1], MessageStop)
