"""What the tables are made of: their metadata, column kinds, constraints and partial indexes."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Index, Integer, MetaData, Text, text
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

_INTEGER = BigInteger().with_variant(Integer(), "sqlite")
WITHOUT_ROWID = {"sqlite_with_rowid": False}
"""SQLite: rows live in the primary key's own tree."""


def one_of(column: str, values: Iterable[str]) -> CheckConstraint:
    """Make a CHECK that ``column`` holds one of ``values``, or NULL.

    Not ``IN``: SQLite would build the list anew for every row it writes.
    """
    listed = " OR ".join(f"{column} = '{value}'" for value in values)
    return CheckConstraint(listed, name=column)


def text_column(**options: Any) -> Any:
    """Make a TEXT column."""
    return Field(sa_type=Text, **options)


def integer(**options: Any) -> Any:
    """Make an INTEGER column of 64 bits."""
    return Field(sa_type=_INTEGER, **options)


def counter() -> Any:
    """Make an INTEGER column that begins at 0."""
    return integer(default=0, sa_column_kwargs={"server_default": text("0")})


def json_column(empty: str = "{}") -> Any:
    """Make a TEXT column that holds JSON."""
    return text_column(default=empty, sa_column_kwargs={"server_default": text(f"'{empty}'")})


def run_id_column(**options: Any) -> Any:
    """Make a column that names a run and goes with it."""
    return text_column(foreign_key="runs.id", ondelete="CASCADE", **options)


def partial_index(name: str, *columns: str, where: str, unique: bool = False) -> Index:
    """Make an index of the rows for which ``where`` holds."""
    condition = text(where)
    return Index(name, *columns, unique=unique, sqlite_where=condition, postgresql_where=condition)


class Table(
    SQLModel,
    registry=registry(
        metadata=MetaData(
            naming_convention={
                "pk": "pk_%(table_name)s",
                "fk": "fk_%(table_name)s_%(column_0_N_name)s",
                "uq": "uq_%(table_name)s_%(column_0_N_name)s",
                "ck": "ck_%(table_name)s_%(constraint_name)s",
            }
        )
    ),
):
    """What all tables share: metadata of their own, with named constraints."""
