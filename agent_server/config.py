"""Settings: flag > environment > .env (dev) > config.yaml > default. Secrets: environment only.

The one module that reads the environment. Every problem is one line naming file, line and key.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from agent_server.agents import Agent, nearest
from agent_server.budgets import Price, RunLimits
from agent_server.errors import ConfigError
from agent_server.messages import JsonObject

ENV_PREFIX = "AGENT_SERVER__"


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AgentSettings(_Section):
    """One agent: model, instructions, tools, limits, and what a request may change."""

    model: str = "claude-opus-4-8"
    system: str | None = None
    tools: tuple[str, ...] = ("*",)
    max_tokens: int = Field(default=8192, ge=1)
    model_params: JsonObject = Field(default_factory=dict)
    limits: RunLimits = RunLimits()
    overridable: tuple[
        Literal["model", "max_tokens", "system", "tools", "model_params", "limits"], ...
    ] = (
        "model",
        "max_tokens",
        "tools",
        "model_params",
        "limits",
    )


class ModelSettings(_Section):
    """The provider and how long to wait for it, in seconds."""

    provider: Literal["auto", "anthropic", "demo"] = "auto"
    base_url: str | None = Field(
        default=None, description="Default: ANTHROPIC_BASE_URL, else the API"
    )
    connect_s: float = Field(default=5, gt=0)
    first_content_s: float = Field(default=60, gt=0)
    silence_s: float = Field(default=60, gt=0, description="Between two pieces of content")
    turn_s: float = Field(default=600, gt=0)
    retry_attempts: int = Field(
        default=4, ge=1, le=20, description="Attempts a turn, the first included"
    )
    retry_base_s: float = Field(default=0.5, gt=0)
    retry_cap_s: float = Field(default=60, gt=0)
    max_tokens_cap: int = Field(default=32_000, ge=1)


class RunSettings(_Section):
    """How runs behave."""

    disconnect_grace_s: float = Field(default=10, ge=0)
    max_active: int = Field(default=2_000, ge=1)
    parallel_calls: int = Field(default=8, ge=1, description="Tool calls of one turn at a time")


class LogSettings(_Section):
    """The event log."""

    flush_ms: int = Field(
        default=25, ge=0, le=1_000, description="Deltas share commits this far apart"
    )


class ServerSettings(_Section):
    """Where the server listens and what it accepts."""

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65_535)
    drain_s: float = Field(default=25, ge=0)
    max_body_kb: int = Field(default=4_096, ge=1)
    heartbeat_s: float = Field(default=15, gt=0)


class ChatSettings(_Section):
    """``POST /chat``."""

    agent: str = "default"
    max_tokens: int = Field(default=1024, ge=1)
    max_tokens_cap: int = Field(default=4096, ge=1)
    answer_s: float = Field(
        default=60, gt=0, description="Until the first output, retries included"
    )


class SandboxSettings(_Section):
    """The processes that tool calls run in."""

    mode: Literal["auto", "strict", "best-effort", "off"] = "auto"
    warm: int | None = Field(default=None, ge=0, description="Parked processes; default by cores")
    max_running: int | None = Field(default=None, ge=1, description="Default by cores")
    queue_timeout_s: float = Field(default=30, gt=0)
    result_kb: int = Field(default=1_024, ge=1)
    scratch_mb: int = Field(default=16, ge=1)


class ToolSettings(_Section):
    """Where tools come from. Relative paths are relative to config.yaml."""

    paths: tuple[Path, ...] = (Path("tools"),)
    entry_points: bool = True
    error_detail: Literal["message", "type"] = Field(
        default="message", description="How much of a tool's exception the model and clients see"
    )


class StorageSettings(_Section):
    """The database."""

    url: str = "sqlite:///data/agent-server.db"


class DemoSettings(_Section):
    """The demo model."""

    delay_ms: int = Field(default=15, ge=0, le=10_000)


class Settings(BaseSettings):
    """The whole configuration. ``config_file`` is None when there is none."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True
    )

    agents: dict[str, AgentSettings] = Field(default_factory=lambda: {"default": AgentSettings()})
    model: ModelSettings = ModelSettings()
    runs: RunSettings = RunSettings()
    log: LogSettings = LogSettings()
    server: ServerSettings = ServerSettings()
    chat: ChatSettings = ChatSettings()
    sandbox: SandboxSettings = SandboxSettings()
    tools: ToolSettings = ToolSettings()
    storage: StorageSettings = StorageSettings()
    prices: dict[str, Price] = Field(default_factory=dict)
    demo: DemoSettings = DemoSettings()
    config_file: Path | None = Field(default=None, exclude=True)
    anthropic_api_key: SecretStr | None = Field(default=None, exclude=True)

    @field_validator("agents")
    @classmethod
    def _has_agents(cls, agents: dict[str, AgentSettings]) -> dict[str, AgentSettings]:
        if not agents:
            msg = "at least one agent is needed"
            raise ValueError(msg)
        return agents

    @property
    def folder(self) -> Path:
        """What relative paths are relative to: the folder of config.yaml, else the current one."""
        return self.config_file.parent if self.config_file else Path.cwd()

    @property
    def provider(self) -> Literal["anthropic", "demo"]:
        """The provider in force: ``auto`` is anthropic where a key is set, else demo."""
        if self.model.provider != "auto":
            return self.model.provider
        return "anthropic" if self.anthropic_api_key else "demo"

    @property
    def database(self) -> Path:
        """The SQLite file."""
        path = Path(self.storage.url.removeprefix("sqlite:///"))
        return path if path.is_absolute() else self.folder / path

    @property
    def tool_paths(self) -> tuple[Path, ...]:
        """The tool folders and files, absolute."""
        return tuple(
            path if path.is_absolute() else self.folder / path for path in self.tools.paths
        )

    def named_agents(self) -> dict[str, Agent]:
        """The agents by name, as the core knows them."""
        return {
            name: Agent(name=name, **agent.model_dump(exclude={"limits"}), limits=agent.limits)
            for name, agent in self.agents.items()
        }


