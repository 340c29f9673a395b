"""What says that the server accepts: the ready file for programs, the banner for people."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Final

from pydantic_core import to_json

from agent_server.errors import AgentServerError
from agent_server.runtime import Runtime

PROMPTS: Final = (
    ({"calculator", "current_time"}, "what is 17% of 2340 and what time is it in Tokyo?"),
    ({"word_count"}, "count the words of the quick brown fox"),
    (set[str](), "what can you do?"),
)
"""What to try first: the first prompt whose tools are there."""


class ReadyFileError(AgentServerError):
    """The ready file cannot be written."""

    code = "ready_file"
    exit_code = 74


def ready_facts(url: str) -> dict[str, str | int]:
    """What the ready file and the ``server.ready`` line say."""
    return {"url": url, "pid": os.getpid(), "version": version("agent-server")}


@contextmanager
def ready_file(path: Path | None, url: str) -> Iterator[None]:
    """Keep ``path`` in existence, complete from its first moment, while the block runs.

    Raises:
        ReadyFileError: the folder does not exist or cannot be written.
    """
    if path is None:
        yield
        return
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_bytes(to_json(ready_facts(url)) + b"\n")
        draft.replace(path)
    except OSError as error:
        raise ReadyFileError(f"ready file {path}: {error.strerror}") from error
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def print_banner(runtime: Runtime, url: str) -> None:
    """Tell people on stderr what runs here and what to try."""
    tools = ", ".join(tool.name for tool in runtime.registry) or "none"
    layers = ", ".join(f"{name}: {state}" for name, state in runtime.sandbox_layers.items())
    provider = runtime.provider
    if provider == "demo":
        provider = "DEMO MODEL: scripted, no AI. Set ANTHROPIC_API_KEY for a real one."
    body = to_json({"input": _prompt(runtime), "stream": True}).decode()
    lines = (
        "",
        f"  agent-server {version('agent-server')}   {url}",
        "",
        f"  model     {provider}",
        f"  database  {runtime.settings.database}",
        f"  tools     {tools}",
        f"  sandbox   {layers or 'none'}",
        "",
        "  Try:",
        f"    curl -N {url}/v1/runs -H 'content-type: application/json' \\",
        f"      -d '{body}'",
        "  and replay it from the database, byte for byte (the run's id is in every event):",
        f"    curl -N {url}/v1/runs/RUN_ID/events",
        "",
    )
    print("\n".join(lines), file=sys.stderr, flush=True)


def _prompt(runtime: Runtime) -> str:
    names = {tool.name for tool in runtime.registry}
    return next(prompt for needed, prompt in PROMPTS if needed <= names)
