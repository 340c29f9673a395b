"""The server's life between its listening socket and its end: what ``serve`` does once it may."""

import asyncio
import gc
import socket
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import structlog
import uvicorn
import uvloop
from fastapi import FastAPI

from agent_server.cli.drain import STREAMS_END_S, DrainingServer
from agent_server.cli.listener import url_of
from agent_server.cli.ready import print_banner, ready_facts, ready_file
from agent_server.config import Settings
from agent_server.http.app import create_app
from agent_server.runtime import open_runtime
from agent_server.store.lock import DatabaseLock

GC_THRESHOLDS: Final = (10_000, 20, 50)
"""Allocations before a young collection, and collections before an older generation's."""

_logger = structlog.get_logger(__name__)


def serve_until_signalled(
    settings: Settings, *, lock: DatabaseLock, listener: socket.socket, ready_path: Path | None
) -> None:
    """Open the runtime, accept, and on a signal end in order.

    Raises:
        ConfigError, StoreError: as ``open_runtime``.
        ReadyFileError: the ready file cannot be written.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(settings, lock=lock, listener=listener, ready_path=ready_path))


async def _serve(
    settings: Settings, *, lock: DatabaseLock, listener: socket.socket, ready_path: Path | None
) -> None:
    url = url_of(listener)
    with ExitStack() as announced:
        async with open_runtime(settings) as runtime:

            def announce() -> None:
                lock.publish(url)
                announced.enter_context(ready_file(ready_path, url))
                print_banner(runtime, url)
                _logger.info("server.ready", **ready_facts(url), provider=runtime.provider)
                ease_collection()

            server = DrainingServer(
                uvicorn_config(create_app(runtime)),
                runs=runtime.runs,
                drain_s=settings.server.drain_s,
                on_ready=announce,
            )
            await server.serve(sockets=[listener])
            # The runs have had their time: what is left is for the next start to resume.
            await runtime.runs.drain(0)
        _logger.info("server.stopped")


def ease_collection() -> None:
    """Take what start-up has made out of the garbage collector's sight, and let it look less often.

    Modules and models live as long as the server; walking them again and again cost a tenth of the
    CPU of a run.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


def uvicorn_config(asgi: FastAPI) -> uvicorn.Config:
    """No access log (the middleware writes it) and no log configuration (``cli.logs`` is it)."""
    return uvicorn.Config(
        asgi,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=STREAMS_END_S,
    )
