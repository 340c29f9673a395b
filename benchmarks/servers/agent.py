"""The agent server as the benchmarks start it: over SQLite, or over the MemoryStore."""

import argparse
import asyncio
import json
import os
import socket
from contextlib import AsyncExitStack
from pathlib import Path

import uvicorn
import uvloop

from agent_server.cli.logs import configure_logs
from agent_server.cli.serving import ease_collection, uvicorn_config
from agent_server.config import load_settings
from agent_server.http.app import create_app
from agent_server.runtime import open_runtime
from agent_server.store.memory import MemoryStore


async def serve(storage: str, ready_file: Path) -> None:
    """Serve on a free loopback port until told to stop."""
    configure_logs()
    home = Path.cwd()
    (home / "tools").mkdir(exist_ok=True)
    flags = {
        "storage": {"url": str(home / "bench.db")},
        "tools": {"paths": [str(home / "tools")], "entry_points": False},
        "sandbox": {"warm": 0},
    }
    settings = load_settings(flags=flags)
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", 0))
    listener.listen(2048)
    async with AsyncExitStack() as stack:
        store = MemoryStore() if storage == "memory" else None
        runtime = await stack.enter_async_context(open_runtime(settings, store=store))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        ready_file.write_text(json.dumps({"url": url, "pid": os.getpid()}))
        ease_collection()
        await uvicorn.Server(uvicorn_config(create_app(runtime))).serve(sockets=[listener])


def main() -> None:
    """Read the arguments and serve."""
    parser = argparse.ArgumentParser()
    parser.add_argument("storage", choices=["sqlite", "memory"])
    parser.add_argument("--ready-file", type=Path, required=True)
    arguments = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(arguments.storage, arguments.ready_file))


if __name__ == "__main__":
    main()
