"""``agent-server run``: one run, watched in the terminal from the first word to the bill.

Through the server that holds the database where one does, else in this process.
"""

import asyncio
import importlib
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Annotated

import typer
from rich.console import Console

from agent_server.cli.logs import configure_logs
from agent_server.cli.options import AsJson, ConfigFile, Database, ToolPaths, read_settings
from agent_server.cli.source import RunStarter, connect
from agent_server.cli.view import RunView
from agent_server.config import Settings
from agent_server.store.lock import read_lock

app = typer.Typer()

FAILURE = 1
INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Wish:
    """What to run, and how to show it."""

    prompt: str
    agent: str
    thread_id: str | None
    as_json: bool


@app.command()
def run(
    prompt: Annotated[str, typer.Argument(help="What the agent should do.")],
    *,
    agent: Annotated[str, typer.Option("--agent", help="A configured agent.")] = "default",
    thread: Annotated[
        str | None, typer.Option("--thread", help="The thread to go on with; default: a new one.")
    ] = None,
    tools: ToolPaths = None,
    config: ConfigFile = None,
    db: Database = None,
    as_json: AsJson = False,
) -> None:
    """Run an agent and watch it. Ctrl-C cancels the run and kills its tools."""
    settings = read_settings(config, database=db, tools=tools)
    configure_logs(stream=sys.stderr, quiet=True)
    wish = Wish(prompt, agent=agent, thread_id=thread, as_json=as_json)
    raise typer.Exit(asyncio.run(_run(settings, wish)))


async def _run(settings: Settings, wish: Wish) -> int:
    async with open_source(settings) as source:
        run_id = await source.start(wish.prompt, agent=wish.agent, thread_id=wish.thread_id)
        return await _watch(source, run_id, as_json=wish.as_json)


@asynccontextmanager
async def open_source(settings: Settings) -> AsyncIterator[RunStarter]:
    """Connect to the server that holds the database, or be the one process that does."""
    held = read_lock(settings.database)
    if held is not None:
        served = connect(held)
        async with served.client:
            yield served
        return
    local = importlib.import_module("agent_server.cli.local")
    async with local.open_local(settings) as source:
        yield source


async def _watch(source: RunStarter, run_id: str, *, as_json: bool) -> int:
    """Show a run to its end; return the exit code."""
    interrupted = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signal_number, interrupted.set)
    async with asyncio.TaskGroup() as group:
        canceller = group.create_task(_cancel_when(interrupted, source, run_id))
        last = await _show(source, run_id, as_json=as_json)
        canceller.cancel()
    if last == "run.completed":
        return 0
    return INTERRUPTED if interrupted.is_set() else FAILURE


async def _cancel_when(interrupted: asyncio.Event, source: RunStarter, run_id: str) -> None:
    await interrupted.wait()
    await source.cancel(run_id)


async def _show(source: RunStarter, run_id: str, *, as_json: bool) -> str | None:
    """Print the events as they come; return the type of the last one."""
    last = None
    with RunView(Console()) as view:
        async with aclosing(source.events(run_id)) as events:
            async for event in events:
                last = event.type
                if as_json:
                    print(event.json.decode(), flush=True)
                else:
                    view.show(event.parse())
    return last
