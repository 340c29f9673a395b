"""When the server stops, every open stream is told so and ends cleanly."""

import asyncio

from agent_server.model.scripted import stall, text
from tests.interaction.harness import LIMIT_S, Serve


async def test_open_streams_say_farewell(serve: Serve) -> None:
    server = await serve([text("Hm"), stall()])
    path = f"/v1/runs/{await server.start()}/events"
    async with server.stream("GET", path) as first, server.stream("GET", path) as second:
        await first.until_type("text.delta")
        await second.until_type("text.delta")
        server.stop()
        async with asyncio.timeout(LIMIT_S):
            for stream in (first, second):
                body = await stream.rest()
                assert body.endswith(b": the server is stopping, connect again\nretry: 2000\n\n")


async def test_a_chat_is_told_by_an_error_and_done(serve: Serve) -> None:
    server = await serve([text("Hm"), stall()])
    body = {"messages": [{"role": "user", "content": "Hi"}]}
    async with server.stream("POST", "/chat", json=body) as stream:
        await stream.until(lambda s: b"Hm" in s.body)
        server.stop()
        rest = await stream.rest()
    assert b'"code":"draining"' in rest
    assert rest.endswith(b"data: [DONE]\n\n")
