"""LazyGroup: subcommands named by module path, imported when invoked, never for ``--help``."""

import importlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import typer
from typer import _click
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command


@dataclass(frozen=True, slots=True)
class LazyCommand:
    """A subcommand that is not imported yet: its ``module`` has a typer app named ``app``."""

    name: str
    module: str
    summary: str


@dataclass(slots=True)
class Invocation:
    """What ``main`` wants to know of the command that ran. The context's ``obj``."""

    debug: bool = False


class LazyGroup(TyperGroup):
    """A group whose help costs no import of its commands. Every command takes ``--debug``."""

    lazy: ClassVar[tuple[LazyCommand, ...]] = ()

    def __init__(self, **attrs: Any) -> None:
        super().__init__(**attrs)
        for command in self.lazy:
            self.add_command(TyperCommand(command.name, help=command.summary))

    def resolve_command(
        self, ctx: _click.Context, args: list[str]
    ) -> tuple[str | None, _click.Command | None, list[str]]:
        """Swap the placeholder that ``args`` names for the real command."""
        name, command, rest = super().resolve_command(ctx, args)
        found = next((lazy for lazy in self.lazy if lazy.name == name), None)
        if found is not None:
            command = get_command(importlib.import_module(found.module).app)
            command.name = found.name
            _take_debug([command])
        return name, command, rest


def _take_debug(commands: Iterable[Any]) -> None:
    """Give every command below the ``--debug`` option."""
    for command in commands:
        if isinstance(command, TyperGroup):
            _take_debug(command.commands.values())
        else:
            command.params.append(debug_option())


def debug_option() -> _click.Parameter:
    """Make the option that asks for tracebacks; it ends up in the context's ``Invocation``."""
    carrier = typer.Typer(add_completion=False)
    carrier.command()(_take)
    return get_command(carrier).params[0]


def _remember(context: typer.Context, value: bool) -> bool:
    invocation = context.find_object(Invocation)
    if value and invocation is not None:
        invocation.debug = True
    return value


def _take(
    *,
    debug: Annotated[
        bool,
        typer.Option(
            "--debug",
            envvar="AGENT_SERVER_DEBUG",
            callback=_remember,
            expose_value=False,
            help="Show tracebacks.",
        ),
    ] = False,
) -> None:
    """Carry the option: typer makes parameters from signatures only."""
    del debug
