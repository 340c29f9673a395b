"""``agent-server tools``: look at the configured tools and try them, without server or database.

Tools are loaded as a server loads them: by a sandbox's zygote, which hands over their specs.
"""

import asyncio
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Annotated, TypeVar

import typer
from pydantic_core import from_json, to_json

from agent_server.cli.env_file import DotEnv
from agent_server.cli.logs import configure_logs
from agent_server.cli.options import AsJson, ConfigFile, ToolPaths, read_settings
from agent_server.cli.table import print_table
from agent_server.config import Settings, read_secrets
from agent_server.errors import Conflict, InvalidRequest
from agent_server.messages import JsonObject, text_of
from agent_server.sandbox import CallRequest, Failed, Outcome, Output, Progress, Sandbox
from agent_server.sandbox.inline import InlineSandbox
from agent_server.sandbox.process import SandboxConfig, open_process_sandbox
from agent_server.tooling.registry import ToolRegistry
from agent_server.tooling.spec import ToolSpec

app = typer.Typer(no_args_is_help=True)

Answer = TypeVar("Answer")
ToolName = Annotated[str, typer.Argument(metavar="NAME")]


@app.command("list")
def list_tools(
    *, config: ConfigFile = None, tools: ToolPaths = None, as_json: AsJson = False
) -> None:
    """List the tools with what they need."""
    specs = _load(read_settings(config, tools=tools))
    if as_json:
        print(to_json([_facts(spec) for spec in specs]).decode())
        return
    rows = [
        (spec.name, spec.effects, spec.approval, spec.isolation, spec.description.split("\n")[0])
        for spec in specs
    ]
    print_table(("NAME", "EFFECTS", "APPROVAL", "ISOLATION", "DESCRIPTION"), rows)


@app.command()
def show(name: ToolName, *, config: ConfigFile = None, tools: ToolPaths = None) -> None:
    """Print all that is known of a tool, as JSON."""
    registry = ToolRegistry(_load(read_settings(config, tools=tools)))
    print(to_json(_facts(registry.get(name)), indent=2).decode())


@app.command()
def check(
    *,
    config: ConfigFile = None,
    tools: ToolPaths = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print errors only.")] = False,
    dotenv: DotEnv = False,
    as_json: AsJson = False,
) -> None:
    """Load the configuration and every tool; exit 78, naming file and line, where one fails."""
    del dotenv
    specs = _load(read_settings(config, tools=tools))
    if as_json:
        print(to_json({"ok": True, "tools": [spec.name for spec in specs]}).decode())
    elif not quiet:
        print(f"{len(specs)} tools: ok")


@app.command()
def call(
    name: ToolName,
    arguments: Annotated[str, typer.Argument(metavar="'{JSON}'")] = "{}",
    *,
    approve: Annotated[
        bool, typer.Option("--approve", help="Run a tool that needs a person's approval.")
    ] = False,
    traceback: Annotated[
        bool, typer.Option("--traceback", help="Print the tool's traceback when it fails.")
    ] = False,
    config: ConfigFile = None,
    tools: ToolPaths = None,
    as_json: AsJson = False,
) -> None:
    """Call a tool in its sandbox, as a run would; nothing is recorded."""
    given = _parse(arguments)

    async def ask(sandbox: Sandbox, registry: ToolRegistry) -> Outcome:
        tool = registry.get(name)
        problems = registry.validate(name, given)
        if problems:
            raise InvalidRequest(
                "; ".join(f"{problem.path or '/'}: {problem.message}" for problem in problems),
                code="invalid_tool_input",
            )
        if tool.approval == "always" and not approve:
            raise Conflict(f"{name} needs approval: add --approve", code="approval_required")
        chosen = InlineSandbox() if tool.isolation == "inline" else sandbox
        return await chosen.call(tool, given, _request(tool), _print_live)

    outcome = _with_tools(read_settings(config, tools=tools), ask)
    if as_json:
        print(to_json(outcome).decode())
    elif isinstance(outcome, Failed):
        print(f"{outcome.kind}: {outcome.message}", file=sys.stderr)
    else:
        _print_result(outcome.output, outcome.content)
    if isinstance(outcome, Failed):
        if traceback and outcome.detail:
            print(outcome.detail.rstrip(), file=sys.stderr)
        raise typer.Exit(1)


def _parse(arguments: str) -> JsonObject:
    try:
        given = from_json(arguments, allow_inf_nan=False)
    except ValueError as error:
        raise typer.BadParameter(f"the arguments are not JSON: {error}") from error
    if not isinstance(given, dict):
        raise typer.BadParameter("the arguments must be a JSON object")
    return given


def _request(tool: ToolSpec) -> CallRequest:
    call_id = f"call_{uuid.uuid4().hex}"
    return CallRequest(
        run_id="run_cli",
        call_id=call_id,
        idempotency_key=call_id,
        timeout_s=tool.timeout_s,
        secrets=read_secrets(tool.secrets),
    )


async def _print_live(shown: Output | Progress) -> None:
    """Show what the tool prints where it prints it; progress is for people, on stderr."""
    if isinstance(shown, Output):
        out = sys.stderr if shown.stream == "stderr" else sys.stdout
        print(shown.text, end="", file=out, flush=True)
    else:
        total = "" if shown.total is None else f"/{shown.total:g}"
        print(f"[{shown.done:g}{total}] {shown.message or ''}".rstrip(), file=sys.stderr)


def _print_result(output: object, content: list[JsonObject]) -> None:
    if output is not None:
        print(to_json(output, indent=2).decode())
        return
    print(text_of(content), end="")
    for block in content:
        if block["type"] != "text":
            print(f"[{block['type']}, {len(to_json(block)):,} bytes of JSON]")


def _facts(spec: ToolSpec) -> JsonObject:
    return {**spec.model_dump(mode="json"), "version": spec.version}


def _load(settings: Settings) -> list[ToolSpec]:
    """Return the specs, sorted by name. Raises ``ToolLoadError``."""

    async def ask(_sandbox: Sandbox, registry: ToolRegistry) -> list[ToolSpec]:
        return sorted(registry, key=lambda spec: spec.name)

    return _with_tools(settings, ask)


def _with_tools(
    settings: Settings, ask: Callable[[Sandbox, ToolRegistry], Awaitable[Answer]]
) -> Answer:
    configure_logs(stream=sys.stderr, quiet=True)

    async def run() -> Answer:
        async with _open_tools(settings) as (sandbox, registry):
            return await ask(sandbox, registry)

    return asyncio.run(run())


@asynccontextmanager
async def _open_tools(settings: Settings) -> AsyncIterator[tuple[Sandbox, ToolRegistry]]:
    config = SandboxConfig(
        tool_paths=settings.tool_paths,
        entry_points=settings.tools.entry_points,
        warm=0,
        result_kb=settings.sandbox.result_kb,
        scratch_mb=settings.sandbox.scratch_mb,
    )
    async with open_process_sandbox(config) as sandbox:
        yield sandbox, ToolRegistry(sandbox.manifest)
