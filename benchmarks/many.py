"""Many slow streams at once: are all complete, how late is a delta, what does one cost in memory?

python -m benchmarks.many [--streams 1000] [--deltas 40] [--interval-ms 500] [--spread-s 10]
"""

import argparse
import asyncio
import os
import resource
import tempfile
import time
from pathlib import Path

from benchmarks.load import cpu_s, open_streams, percentile, pin, rss_kb
from benchmarks.stream import open_agent_server
from benchmarks.upstream import serve_upstream


async def measure(streams: int, deltas: int, interval_ms: int, spread_s: float) -> None:
    """Open the streams against a fresh server and print what came of them."""
    pin(os.getpid(), 1)
    with tempfile.TemporaryDirectory() as name:
        async with (
            serve_upstream() as upstream,
            open_agent_server(Path(name), upstream, name="agent", storage="sqlite") as target,
        ):
            await open_streams(target, 20, deltas=10, interval_ms=5)
            idle_kb, peak_kb, used_s = rss_kb(target.pid), 0, cpu_s(target.pid)
            started = time.monotonic()
            async with asyncio.TaskGroup() as group:
                load = group.create_task(
                    open_streams(
                        target,
                        streams,
                        deltas=deltas,
                        interval_ms=interval_ms,
                        timed=True,
                        spread_s=spread_s,
                    )
                )
                while not load.done():
                    peak_kb = max(peak_kb, rss_kb(target.pid))
                    await asyncio.wait([load], timeout=0.25)
            wall_s = time.monotonic() - started
            used_s = cpu_s(target.pid) - used_s
            done = load.result()
    ages = [age * 1000 for stream in done for age in stream.ages]
    complete = sum(stream.complete and stream.deltas == deltas for stream in done)
    print(f"{streams} streams x {deltas} deltas x {interval_ms} ms, opened over {spread_s} s")
    print(f"complete with every delta: {complete}/{streams} in {wall_s:.1f} s")
    if ages:
        print(
            f"lateness of a delta: p50 {percentile(ages, 0.5):.0f} ms, "
            f"p99 {percentile(ages, 0.99):.0f} ms, max {max(ages):.0f} ms"
        )
    print(
        f"RSS idle {idle_kb} kB, peak {peak_kb} kB: {(peak_kb - idle_kb) / streams:.1f} kB a stream"
    )
    print(f"server CPU {used_s:.1f} s: {used_s / (streams * deltas) * 1e6:.0f} us a delta, gross")


def main() -> None:
    """Read the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--deltas", type=int, default=40)
    parser.add_argument("--interval-ms", type=int, default=500)
    parser.add_argument("--spread-s", type=float, default=10)
    arguments = parser.parse_args()
    needed = 4 * arguments.streams + 256
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(needed, hard), hard))
    asyncio.run(
        measure(arguments.streams, arguments.deltas, arguments.interval_ms, arguments.spread_s)
    )


if __name__ == "__main__":
    main()
