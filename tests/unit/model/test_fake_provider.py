"""The fake provider is as strict as the real one, or the tests that trust it prove nothing."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from agent_server.errors import ModelError
from agent_server.messages import text_message
from agent_server.model import MessageStop, ModelRequest
from agent_server.model.anthropic import AnthropicModel
from tests.fakes import provider as provider_module
from tests.fakes.provider import serve_provider
from tests.fakes.transcripts import complaint

RECORDED = Path(__file__).parents[3].parent / "shared" / "recorded"

USER = {"role": "user", "content": "hi"}


def use(call_id: str = "t1", **fields: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": call_id, "name": "n", "input": {}, **fields}


def result(call_id: str = "t1") -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": call_id, "content": "ok"}


def says(role: str, *content: dict[str, Any]) -> dict[str, Any]:
    return {"role": role, "content": list(content)}


TEXT = {"type": "text", "text": "hm"}
THOUGHT = {"type": "thinking", "thinking": "hm", "signature": "c2ln"}


def body(*messages: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"model": "m", "max_tokens": 5, "stream": True, "messages": list(messages), **fields}


@pytest.mark.parametrize(
    "sound",
    [
        body(USER),
        body(USER, USER),
        body(USER, says("assistant", TEXT), USER),
        body(USER, says("assistant", TEXT)),
        body(USER, says("assistant", TEXT, use()), says("user", result(), TEXT)),
        body(USER, says("assistant", use("a"), use("b")), says("user", result("b"), result("a"))),
        body(USER, says("assistant", use()), says("user", result()), says("user", TEXT)),
        body(
            USER,
            says("assistant", THOUGHT, use()),
            says("user", result()),
            thinking={"type": "adaptive"},
        ),
    ],
)
def test_what_the_api_accepts_passes(sound: dict[str, Any]) -> None:
    assert complaint(sound) is None


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        (body(), "at least one message"),
        (body(says("assistant", TEXT)), "first message"),
        (body(USER, says("assistant")), "non-empty content"),
        (body(USER, says("assistant", {"type": "text", "text": ""})), "must be non-empty"),
        (body(says("system", TEXT)), "role"),
        (body(USER, says("assistant", use())), "without `tool_result`"),
        (body(USER, says("assistant", use()), USER), "without `tool_result`"),
        (body(USER, says("assistant", use("a"), use("b")), says("user", result("a"))), "without"),
        (body(USER, says("user", result())), "unexpected `tool_use_id`"),
        (body(USER, says("assistant", use()), says("user", result(), result("x"))), "unexpected"),
        (body(USER, says("assistant", use()), says("user", result(), result())), "single result"),
        (body(USER, says("assistant", use()), says("user", TEXT, result())), "come first"),
        (
            body(
                USER,
                says("assistant", use()),
                says("user", result()),
                says("assistant", use()),
                says("user", result()),
            ),
            "unique",
        ),
        (body(USER, says("assistant", use(input=[1])), says("user", result())), "dictionary"),
        (body(USER, says("assistant", {**THOUGHT, "signature": ""})), "signature"),
        (
            body(
                USER,
                says("assistant", TEXT, use()),
                says("user", result()),
                thinking={"type": "enabled"},
            ),
            "thinking block",
        ),
        (body(USER, max_tokens=0), "max_tokens"),
        (body(USER, temperatur=1), "Extra inputs"),
        (body(USER, tools=[{"name": "a"}, {"name": "a"}]), "unique"),
        (body(USER, tools=[{"name": "a b"}]), "not a tool name"),
        (body(USER, tools=[{"name": f"t{n}", "cache_control": {}} for n in range(5)]), "cache"),
    ],
)
def test_what_the_api_refuses_is_refused(broken: dict[str, Any], why: str) -> None:
    assert why in (complaint(broken) or "")


async def test_a_refused_transcript_reaches_the_caller_as_an_invalid_request() -> None:
    async with serve_provider() as fake, asyncio.timeout(20):
        model = AnthropicModel(api_key="k", base_url=fake.url)
        request = ModelRequest("text", 5, [{"role": "assistant", "content": [TEXT]}])
        with pytest.raises(ModelError) as caught:
            async with model.stream(request):
                pass
        await model.aclose()
    assert caught.value.code == "upstream_invalid_request"
    assert "first message" in (caught.value.detail or "")


@pytest.mark.skipif(not RECORDED.is_dir(), reason="no recorded streams beside the repository")
async def test_recordings_are_played_turn_by_turn() -> None:
    async with serve_provider(folder=RECORDED) as fake, asyncio.timeout(20):
        model = AnthropicModel(api_key="k", base_url=fake.url)
        history = [text_message("user", "hi")]
        async with model.stream(ModelRequest("tool_use", 5, history)) as stream:
            items = [item async for item in stream]
        assert stream.raw == (RECORDED / "tool_use.0.sse").read_bytes()
        assert isinstance(items[-1], MessageStop)
        history += [says("assistant", use()), says("user", result())]  # type: ignore[list-item]
        async with model.stream(ModelRequest("tool_use", 5, history)) as stream:
            _ = [item async for item in stream]
        assert stream.raw == (RECORDED / "tool_use.1.sse").read_bytes()
        await model.aclose()


async def test_it_runs_as_a_script_and_prints_its_address() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, provider_module.__file__, "--port", "0", stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(20):
            line = await process.stdout.readline()
            assert line.startswith(b"http://127.0.0.1:")
            model = AnthropicModel(api_key="k", base_url=line.decode().strip())
            request = ModelRequest("claude-of-any-name", 5, [text_message("user", "hi")])
            async with model.stream(request) as stream:
                items = [item async for item in stream]
            assert isinstance(items[-1], MessageStop)
            await model.aclose()
    finally:
        process.terminate()
        await process.wait()
