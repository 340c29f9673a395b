"""A whole server on a real port, in the test's own event loop, and what reads its streams.

The model plays a script and tools run in this process, so every test decides what happens when.
"""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import httpx2
import uvicorn

from agent_server.budgets import Price
from agent_server.config import (
    AgentSettings,
    ChatSettings,
    LogSettings,
    ModelSettings,
    RunSettings,
    ServerSettings,
    Settings,
)
from agent_server.events import Isolation
from agent_server.http.app import create_app
from agent_server.messages import JsonObject
from agent_server.model import Model, ModelRequest
from agent_server.model.scripted import Reply, ScriptedModel
from agent_server.runtime import Runtime, open_runtime
from agent_server.sandbox import CallRequest, Failed, Observe, Outcome, Output, Returned
from agent_server.store import Store
from agent_server.store.memory import MemoryStore
from agent_server.tooling.registry import ToolRegistry
from agent_server.tooling.spec import ToolSpec

Turn = Reply | Callable[[ModelRequest], Reply]
LIMIT_S = 20
"""Every wait of a test ends by then."""


# --- tools -----------------------------------------------------------------------------------

ToolCode = Callable[[JsonObject, Observe], Awaitable[Outcome]]


async def word_count(arguments: JsonObject, observe: Observe) -> Outcome:
    await observe(Output("stdout", "counting\n"))
    await observe(Output("stderr", "carefully\n"))
    count = len(arguments["text"].split())
    return returned(str(count), count)


async def broken(arguments: JsonObject, observe: Observe) -> Outcome:
    return Failed("exception", "ValueError: it broke", retryable=False, duration_ms=1)


def returned(text: str, output: Any = None) -> Returned:
    return Returned(
        content=[{"type": "text", "text": text}],
        output=output,
        duration_ms=3,
        cpu_ms=2,
        peak_rss_kb=1_024,
    )


def spec(name: str, *, approval: str = "never", **properties: JsonObject) -> ToolSpec:
    return ToolSpec.model_validate(
        {
            "name": name,
            "description": f"The tool {name}.",
            "input_schema": {
                "type": "object",
                "properties": properties,
                "required": list(properties),
                "additionalProperties": False,
            },
            "approval": approval,
            "module": "harness",
            "qualname": name,
        }
    )


SPECS = (
    spec("word_count", text={"type": "string"}),
    spec("broken"),
    spec("guarded", approval="always"),
    spec("gate"),
)


class LocalSandbox:
    """Runs the tools' code in this process: for tests of everything but the sandbox.

    ``gate`` waits until the test opens it; ``cancelled`` counts the calls that were stopped.
    """

    isolation: Isolation = "process"

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.entered = asyncio.Event()
        self.cancelled = 0
        self.calls: list[str] = []

    async def call(
        self, tool: ToolSpec, arguments: JsonObject, request: CallRequest, observe: Observe
    ) -> Outcome:
        self.calls.append(tool.name)
        if tool.name == "word_count":
            return await word_count(arguments, observe)
        if tool.name == "broken":
            return await broken(arguments, observe)
        self.entered.set()
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return returned("open")


# --- the server ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Frame:
    """One SSE frame."""

    id: int | None
    event: str | None
    data: str

    @property
    def json(self) -> Any:
        return json.loads(self.data)


def frames(body: bytes) -> list[Frame]:
    """Parse SSE by the letter of its rules; comments and ``retry`` make no frame."""
    found: list[Frame] = []
    for block in body.decode().split("\n\n"):
        fields: dict[str, str] = {}
        for line in block.split("\n"):
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
        if "data" in fields:
            number = int(fields["id"]) if "id" in fields else None
            found.append(Frame(number, fields.get("event"), fields["data"]))
    return found


class Stream:
    """An open response body, read piece by piece."""

    def __init__(self, response: httpx2.Response) -> None:
        self.response = response
        self.body = b""
        self._chunks = response.aiter_raw()

    @property
    def frames(self) -> list[Frame]:
        """The complete frames so far."""
        return frames(self.body[: self.body.rfind(b"\n\n") + 2])

    async def until(self, found: Callable[["Stream"], object]) -> None:
        """Read on until ``found`` says so; fail if the stream ends first."""
        async with asyncio.timeout(LIMIT_S):
            while not found(self):
                self.body += await anext(self._chunks)

    async def until_type(self, event: str) -> Frame:
        """Read on until a frame of this type came; return it."""
        await self.until(lambda stream: any(frame.event == event for frame in stream.frames))
        return next(frame for frame in self.frames if frame.event == event)

    async def rest(self) -> bytes:
        """Read to the end; return the whole body."""
        async with asyncio.timeout(LIMIT_S):
            async for chunk in self._chunks:
                self.body += chunk
        return self.body