def load_settings(
    config: Path | None = None,
    *,
    flags: Mapping[str, Any] | None = None,
    dotenv: bool = False,
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """Read the settings from every source; ``flags`` are nested like config.yaml.

    Without ``config``, a ``config.yaml`` in the current folder is read if there is one.

    Raises:
        ConfigError: one line naming the file, line and key, or the variable.
    """
    env = os.environ if environ is None else environ  # noqa: TID251 (this is config.py)
    path = config or (Path("config.yaml") if Path("config.yaml").is_file() else None)
    data, lines = _read_yaml(path) if path else ({}, {})
    secrets = {"anthropic_api_key": env.get("ANTHROPIC_API_KEY") or None}
    if not data.get("model", {}).get("base_url") and env.get("ANTHROPIC_BASE_URL"):
        data.setdefault("model", {})["base_url"] = env["ANTHROPIC_BASE_URL"]
    try:
        return _build(
            data,
            flags=flags or {},
            env=env,
            dotenv=dotenv,
            extra={
                **secrets,
                "config_file": path.resolve() if path else None,
            },
        )
    except ValidationError as error:
        raise ConfigError(_explain(error, path=path, lines=lines)) from error


def _build(
    data: JsonObject,
    *,
    flags: Mapping[str, Any],
    env: Mapping[str, str],
    dotenv: bool,
    extra: JsonObject,
) -> Settings:
    class _Sourced(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            del env_settings, dotenv_settings, file_secret_settings
            environment = EnvSettingsSource(settings_cls)
            environment.env_vars = {
                k.lower(): v for k, v in env.items() if k.startswith(ENV_PREFIX)
            }
            files = (DotEnvSettingsSource(settings_cls, env_file=".env"),) if dotenv else ()
            return (
                init_settings,
                InitSettingsSource(settings_cls, init_kwargs=dict(flags)),
                environment,
                *files,
                InitSettingsSource(settings_cls, init_kwargs=data),
            )

    return _Sourced(**extra)


def _read_yaml(path: Path) -> tuple[JsonObject, dict[tuple[str, ...], int]]:
    """Return the file's data and the line of every key."""
    try:
        text = path.read_text(encoding="utf-8")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text) or {}
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 at byte {error.start}") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{path}:{line}: {error.problem}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{path}:1: the file must be a mapping of sections")
    lines: dict[tuple[str, ...], int] = {}
    if isinstance(node, yaml.MappingNode):
        _find_lines(node, prefix=(), lines=lines)
    return data, lines


def _find_lines(
    node: yaml.MappingNode, *, prefix: tuple[str, ...], lines: dict[tuple[str, ...], int]
) -> None:
    for key, value in node.value:
        place = (*prefix, str(key.value))
        lines[place] = key.start_mark.line + 1
        if isinstance(value, yaml.MappingNode):
            _find_lines(value, prefix=place, lines=lines)


def _explain(
    error: ValidationError, *, path: Path | None, lines: dict[tuple[str, ...], int]
) -> str:
    """Word the first problem as one line."""
    first = error.errors()[0]
    place = tuple(str(part) for part in first["loc"])
    line = next((lines[place[:n]] for n in range(len(place), 0, -1) if place[:n] in lines), None)
    key = ".".join(place)
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        message = f"unknown key.{nearest(place[-1], _siblings(place))}"
    if line is not None and path is not None:
        return f"{path}:{line}: {key}: {message}"
    return f"{ENV_PREFIX}{'__'.join(place).upper()}: {message}"


def _siblings(place: tuple[str, ...]) -> list[str]:
    """The keys that would have been known where ``place`` ends."""
    model: Any = Settings
    for part in place[:-1]:
        if model is None:
            return []
        if isinstance(model, type) and issubclass(model, BaseModel):
            field = model.model_fields.get(part)
            annotation = field.annotation if field else None
            arguments = getattr(annotation, "__args__", ())
            model = arguments[-1] if arguments else annotation
    is_model = isinstance(model, type) and issubclass(model, BaseModel)
    return list(model.model_fields) if is_model else []


def read_secrets(names: Iterable[str], environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the named secrets that the environment holds; absent and empty ones are left out."""
    env = os.environ if environ is None else environ  # noqa: TID251 (this is config.py)
    return {name: env[name] for name in names if env.get(name)}
