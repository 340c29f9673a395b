"""``agent-server db``: bring the database up to date, prove what it promises, back it up."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from pydantic_core import to_json

from agent_server.cli.options import AsJson, ConfigFile, Database, read_settings
from agent_server.store.backup import backup as back_up
from agent_server.store.lock import lock_database
from agent_server.store.migrate import HEAD
from agent_server.store.migrate import upgrade as migrate
from agent_server.store.verify import verify as examine

app = typer.Typer(no_args_is_help=True)


@app.command()
def upgrade(*, config: ConfigFile = None, db: Database = None, as_json: AsJson = False) -> None:
    """Make the database, or bring it to this program's schema. No server may hold it."""
    path = read_settings(config, database=db).database
    with lock_database(path):
        migrate(path)
    _say(f"{path}: schema {HEAD}", as_json=as_json, database=path, schema=HEAD)


@app.command()
def verify(*, config: ConfigFile = None, db: Database = None, as_json: AsJson = False) -> None:
    """Prove the promises over every run: gapless, one end, valid history. Safe while serving."""
    path = read_settings(config, database=db).database
    findings = examine(path)
    if as_json:
        print(to_json({"ok": not findings, "findings": [asdict(f) for f in findings]}).decode())
    else:
        for finding in findings:
            print(f"{finding.run_id or path}: {finding.check}: {finding.message}")
        print(f"{path}: {len(findings)} findings" if findings else f"{path}: ok")
    if findings:
        raise typer.Exit(1)


@app.command()
def backup(
    target: Annotated[Path, typer.Argument(metavar="TARGET")],
    *,
    config: ConfigFile = None,
    db: Database = None,
    as_json: AsJson = False,
) -> None:
    """Copy the database, while it is in use or not, to a new file, and verify the copy."""
    path = read_settings(config, database=db).database
    back_up(path, target)
    size = target.stat().st_size
    _say(f"{target}: {size:,} bytes, verified", as_json=as_json, target=target, bytes=size)


def _say(line: str, *, as_json: bool, **facts: object) -> None:
    print(to_json(facts).decode() if as_json else line)
