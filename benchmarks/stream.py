"""What a streamed delta costs: CPU of the server, against two byte proxies, paired in one run.

    python -m benchmarks.stream [--rounds 4] [--quick]

Each round loads every server in turn with the same paced streams. ``net`` is the CPU per delta
less the fixed cost of a run (measured by runs of one delta); ratios are medians over the rounds,
with their range. Everything the server streams is recorded (``agent-server``) or kept in memory
(``memory``: the same server over the MemoryStore).
"""

import argparse
import asyncio
import os
import sys
import tempfile
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path

from benchmarks.load import Target, cpu_s, median, open_streams, percentile, pin, run_server
from benchmarks.upstream import serve_upstream

LOADS = {"2,000/s": (40, 200, 20), "8,000/s": (400, 60, 50)}
"""Streams, deltas of each, milliseconds between deltas."""
FIXED_RUNS = 100
FIRST_TOKEN_RUNS = 60
PYTHON = sys.executable


async def open_targets(stack: AsyncExitStack, folder: Path, upstream: int) -> dict[str, Target]:
    """Start every server and return them by name."""
    targets: dict[str, Target] = {}
    for kind in ("raw", "httpx2"):
        ready = folder / f"{kind}.ready"
        command = [PYTHON, "-m", "benchmarks.servers.proxies", kind]
        command += ["--upstream", str(upstream), "--ready-file", str(ready)]
        targets[kind] = await stack.enter_async_context(
            run_server(
                command,
                ready,
                name=kind,
                is_agent_server=False,
                environ={"PYTHONPATH": str(Path.cwd())},
                cwd=folder,
            )
        )
    for name, storage in (("agent-server", "sqlite"), ("memory", "memory")):
        targets[name] = await stack.enter_async_context(
            open_agent_server(folder, upstream, name=name, storage=storage)
        )
    return targets


def open_agent_server(
    folder: Path, upstream: int, *, name: str, storage: str
) -> AbstractAsyncContextManager[Target]:
    """Start an agent server over SQLite or memory, with the fake provider as its upstream."""
    home = folder / name
    home.mkdir()
    ready = home / "ready"
    command = [PYTHON, "-m", "benchmarks.servers.agent", storage, "--ready-file", str(ready)]
    environ = {
        "PYTHONPATH": str(Path.cwd()),
        "ANTHROPIC_API_KEY": "sk-bench",
        "ANTHROPIC_BASE_URL": f"http://127.0.0.1:{upstream}",
    }
    return run_server(command, ready, name=name, is_agent_server=True, environ=environ, cwd=home)


async def spend(target: Target, streams: int, deltas: int, interval_ms: int) -> tuple[float, bool]:
    """Return the CPU seconds a load took, and whether every stream was complete."""
    before = cpu_s(target.pid)
    done = await open_streams(target, streams, deltas=deltas, interval_ms=interval_ms)
    return cpu_s(target.pid) - before, all(stream.complete for stream in done)


async def first_token_ms(target: Target) -> list[float]:
    """Milliseconds to the first text of runs made one after the other."""
    times: list[float] = []
    for _ in range(FIRST_TOKEN_RUNS):
        (stream,) = await open_streams(target, 1, deltas=2, interval_ms=1)
        times.append((stream.first_s or float("inf")) * 1000)
    return times


async def measure(rounds: int, loads: dict[str, tuple[int, int, int]]) -> None:
    """Run everything and print the tables."""
    pin(os.getpid(), 1)
    with tempfile.TemporaryDirectory() as name:
        async with serve_upstream() as upstream, AsyncExitStack() as stack:
            targets = await open_targets(stack, Path(name), upstream)
            for target in targets.values():
                await open_streams(target, 40, deltas=20, interval_ms=5)
            fixed = await _fixed(targets)
            for label, load in loads.items():
                await _table(label, load, targets=targets, fixed=fixed, rounds=rounds)
            await _first_tokens(upstream, targets)


async def _fixed(targets: dict[str, Target]) -> dict[str, float]:
    """Print and return the CPU seconds of one run of one delta."""
    fixed: dict[str, float] = {}
    for name, target in targets.items():
        taken = []
        for _ in range(3):
            used, _complete = await spend(target, FIXED_RUNS, 1, 0)
            taken.append(used / FIXED_RUNS)
        fixed[name] = median(taken)
        print(f"fixed CPU of a run, {name:13} {fixed[name] * 1000:6.2f} ms")
    return fixed


async def _table(
    label: str,
    load: tuple[int, int, int],
    *,
    targets: dict[str, Target],
    fixed: dict[str, float],
    rounds: int,
) -> None:
    streams, deltas, interval_ms = load
    costs: dict[str, list[float]] = {name: [] for name in targets}
    complete = dict.fromkeys(targets, True)
    for number in range(rounds):
        order = list(targets) if number % 2 else list(reversed(targets))
        for name in order:
            used, all_complete = await spend(targets[name], *load)
            complete[name] &= all_complete
            net = (used - fixed[name] * streams) / (streams * deltas)
            costs[name].append(net * 1_000_000)
    print(f"\n{label}: {streams} streams x {deltas} deltas x {interval_ms} ms, {rounds} rounds")
    print(f"{'server':14} {'us/delta':>9} {'x raw':>20} {'x httpx2':>20}  complete")
    for name, values in costs.items():
        ratios = {
            base: [mine / other for mine, other in zip(values, costs[base], strict=True)]
            for base in ("raw", "httpx2")
        }
        spread = {
            base: f"{median(r):.2f} [{min(r):.2f}..{max(r):.2f}]" for base, r in ratios.items()
        }
        print(
            f"{name:14} {median(values):9.1f} {spread['raw']:>20} {spread['httpx2']:>20}"
            f"  {'all' if complete[name] else 'NOT ALL'}"
        )
    sqlite = [
        mine / other for mine, other in zip(costs["agent-server"], costs["memory"], strict=True)
    ]
    print(f"SQLite against memory: {median(sqlite):.2f} [{min(sqlite):.2f}..{max(sqlite):.2f}]")


async def _first_tokens(upstream: int, targets: dict[str, Target]) -> None:
    direct = await first_token_ms(Target("direct", upstream, 0, is_agent_server=False))
    print(f"\nfirst token, concurrency 1: direct p50 {median(direct):.2f} ms; added by")
    for name, target in targets.items():
        added = [value - median(direct) for value in await first_token_ms(target)]
        print(f"  {name:13} p50 {median(added):6.2f}  p99 {percentile(added, 0.99):6.2f} ms")


def main() -> None:
    """Read the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--quick", action="store_true", help="one light load, two rounds")
    arguments = parser.parse_args()
    loads = {"2,000/s": (40, 50, 20)} if arguments.quick else LOADS
    asyncio.run(measure(2 if arguments.quick else arguments.rounds, loads))


if __name__ == "__main__":
    main()
