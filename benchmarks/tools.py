"""What a sandboxed tool call costs, against starting a bare Python interpreter.

Everything is measured in one run, the two kinds of measurement in turns, so that their ratio holds
whatever else the machine does. Run: ``python benchmarks/tools.py [--calls 200]``.
"""

import argparse
import asyncio
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from agent_server.sandbox import CallRequest, Output, Progress, Returned
from agent_server.sandbox.process import ProcessSandbox, SandboxConfig, open_process_sandbox

TOOL_FILE = '''
"""A tool as tools are: it imports a validation library and an HTTP client."""

import httpx2
import pydantic

from agent_server import tool


class Sum(pydantic.BaseModel):
    """A sum."""

    total: int


@tool(effects="none")
def add(a: int, b: int) -> Sum:
    """Add two numbers."""
    return Sum(total=a + b)
'''
PAUSE_S = 0.02
"""Between paced calls: a new child is parked meanwhile."""
CONCURRENCY = 8


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=200, help="calls of each kind")
    calls = parser.parse_args().calls
    try:
        import uvloop  # noqa: PLC0415 the server uses it where it is installed
    except ImportError:
        asyncio.run(measure(calls))
    else:
        uvloop.run(measure(calls))


async def measure(calls: int) -> None:
    """Measure everything with ``calls`` calls of each kind, and print it."""
    async with opened(warm=4) as sandbox:
        bare, warm = await measure_paced(sandbox, calls=calls)
        unit_ms = percentile(bare, 50)
        print(f"bare `python -I -S -c pass`  B = {unit_ms:6.2f} ms (p50 of {len(bare)})")
        report("warm", warm, unit_ms=unit_ms)
        per_second, cpu_ms = await measure_together(sandbox, calls=calls)
    async with opened(warm=0) as sandbox:
        bare, cold = await measure_paced(sandbox, calls=calls)
        report("cold", cold, unit_ms=percentile(bare, 50))
    print(f"calls/s, {CONCURRENCY} at a time      {per_second:6.0f}")
    print(f"server CPU per call          {cpu_ms:6.2f} ms")


@asynccontextmanager
async def opened(*, warm: int) -> AsyncIterator[ProcessSandbox]:
    """Open a sandbox with the one tool."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "add.py")
        file.write_text(TOOL_FILE)
        config = SandboxConfig(
            tool_paths=(file,), entry_points=False, warm=warm, max_running=CONCURRENCY
        )
        async with open_process_sandbox(config) as sandbox:
            yield sandbox


async def measure_paced(sandbox: ProcessSandbox, *, calls: int) -> tuple[list[float], list[float]]:
    """Time bare interpreters and single calls in turns, in ms."""
    bare: list[float] = []
    called: list[float] = []
    for number in range(calls):
        await asyncio.sleep(PAUSE_S)
        started_s = time.perf_counter()
        await call(sandbox)
        called.append((time.perf_counter() - started_s) * 1000)
        if number % 4 == 0:
            await asyncio.sleep(PAUSE_S)
            bare.append(time_bare())
    return bare, called


def time_bare() -> float:
    """Start an interpreter that does nothing, and return how long it took in ms."""
    started_s = time.perf_counter()
    subprocess.run([sys.executable, "-I", "-S", "-c", "pass"], check=True)
    return (time.perf_counter() - started_s) * 1000


async def measure_together(sandbox: ProcessSandbox, *, calls: int) -> tuple[float, float]:
    """Keep several calls running; return calls per second and this process's CPU ms per call."""
    left = iter(range(calls))

    async def work() -> None:
        for _ in left:
            await call(sandbox)

    cpu_s = own_cpu_s()
    started_s = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(CONCURRENCY):
            group.create_task(work())
    took_s = time.perf_counter() - started_s
    return calls / took_s, (own_cpu_s() - cpu_s) * 1000 / calls


async def call(sandbox: ProcessSandbox) -> None:
    """Make one call and insist on its result."""
    request = CallRequest(run_id="run", call_id="call", idempotency_key="key", timeout_s=30)
    outcome = await sandbox.call(sandbox.manifest[0], {"a": 1, "b": 2}, request, ignore)
    if not isinstance(outcome, Returned):
        raise SystemExit(f"the call failed: {outcome}")


async def ignore(shown: Output | Progress) -> None:
    """Show nothing."""


def own_cpu_s() -> float:
    """Return the CPU time of this process in seconds, without its children's."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def percentile(values: list[float], percent: int) -> float:
    """Return the value that ``percent`` of ``values`` do not exceed."""
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]


def report(name: str, values: list[float], *, unit_ms: float) -> None:
    """Print a kind of call's percentiles, and their ratios to a bare interpreter."""
    for percent in (50, 99):
        value_ms = percentile(values, percent)
        print(f"{name} call p{percent}  {value_ms:6.2f} ms = {value_ms / unit_ms:.3f} B")


if __name__ == "__main__":
    main()
