"""The ``agent-server`` command: its subcommands, and what an error looks like in a terminal.

An error is one line on stderr and an exit code from sysexits; a traceback only with ``--debug``.
"""

import sys
import traceback
from importlib.metadata import version
from typing import Annotated, ClassVar, NoReturn

import typer

from agent_server.cli.lazy import Invocation, LazyCommand, LazyGroup
from agent_server.errors import AgentServerError, Unavailable

FAILURE = 1
UNAVAILABLE = 69
INTERRUPTED = 130


class Commands(LazyGroup):
    """The subcommands, in the order a newcomer needs them."""

    lazy: ClassVar[tuple[LazyCommand, ...]] = (
        LazyCommand("init", "agent_server.cli.init", "Write a config.yaml and example tools."),
        LazyCommand("serve", "agent_server.cli.serve", "Start the server."),
        LazyCommand("dev", "agent_server.cli.dev", "Start the server; reload on every change."),
        LazyCommand("run", "agent_server.cli.run", "Run an agent and watch it here."),
        LazyCommand("runs", "agent_server.cli.runs", "List, show, tail, replay and export runs."),
        LazyCommand("tools", "agent_server.cli.tools", "List, show, call and check tools."),
        LazyCommand("db", "agent_server.cli.db", "Upgrade, verify and back up the database."),
        LazyCommand("config", "agent_server.cli.config", "Show and check the configuration."),
        LazyCommand("doctor", "agent_server.cli.doctor", "Check what this machine offers."),
    )


app = typer.Typer(
    cls=Commands,
    name="agent-server",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(value: bool) -> None:
    if value:
        print(f"agent-server {version('agent-server')}")
        raise typer.Exit


@app.callback()
def root(
    *,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """A server that runs tool-using agents and records every byte of what they do."""


def main() -> NoReturn:
    """Run the command line and exit with its code."""
    invocation = Invocation()
    try:
        app(obj=invocation)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except Exception as error:  # noqa: BLE001 (the last resort: one line, no traceback)
        sys.exit(_complain(error, invocation))
    sys.exit(0)


def _complain(error: Exception, invocation: Invocation) -> int:
    """Say on one line what went wrong; return the exit code."""
    if invocation.debug:
        traceback.print_exception(error)
    cause = _ours(error)
    if cause is not None:
        message = cause.message
        code = UNAVAILABLE if isinstance(cause, Unavailable) else cause.exit_code
    else:
        message, code = f"{type(error).__name__}: {error} (--debug shows where)", FAILURE
    print(f"agent-server: {' '.join(message.split())}", file=sys.stderr)
    return code


def _ours(error: BaseException) -> AgentServerError | None:
    """Find the error of ours, perhaps within the groups that task groups raise."""
    if isinstance(error, AgentServerError):
        return error
    if isinstance(error, BaseExceptionGroup):
        return next((found for part in error.exceptions if (found := _ours(part))), None)
    return None
