"""The load side of the benchmarks: many streams over plain sockets, and the servers' CPU time."""

import asyncio
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

_STAMP = re.compile(rb"\|(\d{18})")
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
START_TIMEOUT_S = 60


@dataclass(frozen=True, slots=True)
class Target:
    """A server under load: where it listens and how to ask it for a stream."""

    name: str
    port: int
    pid: int
    is_agent_server: bool

    def request(self, *, deltas: int, interval_ms: int) -> bytes:
        """The bytes of a request for a paced stream."""
        model = f"bench-{deltas}-{interval_ms}"
        if self.is_agent_server:
            path, body = "/v1/runs", {"input": "go", "stream": True, "model": model, "tools": []}
        else:
            path = "/v1/messages"
            body = {"model": model, "max_tokens": 1, "stream": True, "messages": []}
        data = json.dumps(body).encode()
        head = (
            f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{self.port}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(data)}\r\n"
            "connection: close\r\n\r\n"
        )
        return head.encode() + data

    @property
    def end(self) -> bytes:
        """What a complete stream contains near its end."""
        return b"event: run.completed" if self.is_agent_server else b"event: message_stop"


@dataclass(slots=True)
class Stream:
    """What one stream came to. Times in seconds; ``ages`` is how late each delta arrived."""

    complete: bool = False
    first_s: float | None = None
    deltas: int = 0
    ages: list[float] = field(default_factory=list)
    size: int = 0


class _Reader(asyncio.Protocol):
    """Reads one stream to its end; counts each delta's stamp once."""

    def __init__(self, target: Target, request: bytes, *, timed: bool) -> None:
        self.stream = Stream()
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._target = target
        self._request = request
        self._timed = timed
        self._started = 0.0
        self._tail = b""
        self._last = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._started = time.monotonic()
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        stream = self.stream
        stream.size += len(data)
        seen = self._tail + data
        if stream.first_s is None and b"|" in data:
            stream.first_s = time.monotonic() - self._started
        if self._timed:
            self._count(seen)
        if self._target.end in seen:
            stream.complete = True
        self._tail = seen[-32:]

    def _count(self, seen: bytes) -> None:
        now = time.monotonic_ns()
        for match in _STAMP.finditer(seen):
            stamp = int(match.group(1))
            if stamp > self._last:
                self._last = stamp
                self.stream.deltas += 1
                self.stream.ages.append((now - stamp) / 1e9)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)


async def open_streams(
    target: Target,
    count: int,
    *,
    deltas: int,
    interval_ms: int,
    timed: bool = False,
    spread_s: float = 0.0,
    timeout_s: float = 120.0,
) -> list[Stream]:
    """Open ``count`` streams, evenly over ``spread_s``, and read them all to their end."""
    loop = asyncio.get_running_loop()
    request = target.request(deltas=deltas, interval_ms=interval_ms)
    readers: list[_Reader] = []
    for number in range(count):
        _, reader = await loop.create_connection(
            lambda: _Reader(target, request, timed=timed), "127.0.0.1", target.port
        )
        readers.append(reader)
        if spread_s:
            await asyncio.sleep(spread_s / count)
        elif number % 50 == 49:
            await asyncio.sleep(0)
    try:
        async with asyncio.timeout(timeout_s):
            for reader in readers:
                await reader.done
    except TimeoutError:
        print(f"{target.name}: gave up after {timeout_s} s", file=sys.stderr)
    return [reader.stream for reader in readers]


def cpu_s(pid: int) -> float:
    """User and system CPU seconds of a process and its living and reaped descendants."""
    total = 0.0
    for process in (pid, *_descendants(pid)):
        try:
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        except FileNotFoundError:
            continue
        total += sum(map(int, fields[11:15])) * _TICK_S
    return total


def _descendants(pid: int) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except FileNotFoundError:
        return []
    return [found for child in map(int, children) for found in (child, *_descendants(child))]


def rss_kb(pid: int) -> int:
    """Resident memory of one process, in kB."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+)", status)
    assert found is not None
    return int(found.group(1))


def pin(pid: int, core: int) -> None:
    """Keep a process on one core, where there is more than one."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(pid, {cores[core % len(cores)]})


@asynccontextmanager
async def run_server(
    command: Sequence[str],
    ready_file: Path,
    *,
    name: str,
    is_agent_server: bool,
    environ: dict[str, str],
    cwd: Path,
) -> AsyncIterator[Target]:
    """Start a server on core 0, wait for its ready file, stop it by its pid at the end."""
    log = (cwd / f"{name}.log").open("wb")
    with (
        log,
        subprocess.Popen(
            command,
            env={**os.environ, **environ},  # noqa: TID251 (a child process gets ours)
            stdout=log,
            stderr=log,
            cwd=cwd,
        ) as process,
    ):
        try:
            pin(process.pid, 0)
            async with asyncio.timeout(START_TIMEOUT_S):
                while not ready_file.exists():
                    if process.poll() is not None:
                        log_text = (cwd / f"{name}.log").read_text()
                        raise SystemExit(f"{name} did not start:\n{log_text}")
                    await asyncio.sleep(0.05)
            url = json.loads(ready_file.read_text())["url"]
            port = int(url.rpartition(":")[2])
            yield Target(name, port, process.pid, is_agent_server)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which ``share`` (0..1) of ``values`` lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def median(values: Sequence[float]) -> float:
    """The middle value."""
    return statistics.median(values)
