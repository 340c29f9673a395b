"""POST starts and streams; GET follows, resumes and replays, always the same bytes."""

import asyncio

import pytest

from agent_server.config import ServerSettings
from agent_server.model.scripted import call, pause, text
from tests.interaction.harness import Serve, frames, make_settings


async def test_a_posted_run_streams_its_events_from_the_first_to_the_last(serve: Serve) -> None:
    server = await serve([text("Hel", "lo")])
    body = {"input": "Hi", "stream": True}
    async with server.stream("POST", "/v1/runs", json=body) as stream:
        got = frames(await stream.rest())
        headers = stream.response.headers
    assert [frame.id for frame in got] == list(range(1, len(got) + 1))
    assert got[0].event == "run.created"
    assert got[-1].event == "run.completed"
    assert "".join(f.json["delta"] for f in got if f.event == "text.delta") == "Hello"
    assert all(frame.event == frame.json["type"] for frame in got)
    assert headers["content-type"] == "text/event-stream; charset=utf-8"
    assert headers["cache-control"] == "no-cache, no-transform"
    assert headers["x-accel-buffering"] == "no"
    assert headers["location"] == f"/v1/runs/{got[0].json['run_id']}"
    assert headers["x-run-id"] == got[0].json["run_id"]


async def test_the_first_bytes_come_before_the_model_says_anything(serve: Serve) -> None:
    gate = asyncio.Event()
    server = await serve([pause(gate.wait), text("late")])
    run_id = await server.start()
    async with server.stream("GET", f"/v1/runs/{run_id}/events") as stream:
        await stream.until(lambda s: s.body.count(b"\n\n") >= 1)
        assert stream.body.startswith(b"retry: 2000\n: connected\n\n")
        gate.set()
        await stream.rest()


async def test_events_arrive_while_the_model_still_speaks(serve: Serve) -> None:
    gate = asyncio.Event()
    server = await serve([text("first"), pause(gate.wait), text("second")])
    async with server.stream("POST", "/v1/runs", json={"input": "Hi", "stream": True}) as stream:
        frame = await stream.until_type("text.delta")
        assert frame.json["delta"] == "first"
        gate.set()
        assert b"second" in await stream.rest()


async def test_a_late_reader_gets_what_a_live_reader_got_byte_for_byte(serve: Serve) -> None:
    server = await serve([text("a ", "b"), call("word_count", {"text": "x y"})], [text("two")])
    async with server.stream("POST", "/v1/runs", json={"input": "Hi", "stream": True}) as stream:
        live = await stream.rest()
        run_id = stream.response.headers["x-run-id"]
    assert await server.read(f"/v1/runs/{run_id}/events") == live
    assert await server.read(f"/v1/runs/{run_id}/events") == live


@pytest.mark.parametrize("way", ["header", "query"])
async def test_a_resumed_stream_has_no_gap_and_no_double(serve: Serve, way: str) -> None:
    server = await serve([text("one"), call("word_count", {"text": "x"})], [text("two")])
    run_id = (await server.run())["id"]
    whole = frames(await server.read(f"/v1/runs/{run_id}/events"))
    for seen in range(1, len(whole)):
        options = (
            {"headers": {"Last-Event-ID": str(seen)}}
            if way == "header"
            else {"params": {"after": seen}}
        )
        rest = frames(await server.read(f"/v1/runs/{run_id}/events", **options))
        assert whole[:seen] + rest == whole


async def test_a_live_stream_is_resumed_where_it_broke(serve: Serve) -> None:
    gate = asyncio.Event()
    server = await serve([text("one"), pause(gate.wait), text("two")])
    run_id = await server.start()
    path = f"/v1/runs/{run_id}/events"
    async with server.stream("GET", path) as stream:
        broken_at = await stream.until_type("text.delta")
        seen = [frame for frame in stream.frames if (frame.id or 0) <= (broken_at.id or 0)]
    async with server.stream("GET", path, headers={"Last-Event-ID": str(broken_at.id)}) as stream:
        gate.set()
        rest = frames(await stream.rest())
    assert seen + rest == frames(await server.read(path))


async def test_the_header_wins_over_the_query(serve: Serve) -> None:
    server = await serve("Hello")
    run_id = (await server.run())["id"]
    body = await server.read(
        f"/v1/runs/{run_id}/events", headers={"Last-Event-ID": "2"}, params={"after": 1}
    )
    assert frames(body)[0].id == 3


@pytest.mark.parametrize("beyond", [0, 1, 1_000_000])
async def test_at_or_past_the_end_there_is_204(serve: Serve, beyond: int) -> None:
    server = await serve("Hello")
    record = await server.run()
    answer = await server.client.get(
        f"/v1/runs/{record['id']}/events",
        headers={"Last-Event-ID": str(record["last_seq"] + beyond)},
    )
    assert answer.status_code == 204
    assert answer.content == b""


