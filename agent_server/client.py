"""The Python client of a running server: typed errors, and streams that survive a lost connection.

``AgentServerClient`` speaks the HTTP surface only; it shares no state with a server.
"""

import asyncio
import ipaddress
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final, Self
from urllib.parse import quote

import httpx2
from pydantic_core import from_json

from agent_server.errors import (
    AgentServerError,
    Conflict,
    InvalidRequest,
    NotFound,
    RequestError,
    Unavailable,
)
from agent_server.events import TERMINAL_TYPES
from agent_server.ids import new_id
from agent_server.messages import JsonObject, Message

__all__ = ["AgentServerClient", "RemoteError", "RunEvent", "ServerUnreachable"]

_TIMEOUT: Final = httpx2.Timeout(60, connect=5)
_UNTIL_DONE: Final = httpx2.Timeout(None, connect=5)
_STREAM: Final = httpx2.Timeout(60, connect=5)
"""The server's heartbeat comes every 15 s: a silence of 60 s is a dead connection."""
_RETRY_S: Final = 2.0
_TYPED: Final[dict[int, type[RequestError]]] = {
    400: InvalidRequest,
    404: NotFound,
    409: Conflict,
    422: InvalidRequest,
    503: Unavailable,
}


class RemoteError(AgentServerError):
    """The server answered with an error that has no class of its own (401, 429, 5xx …)."""

    code = "remote_error"

    def __init__(
        self, message: str, *, code: str | None, status: int, request_id: str | None
    ) -> None:
        super().__init__(message, code=code)
        self.status = status
        self.request_id = request_id


class ServerUnreachable(Unavailable):
    """No server answers at the address, or the connection was lost too often."""

    code = "server_unreachable"


@dataclass(frozen=True, slots=True)
class RunEvent:
    """One event of a run, as the server sent it. ``json`` holds its exact bytes."""

    seq: int
    type: str
    json: bytes

    @property
    def is_terminal(self) -> bool:
        """Whether this is the last event of its run."""
        return self.type in TERMINAL_TYPES

    def parse(self) -> JsonObject:
        """Decode the event: the envelope and the event's own fields in one object."""
        event: JsonObject = from_json(self.json)
        return event


