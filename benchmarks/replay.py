"""How fast recorded events leave the disk for a socket: events per CPU second of the server.

python -m benchmarks.replay [--deltas 6000] [--times 20]
"""

import argparse
import asyncio
import os
import tempfile
from pathlib import Path

from benchmarks.load import Target, cpu_s, open_streams, pin
from benchmarks.stream import open_agent_server
from benchmarks.upstream import serve_upstream

INTERVAL_MS = 30
"""Wider than the log's flush interval, so that every delta is an event of its own."""


async def fetch(target: Target, path: str, accept: str) -> bytes:
    """GET ``path`` over a connection of its own; return the body, chunk framing and all."""
    reader, writer = await asyncio.open_connection("127.0.0.1", target.port)
    writer.write(
        f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{target.port}\r\naccept: {accept}\r\n"
        "connection: close\r\n\r\n".encode()
    )
    answer = await reader.read()
    writer.close()
    return answer.partition(b"\r\n\r\n")[2]


async def measure(deltas: int, times: int) -> None:
    """Record a run in a fresh server, replay it ``times`` times, print the rate."""
    pin(os.getpid(), 1)
    with tempfile.TemporaryDirectory() as name:
        async with (
            serve_upstream() as upstream,
            open_agent_server(Path(name), upstream, name="agent", storage="sqlite") as target,
        ):
            print(f"recording a run of {deltas} deltas ...")
            await open_streams(
                target, 1, deltas=deltas, interval_ms=INTERVAL_MS, timeout_s=deltas * 0.1 + 60
            )
            page = await fetch(target, "/v1/runs?limit=1", "application/json")
            run_id = page.partition(b'"id":"')[2].partition(b'"')[0].decode()
            path = f"/v1/runs/{run_id}/events"
            first = await fetch(target, path, "text/event-stream")
            events = first.count(b"\nevent: ")
            before = cpu_s(target.pid)
            for _ in range(times):
                again = await fetch(target, path, "text/event-stream")
                assert again.count(b"\nevent: ") == events, "a replay differs"
            used = cpu_s(target.pid) - before
    print(f"{events} events x {times} replays: {events * times / used:,.0f} events per CPU second")


def main() -> None:
    """Read the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--deltas", type=int, default=1500)
    parser.add_argument("--times", type=int, default=50)
    arguments = parser.parse_args()
    asyncio.run(measure(arguments.deltas, arguments.times))


if __name__ == "__main__":
    main()
