"""The Messages API model against a loopback fake of the provider."""

import asyncio
import hashlib
import os
import warnings
from collections.abc import AsyncIterator

import pytest

from agent_server.errors import ConfigError, ModelError
from agent_server.model import BlockStop, MessageDelta, MessageStop, ModelItem, ModelRequest
from agent_server.model.anthropic import AnthropicModel
from agent_server.model.request import request_sha256
from tests.fakes.provider import FakeProvider, serve_provider

LIMIT_S = 20


@pytest.fixture
async def provider() -> AsyncIterator[FakeProvider]:
    async with serve_provider() as fake:
        yield fake


@pytest.fixture
async def model(provider: FakeProvider) -> AsyncIterator[AnthropicModel]:
    model = AnthropicModel(api_key="sk-test", base_url=provider.url)
    yield model
    await model.aclose()


def ask(name: str, **fields: object) -> ModelRequest:
    given = {
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
        "max_tokens": 100,
        **fields,
    }
    return ModelRequest(model=name, **given)  # type: ignore[arg-type]


async def read(model: AnthropicModel, request: ModelRequest) -> list[ModelItem]:
    async with asyncio.timeout(LIMIT_S), model.stream(request) as stream:
        return [item async for item in stream]


async def refuse(model: AnthropicModel, request: ModelRequest) -> ModelError:
    with pytest.raises(ModelError) as caught:
        await read(model, request)
    return caught.value


async def test_a_response_is_read_item_by_item_and_its_bytes_are_kept(
    model: AnthropicModel, provider: FakeProvider
) -> None:
    async with asyncio.timeout(LIMIT_S), model.stream(ask("text")) as stream:
        items = [item async for item in stream]
        assert stream.raw == provider.play("text", {"messages": [{"role": "user", "content": []}]})
        assert stream.request_id == "req_fake"
    assert BlockStop(0, {"type": "text", "text": "Hello, world."}) in items
    assert isinstance(items[-1], MessageStop)


async def test_what_is_sent_is_exactly_what_was_hashed(
    model: AnthropicModel, provider: FakeProvider
) -> None:
    request = ask("text", system="Be brief.", params={"temperature": 0, "top_k": 3})
    await read(model, request)
    (received,) = provider.requests
    assert hashlib.sha256(received.raw).hexdigest() == request_sha256(request)
    assert received.body["temperature"] == 0
    assert received.headers["authorization"] == "Bearer sk-test"
    assert received.headers["content-type"] == "application/json"
    assert received.headers["accept-encoding"] == "identity"
    assert "traceparent" not in received.headers


async def test_betas_travel_as_a_header(model: AnthropicModel, provider: FakeProvider) -> None:
    await read(model, ask("text", params={"betas": ["one-2026", "two-2026"]}))
    (received,) = provider.requests
    assert received.headers["anthropic-beta"] == "one-2026,two-2026"
    assert received.path == "/v1/messages?beta=true"
    assert "betas" not in received.body


async def test_leaving_the_context_closes_the_upstream_connection_at_once(
    model: AnthropicModel, provider: FakeProvider
) -> None:
    async with asyncio.timeout(LIMIT_S):
        async with model.stream(ask("many!stall=0.01")) as stream:
            async for _ in stream:
                break
        await provider.aborted.wait()
    assert provider.aborts[0].model == "many!stall=0.01"


async def test_cancelling_the_reader_closes_the_upstream_connection(
    model: AnthropicModel, provider: FakeProvider
) -> None:
    async def give_up_while_reading() -> None:
        async with asyncio.timeout(None) as scope, model.stream(ask("text!stall")) as stream:
            await provider.streaming.wait()
            scope.reschedule(0)
            _ = [item async for item in stream]

    async with asyncio.timeout(LIMIT_S):
        with pytest.raises(TimeoutError):
            await give_up_while_reading()
        await provider.aborted.wait()


