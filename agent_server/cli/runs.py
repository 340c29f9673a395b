"""``agent-server runs``: what was recorded, from the running server or straight from the database.

Nothing here calls a model or a tool.
"""

import asyncio
import importlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Annotated, Any, TypeVar

import typer
from pydantic_core import to_json
from rich.console import Console

from agent_server.cli.options import AsJson, ConfigFile, Database, read_settings
from agent_server.cli.source import RunReader, connect
from agent_server.cli.table import print_table
from agent_server.cli.view import RunView
from agent_server.client import RunEvent
from agent_server.config import Settings
from agent_server.messages import JsonObject
from agent_server.store.lock import read_lock

app = typer.Typer(no_args_is_help=True)

RunId = Annotated[str, typer.Argument(metavar="RUN_ID")]
Answer = TypeVar("Answer")


@app.command("list")
def list_runs(
    *,
    status: Annotated[str | None, typer.Option(help="queued, running, failed …")] = None,
    agent: Annotated[str | None, typer.Option(help="Runs of this agent.")] = None,
    tool: Annotated[str | None, typer.Option(help="Runs that called this tool.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100)] = 20,
    config: ConfigFile = None,
    db: Database = None,
    as_json: AsJson = False,
) -> None:
    """List runs, newest first."""

    async def ask(reader: RunReader) -> list[JsonObject]:
        return await reader.list_runs(limit=limit, status=status, agent=agent, tool=tool)

    runs = _read(read_settings(config, database=db), ask)
    if as_json:
        print(to_json(runs).decode())
    else:
        _print_runs(runs)


@app.command()
def show(
    run_id: RunId, *, config: ConfigFile = None, db: Database = None, as_json: AsJson = False
) -> None:
    """Show a run: its record, then everything that happened in it."""

    async def ask(reader: RunReader) -> None:
        record = await reader.get_run(run_id)
        if as_json:
            print(to_json(record).decode())
            return
        shown = ("id", "thread_id", "status", "agent", "model", "created_at", "finished_at")
        for name in shown:
            print(f"{name:<12} {record[name] or ''}")
        print()
        await _print_events(reader.events(run_id))

    _read(read_settings(config, database=db), ask)


@app.command()
def tail(
    run_id: RunId,
    *,
    after: Annotated[int, typer.Option(min=0, help="Begin after this seq.")] = 0,
    config: ConfigFile = None,
    db: Database = None,
    as_json: AsJson = False,
) -> None:
    """Follow a run: what was recorded, then what happens, to its end."""

    async def ask(reader: RunReader) -> None:
        await _print_events(reader.events(run_id, after=after), as_json=as_json)

    _read(read_settings(config, database=db), ask)


@app.command()
def replay(
    run_id: RunId,
    *,
    speed: Annotated[
        float, typer.Option(min=0.01, max=1000, help="2 is twice as fast as it was.")
    ] = 1.0,
    config: ConfigFile = None,
    db: Database = None,
    as_json: AsJson = False,
) -> None:
    """Show a recorded run again, as it happened, without model or tools."""

    async def ask(reader: RunReader) -> None:
        await _print_events(pace(reader.events(run_id), speed), as_json=as_json)

    _read(read_settings(config, database=db), ask)


@app.command()
def export(run_id: RunId, *, config: ConfigFile = None, db: Database = None) -> None:
    """Print a run's events, one JSON object a line, exactly as recorded."""

    async def ask(reader: RunReader) -> None:
        await _print_events(reader.events(run_id), as_json=True)

    _read(read_settings(config, database=db), ask)


async def pace(
    events: AsyncGenerator[RunEvent, None],
    speed: float,
    *,
    sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
) -> AsyncGenerator[RunEvent, None]:
    """Yield ``events`` with the pauses that lay between them, divided by ``speed``."""
    before_ms: int | None = None
    async with aclosing(events):
        async for event in events:
            ts_ms: int = event.parse()["ts"]
            if before_ms is not None and ts_ms > before_ms:
                await sleep((ts_ms - before_ms) / 1000 / speed)
            before_ms = ts_ms
            yield event


async def _print_events(events: AsyncGenerator[RunEvent, None], *, as_json: bool = False) -> None:
    with RunView(Console()) as view:
        async with aclosing(events):
            async for event in events:
                if as_json:
                    print(event.json.decode(), flush=True)
                else:
                    view.show(event.parse())


def _print_runs(runs: list[JsonObject]) -> None:
    rows = []
    for run in runs:
        tokens = run["usage"]["input_tokens"] + run["usage"]["output_tokens"]
        counts = (str(run["turns"]), str(run["tool_calls"]), f"{tokens:,}")
        rows.append((run["id"], run["status"], run["agent"], *counts, run["created_at"]))
    print_table(("ID", "STATUS", "AGENT", "TURNS", "CALLS", "TOKENS", "CREATED"), rows)


def _read(settings: Settings, ask: Callable[[RunReader], Awaitable[Answer]]) -> Answer:
    async def read() -> Answer:
        async with open_reader(settings) as reader:
            return await ask(reader)

    return asyncio.run(read())


@asynccontextmanager
async def open_reader(settings: Settings) -> AsyncIterator[RunReader]:
    """Connect to the server that holds the database, or open the database for reading.

    Raises:
        NotFound: there is no database.
    """
    held = read_lock(settings.database)
    if held is not None:
        served = connect(held)
        async with served.client:
            yield served
        return
    stored = importlib.import_module("agent_server.cli.stored")
    async with stored.open_stored(settings) as reader:
        yield reader
