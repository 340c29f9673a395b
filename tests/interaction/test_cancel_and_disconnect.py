"""Stopping a run: on request, and when nobody reads it any more."""

import asyncio
from typing import Any

import pytest

from agent_server.config import RunSettings
from agent_server.model.scripted import call, pause, stall, text
from tests.interaction.harness import LIMIT_S, Serve, Server, make_settings

NO_GRACE = RunSettings(disconnect_grace_s=0)
STREAM = {"input": "Hi", "stream": True}


async def ended(server: Server, run_id: str) -> dict[str, Any]:
    async with asyncio.timeout(LIMIT_S):
        await server.runtime.runs.wait(run_id)
    record: dict[str, Any] = (await server.client.get(f"/v1/runs/{run_id}")).json()
    return record


async def test_a_cancelled_run_keeps_what_it_had_said(serve: Serve) -> None:
    server = await serve([text("Half"), stall()])
    run_id = await server.start()
    async with server.stream("GET", f"/v1/runs/{run_id}/events") as stream:
        await stream.until_type("text.delta")
        answer = await server.client.post(f"/v1/runs/{run_id}/cancel")
        await stream.rest()
    assert answer.status_code == 200
    assert answer.json()["status"] == "cancelled"
    assert answer.json()["cancelled_by"] == "user"
    assert stream.frames[-1].event == "run.cancelled"
    messages = (await server.client.get(f"/v1/runs/{run_id}/messages")).json()["data"]
    assert messages[-1] == {"role": "assistant", "content": [{"type": "text", "text": "Half"}]}


async def test_cancelling_stops_the_tools(serve: Serve) -> None:
    server = await serve([call("gate", {})])
    run_id = await server.start()
    async with asyncio.timeout(LIMIT_S):
        await server.sandbox.entered.wait()
    record = (await server.client.post(f"/v1/runs/{run_id}/cancel")).json()
    assert server.sandbox.cancelled == 1
    assert record["status"] == "cancelled"
    last = (await server.events(run_id))[-1]
    assert [receipt["outcome"] for receipt in last["calls"]] == ["killed"]


async def test_cancelling_twice_or_too_late_changes_nothing(serve: Serve) -> None:
    server = await serve([stall()], "Hello")
    run_id = await server.start()
    async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as group:
        posts = [
            group.create_task(server.client.post(f"/v1/runs/{run_id}/cancel")) for _ in range(5)
        ]
    assert {post.result().json()["status"] for post in posts} == {"cancelled"}
    assert [e["type"] for e in await server.events(run_id)].count("run.cancelled") == 1
    done = (await server.run())["id"]
    assert (await server.client.post(f"/v1/runs/{done}/cancel")).json()["status"] == "completed"


async def test_a_streamed_run_that_nobody_reads_is_stopped_after_the_grace(serve: Serve) -> None:
    server = await serve([text("Hm"), stall()], settings=make_settings(runs=NO_GRACE))
    async with server.stream("POST", "/v1/runs", json=STREAM) as stream:
        await stream.until_type("text.delta")
        run_id = stream.response.headers["x-run-id"]
    record = await ended(server, run_id)
    assert (record["status"], record["cancelled_by"]) == ("cancelled", "disconnect")


async def test_a_reader_that_comes_back_in_time_keeps_the_run(serve: Serve) -> None:
    gate = asyncio.Event()
    server = await serve([text("one"), pause(gate.wait), text("two")])
    async with server.stream("POST", "/v1/runs", json=STREAM) as stream:
        seen = await stream.until_type("text.delta")
        run_id = stream.response.headers["x-run-id"]
    path = f"/v1/runs/{run_id}/events?after={seen.id}"
    async with server.stream("GET", path) as stream:
        gate.set()
        assert b"run.completed" in await stream.rest()


async def test_another_reader_keeps_the_run(serve: Serve) -> None:
    gate = asyncio.Event()
    server = await serve(
        [text("one"), pause(gate.wait), text("two")], settings=make_settings(runs=NO_GRACE)
    )
    async with server.stream("POST", "/v1/runs", json=STREAM) as first:
        await first.until_type("text.delta")
        run_id = first.response.headers["x-run-id"]
        async with server.stream("GET", f"/v1/runs/{run_id}/events") as second:
            await second.until_type("text.delta")
            await first.response.aclose()
            gate.set()
            assert b"run.completed" in await second.rest()


@pytest.mark.parametrize("fields", [{"stream": True, "on_disconnect": "continue"}, {}])
async def test_a_run_may_go_on_without_readers(serve: Serve, fields: dict[str, Any]) -> None:
    gate = asyncio.Event()
    server = await serve(
        [text("one"), pause(gate.wait), text("two")], settings=make_settings(runs=NO_GRACE)
    )
    async with server.stream(
        "POST", "/v1/runs", json={"input": "Hi", **fields}, status=200 if fields else 201
    ) as stream:
        if fields:
            await stream.until_type("text.delta")
        run_id = stream.response.headers["x-run-id"]
    gate.set()
    assert (await ended(server, run_id))["status"] == "completed"


async def test_who_waits_for_the_answer_counts_as_a_reader(serve: Serve) -> None:
    asked, gate = asyncio.Event(), asyncio.Event()

    async def ask() -> None:
        asked.set()
        await gate.wait()

    server = await serve([pause(ask), text("one")], settings=make_settings(runs=NO_GRACE))
    body = {"input": "Hi", "wait": True, "on_disconnect": "cancel"}
    async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as group:
        post = group.create_task(server.client.post("/v1/runs", json=body))
        await asked.wait()
        gate.set()
    assert post.result().json()["status"] == "completed"


async def test_who_waits_and_goes_is_no_reader_any_more(serve: Serve) -> None:
    asked = asyncio.Event()

    async def ask() -> None:
        asked.set()
        await asyncio.Event().wait()

    server = await serve([pause(ask)], settings=make_settings(runs=NO_GRACE))
    body = {"input": "Hi", "wait": True, "on_disconnect": "cancel"}
    async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as group:
        post = group.create_task(server.client.post("/v1/runs", json=body))
        await asked.wait()
        (run,) = (await server.client.get("/v1/runs")).json()["data"]
        post.cancel()
    record = await ended(server, run["id"])
    assert (record["status"], record["cancelled_by"]) == ("cancelled", "disconnect")
