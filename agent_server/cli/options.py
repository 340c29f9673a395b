"""The options that several commands share, and the settings they lead to."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from agent_server.config import Settings, load_settings
from agent_server.errors import ConfigError

SQLITE = "sqlite:///"

ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="Default: config.yaml here, if there is one."),
]
Database = Annotated[
    str | None, typer.Option("--db", metavar="PATH-or-URL", help="The SQLite database.")
]
ToolPaths = Annotated[
    list[Path] | None,
    typer.Option("--tools", metavar="DIR", help="A folder or file of tools; may be repeated."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def read_settings(
    config: Path | None = None,
    *,
    database: str | None = None,
    tools: list[Path] | None = None,
    server: Mapping[str, Any] | None = None,
) -> Settings:
    """Read the settings, with the flags above everything else.

    Paths in flags are relative to the current folder, those in files to the file.

    Raises:
        ConfigError: a source cannot be used, or the database is not SQLite.
    """
    flags: dict[str, Any] = {}
    given = {key: value for key, value in (server or {}).items() if value is not None}
    if given:
        flags["server"] = given
    if database is not None:
        flags["storage"] = {"url": _database_url(database)}
    if tools:
        flags["tools"] = {"paths": [str(path.absolute()) for path in tools]}
    settings = load_settings(config, flags=flags)
    _refuse_other_databases(settings.storage.url)
    return settings


def _database_url(text: str) -> str:
    _refuse_other_databases(text)
    return f"{SQLITE}{Path(text.removeprefix(SQLITE)).absolute()}"


def _refuse_other_databases(url: str) -> None:
    scheme, separator, _rest = url.partition("://")
    if separator and not url.startswith(SQLITE):
        raise ConfigError(
            f"storage.url: {scheme!r} databases are not supported: give a path or {SQLITE}PATH"
        )
