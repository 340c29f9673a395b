"""Real ``agent-server`` processes for tests: started, waited for by what they print, and ended."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from pydantic_core import from_json

START_S = 30
STOP_S = 20

TOOL = '''
from agent_server import tool

@tool(effects="none")
def word_count(text: str) -> int:
    """Count the words of a text.

    Args:
        text: The text to count in.
    """
    return len(text.split())
'''

SLOW_TOOL = '''
import time
from agent_server import tool

@tool(effects="none", timeout_s=60)
def wait_long(seconds: int = 30) -> str:
    """Wait for a long time."""
    print("waiting", flush=True)
    time.sleep(seconds)
    return "done"
'''


@dataclass(slots=True)
class Served:
    """A server that accepts. ``log`` holds the lines it printed until it was ready."""

    process: asyncio.subprocess.Process
    folder: Path
    url: str = ""
    log: list[dict[str, Any]] = field(default_factory=list)

    async def ready(self) -> None:
        """Read the log until the server says that it is ready."""
        assert self.process.stdout is not None
        self.url = ""
        async with asyncio.timeout(START_S):
            while not self.url:
                line = await self.process.stdout.readline()
                assert line, (self.folder / "stderr.txt").read_text()
                self.log.append(from_json(line))
                if self.log[-1]["event"] == "server.ready":
                    self.url = self.log[-1]["url"]

    def kill(self) -> None:
        """End the process at once, and the server that it may have started."""
        if self.process.returncode is not None:
            return
        self.process.kill()
        pid = self.log[-1].get("pid", self.process.pid) if self.log else self.process.pid
        if pid != self.process.pid:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def client(self) -> httpx2.AsyncClient:
        """Make a client that no proxy stands between."""
        return httpx2.AsyncClient(base_url=self.url, trust_env=False, timeout=20)

    async def end(self, signal_number: int = signal.SIGTERM) -> tuple[int, list[dict[str, Any]]]:
        """Send a signal; return the exit code and what was logged meanwhile."""
        self.process.send_signal(signal_number)
        return await self.wait()

    async def wait(self) -> tuple[int, list[dict[str, Any]]]:
        """Return the exit code and the rest of the log, once the process has ended."""
        async with asyncio.timeout(STOP_S):
            stdout, _stderr = await self.process.communicate()
            return await self.process.wait(), [from_json(line) for line in stdout.splitlines()]


def make_folder(folder: Path, *, config: str = "", **tools: str) -> Path:
    """Write a folder that a server can start in; ``tools`` are files by their stems."""
    (folder / "tools").mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(config or "model: {provider: demo}\ndemo: {delay_ms: 0}\n")
    for stem, source in (tools or {"word_count": TOOL}).items():
        (folder / "tools" / f"{stem}.py").write_text(source)
    return folder


@asynccontextmanager
async def serving(folder: Path, *arguments: str, command: str = "serve") -> AsyncIterator[Served]:
    """Start a server on any free port; end it afterwards however the block went."""
    with (folder / "stderr.txt").open("ab") as stderr:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "agent_server", command, "--port", "0", *arguments,
            cwd=folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
        )  # fmt: skip
    served = Served(process, folder)
    try:
        await served.ready()
        yield served
    finally:
        served.kill()
        await process.communicate()


@dataclass(frozen=True, slots=True)
class Done:
    """What a command that ended by itself left."""

    code: int
    stdout: str
    stderr: str


async def spawn(folder: Path, *arguments: str) -> asyncio.subprocess.Process:
    """Start a command whose output is read by the test."""
    return await _spawn_python(folder, "-m", "agent_server", *arguments)


async def run(folder: Path, *arguments: str) -> Done:
    """Run one command to its end."""
    return await run_python(folder, "-m", "agent_server", *arguments)


async def run_python(folder: Path, *arguments: str, timeout_s: float = 60) -> Done:
    """Run Python with ``arguments`` to its end."""
    process = await _spawn_python(folder, *arguments)
    try:
        async with asyncio.timeout(timeout_s):
            stdout, stderr = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
    return Done(process.returncode or 0, stdout.decode(), stderr.decode())


async def _spawn_python(folder: Path, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, *arguments,
        cwd=folder,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
