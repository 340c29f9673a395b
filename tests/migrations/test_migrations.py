"""The migrations make the tables, all or nothing, and refuse what is not theirs."""

import ast
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from agent_server.errors import SchemaMismatch, StoreError
from agent_server.store import edge_tables
from agent_server.store.columns import Table
from agent_server.store.migrate import (
    APPLICATION_ID,
    HEAD,
    check_schema,
    migrate,
    schema_version,
    upgrade,
)

ROOT = Path(__file__).parent.parent.parent
MIGRATIONS = ROOT / "alembic"

INTERRUPTED = """
import os, sys
from alembic.operations import Operations
from agent_server.store.migrate import upgrade
make = Operations.create_table
def create_table(self, name, *columns, **options):
    if name == sys.argv[2]:
        os.kill(os.getpid(), 9)
    return make(self, name, *columns, **options)
# The proxy functions of alembic.op call the class's method.
Operations.create_table = create_table
upgrade(sys.argv[1])
"""


def schema(connection: sqlite3.Connection) -> dict[str, list[str]]:
    """The SQL of every table and index, lines sorted."""
    rows = connection.execute(
        "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name <> 'alembic_version'"
    )
    return {name: sorted(line.strip(" \t,") for line in sql.splitlines()) for name, sql in rows}


def made(path: Path) -> dict[str, list[str]]:
    with closing(sqlite3.connect(path)) as connection:
        return schema(connection)


def test_upgrading_makes_exactly_the_tables_of_the_models(tmp_path: Path) -> None:
    upgrade(tmp_path / "migrated.db")
    engine = create_engine(f"sqlite:///{tmp_path / 'created.db'}", poolclass=NullPool)
    Table.metadata.create_all(engine)
    assert made(tmp_path / "migrated.db") == made(tmp_path / "created.db")
    assert edge_tables.ApiKey.__tablename__ in Table.metadata.tables


def test_alembic_finds_no_difference(tmp_path: Path) -> None:
    upgrade(tmp_path / "agent.db")
    engine = create_engine(f"sqlite:///{tmp_path / 'agent.db'}", poolclass=NullPool)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, Table.metadata) == []


def test_there_is_one_head_and_the_program_names_it() -> None:
    scripts = ScriptDirectory(str(MIGRATIONS))
    assert scripts.get_heads() == [HEAD]
    for script in scripts.walk_revisions():
        assert Path(script.path).name.partition("_")[0] == script.revision


def test_every_step_goes_up_and_down(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    upgrade(path)
    whole = made(path)
    for script in ScriptDirectory(str(MIGRATIONS)).walk_revisions():
        below = script.down_revision or "base"
        assert isinstance(below, str)
        migrate(path, below)
        assert made(path) != whole
        assert schema_version(path) == script.down_revision
        upgrade(path)
        assert made(path) == whole


def test_the_first_migration_knows_our_mark(tmp_path: Path) -> None:
    upgrade(tmp_path / "agent.db")
    with closing(sqlite3.connect(tmp_path / "agent.db")) as connection:
        assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
        assert connection.execute("PRAGMA auto_vacuum").fetchone() == (2,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    first = ast.parse((MIGRATIONS / "versions" / "0001_first_schema.py").read_text())
    values = [
        node.value.value
        for node in first.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
    ]
    assert APPLICATION_ID in values


def test_a_new_database_is_its_owner_s_alone(tmp_path: Path) -> None:
    upgrade(f"sqlite:///{tmp_path}/deep/agent.db")
    assert (tmp_path / "deep" / "agent.db").stat().st_mode & 0o777 == 0o600


def test_a_second_upgrade_changes_nothing(tmp_path: Path) -> None:
    upgrade(tmp_path / "agent.db")
    before = (tmp_path / "agent.db").read_bytes()
    upgrade(tmp_path / "agent.db")
    check_schema(tmp_path / "agent.db")
    assert (tmp_path / "agent.db").read_bytes() == before


@pytest.mark.parametrize("table", ["threads", "events", "tombstones"])
def test_a_kill_in_the_middle_leaves_the_old_schema(tmp_path: Path, table: str) -> None:
    path = tmp_path / "agent.db"
    killed = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, str(path), table],
        check=False,
        cwd=ROOT,
        capture_output=True,
        timeout=60,
    )
    assert killed.returncode == -9, killed.stderr
    assert made(path) == {}
    assert schema_version(path) is None
    upgrade(path)
    assert schema_version(path) == HEAD


def test_a_newer_schema_is_refused_and_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    upgrade(path)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    before = path.read_bytes()
    for use in (upgrade, check_schema):
        with pytest.raises(SchemaMismatch, match="newer agent-server") as refused:
            use(path)
        assert "\n" not in refused.value.message
        assert refused.value.exit_code == 78
    assert path.read_bytes() == before


def foreign_database(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
        connection.execute("INSERT INTO alembic_version VALUES ('0001')")


def text_file(path: Path) -> None:
    path.write_text("This is no database, though it is longer than a header. " * 40)


@pytest.mark.parametrize("make", [foreign_database, text_file])
def test_a_file_that_is_not_ours_is_refused_and_not_touched(tmp_path: Path, make: object) -> None:
    path = tmp_path / "agent.db"
    assert callable(make)
    make(path)
    before = path.read_bytes()
    with pytest.raises(SchemaMismatch, match="no database of agent-server"):
        upgrade(path)
    assert path.read_bytes() == before


def test_an_older_schema_is_named_to_readers(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    upgrade(path)
    migrate(path, "base")
    with pytest.raises(SchemaMismatch, match="db upgrade"):
        check_schema(path)
    with pytest.raises(StoreError, match="there is no database"):
        check_schema(tmp_path / "none.db")


def test_a_place_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        upgrade(tmp_path / "file" / "agent.db")
    with pytest.raises(StoreError, match="sqlite:///path"):
        upgrade("postgresql://host/agents")