@pytest.mark.parametrize("seen", ["-1", "x", "1.5", "", "1 2", "1e3", "9" * 40, "²"])
async def test_a_malformed_seq_is_400(serve: Serve, seen: str) -> None:
    server = await serve("Hello")
    run_id = (await server.run())["id"]
    path = f"/v1/runs/{run_id}/events"
    answer = await server.client.get(path, params={"after": seen})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_seq")
    by_header = await server.client.get(path, headers={b"Last-Event-ID": seen.encode()})
    assert by_header.status_code == 400


async def test_an_unknown_run_is_404(serve: Serve) -> None:
    server = await serve()
    answer = await server.client.get("/v1/runs/run_00000000000000000000000000/events")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "run_not_found")


async def test_two_readers_of_one_run_get_the_same(serve: Serve) -> None:
    gate = asyncio.Event()
    server = await serve([text("one"), pause(gate.wait), text("two")])
    path = f"/v1/runs/{await server.start()}/events"
    async with server.stream("GET", path) as first, server.stream("GET", path) as second:
        await first.until_type("text.delta")
        await second.until_type("text.delta")
        gate.set()
        assert frames(await first.rest()) == frames(await second.rest())


async def test_a_quiet_stream_has_heartbeats_without_ids(serve: Serve) -> None:
    gate = asyncio.Event()
    quick = make_settings(server=ServerSettings(drain_s=0, heartbeat_s=0.02))
    server = await serve([pause(gate.wait), text("late")], settings=quick)
    async with server.stream("GET", f"/v1/runs/{await server.start()}/events") as stream:
        await stream.until(lambda s: s.body.count(b": keep-alive\n\n") >= 3)
        gate.set()
        body = await stream.rest()
    ids = [frame.id for frame in frames(body)]
    assert ids == list(range(1, len(ids) + 1))


async def test_event_lines_can_be_left_out(serve: Serve) -> None:
    server = await serve("Hello")
    run_id = (await server.run())["id"]
    named = frames(await server.read(f"/v1/runs/{run_id}/events"))
    plain = frames(await server.read(f"/v1/runs/{run_id}/events?names=0"))
    assert {frame.event for frame in plain} == {None}
    assert [frame.data for frame in plain] == [frame.data for frame in named]


async def test_a_stream_can_stop_at_a_seq(serve: Serve) -> None:
    server = await serve("Hello")
    run_id = (await server.run())["id"]
    path = f"/v1/runs/{run_id}/events"
    assert [f.id for f in frames(await server.read(path, params={"until": 3}))] == [1, 2, 3]
    window = await server.read(path, params={"after": 1, "until": 3})
    assert [f.id for f in frames(window)] == [2, 3]
    assert (await server.client.get(path, params={"after": 3, "until": 3})).status_code == 204


async def test_a_stream_can_be_limited_to_some_types(serve: Serve) -> None:
    server = await serve([text("a", "b")])
    run_id = (await server.run())["id"]
    body = await server.read(f"/v1/runs/{run_id}/events?types=text.delta,run.completed")
    assert {frame.event for frame in frames(body)} == {"text.delta", "run.completed"}


async def test_an_unknown_type_is_refused_with_the_nearest_match(serve: Serve) -> None:
    server = await serve("Hello")
    run_id = (await server.run())["id"]
    answer = await server.client.get(f"/v1/runs/{run_id}/events?types=text.delte")
    assert answer.status_code == 422
    assert "Did you mean 'text.delta'?" in answer.json()["error"]["message"]


async def test_a_timed_replay_has_the_same_bytes(serve: Serve) -> None:
    server = await serve([text("a", "b")])
    run_id = (await server.run())["id"]
    fast = await server.read(f"/v1/runs/{run_id}/events")
    assert await server.read(f"/v1/runs/{run_id}/events?speed=1000") == fast


@pytest.mark.parametrize("query", ["speed=0", "speed=-1", "speed=nan", "speed=x", "until=0"])
async def test_impossible_choices_are_refused(serve: Serve, query: str) -> None:
    server = await serve("Hello")
    run_id = (await server.run())["id"]
    answer = await server.client.get(f"/v1/runs/{run_id}/events?{query}")
    assert answer.status_code == 422


async def test_head_is_refused_without_opening_a_stream(serve: Serve) -> None:
    server = await serve("Hello")
    run_id = (await server.run())["id"]
    answer = await server.client.head(f"/v1/runs/{run_id}/events")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET"
