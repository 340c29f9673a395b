"""A reader who does what a page says, block after block, in a folder with servers of its own.

``console``   every ``$`` line is run by a shell; what is shown below it must be what it prints, and
              a failure must be shown by ``$ echo $?``. A server stays up; ``^C`` ends it.
              ``RUN_ID`` is the newest run seen, port 8000 wherever the server really is.
``python``    a file where the first line names one, else a script that is run
``yaml``      config.yaml: written, and read as settings
``json``      part of the JSON that was printed last
``sse``, ``text``   what was printed last
``toml``      checked, not run: entry points have the group that the loader reads
``js``        checked, not run: the routes and event types that it names exist
``diagram``   checked: the files that it names exist
"""

import asyncio
import os
import re
import shlex
import shutil
import signal
import sys
import tomllib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pydantic_core import from_json

from agent_server.config import Settings, load_settings
from agent_server.http.app import create_app
from agent_server.tooling.loader import ENTRY_POINT_GROUP
from agent_server.wire.reference import render_schema
from tests.docs_blocks import Block, fits, is_part, read_blocks

ROOT: Final = Path(__file__).parent.parent
LIMIT_S: Final = 30
BASH: Final = shutil.which("bash") or "/bin/bash"
KINDS: Final = frozenset(
    {"console", "python", "yaml", "json", "sse", "text", "toml", "js", "diagram"}
)

_FILE: Final = re.compile(r"# ([\w./-]+\.(?:py|yaml))\n")
_RUN: Final = re.compile(r"\brun_[0-9A-Z]{26}\b")
_PORT: Final = re.compile(r":(8\d{3})\b")
_SERVER: Final = re.compile(r"((\w+=\S* )*)(make serve|agent-server serve|python \S+/provider\.py)")
_LOADS_TOOLS: Final = re.compile(r"(\w+=\S* )*(make serve|agent-server (serve|tools))\b")
_PATHS: Final = re.compile(r"[\"'`](/(?:v1|chat)[^\"'`]*)[\"'`]")
_LISTENED: Final = re.compile(r"addEventListener\([\"']([\w.]+)[\"']")


@dataclass(slots=True)
class Started:
    """A server that accepts, under the port that the page gives it."""

    process: asyncio.subprocess.Process
    shown_port: str


