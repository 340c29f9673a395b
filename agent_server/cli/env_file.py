"""The ``.env`` file of development: what ``agent-server dev`` adds to the environment."""

from typing import Annotated

import typer
from dotenv import load_dotenv


def _load(wanted: bool) -> bool:
    """Add what ``.env`` in the current folder says; variables that are set already win."""
    if wanted:
        load_dotenv(".env")
    return wanted


DotEnv = Annotated[bool, typer.Option("--dotenv", hidden=True, callback=_load, is_eager=True)]
"""Given by ``dev`` to the commands it starts."""