@dataclass
class Server:
    """A running server, its client, and the doubles it runs on."""

    url: str
    client: httpx2.AsyncClient
    runtime: Runtime
    model: ScriptedModel
    sandbox: LocalSandbox
    stop: Callable[[], None]

    @asynccontextmanager
    async def stream(
        self, method: str, path: str, *, status: int = 200, **options: Any
    ) -> AsyncIterator[Stream]:
        """Open a streamed response."""
        async with self.client.stream(method, path, **options) as response:
            if response.status_code != status:
                raise AssertionError(response.status_code, await response.aread())
            yield Stream(response)

    async def read(self, path: str, *, status: int = 200, **options: Any) -> bytes:
        """Read a stream to its end; return its exact bytes."""
        async with self.stream("GET", path, status=status, **options) as stream:
            return await stream.rest()

    async def run(self, text: str = "Hello", **fields: Any) -> JsonObject:
        """Start a run, wait for its end, return its record."""
        answer = await self.client.post("/v1/runs", json={"input": text, "wait": True, **fields})
        assert answer.status_code == 201, answer.text
        record: JsonObject = answer.json()
        return record

    async def start(self, text: str = "Hello", **fields: Any) -> str:
        """Start a run; return its id."""
        answer = await self.client.post("/v1/runs", json={"input": text, **fields})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def events(self, run_id: str) -> list[JsonObject]:
        """Return the run's events, from its stream."""
        return [frame.json for frame in frames(await self.read(f"/v1/runs/{run_id}/events"))]


class Serve(Protocol):
    """Starts a server whose model plays ``turns``."""

    async def __call__(
        self,
        *turns: Turn,
        settings: Settings | None = None,
        store: Store | None = None,
    ) -> Server: ...


def make_settings(
    *,
    agent: AgentSettings | None = None,
    prices: Mapping[str, Price] | None = None,
    **sections: Any,
) -> Settings:
    """Settings for tests: no draining, quick retries; a section is given by name."""
    given = {
        "server": ServerSettings(drain_s=0),
        "log": LogSettings(flush_ms=1),
        "model": ModelSettings(retry_base_s=0.001, retry_cap_s=0.01),
        "runs": RunSettings(),
        "chat": ChatSettings(),
        **sections,
    }
    agents = {"default": agent or AgentSettings(model="model-1")}
    return Settings(agents=agents, prices=dict(prices or {}), **given)


class _QuickServer(uvicorn.Server):
    """uvicorn that says when it accepts, and stops without its tenth of a second."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.accepts = asyncio.Event()
        self.stopping = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.accepts.set()

    async def main_loop(self) -> None:
        await self.stopping.wait()

    def stop(self) -> None:
        self.should_exit = True
        self.stopping.set()


@asynccontextmanager
async def _serving(runtime: Runtime) -> AsyncIterator[tuple[str, _QuickServer]]:
    config = uvicorn.Config(
        create_app(runtime),
        log_config=None,
        access_log=False,
        ws="none",
        timeout_graceful_shutdown=5,
    )
    server = _QuickServer(config)
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:  # else no TCP_NODELAY
        listener.bind(("127.0.0.1", 0))
        listener.listen(256)
        async with asyncio.TaskGroup() as group:
            group.create_task(server.serve(sockets=[listener]))
            async with asyncio.timeout(LIMIT_S):
                await server.accepts.wait()
            try:
                yield f"http://127.0.0.1:{listener.getsockname()[1]}", server
            finally:
                server.stop()


@asynccontextmanager
async def _connected(
    runtime: AbstractAsyncContextManager[Runtime], model: ScriptedModel, sandbox: LocalSandbox
) -> AsyncIterator[Server]:
    async with (
        runtime as opened,
        _serving(opened) as (url, server),
        httpx2.AsyncClient(base_url=url, timeout=LIMIT_S, trust_env=False) as client,
    ):
        yield Server(url, client, opened, model, sandbox, server.stop)


def open_server(
    *turns: Turn,
    settings: Settings | None = None,
    store: Store | None = None,
    real_model: Model | None = None,
) -> AbstractAsyncContextManager[Server]:
    """Run a server whose model plays ``turns``; by default everything is in memory."""
    model, sandbox = ScriptedModel(turns), LocalSandbox()
    runtime = open_runtime(
        settings or make_settings(),
        model=real_model or model,
        store=store or MemoryStore(),
        sandbox=sandbox,
        registry=ToolRegistry(SPECS),
    )
    return _connected(runtime, model, sandbox)


def open_real_server(settings: Settings) -> AbstractAsyncContextManager[Server]:
    """Run a server with nothing but real parts; its ``model`` and ``sandbox`` stay unused."""
    return _connected(open_runtime(settings), ScriptedModel([]), LocalSandbox())
