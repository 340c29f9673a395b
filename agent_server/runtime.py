"""open_runtime: the one place that picks implementations and owns the services' task group."""

import asyncio
import importlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial

import structlog

from agent_server.admission import Admission
from agent_server.agents import Agent
from agent_server.calls import ToolCalls
from agent_server.config import Settings, read_secrets
from agent_server.dispatch import ToolDispatcher
from agent_server.errors import ConfigError, InvalidRequest
from agent_server.log import EventLog
from agent_server.loop import AgentLoop
from agent_server.model import Model
from agent_server.model.demo import DemoModel
from agent_server.model.request import check_params
from agent_server.redaction import Redactor
from agent_server.runs import RunManager, RunPolicy, open_run_manager
from agent_server.sandbox import Sandbox
from agent_server.sandbox.inline import InlineSandbox
from agent_server.sandbox.process import ProcessSandbox, SandboxConfig, open_process_sandbox
from agent_server.store import Store
from agent_server.store.sql import open_sql_store
from agent_server.task_group import open_task_group
from agent_server.tooling.registry import ToolRegistry
from agent_server.turn import TurnPolicy, TurnRunner
from agent_server.watchdog import Patience

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Runtime:
    """Everything that serves requests, opened; what HTTP and the CLI hold on to."""

    settings: Settings
    store: Store
    log: EventLog
    runs: RunManager
    registry: ToolRegistry
    agents: Mapping[str, Agent]
    provider: str
    sandbox_layers: dict[str, str]

    async def checks(self) -> dict[str, bool]:
        """Say what works, by name, for ``/readyz``."""
        return {"accepting": not self.runs.draining, "database": await self.store.is_writable()}


@asynccontextmanager
async def open_runtime(
    settings: Settings,
    *,
    model: Model | None = None,
    store: Store | None = None,
    sandbox: Sandbox | None = None,
    registry: ToolRegistry | None = None,
) -> AsyncIterator[Runtime]:
    """Open the parts that ``settings`` ask for, or those given, and resume interrupted runs.

    A given ``sandbox`` comes with the ``registry`` of its tools. On leaving, runs get
    ``server.drain_s`` seconds to end; the rest is resumed at the next start.

    Raises:
        ConfigError, ToolLoadError: the settings or a tool file cannot be used.
        StoreError: the database cannot be used.
    """
    async with AsyncExitStack() as stack:
        if store is None:
            store = await stack.enter_async_context(open_sql_store(settings.database))
        if sandbox is None or registry is None:
            opened = await stack.enter_async_context(
                open_process_sandbox(_sandbox_config(settings))
            )
            sandbox, registry = opened, ToolRegistry(opened.manifest)
        if model is None:
            model = _open_model(settings)
            stack.push_async_callback(model.aclose)
        event_log = EventLog(store, flush_s=settings.log.flush_ms / 1000)
        await stack.enter_async_context(_serving(event_log))
        agents = settings.named_agents()
        _check_agents(agents, registry)
        make = partial(
            _make_runs,
            settings,
            model=model,
            store=store,
            log=event_log,
            sandbox=sandbox,
            registry=registry,
        )
        runs = await stack.enter_async_context(
            open_run_manager(make, drain_s=settings.server.drain_s)
        )
        resumed = await runs.recover()
        if resumed:
            log.warning("runs.recovered", count=resumed)
        yield Runtime(
            settings=settings,
            store=store,
            log=event_log,
            runs=runs,
            registry=registry,
            agents=agents,
            provider=model.provider,
            sandbox_layers=sandbox.layers if isinstance(sandbox, ProcessSandbox) else {},
        )


@asynccontextmanager
async def _serving(log: EventLog) -> AsyncIterator[None]:
    """Run the services for as long as the runtime is open."""
    async with open_task_group() as group:
        task = group.create_task(log.serve(), name="log")
        try:
            yield
        finally:
            task.cancel()


def _make_runs(
    settings: Settings,
    group: asyncio.TaskGroup,
    *,
    model: Model,
    store: Store,
    log: EventLog,
    sandbox: Sandbox,
    registry: ToolRegistry,
) -> RunManager:
    secret_names = {name for tool in registry for name in tool.secrets}
    redactor = Redactor(_known_secrets(settings, secret_names))
    dispatcher = ToolDispatcher(
        registry,
        {"process": sandbox, "inline": InlineSandbox()},
        secrets=read_secrets,
        redactor=redactor,
        error_detail=settings.tools.error_detail,
    )
    calls = ToolCalls(dispatcher, parallel=settings.runs.parallel_calls)
    return RunManager(
        store=store,
        log=log,
        loop=AgentLoop(TurnRunner(model, _turn_policy(settings)), calls),
        calls=calls,
        admission=Admission(
            store=store,
            registry=registry,
            agents=settings.named_agents(),
            prices=settings.prices,
            redactor=redactor,
            max_tokens_cap=settings.model.max_tokens_cap,
        ),
        policy=RunPolicy(
            max_active=settings.runs.max_active,
            disconnect_grace_s=settings.runs.disconnect_grace_s,
        ),
        group=group,
    )


def _known_secrets(settings: Settings, tool_secrets: set[str]) -> dict[str, str]:
    """Every secret the server knows: what must never reach an event, the model or a log."""
    secrets = read_secrets(tool_secrets)
    if settings.anthropic_api_key is not None:
        secrets["ANTHROPIC_API_KEY"] = settings.anthropic_api_key.get_secret_value()
    return secrets


def _turn_policy(settings: Settings) -> TurnPolicy:
    model = settings.model
    return TurnPolicy(
        patience=Patience(
            first_content_s=model.first_content_s,
            silence_s=model.silence_s,
            turn_s=model.turn_s,
        ),
        attempts=model.retry_attempts,
        retry_base_s=model.retry_base_s,
        retry_cap_s=model.retry_cap_s,
        max_tokens_cap=model.max_tokens_cap,
    )


def _sandbox_config(settings: Settings) -> SandboxConfig:
    sandbox = settings.sandbox
    config = SandboxConfig(
        tool_paths=settings.tool_paths,
        entry_points=settings.tools.entry_points,
        queue_timeout_s=sandbox.queue_timeout_s,
        result_kb=sandbox.result_kb,
        scratch_mb=sandbox.scratch_mb,
    )
    if sandbox.warm is not None:
        config = replace(config, warm=sandbox.warm)
    if sandbox.max_running is not None:
        config = replace(config, max_running=sandbox.max_running)
    return config


def _open_model(settings: Settings) -> Model:
    """Return the configured model. The SDK costs seconds to import: only where it is chosen."""
    if settings.provider == "demo":
        return DemoModel(delay_ms=settings.demo.delay_ms)
    module = importlib.import_module("agent_server.model.anthropic")
    make: Callable[..., Model] = module.AnthropicModel
    key = settings.anthropic_api_key
    return make(
        api_key=key.get_secret_value() if key else None,
        base_url=settings.model.base_url,
        connect_s=settings.model.connect_s,
    )


def _check_agents(agents: Mapping[str, Agent], registry: ToolRegistry) -> None:
    """Find a wrong tool name or model parameter at start, not at the first request."""
    for agent in agents.values():
        try:
            registry.select(agent.tools)
            check_params(agent.model_params)
        except InvalidRequest as error:
            raise ConfigError(f"agents.{agent.name}: {error.message}") from error
