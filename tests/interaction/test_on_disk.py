"""The real parts together: SQLite, sandboxed processes, the demo model."""

import textwrap
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent_server.config import (
    DemoSettings,
    ModelSettings,
    SandboxSettings,
    ServerSettings,
    Settings,
    StorageSettings,
    ToolSettings,
)
from tests.interaction.harness import Server, frames, make_settings, open_real_server


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    home = tmp_path_factory.mktemp("home")
    tools = home / "tools"
    tools.mkdir()
    (tools / "words.py").write_text(
        textwrap.dedent('''
            from agent_server import ToolError, tool

            @tool(effects="none")
            def word_count(text: str) -> int:
                """Count the words of a text.

                Args:
                    text: The text to count in.
                """
                print("counting")
                return len(text.split())

            @tool(effects="none")
            def refuse(text: str) -> str:
                """Refuse whatever it is given."""
                raise ToolError("Not today.")
        ''')
    )
    return make_settings(
        server=ServerSettings(drain_s=0),
        model=ModelSettings(provider="demo"),
        demo=DemoSettings(delay_ms=0),
        storage=StorageSettings(url=f"sqlite:///{home / 'server.db'}"),
        tools=ToolSettings(paths=(tools,), entry_points=False),
        sandbox=SandboxSettings(warm=1),
    )


@pytest.fixture(scope="module")
async def server(anyio_backend: str, settings: Settings) -> AsyncIterator[Server]:
    async with open_real_server(settings) as opened:
        yield opened


async def test_the_demo_model_calls_a_tool_in_a_process_and_says_what_it_returned(
    server: Server,
) -> None:
    record = await server.run('count the words of "one two three"')
    assert record["status"] == "completed"
    assert [(call["name"], call["state"]) for call in record["tool_calls"]] == [
        ("word_count", "completed")
    ]
    assert "3" in record["output"]
    types = [event["type"] for event in await server.events(record["id"])]
    assert "tool_call.output" in types


async def test_what_is_on_disk_replays_byte_for_byte(server: Server) -> None:
    body = {"input": 'count the words of "a b"', "stream": True}
    async with server.stream("POST", "/v1/runs", json=body) as stream:
        live = await stream.rest()
        path = f"/v1/runs/{stream.response.headers['x-run-id']}/events"
    assert await server.read(path) == live
    for seen in (1, 5, len(frames(live)) - 1):
        rest = await server.read(path, headers={"Last-Event-ID": str(seen)})
        assert frames(rest) == frames(live)[seen:]


async def test_a_direct_call_runs_in_a_process_of_its_own(server: Server) -> None:
    answer = await server.client.post(
        "/v1/tools/word_count/calls", json={"input": {"text": "a b c"}}
    )
    body = answer.json()
    assert (body["status"], body["output"], body["stdout"]) == ("completed", 3, "counting\n")
    assert body["isolation"] == "process"
    assert body["cpu_ms"] is not None
    assert body["peak_rss_kb"] > 0


async def test_a_tool_s_own_refusal_is_told_as_it_is(server: Server) -> None:
    answer = await server.client.post("/v1/tools/refuse/calls", json={"input": {"text": "a"}})
    assert answer.json()["error"] == {"kind": "exception", "message": "Not today."}


async def test_the_server_says_that_the_model_is_a_demo(server: Server) -> None:
    ready = (await server.client.get("/readyz")).json()
    assert (ready["provider"], ready["demo"]) == ("demo", True)
    assert ready["sandbox"]


async def test_lists_and_searches_work_on_disk(server: Server) -> None:
    run = await server.run("hello", metadata={"ticket": "B-9%"})
    for query, found in (("B-9%", [run["id"]]), ("B-9_", []), (run["id"], [run["id"]])):
        page = (await server.client.get("/v1/runs", params={"q": query})).json()
        assert [row["id"] for row in page["data"]] == found


async def test_a_finished_run_is_still_there_after_a_restart(
    settings: Settings, tmp_path: Path
) -> None:
    stored = settings.model_copy(
        update={"storage": StorageSettings(url=f"sqlite:///{tmp_path / 'again.db'}")}
    )
    async with open_real_server(stored) as first:
        record = await first.run("hello")
        path = f"/v1/runs/{record['id']}/events"
        before = await first.read(path)
    async with open_real_server(stored) as second:
        assert await second.read(path) == before
        assert (await second.client.get(f"/v1/runs/{record['id']}")).json() == record
