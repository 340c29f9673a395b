"""``agent-server serve``: the start contract that operators and orchestration rely on.

In order: settings, database lock, listening socket; only then is anything heavy imported, and the
runtime opened (migrations, sandbox, recovery). Whatever cannot work fails early, with one line.
"""

import importlib
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from agent_server.cli.env_file import DotEnv
from agent_server.cli.lazy import Invocation
from agent_server.cli.listener import open_listener, require_loopback
from agent_server.cli.logs import configure_logs
from agent_server.cli.options import ConfigFile, Database, ToolPaths, read_settings
from agent_server.config import Settings
from agent_server.store.lock import lock_database

app = typer.Typer()

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
        # A second of imports that a taken port or database need not wait for.
        serving = importlib.import_module("agent_server.cli.serving")
        serving.serve_until_signalled(settings, lock=lock, listener=listener, ready_path=ready_path)
