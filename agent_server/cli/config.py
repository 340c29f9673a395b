"""``agent-server config``: the settings in force, checked, and their JSON Schema."""

import re
from typing import Any, Final

import typer
import yaml
from pydantic_core import to_json

from agent_server.cli.options import AsJson, ConfigFile, Database, ToolPaths, read_settings
from agent_server.config import Settings

app = typer.Typer(no_args_is_help=True)

MASK: Final = "********"
CREDENTIALS: Final = re.compile(r"//[^/@]*@")
"""The user and password of a URL."""


@app.command()
def show(
    *,
    config: ConfigFile = None,
    db: Database = None,
    tools: ToolPaths = None,
    as_json: AsJson = False,
) -> None:
    """Print the effective settings; secrets are masked."""
    effective = _effective(read_settings(config, database=db, tools=tools))
    if as_json:
        print(to_json(effective).decode())
    else:
        print(yaml.safe_dump(effective, sort_keys=False, allow_unicode=True), end="")


@app.command()
def check(*, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Say whether the settings can be used; exit 78, naming file, line and key, where not."""
    settings = read_settings(config)
    if as_json:
        print(to_json({"ok": True, "file": settings.config_file}).decode())
    else:
        print(f"{settings.config_file or 'the defaults and the environment'}: ok")


@app.command()
def schema() -> None:
    """Print the JSON Schema of config.yaml."""
    whole = Settings.model_json_schema()
    for secret in ("config_file", "anthropic_api_key"):
        whole["properties"].pop(secret, None)
    print(to_json(whole, indent=2).decode())


def _effective(settings: Settings) -> dict[str, Any]:
    key = settings.anthropic_api_key
    dumped = settings.model_dump(mode="json")
    if dumped["model"]["base_url"]:
        dumped["model"]["base_url"] = CREDENTIALS.sub(f"//{MASK}@", dumped["model"]["base_url"])
    return {
        **dumped,
        "effective": {
            "config_file": str(settings.config_file) if settings.config_file else None,
            "provider": settings.provider,
            "database": str(settings.database),
            "tool_paths": [str(path) for path in settings.tool_paths],
            "anthropic_api_key": MASK if key else None,
        },
    }
