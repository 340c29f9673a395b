"""The client: typed errors from the envelope, and streams that survive a lost connection."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable

import httpx2
import pytest
from pydantic_core import from_json, to_json

from agent_server.client import AgentServerClient, RemoteError, RunEvent, ServerUnreachable
from agent_server.errors import Conflict, InvalidRequest, NotFound, Unavailable

Answer = Callable[[httpx2.Request], httpx2.Response]


class Cut(httpx2.AsyncByteStream):
    """A body that breaks off without its end."""

    def __init__(self, *chunks: bytes) -> None:
        self._chunks = chunks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            yield chunk
        raise httpx2.ReadError("connection lost")


def frame(seq: int, kind: str) -> bytes:
    return b'id: %d\nevent: %b\ndata: {"seq":%d}\n\n' % (seq, kind.encode(), seq)


def stream(*chunks: bytes, cut: bool = False) -> httpx2.Response:
    headers = {"content-type": "text/event-stream"}
    if cut:
        return httpx2.Response(200, headers=headers, stream=Cut(*chunks))
    return httpx2.Response(200, headers=headers, content=b"".join(chunks))


def problem(status: int, code: str) -> httpx2.Response:
    error = {"type": "x", "code": code, "message": f"it is {code}", "param": "input", "details": []}
    return httpx2.Response(
        status, json={"type": "error", "error": error}, headers={"request-id": "req_1"}
    )


def client_of(answer: Answer, *, reconnects: int = 2) -> AgentServerClient:
    return AgentServerClient(
        "http://127.0.0.1:1",
        "token",
        retry_s=0,
        reconnects=reconnects,
        transport=httpx2.MockTransport(answer),
    )


async def collect(events: AsyncGenerator[RunEvent, None]) -> list[RunEvent]:
    async with asyncio.timeout(5):
        return [event async for event in events]


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, InvalidRequest), (404, NotFound), (409, Conflict), (422, InvalidRequest)],
)
async def test_an_error_envelope_becomes_the_exception_of_its_status(
    status: int, kind: type[NotFound]
) -> None:
    async with client_of(lambda _request: problem(status, "some_code")) as client:
        with pytest.raises(kind) as raised:
            await client.get_run("run_1")
    assert raised.value.code == "some_code"
    assert raised.value.message == "it is some_code"
    assert raised.value.status == status
    assert raised.value.param == "input"


async def test_a_server_that_refuses_work_is_unavailable() -> None:
    async with client_of(lambda _request: problem(503, "draining")) as client:
        with pytest.raises(Unavailable):
            await client.create_run("hello")


async def test_an_error_without_a_class_of_its_own_keeps_status_and_request_id() -> None:
    async with client_of(lambda _request: problem(429, "rpm_exceeded")) as client:
        with pytest.raises(RemoteError) as raised:
            await client.tools()
    assert (raised.value.status, raised.value.request_id) == (429, "req_1")


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"error": 1}', b""])
async def test_an_answer_that_is_no_envelope_still_becomes_a_typed_error(body: bytes) -> None:
    async with client_of(lambda _request: httpx2.Response(502, content=body)) as client:
        with pytest.raises(RemoteError, match="HTTP 502"):
            await client.agents()


async def test_no_server_at_the_address_is_one_typed_error() -> None:
    def refuse(_request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("refused")

    async with client_of(refuse) as client:
        with pytest.raises(ServerUnreachable, match="does not answer: refused"):
            await client.list_runs()
        with pytest.raises(ServerUnreachable):
            await collect(client.events("run_1"))


async def test_a_created_run_carries_the_token_and_a_key_that_makes_repeating_safe() -> None:
    seen: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(201, json={"id": "run_1"})

    async with client_of(answer) as client:
        run = await client.create_run("hello", agent="a", thread_id="t", max_tokens=9)
        await client.create_run("hello", idempotency_key="mine")
    assert run == {"id": "run_1"}
    assert seen[0].headers["authorization"] == "Bearer token"
    assert seen[0].headers["idempotency-key"].startswith("req_")
    assert seen[1].headers["idempotency-key"] == "mine"
    assert from_json(seen[0].content) == {
        "input": "hello",
        "agent": "a",
        "thread_id": "t",
        "max_tokens": 9,
    }


async def test_a_dropped_stream_is_taken_up_after_the_last_event_without_gap_or_double() -> None:
    asked: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        after = request.headers["last-event-id"]
        asked.append(after)
        if after == "0":
            half = frame(3, "text.delta")[:20]
            return stream(
                b"retry: 2000\n\n: hello\n\n",
                frame(1, "run.created"),
                frame(2, "text.delta"),
                half,
                cut=True,
            )
        return stream(frame(3, "text.delta"), frame(4, "run.completed"))

    async with client_of(answer) as client:
        events = await collect(client.events("run_1"))
    assert [event.seq for event in events] == [1, 2, 3, 4]
    assert asked == ["0", "2"]
    assert events[-1].is_terminal
    assert events[0].json == b'{"seq":1}'
    assert events[0].parse() == {"seq": 1}


async def test_an_event_cut_in_the_middle_of_a_clean_end_is_never_shown() -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.headers["last-event-id"] == "0":
            return stream(frame(1, "run.created"), frame(2, "text.delta").rstrip(b"\n"))
        return stream(frame(2, "text.delta"), frame(3, "run.completed"))

    async with client_of(answer) as client:
        assert [event.seq for event in await collect(client.events("run_1"))] == [1, 2, 3]


async def test_reconnects_that_bring_nothing_new_end_in_an_error() -> None:
    tries = 0

    def answer(_request: httpx2.Request) -> httpx2.Response:
        nonlocal tries
        tries += 1
        return stream(cut=True)

    async with client_of(answer, reconnects=2) as client:
        with pytest.raises(ServerUnreachable):
            await collect(client.events("run_1"))
    assert tries == 3


async def test_progress_between_two_losses_resets_the_count() -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        last = int(request.headers["last-event-id"])
        if last < 6:
            return stream(frame(last + 1, "text.delta"), cut=True)
        return stream(frame(7, "run.completed"))

    async with client_of(answer, reconnects=1) as client:
        assert len(await collect(client.events("run_1"))) == 7


async def test_a_stream_at_its_end_or_with_nothing_new_ends() -> None:
    async with client_of(lambda _request: httpx2.Response(204)) as client:
        assert await collect(client.events("run_1", after=9)) == []
    async with client_of(lambda _request: stream(b": ping\n\n")) as client:
        assert await collect(client.events("run_1")) == []


async def test_a_waiting_run_ends_the_stream_without_asking_again() -> None:
    asked = 0

    def answer(_request: httpx2.Request) -> httpx2.Response:
        nonlocal asked
        asked += 1
        return stream(frame(1, "run.created"), frame(2, "run.waiting"))

    async with client_of(answer) as client:
        assert len(await collect(client.events("run_1"))) == 2
    assert asked == 1


async def test_a_streamed_run_is_created_and_followed_to_its_end() -> None:
    bodies: list[object] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.method == "POST":
            bodies.append(from_json(request.content))
            return httpx2.Response(201, content=to_json({"id": "run_7"}))
        assert request.url.path == "/v1/runs/run_7/events"
        return stream(frame(1, "run.created"), frame(2, "run.completed"))

    async with client_of(answer) as client:
        assert len(await collect(client.stream_run("hello"))) == 2
    assert bodies == [{"input": "hello", "agent": "default", "on_disconnect": "cancel"}]


async def test_ids_and_names_cannot_reach_other_paths() -> None:
    paths: list[bytes] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        paths.append(request.url.raw_path)
        return httpx2.Response(200, json={})

    async with client_of(answer) as client:
        await client.get_run("../keys?x=1")
        await client.call_tool("a/b", {})
        await client.cancel("a#b")
        await client.messages("a b")
        await client.list_runs(status="failed", cursor=None)
    assert paths == [
        b"/v1/runs/..%2Fkeys%3Fx%3D1",
        b"/v1/tools/a%2Fb/calls",
        b"/v1/runs/a%23b/cancel",
        b"/v1/runs/a%20b/messages",
        b"/v1/runs?limit=20&status=failed",
    ]
