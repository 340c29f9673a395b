"""create_app: the ASGI application around an opened runtime, or one that opens its own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Final

from fastapi import FastAPI
from starlette.types import ASGIApp

from agent_server.config import Settings, load_settings
from agent_server.http.middleware import Surround, is_local
from agent_server.http.problems import answer_error, answer_fault, install_problems
from agent_server.http.routes import agents, chat, events, health, records, runs, threads, tools
from agent_server.runtime import Runtime, open_runtime

_DESCRIPTION: Final = """\
Runs tool-using agents. Post a message; the run's events stream back as Server-Sent Events, typed
and numbered, and every one of them is on disk before you see it. A lost connection is taken up with
`Last-Event-ID`; a finished run replays byte for byte.

Event types, fields and enum values may be added at any time: ignore the ones you do not know.
"""


class _App(FastAPI):
    """FastAPI with our layer outermost: what it adds is on the answers to faults too."""

    def build_middleware_stack(self) -> ASGIApp:
        return Surround(
            super().build_middleware_stack(),
            local_only=self.state.local_only,
            answer_error=answer_error,
            answer_fault=answer_fault,
        )


def create_app(runtime: Runtime | None = None, *, settings: Settings | None = None) -> FastAPI:
    """Make the application. Without ``runtime`` it opens one from ``settings`` when it starts.

    Raises:
        ConfigError: neither was given, and the settings cannot be read.
    """
    if runtime is not None:
        settings = runtime.settings
    elif settings is None:
        settings = load_settings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if runtime is not None:
            yield
            return
        async with open_runtime(settings) as opened:
            app.state.runtime = opened
            yield

    app = _App(
        title="agent-server",
        version=version("agent-server"),
        description=_DESCRIPTION,
        docs_url=None,  # the interactive pages load scripts from a CDN
        redoc_url=None,
        lifespan=lifespan,
        telemetry={"logs": False},  # they would record exceptions' words and stacks
    )
    app.state.runtime = runtime
    app.state.local_only = is_local(settings.server.host)
    app.state.max_body_bytes = settings.server.max_body_kb * 1024
    install_problems(app)
    for module in (runs, records, events, threads, agents, tools, chat, health):
        # the routes themselves: an included router is built again and matched twice a request
        app.router.routes.extend(module.router.routes)
    return app
