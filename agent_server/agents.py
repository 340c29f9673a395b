"""Agents as configured, and the spec a run takes from one: fixed at creation, kept with the run."""

import difflib
from collections.abc import Iterable, Mapping

from pydantic import BaseModel, ConfigDict, Field

from agent_server.budgets import RunLimits
from agent_server.errors import InvalidRequest, NotFound
from agent_server.messages import JsonObject

OVERRIDABLE = ("model", "max_tokens", "system", "tools", "model_params", "limits")


class Agent(BaseModel):
    """A named configuration of model, instructions, tools and limits."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = "default"
    model: str = "claude-opus-4-8"
    system: str | None = None
    tools: tuple[str, ...] = ("*",)
    max_tokens: int = Field(default=8192, ge=1)
    model_params: JsonObject = Field(default_factory=dict)
    limits: RunLimits = RunLimits()
    overridable: tuple[str, ...] = ("model", "max_tokens", "tools", "model_params", "limits")


class Overrides(BaseModel):
    """What a request asks to be different from its agent. None: as the agent has it.

    Limits can only be made smaller; naming one the agent has no limit for is fine.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str | None = None
    max_tokens: int | None = None
    system: str | None = None
    tools: tuple[str, ...] | None = None
    model_params: JsonObject | None = None
    limits: JsonObject | None = None


class RunSpec(BaseModel):
    """Everything besides the messages that decides a run's requests to the model.

    ``tools`` are ToolParam objects in a fixed order; ``versions`` their versions by name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    agent: str
    model: str
    system: str | None
    max_tokens: int
    tools: list[JsonObject]
    versions: dict[str, str]
    params: JsonObject
    limits: RunLimits


def find_agent(agents: Mapping[str, Agent], name: str) -> Agent:
    """Return the agent, or raise ``NotFound(code="agent_not_found")`` naming the nearest match."""
    if name in agents:
        return agents[name]
    raise NotFound(
        f"No agent is named {name!r}.{nearest(name, agents)}", code="agent_not_found", param="agent"
    )


def nearest(name: str, known: Iterable[str]) -> str:
    """Return `` Did you mean …?`` for the most similar known name, or nothing."""
    matches = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean {matches[0]!r}?" if matches else ""


def apply_overrides(agent: Agent, overrides: Overrides, *, max_tokens_cap: int) -> Agent:
    """Return ``agent`` as this run wants it.

    Raises:
        InvalidRequest: ``not_overridable`` for a field the agent does not give away,
            ``max_tokens_too_large``, or ``limit_raised`` for a limit above the agent's.
    """
    wanted = overrides.model_dump(exclude_none=True)
    for name in wanted:
        if name not in agent.overridable:
            raise InvalidRequest(
                f"The agent {agent.name!r} does not let a request change {name!r}.",
                code="not_overridable",
                param=name,
            )
    if (overrides.max_tokens or 0) > max_tokens_cap:
        raise InvalidRequest(
            f"max_tokens may be at most {max_tokens_cap}.",
            code="max_tokens_too_large",
            param="max_tokens",
        )
    wanted["model_params"] = {**agent.model_params, **(overrides.model_params or {})}
    wanted["limits"] = _lower(agent.limits, overrides.limits or {})
    return agent.model_copy(update=wanted)


def _lower(limits: RunLimits, wanted: JsonObject) -> RunLimits:
    unknown = next((name for name in wanted if name not in RunLimits.model_fields), None)
    if unknown is not None:
        raise InvalidRequest(
            f"No limit is named {unknown!r}.{nearest(unknown, RunLimits.model_fields)}",
            code="unknown_limit",
            param=f"limits.{unknown}",
        )
    for name, value in wanted.items():
        ceiling = getattr(limits, name)
        if ceiling is not None and (value is None or value > ceiling):
            raise InvalidRequest(
                f"The limit {name} may be at most {ceiling}.",
                code="limit_raised",
                param=f"limits.{name}",
            )
    return RunLimits.model_validate({**limits.model_dump(), **wanted})
