"""``agent-server doctor``: plain checks of what this machine offers."""

import os
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Literal

import typer
from pydantic_core import to_json

from agent_server.cli.listener import PortTakenError, open_listener
from agent_server.cli.options import AsJson, ConfigFile, Database, read_settings
from agent_server.config import Settings
from agent_server.errors import ConfigError
from agent_server.store.lock import read_lock

app = typer.Typer()

WAL_FIXED: Final = (3, 51, 3)
LOW_DISK_MB: Final = 512

_MARKS: Final = {"ok": "ok  ", "note": "note", "fail": "FAIL"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    name: str
    state: Literal["ok", "note", "fail"]
    detail: str


@app.command()
def doctor(*, config: ConfigFile = None, db: Database = None, as_json: AsJson = False) -> None:
    """Check Python, SQLite, sandbox, provider, disk and port; exit 1 where a server cannot run."""
    findings = list(examine(read_settings(config, database=db)))
    if as_json:
        print(to_json([asdict(finding) for finding in findings]).decode())
    else:
        for finding in findings:
            print(f"{_MARKS[finding.state]}  {finding.name:<9} {finding.detail}")
    if any(finding.state == "fail" for finding in findings):
        raise typer.Exit(1)


def examine(settings: Settings) -> Iterator[Finding]:
    """Look at everything, one finding at a time."""
    checks: tuple[Callable[[Settings], Finding], ...] = (
        _python,
        _sqlite,
        _sandbox,
        _provider,
        _tools,
        _disk,
        _server,
    )
    for check in checks:
        yield check(settings)


def _python(_settings: Settings) -> Finding:
    version = ".".join(str(part) for part in sys.version_info[:3])
    return Finding("python", "ok", f"{version} at {sys.executable}")


def _sqlite(_settings: Settings) -> Finding:
    version = sqlite3.sqlite_version
    if sqlite3.sqlite_version_info >= WAL_FIXED:
        return Finding("sqlite", "ok", version)
    return Finding(
        "sqlite",
        "note",
        f"{version}: before 3.51.3 two processes that write one WAL database can corrupt it. This "
        "server is safe, as it alone writes; open the file with other programs for reading only",
    )


def _sandbox(_settings: Settings) -> Finding:
    if sys.platform == "linux" and hasattr(os, "pidfd_open"):
        return Finding("sandbox", "ok", "processes with limits, ended by pidfd")
    return Finding("sandbox", "note", f"{sys.platform}: tools run with fewer limits than on Linux")


def _provider(settings: Settings) -> Finding:
    if settings.provider == "demo":
        return Finding("provider", "note", "demo model: scripted, no AI (no ANTHROPIC_API_KEY)")
    if settings.anthropic_api_key is None:
        return Finding("provider", "fail", "anthropic is configured, ANTHROPIC_API_KEY is not set")
    return Finding("provider", "ok", f"anthropic at {settings.model.base_url or 'its own API'}")


def _tools(settings: Settings) -> Finding:
    missing = [str(path) for path in settings.tool_paths if not path.exists()]
    if missing:
        return Finding("tools", "fail", f"not there: {', '.join(missing)}")
    places = ", ".join(str(path) for path in settings.tool_paths) or "none"
    return Finding("tools", "ok", f"{places} (agent-server tools check loads them)")


def _disk(settings: Settings) -> Finding:
    folder = _existing(settings.database.parent)
    free_mb = shutil.disk_usage(folder).free // 2**20
    detail = f"{free_mb:,} MB free for {settings.database}"
    if not os.access(folder, os.W_OK):
        return Finding("disk", "fail", f"{folder} cannot be written")
    return Finding("disk", "ok" if free_mb >= LOW_DISK_MB else "note", detail)


def _existing(folder: Path) -> Path:
    """Return the nearest folder above that exists: the database's may be made at the start."""
    while not folder.is_dir():
        folder = folder.parent
    return folder


def _server(settings: Settings) -> Finding:
    held = read_lock(settings.database)
    if held is not None:
        return Finding("server", "ok", f"running at {held.url} (process {held.pid})")
    try:
        open_listener(settings.server.host, settings.server.port).close()
    except PortTakenError as error:
        return Finding("server", "fail", error.message)
    except ConfigError as error:
        return Finding("server", "fail", error.message)
    where = f"{settings.server.host} port {settings.server.port}"
    return Finding("server", "ok", f"not running; {where} is free")
