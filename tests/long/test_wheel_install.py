"""The wheel in a fresh environment and an empty folder: the way a user meets it."""

import asyncio
import sys
from pathlib import Path

from pydantic_core import from_json

ROOT = Path(__file__).parents[2]


def wheel_in(folder: Path) -> str:
    (wheel,) = folder.glob("*.whl")
    return str(wheel)


async def succeed(folder: Path, *command: str, timeout_s: float = 300) -> str:
    """Run a program to its end and return what it printed."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(timeout_s):
            printed, _nothing = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
    assert process.returncode == 0, printed.decode()
    return printed.decode()


async def test_the_wheel_installs_and_serves_in_an_empty_folder(tmp_path: Path) -> None:
    await succeed(ROOT, sys.executable, "-m", "build", "--wheel", "--outdir", str(tmp_path))
    wheel = wheel_in(tmp_path)
    await succeed(tmp_path, sys.executable, "-m", "venv", "fresh")
    python = str(tmp_path / "fresh" / "bin" / "python")
    lock = str(ROOT / "requirements.lock")
    await succeed(tmp_path, python, "-m", "pip", "install", "--quiet", "-c", lock, wheel)
    command = str(tmp_path / "fresh" / "bin" / "agent-server")
    empty = tmp_path / "empty"
    empty.mkdir()
    await succeed(empty, command, "init")
    shown = await succeed(empty, command, "run", "count the words of 'a b c'", "--json")
    types = [from_json(line)["type"] for line in shown.splitlines()]
    assert types[-1] == "run.completed"
    assert "tool_result.completed" in types
    assert "ok" in await succeed(empty, command, "db", "verify")
    server = await asyncio.create_subprocess_exec(
        command, "serve", "--port", "0",
        cwd=empty,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert server.stdout is not None
    try:
        async with asyncio.timeout(60):
            while from_json(await server.stdout.readline())["event"] != "server.ready":
                pass
            assert '"status":"completed"' in await succeed(empty, command, "runs", "list", "--json")
            server.terminate()
            await server.communicate()
    finally:
        if server.returncode is None:
            server.kill()
            await server.communicate()
    assert server.returncode == 0
