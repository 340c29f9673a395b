"""``agent-server dev``: serve, and start anew whenever tools, configuration or source change.

The next server is started only once the configuration and the tools load: while a file is broken
its error is shown and the last good server goes on.
"""

import asyncio
import signal
import sys
from collections.abc import Iterable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Final

import typer
from watchfiles import Change, DefaultFilter, awatch

import agent_server
from agent_server.cli.lazy import Invocation
from agent_server.cli.options import ConfigFile, Database, ToolPaths, read_settings
from agent_server.cli.serve import Host, Port, ReadyFile
from agent_server.config import Settings

app = typer.Typer()

TICK_MS: Final = 300
STOP_S: Final = 3.0
"""After this long a second signal forces the old server's end; its runs are resumed by the new."""
CONFIG_EXIT: Final = 78


@app.command()
def dev(
    context: typer.Context,
    *,
    config: ConfigFile = None,
    host: Host = None,
    port: Port = None,
    db: Database = None,
    tools: ToolPaths = None,
    ready_file: ReadyFile = None,
) -> None:
    """Start the server; start it anew on every change of tools, configuration or .env."""
    invocation = context.find_object(Invocation) or Invocation()
    shared = [*_option("--config", config), *(_options("--tools", tools or ()))]
    serve = [
        *shared,
        *_option("--host", host),
        *_option("--port", port),
        *_option("--db", db),
        *_option("--ready-file", ready_file),
        *(["--debug"] if invocation.debug else []),
    ]
    settings = read_settings(config, tools=tools)
    raise typer.Exit(asyncio.run(_develop(settings, check=shared, serve=serve)))


async def _develop(settings: Settings, *, check: Sequence[str], serve: Sequence[str]) -> int:
    """Keep a server running until it is told to end; return the exit code."""
    watched = _Watched(settings)
    stop = asyncio.Event()
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(signal_number, stop.set)
    server = await _start("serve", "--dotenv", *serve)
    try:
        changes = awatch(
            *watched.folders,
            watch_filter=_OnlySources(),
            stop_event=stop,
            yield_on_timeout=True,
            rust_timeout=TICK_MS,
        )
        async with aclosing(changes):
            async for changed in changes:
                if changed or watched.files_changed():
                    server = await _swap(server, check=check, serve=serve)
                elif server.returncode not in {None, CONFIG_EXIT}:
                    return server.returncode or 0
    finally:
        await asyncio.shield(_stop(server))
    return 0


async def _swap(
    server: asyncio.subprocess.Process, *, check: Sequence[str], serve: Sequence[str]
) -> asyncio.subprocess.Process:
    """Replace the server if what changed can be loaded, else keep it."""
    checked = await _start("tools", "check", "--dotenv", "--quiet", *check)
    if await checked.wait() != 0:
        kept = "the last good server goes on" if server.returncode is None else "waiting"
        print(f"agent-server: {kept}", file=sys.stderr)
        return server
    print("agent-server: changed, starting anew", file=sys.stderr)
    await _stop(server)
    return await _start("serve", "--dotenv", *serve)


async def _start(*arguments: str) -> asyncio.subprocess.Process:
    """Start the command line again, in a process group of its own: Ctrl-C is for this process."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "agent_server",
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        process_group=0,
    )


async def _stop(server: asyncio.subprocess.Process) -> None:
    """End the server, by force if it takes too long."""
    for signal_number in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
        if server.returncode is not None:
            return
        server.send_signal(signal_number)
        try:
            async with asyncio.timeout(STOP_S):
                await server.wait()
        except TimeoutError:
            continue


class _OnlySources(DefaultFilter):
    """Python files only: what tools write must not start the server anew."""

    def __call__(self, change: Change, path: str) -> bool:
        return path.endswith(".py") and super().__call__(change, path)


class _Watched:
    """What decides how the server behaves: folders are watched, single files compared."""

    def __init__(self, settings: Settings) -> None:
        package = Path(agent_server.__file__).parent
        installed = "site-packages" in package.parts
        self.folders = [path for path in settings.tool_paths if path.is_dir()]
        self.folders += [] if installed else [package]
        self._files = [path for path in settings.tool_paths if path not in self.folders]
        self._files += [settings.config_file or Path("config.yaml"), Path(".env")]
        self._seen = _stamps(self._files)
        if not self.folders:
            self.folders = [settings.folder]

    def files_changed(self) -> bool:
        """Whether a single file has changed, appeared or gone since the last time."""
        before, self._seen = self._seen, _stamps(self._files)
        return before != self._seen


def _stamps(files: Iterable[Path]) -> list[int | None]:
    return [path.stat().st_mtime_ns if path.is_file() else None for path in files]


def _option(name: str, value: object) -> list[str]:
    return [] if value is None else [name, str(value)]


def _options(name: str, values: Iterable[object]) -> list[str]:
    return [part for value in values for part in (name, str(value))]