@dataclass(slots=True)
class Reader:
    """Reads one page. ``printed`` is what the last command printed, ``code`` how it ended."""

    folder: Path
    env: dict[str, str]
    printed: str = ""
    code: int = 0
    run_id: str = "RUN_ID"
    unchecked_tools: bool = False
    ports: dict[str, str] = field(default_factory=dict)
    servers: list[Started] = field(default_factory=list)

    async def read_page(self, page: Path) -> None:
        """Read a page from top to bottom; every tool file that it has written must load."""
        for block in read_blocks(page):
            await self.read(block)
        if self.unchecked_tools:
            await self._run("agent-server tools check")
            assert self.code == 0, self.printed

    async def read(self, block: Block) -> None:
        """Do what the block says; fail where what it shows is not what comes out."""
        match block.info:
            case "console":
                await self._type(block)
            case "python" | "yaml":
                await self._keep_or_run(block)
            case "json":
                assert is_part(from_json(block.text), from_json(self.printed)), self._differs(block)
            case "sse" | "text":
                assert fits(block.text, self.printed), self._differs(block)
            case "toml":
                groups = tomllib.loads(block.text)["project"]["entry-points"]
                assert list(groups) == [ENTRY_POINT_GROUP], block.place
            case "js":
                check_script(block)
            case "diagram":
                for name in re.findall(r"[\w/]+\.py\b", block.text):
                    assert (ROOT / "agent_server" / name).is_file(), f"{block.place}: {name}"
            case _:
                raise AssertionError(f"{block.place}: nothing can run a block {block.info!r}")

    async def _type(self, block: Block) -> None:
        """Run the commands of a ``console`` block."""
        for command, shown in commands(block):
            assert self.code == 0 or command == "echo $?", f"{block.place}: failed: {self.printed}"
            if command == "^C":
                await self._end(self.servers[-1], signal.SIGINT)
                continue
            if _SERVER.match(command):
                await self._start(command)
            else:
                await self._run(command)
            self.unchecked_tools &= self.code != 0 or not _LOADS_TOOLS.match(command)
            assert not shown or fits(shown, self.printed), self._differs(block, command)
        assert self.code == 0, f"{block.place}: failed: {self.printed}"

    async def _keep_or_run(self, block: Block) -> None:
        named = _FILE.match(block.text)
        if named:
            target = self.folder / named[1]
            target.parent.mkdir(exist_ok=True)
            target.write_text(block.text, encoding="utf-8")
            self.unchecked_tools |= named[1].startswith("tools/")
            if target.suffix == ".yaml":
                load_settings(target, environ={})
            return
        assert block.info == "python", f"{block.place}: the first line must name the file"
        await self._run("python -", stdin=self._real(block.text))
        assert self.code == 0, f"{block.place}: {self.printed}"

    async def _run(self, command: str, stdin: str = "") -> None:
        """Run a command to its end in a shell of its own."""
        script = f"(exit {self.code}); {command}" if command == "echo $?" else self._real(command)
        process = await asyncio.create_subprocess_exec(
            BASH, "-c", script,
            cwd=self.folder,
            env=self.env,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
        try:
            async with asyncio.timeout(LIMIT_S):
                output, _ = await process.communicate(stdin.encode())
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        self._see(output.decode(), process.returncode or 0)

    async def _start(self, command: str) -> None:
        """Start a server on a free port, and wait until it says where."""
        words = shlex.split(self._real(command).replace("make serve", "agent-server serve"))
        settings = dict(word.split("=", 1) for word in words if re.match(r"\w+=", word))
        program, *arguments = words[len(settings) :]
        port = arguments[arguments.index("--port") + 1] if "--port" in arguments else "8000"
        for old in [server for server in self.servers if server.shown_port == port]:
            await self._end(old, None)
        own = ["-m", "agent_server"] if program == "agent-server" else []
        with (self.folder / "stderr.txt").open("wb") as stderr:
            process = await asyncio.create_subprocess_exec(
                sys.executable, *own, *arguments, "--port", "0",
                cwd=self.folder,
                env=self.env | settings,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=stderr,
            )  # fmt: skip
        self.servers.append(Started(process, port))
        url = await self._ready(process)
        self.ports[port] = url.rpartition(":")[2].rstrip("/")
        self._see((self.folder / "stderr.txt").read_text() or url, 0)

    async def _ready(self, process: asyncio.subprocess.Process) -> str:
        assert process.stdout is not None
        async with asyncio.timeout(LIMIT_S):
            while line := (await process.stdout.readline()).decode().strip():
                if line.startswith("http"):
                    return line
                entry = from_json(line)
                if entry["event"] == "server.ready":
                    return str(entry["url"])
        raise AssertionError((self.folder / "stderr.txt").read_text())

    async def _end(self, server: Started, signal_number: int | None) -> None:
        """Wait until a server has ended; with a signal, send it first."""
        process = server.process
        if signal_number is not None and process.returncode is None:
            process.send_signal(signal_number)
        self.servers.remove(server)
        try:
            async with asyncio.timeout(LIMIT_S):
                await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()

    async def close(self) -> None:
        """End every server that the page has left running."""
        for server in list(self.servers):
            await self._end(server, signal.SIGTERM)

    def _see(self, printed: str, code: int) -> None:
        self.printed, self.code = printed, code
        self.run_id = max([*_RUN.findall(printed), *_RUN.findall(self.run_id)], default="RUN_ID")

    def _real(self, text: str) -> str:
        """Put the real ports and the last run's id where the page has its own."""
        known = _PORT.sub(lambda found: f":{self.ports.get(found[1], found[1])}", text)
        return known.replace("RUN_ID", self.run_id)

    def _differs(self, block: Block, command: str = "") -> str:
        return f"{block.place}: {command}\nshown:\n{block.text}\nprinted:\n{self.printed}"


def commands(block: Block) -> Iterator[tuple[str, str]]:
    """Yield the commands of a ``console`` block, each with the output shown below it."""
    command, shown = "", ""
    for line in block.text.splitlines():
        if line.startswith("$ ") or line == "^C":
            if command:
                yield command, shown
            command, shown = line.removeprefix("$ "), ""
        elif command.endswith("\\"):
            command = f"{command}\n{line}"
        else:
            assert command, f"{block.place}: output before the first command"
            shown += f"{line}\n"
    assert command, f"{block.place}: no command"
    yield command, shown


def check_script(block: Block) -> None:
    """Check what a script of a browser relies on: routes, and types of events."""
    types = render_schema()["discriminator"]["mapping"]
    for name in _LISTENED.findall(block.text):
        assert name in types, f"{block.place}: no event is called {name}"
    routes = [
        re.sub(r"\{\w+\}", "[^/]+", path)
        for path in create_app(settings=Settings()).openapi()["paths"]
    ]
    paths = [
        re.sub(r"\$\{[^}]+\}", "x", path).partition("?")[0] for path in _PATHS.findall(block.text)
    ]
    assert paths, f"{block.place}: it talks to no route"
    for path in paths:
        assert any(re.fullmatch(route, path) for route in routes), f"{block.place}: no route {path}"


@asynccontextmanager
async def opened_page(folder: Path, *, clone: bool) -> AsyncIterator[Reader]:
    """Prepare a folder: empty, or what a clone of the repository has; end servers afterwards."""
    if clone:
        shutil.copytree(
            ROOT / "tools", folder / "tools", ignore=shutil.ignore_patterns("__pycache__")
        )
        shutil.copy(ROOT / "config.yaml", folder)
        for name in ("tests", "benchmarks", "Makefile"):
            (folder / name).symlink_to(ROOT / name)
    home = folder.parent / "home"
    home.mkdir()
    (home / ".curlrc").write_text("silent\n")
    reader = Reader(folder, _environment(home))
    try:
        yield reader
    finally:
        await reader.close()


def _environment(home: Path) -> dict[str, str]:
    """The developer's environment less keys, settings and proxies; a stand-in where curl lacks."""
    unwanted = re.compile(
        r"ANTHROPIC_|AGENT_SERVER_|PYTEST_|(http|https|all)_proxy$", re.IGNORECASE
    )
    kept = {key: value for key, value in os.environ.items() if not unwanted.match(key)}  # noqa: TID251 -- a process's environment is made from this one
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', '')}"
    if shutil.which("curl") is None:
        make_curl(home / "curl")
        path = f"{home}{os.pathsep}{path}"
    return {**kept, "PATH": path, "HOME": str(home), "COLUMNS": "100", "NO_COLOR": "1"}


def make_curl(target: Path) -> None:
    """Make a program that takes the pages' curl lines, for machines that lack the real one."""
    script = Path(__file__).with_name("docs_curl.py").read_text(encoding="utf-8")
    target.write_text(f"#!{sys.executable}\n{script}", encoding="utf-8")
    target.chmod(0o755)
