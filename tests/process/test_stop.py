"""How a server ends: in order on a signal, and without losing a byte by kill -9."""

import asyncio
import signal
from pathlib import Path

import httpx2
import pytest

from tests.process.servers import SLOW_TOOL, Served, make_folder, serving

SLOW = "model: {provider: demo}\ndemo: {delay_ms: 3}\nserver: {drain_s: 60}\n"
IMPATIENT = "model: {provider: demo}\ndemo: {delay_ms: 0}\nserver: {drain_s: 0.3}\n"
LONG = "/demo long"


async def start_run(client: httpx2.AsyncClient, prompt: str) -> str:
    answer = await client.post("/v1/runs", json={"input": prompt})
    assert answer.status_code == 201, answer.text
    run_id: str = answer.json()["id"]
    return run_id


async def replay(client: httpx2.AsyncClient, run_id: str) -> bytes:
    """Read a finished run's stream, without comments and the retry line."""
    async with asyncio.timeout(30):
        answer = await client.get(
            f"/v1/runs/{run_id}/events", headers={"accept": "text/event-stream"}
        )
    frames = answer.content.split(b"\n\n")
    return b"\n\n".join(frame for frame in frames if frame.startswith(b"id:"))


class Reader:
    """Reads a live stream piece by piece; ``seen`` is everything so far."""

    def __init__(self, response: httpx2.Response) -> None:
        self._chunks = response.aiter_raw()
        self.seen = b""

    async def until(self, needle: bytes) -> bytes:
        """Read until ``needle`` has come."""
        async with asyncio.timeout(20):
            while needle not in self.seen:
                self.seen += await anext(self._chunks)
        return self.seen

    async def rest(self) -> bytes:
        """Read to the end."""
        async with asyncio.timeout(40):
            async for chunk in self._chunks:
                self.seen += chunk
        return self.seen


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_an_idle_server_with_code_0(
    tmp_path: Path, signal_number: signal.Signals
) -> None:
    make_folder(tmp_path)
    async with serving(tmp_path) as served:
        code, log = await served.end(signal_number)
    assert code == 0
    assert [line["event"] for line in log if line["event"].startswith("server.")] == [
        "server.draining",
        "server.stopped",
    ]


async def test_while_draining_runs_go_on_and_new_ones_are_refused(tmp_path: Path) -> None:
    make_folder(tmp_path, config=SLOW, slow=SLOW_TOOL)
    async with serving(tmp_path) as served, served.client() as client:
        run_id = await start_run(client, "please wait long: 3 seconds")
        async with client.stream("GET", f"/v1/runs/{run_id}/events") as stream:
            reader = Reader(stream)
            await reader.until(b"tool_call.running")
            served.process.send_signal(signal.SIGTERM)
            await refused(client)
            assert (await client.post("/v1/runs", json={"input": "hi"})).status_code == 503
            assert (await client.get("/livez")).status_code == 200
            assert b"event: run.completed" in await reader.rest()
        code, _log = await served.wait()
    assert code == 0


async def refused(client: httpx2.AsyncClient) -> None:
    """Return once readiness says no."""
    async with asyncio.timeout(10):
        while (await client.get("/readyz")).status_code != 503:
            pass


async def test_runs_that_outlast_the_drain_are_parked_and_their_streams_told(
    tmp_path: Path,
) -> None:
    make_folder(tmp_path, config=IMPATIENT, slow=SLOW_TOOL)
    async with serving(tmp_path) as served, served.client() as client:
        run_id = await start_run(client, "please wait long: 30 seconds")
        async with client.stream("GET", f"/v1/runs/{run_id}/events") as stream:
            reader = Reader(stream)
            await reader.until(b"tool_call.running")
            served.process.send_signal(signal.SIGTERM)
            seen = await reader.rest()
        code, _log = await served.wait()
    assert code == 0
    farewell = seen.rpartition(b"tool_call.running")[2]
    assert b"\n:" in farewell
    assert b"retry:" in farewell
    assert b"event: run." not in farewell


async def test_a_second_signal_forces_the_end(tmp_path: Path) -> None:
    make_folder(tmp_path, config=SLOW, slow=SLOW_TOOL)
    async with serving(tmp_path) as served, served.client() as client:
        run_id = await start_run(client, "please wait long: 30 seconds")
        async with client.stream("GET", f"/v1/runs/{run_id}/events") as stream:
            await Reader(stream).until(b"tool_call.running")
            served.process.send_signal(signal.SIGTERM)
            await refused(client)
            served.process.send_signal(signal.SIGTERM)
            code, _log = await served.wait()
    assert code == 0


async def test_after_kill_9_a_finished_run_replays_byte_for_byte(tmp_path: Path) -> None:
    make_folder(tmp_path)
    async with serving(tmp_path) as served, served.client() as client:
        async with client.stream(
            "POST", "/v1/runs", json={"input": "count the words of 'a b c'", "stream": True}
        ) as live:
            seen = b"".join([chunk async for chunk in live.aiter_raw()])
        run_id = live.headers["location"].rpartition("/")[2]
        before = await replay(client, run_id)
        await kill(served)
    frames = [frame for frame in seen.split(b"\n\n") if frame.startswith(b"id:")]
    assert b"\n\n".join(frames) == before
    async with serving(tmp_path) as served, served.client() as client:
        assert await replay(client, run_id) == before
        await served.end()


async def test_after_kill_9_in_a_turn_what_was_seen_is_there_and_the_run_ends(
    tmp_path: Path,
) -> None:
    make_folder(tmp_path, config=SLOW)
    async with serving(tmp_path) as served, served.client() as client:
        run_id = await start_run(client, LONG)
        async with client.stream("GET", f"/v1/runs/{run_id}/events") as stream:
            seen = await Reader(stream).until(b"event: text.delta")
            await kill(served)
    complete = [frame for frame in seen.split(b"\n\n")[:-1] if frame.startswith(b"id:")]
    async with serving(tmp_path) as served, served.client() as client:
        after = await replay(client, run_id)
        assert after.startswith(b"\n\n".join(complete))
        assert b"event: run.resumed" in after
        assert after.count(b"event: run.completed") == 1
        assert await replay(client, run_id) == after
        await served.end()


async def kill(served: Served) -> None:
    served.kill()
    code, _log = await served.wait()
    assert code == -signal.SIGKILL
