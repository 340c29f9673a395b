"""``agent-server init``: a folder to start from. Nothing that exists is ever overwritten."""

from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Final

import typer
from pydantic_core import to_json

from agent_server.cli.options import AsJson
from agent_server.errors import AgentServerError

app = typer.Typer()

RENAMED: Final = {"env.example": ".env.example"}
"""Templates whose real names packaging tools would leave out."""


class InitError(AgentServerError):
    """A file cannot be written."""

    code = "init_failed"
    exit_code = 74


@app.command()
def init(
    directory: Annotated[Path, typer.Argument(metavar="[DIR]")] = Path(),
    *,
    as_json: AsJson = False,
) -> None:
    """Write config.yaml, example tools and .env.example; keep every file that is there already."""
    written: list[str] = []
    kept: list[str] = []
    for relative, content in _templates(files("agent_server") / "templates"):
        target = directory / relative
        (written if _write(target, content) else kept).append(str(target))
    if as_json:
        print(to_json({"written": written, "kept": kept}).decode())
        return
    for path in written:
        print(f"wrote {path}")
    for path in kept:
        print(f"kept  {path} (it exists)")
    enter = "" if directory == Path() else f"cd {directory} && "
    print(f"\nNow: {enter}agent-server serve")


def _templates(folder: Traversable, prefix: Path = Path()) -> Iterator[tuple[Path, bytes]]:
    for entry in sorted(folder.iterdir(), key=lambda found: found.name):
        place = prefix / RENAMED.get(entry.name, entry.name)
        if entry.is_dir() and entry.name != "__pycache__":
            yield from _templates(entry, place)
        elif entry.is_file():
            yield place, entry.read_bytes()


def _write(target: Path, content: bytes) -> bool:
    """Write a new file; say False where one exists.

    Raises:
        InitError: the folder cannot be written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as file:
            file.write(content)
    except FileExistsError:
        if not target.is_file():
            raise InitError(f"{target.parent} is no folder to write to") from None
        return False
    except OSError as error:
        raise InitError(f"{target}: {error.strerror}") from error
    return True
