"""Real provider streams through the whole server: the SDK, the loop, the log and HTTP.

The recordings lie beside the repository and may be absent: then these tests are skipped.
"""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from agent_server.config import AgentSettings
from agent_server.model.anthropic import AnthropicModel
from tests.fakes.provider import FakeProvider, serve_provider
from tests.golden.test_recorded_streams import FOLDER, accumulate, read_events
from tests.interaction.harness import make_settings, open_server

NAMES = sorted({path.name.split(".")[0] for path in FOLDER.glob("*.sse")})
ENDS = {
    "max_tokens_in_tool": "incomplete",
    "odd_duplicate_message_start": "failed",
    "refusal_empty": "incomplete",
    "refusal_thinking": "incomplete",
}
CUT = {"max_tokens_in_tool"}

pytestmark = pytest.mark.skipif(not NAMES, reason="no recorded streams beside the repository")


@pytest.fixture
async def provider() -> AsyncIterator[FakeProvider]:
    async with serve_provider(folder=FOLDER) as fake:
        yield fake


@pytest.mark.parametrize("name", NAMES)
async def test_the_transcript_holds_what_the_provider_sent(
    provider: FakeProvider, name: str
) -> None:
    model = AnthropicModel(api_key="sk-test", base_url=provider.url)
    settings = make_settings(agent=AgentSettings(model=name))
    async with open_server(settings=settings, real_model=model) as server:
        record = await server.run()
        events = await server.events(record["id"])
    await model.aclose()
    assert record["status"] == ENDS.get(name, "completed"), record["error"]
    completed = [event for event in events if event["type"] == "turn.completed"]
    sent = sorted(FOLDER.glob(f"{name}.*.sse"))
    if record["status"] == "failed":
        assert completed == []
        return
    for turn, path in zip(completed, sent, strict=True) if name not in CUT else []:
        blocks: dict[int, Any] = accumulate(read_events(path.read_bytes()))
        assert turn["message"]["content"] == [blocks[index] for index in sorted(blocks)]
    for request in provider.requests[1:]:
        assert request.body["messages"][0]["role"] == "user"
