"""``agent-server serve``: the start contract that operators and orchestration rely on.

In order: settings, database lock, listening socket, runtime (migrations, sandbox, recovery), ready.
Whatever cannot work fails before anything is touched, with one line.
"""

import asyncio
import socket
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import structlog
import typer
import uvicorn
import uvloop
from fastapi import FastAPI

from agent_server.cli.drain import STREAMS_END_S, DrainingServer
from agent_server.cli.env_file import DotEnv
from agent_server.cli.lazy import Invocation
from agent_server.cli.listener import open_listener, require_loopback, url_of
from agent_server.cli.logs import configure_logs
from agent_server.cli.options import ConfigFile, Database, ToolPaths, read_settings
from agent_server.cli.ready import print_banner, ready_facts, ready_file
from agent_server.config import Settings
from agent_server.http.app import create_app
from agent_server.runtime import open_runtime
from agent_server.store.lock import DatabaseLock, lock_database

app = typer.Typer()
_logger = structlog.get_logger(__name__)

ReadyFile = Annotated[
    Path | None,
    typer.Option(
        "--ready-file", metavar="FILE", help="Written once the server accepts, removed on exit."
    ),
]
Host = Annotated[str | None, typer.Option("--host", help="Default 127.0.0.1.")]
Port = Annotated[
    int | None, typer.Option("--port", min=0, max=65_535, help="Default 8000; 0: any free one.")
]


@app.command()
def serve(
    context: typer.Context,
    *,
    config: ConfigFile = None,
    host: Host = None,
    port: Port = None,
    db: Database = None,
    tools: ToolPaths = None,
    ready_file: ReadyFile = None,
    dotenv: DotEnv = False,
) -> None:
    """Start the server and keep it until SIGTERM or Ctrl-C; a second signal forces the end."""
    invocation = context.find_object(Invocation) or Invocation()
    del dotenv
    settings = read_settings(config, database=db, tools=tools, server={"host": host, "port": port})
    configure_logs(debug=invocation.debug)
    run_server(settings, ready_path=ready_file)


def run_server(settings: Settings, *, ready_path: Path | None = None) -> None:
    """Serve until a signal ends it; everything taken is given back.

    Raises:
        ConfigError: the address is no loopback address, or a tool file cannot be loaded.
        StoreError: the database is locked, newer than this program, or cannot be written.
        PortTakenError: another program listens on the port.
    """
    require_loopback(settings.server.host)
    with ExitStack() as stack:
        lock = stack.enter_context(lock_database(settings.database))
        listener = stack.enter_context(open_listener(settings.server.host, settings.server.port))
        runner = stack.enter_context(asyncio.Runner(loop_factory=uvloop.new_event_loop))
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
                _logger.info("server.ready", **ready_facts(url), provider=runtime.provider)
                print_banner(runtime, url)

            server = DrainingServer(
                _uvicorn_config(create_app(runtime)),
                runs=runtime.runs,
                drain_s=settings.server.drain_s,
                on_ready=announce,
            )
            await server.serve(sockets=[listener])
            # The runs have had their time: what is left is for the next start to resume.
            await runtime.runs.drain(0)
        _logger.info("server.stopped")


def _uvicorn_config(asgi: FastAPI) -> uvicorn.Config:
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