class AgentServerClient:
    """A connection to one server. An async context manager.

    ``retry_s``: the pause before a lost stream is taken up again; None: what the server asks for.
    ``reconnects``: how often in a row that may bring nothing new.

    Every method raises ``NotFound``, ``Conflict``, ``InvalidRequest`` or ``Unavailable`` as the
    server's error says, ``RemoteError`` for its other errors, and ``ServerUnreachable``.
    """

    def __init__(
        self,
        base_url: str,
        token: str | None = None,
        *,
        retry_s: float | None = None,
        reconnects: int = 5,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self._retry_s = retry_s
        self._reconnects = reconnects
        self._http = httpx2.AsyncClient(
            base_url=self.base_url,
            headers={"authorization": f"Bearer {token}"} if token else {},
            timeout=_TIMEOUT,
            transport=transport,
            trust_env=not _is_loopback(base_url),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc_info: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the pooled connections."""
        await self._http.aclose()

    # --- runs --------------------------------------------------------------------------------

    async def create_run(
        self,
        prompt: str | list[Message],
        *,
        agent: str = "default",
        thread_id: str | None = None,
        idempotency_key: str | None = None,
        **options: Any,
    ) -> JsonObject:
        """Start a run and return its record at once; with ``wait=True``, when it has ended.

        ``options`` are further fields of the request body. The request is safe to repeat: it
        carries ``idempotency_key``, or one made here.
        """
        body = {"input": prompt, "agent": agent, **options}
        if thread_id is not None:
            body["thread_id"] = thread_id
        return await self._call(
            "POST",
            "/v1/runs",
            json=body,
            headers={"idempotency-key": idempotency_key or new_id("req")},
            timeout=_UNTIL_DONE if options.get("wait") else _TIMEOUT,
        )

    async def stream_run(
        self, prompt: str | list[Message], *, on_disconnect: str = "cancel", **options: Any
    ) -> AsyncGenerator[RunEvent, None]:
        """Start a run and yield its events to the end, whatever becomes of the connection.

        Close it (``contextlib.aclosing``); the server then ends the run after its grace time,
        unless ``on_disconnect="continue"``. ``options`` are those of ``create_run``.
        """
        run = await self.create_run(prompt, on_disconnect=on_disconnect, **options)
        async with aclosing(self.events(run["id"])) as events:
            async for event in events:
                yield event

    async def events(
        self, run_id: str, *, after: int = 0, speed: float | None = None
    ) -> AsyncGenerator[RunEvent, None]:
        """Yield a run's events after seq ``after``: the recorded ones, then live ones.

        Ends after the terminal event, or where the run waits for an answer. A lost connection is
        taken up where it broke, without gap or double. ``speed`` replays with the original timing,
        times that factor.
        """
        last, fruitless, last_type = after, 0, ""
        query = {} if speed is None else {"speed": str(speed)}
        while True:
            before = last
            try:
                async with aclosing(self._stream(run_id, after=last, query=query)) as stream:
                    async for event in stream:
                        last, last_type = event.seq, event.type
                        yield event
                        if event.is_terminal:
                            return
                if last == before or last_type == "run.waiting":
                    return
            except httpx2.TransportError as error:
                fruitless = 0 if last > before else fruitless + 1
                if fruitless > self._reconnects:
                    raise self._unreachable(error) from error
            await asyncio.sleep(self._pause_s)

    async def get_run(self, run_id: str) -> JsonObject:
        """Return a run's record with its turns and tool calls."""
        return await self._call("GET", f"/v1/runs/{quote(run_id, safe='')}")

    async def list_runs(
        self, *, limit: int = 20, cursor: str | None = None, **where: str | None
    ) -> JsonObject:
        """Return a page of runs, newest first; ``where`` are status, agent, tool, kind, q."""
        query = {"limit": str(limit), "cursor": cursor, **where}
        return await self._call("GET", "/v1/runs", params=_given(query))

    async def messages(self, run_id: str) -> JsonObject:
        """Return a run's transcript in the Messages API's shape."""
        return await self._call("GET", f"/v1/runs/{quote(run_id, safe='')}/messages")

    async def cancel(self, run_id: str) -> JsonObject:
        """Stop a run and its tools; return its record. Safe to repeat."""
        return await self._call("POST", f"/v1/runs/{quote(run_id, safe='')}/cancel")

    # --- tools and agents --------------------------------------------------------------------

    async def tools(self) -> JsonObject:
        """Return the server's tools."""
        return await self._call("GET", "/v1/tools")

    async def agents(self) -> JsonObject:
        """Return the server's agents."""
        return await self._call("GET", "/v1/agents")

    async def call_tool(self, name: str, arguments: JsonObject) -> JsonObject:
        """Run one tool without a model, and return its outcome."""
        return await self._call(
            "POST",
            f"/v1/tools/{quote(name, safe='')}/calls",
            json={"input": arguments},
            timeout=_UNTIL_DONE,
        )

    # --- the wire ----------------------------------------------------------------------------

    @property
    def _pause_s(self) -> float:
        return _RETRY_S if self._retry_s is None else self._retry_s

    async def _call(self, method: str, path: str, **request: Any) -> JsonObject:
        try:
            response = await self._http.request(method, path, **request)
        except httpx2.TransportError as error:
            raise self._unreachable(error) from error
        _raise_for(response)
        answer: JsonObject = from_json(response.content)
        return answer

    async def _stream(
        self, run_id: str, *, after: int, query: dict[str, str]
    ) -> AsyncGenerator[RunEvent, None]:
        async with self._http.stream(
            "GET",
            f"/v1/runs/{quote(run_id, safe='')}/events",
            params=query,
            headers={"accept": "text/event-stream", "last-event-id": str(after)},
            timeout=_STREAM,
        ) as response:
            if response.is_error:
                await response.aread()
            _raise_for(response)
            if response.status_code == httpx2.codes.NO_CONTENT:
                return
            async for frame in httpx2.EventSource(response, max_event_size=None):
                if frame.data:
                    yield RunEvent(int(frame.id), frame.event, frame.data.encode())

    def _unreachable(self, error: httpx2.TransportError) -> ServerUnreachable:
        return ServerUnreachable(f"{self.base_url} does not answer: {error or type(error)}")


def _raise_for(response: httpx2.Response) -> None:
    """Turn the error envelope into an exception of ours."""
    if not response.is_error:
        return
    try:
        envelope = from_json(response.content)["error"]
        message, code = str(envelope["message"]), str(envelope["code"])
    except (ValueError, KeyError, TypeError):
        message, code, envelope = f"HTTP {response.status_code}", None, {}
    kind = _TYPED.get(response.status_code)
    if kind is None:
        raise RemoteError(
            message,
            code=code,
            status=response.status_code,
            request_id=response.headers.get("request-id"),
        )
    raise kind(
        message,
        code=code,
        status=response.status_code,
        param=envelope.get("param"),
        details=envelope.get("details"),
    )


def _given(query: dict[str, str | None]) -> dict[str, str]:
    return {key: value for key, value in query.items() if value is not None}


def _is_loopback(url: str) -> bool:
    """Whether no proxy belongs in between."""
    host = httpx2.URL(url).host
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