async def test_a_finished_connection_is_used_again(
    model: AnthropicModel, provider: FakeProvider
) -> None:
    for _ in range(3):
        await read(model, ask("text"))
    assert provider.connections == 1


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("text!cut=0.5", "stream_truncated"),
        ("text!nostop", "stream_truncated"),
        ("text!empty", "stream_truncated"),
        ("text!garbage", "provider_protocol"),
        ("text!json", "provider_protocol"),
        ("text!reset", "upstream_unavailable"),
        ("text!error=0.5", "upstream_overloaded"),
        ("error_first", "upstream_overloaded"),
        ("duplicate_ids", "provider_protocol"),
        ("text!status=500", "upstream_error"),
        ("text!status=529", "upstream_overloaded"),
        ("text!status=429", "upstream_rate_limited"),
    ],
)
async def test_every_way_to_fail_is_a_retryable_model_error(
    model: AnthropicModel, name: str, code: str
) -> None:
    error = await refuse(model, ask(name))
    assert (error.code, error.retryable) == (code, True)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("text!status=400", "upstream_invalid_request"),
        ("text!status=401", "upstream_auth"),
        ("text!status=402", "upstream_spend_limit"),
        ("text!status=413", "upstream_invalid_request"),
        ("no_such_model", "upstream_invalid_request"),
    ],
)
async def test_what_no_repetition_mends_is_not_retryable(
    model: AnthropicModel, name: str, code: str
) -> None:
    error = await refuse(model, ask(name))
    assert (error.code, error.retryable) == (code, False)
    assert "as asked" not in error.message


async def test_a_rate_limit_says_when_to_come_back_and_then_serves(model: AnthropicModel) -> None:
    request = ask("text!status=429*1")
    error = await refuse(model, request)
    assert (error.retry_after_s, error.upstream_status) == (1.0, 429)
    assert error.request_id == "req_fake"
    assert isinstance((await read(model, request))[-1], MessageStop)


async def test_the_sdk_never_retries_by_itself(
    model: AnthropicModel, provider: FakeProvider
) -> None:
    await refuse(model, ask("text!status=500"))
    assert len(provider.requests) == 1


async def test_a_byte_a_write_and_crlf_give_the_same_items(model: AnthropicModel) -> None:
    plain = await read(model, ask("parallel"))
    assert await read(model, ask("parallel!byte=1")) == plain
    assert await read(model, ask("parallel!crlf!byte=3")) == plain


async def test_a_refused_connection_is_unavailable() -> None:
    async with serve_provider() as gone:
        url = gone.url
    model = AnthropicModel(api_key="sk-test", base_url=url)
    error = await refuse(model, ask("text"))
    assert (error.code, error.retryable) == ("upstream_unavailable", True)
    await model.aclose()


@pytest.fixture
def nothing_to_authenticate_with(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    for name in [name for name in os.environ if name.startswith("ANTHROPIC_")]:  # noqa: TID251 (to unset them)
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))


@pytest.mark.usefixtures("nothing_to_authenticate_with")
async def test_a_server_of_ones_own_needs_no_key(provider: FakeProvider) -> None:
    model = AnthropicModel(base_url=provider.url)
    await read(model, ask("text"))
    assert "authorization" not in provider.requests[0].headers
    await model.aclose()


@pytest.mark.usefixtures("nothing_to_authenticate_with")
def test_the_api_itself_needs_a_key() -> None:
    with pytest.raises(ConfigError, match="ANTHROPIC_API_KEY"):
        AnthropicModel()


async def test_old_models_and_thinking_settings_raise_no_warnings(model: AnthropicModel) -> None:
    params = {"thinking": {"type": "enabled", "budget_tokens": 1024}}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        error = await refuse(model, ask("claude-3-opus-20240229", params=params))
    assert error.code == "upstream_invalid_request"


async def test_a_response_that_never_ends_after_its_message_is_still_complete(
    model: AnthropicModel, provider: FakeProvider
) -> None:
    items = await read(model, ask("text!stall=1.0"))
    assert isinstance(items[-1], MessageStop)
    assert any(isinstance(item, MessageDelta) for item in items)
    async with asyncio.timeout(LIMIT_S):
        await provider.aborted.wait()
